"""What the figures of a training mean, in words: the headline, and why other figures beside it differ.

Three places show a share of right answers for one run, each on different pairs; nobody should take one for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADLINE = (
    "right answers on the frozen pairs: objects that were not trained on, in both orders, calibrated, threshold 50 %; "
    "this figure decides, and is the one to quote"
)
CURVE = "about 120 other held-out pairs, before calibration: the course of the training, so its last point is not the run's result"
COMPARE = (
    "The Compare page and `maskgroup evaluate` draw their own pairs from the whole scene, including trained objects, and "
    "use the threshold that is kept for the model, so their figures differ from this one."
)


def headline(verdict: Mapping[str, Any]) -> str:
    """Return a run's one headline figure, "" if it has none, e.g. "89.9 % -> 90.4 % of 1000 frozen pairs right"."""
    accuracy = verdict.get("metrics", {}).get("accuracy")
    if accuracy is None:
        return ""
    return f"{accuracy['before']:.1%} -> {accuracy['after']:.1%} of {verdict['pairs']} frozen pairs right"


def warn_of_seen(verdict: Mapping[str, Any], *, rival: str, name: str) -> list[str]:
    """Return a sentence for each side that may have seen frozen pairs in its training.

    Args:
        verdict: The run's result, as verdict.json holds it.
        rival: What the judge to beat is called.
        name: What the run is called.
    """
    seen: Mapping[str, Sequence[str]] = verdict.get("trained_on") or {}
    return [
        f"{who} was trained on {', '.join(seen[side])}, on which it is measured here: its figures flatter it."
        for side, who in (("before", rival), ("after", name))
        if seen.get(side)
    ]
