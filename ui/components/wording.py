"""Says in plain words what the pages show, as HTML of templates."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from engine.types import USUAL_THRESHOLD, Decision, MaskPair, Verdict
from ui.components.templates import render, render_line

DECISION_WORDS: dict[Decision, str] = {
    "same": "the same object",
    "different": "different objects",
    "unsure": "not sure",
    "skip": "skipped",
}
HIGH_AMBIGUITY = 0.2
"""Above this much probability on neither yes nor no, the page says that the model hesitated."""
HIGH_SWAP_DISAGREEMENT = 0.2
"""Above this distance between the two orders' probabilities, the page says that the order mattered."""


def verdict_html(verdict: Verdict, pair: MaskPair, *, note: str = "") -> str:
    """Return the verdict as a card: one sentence, a bar, and how it was asked; `note`, HTML of a template, follows."""
    swap = verdict.swap_disagreement
    return render(
        "components/verdict.html.j2",
        verdict=verdict,
        how_sure=_how_sure(certainty(verdict)),
        hesitates=verdict.ambiguity > HIGH_AMBIGUITY,
        wavers=swap is not None and swap > HIGH_SWAP_DISAGREEMENT,
        threshold=threshold_words(verdict),
        asked=asked_words(verdict, pair),
        note=note,
    )


def _how_sure(certainty: float) -> str:
    if certainty > 0.95:
        return "almost certain"
    if certainty > 0.8:
        return "fairly sure"
    return "leaning this way" if certainty > 0.6 else "a coin toss"


def certainty(verdict: Verdict) -> float:
    """Return how far the probability is on its answer's side, [0.5, 1]: 0.5 at the threshold, wherever that lies.

    The distance is taken in log-odds, so that at a threshold of 0.5 it is the probability of the answer itself.
    """
    p, t = (min(max(value, 1e-6), 1 - 1e-6) for value in (verdict.p_same, verdict.threshold))
    distance = math.log(p / (1 - p)) - math.log(t / (1 - t))
    return 1 / (1 + math.exp(-abs(distance)))


def threshold_words(verdict: Verdict) -> str:
    """Return a sentence on a threshold that somebody chose, "" for the usual one."""
    if verdict.threshold == USUAL_THRESHOLD:
        return ""
    return f'It says "same" from {verdict.threshold:.0%} on, the threshold chosen for it.'


def asked_words(verdict: Verdict, pair: MaskPair) -> str:
    """Return in which order the views were shown."""
    swapped = "" if verdict.swap_disagreement is None else ", and the other way round"
    return f"Asked with view {pair.a.view} first, then view {pair.b.view}{swapped}"


WAITING = '<div class="mg-verdict mg-waiting" role="status">{{ message }}</div>'
ASKING_HTML: str = render_line(WAITING, message="asking …")
"""Stands where the verdict will be, from the moment in which another pair or model is chosen."""


def waiting_html(message: str) -> str:
    """Return a verdict card that holds only a hint."""
    return render_line(WAITING, message=message)


def truth_html(is_same: bool | None, verdicts: Mapping[str, Verdict]) -> str:
    """Return what ground truth says of the pair, and of each verdict, by the name of its model, whether it is right."""
    if is_same is None:
        return Markup("<p>This scene has no ground truth for these masks.</p>")
    truth = "one and the same object" if is_same else "two different objects"
    agrees = {name: (verdict.answer == "same") == is_same for name, verdict in verdicts.items()}
    said = " and ".join(f"{name} is {'right' if is_right else 'wrong'}" for name, is_right in agrees.items())
    return render_line("<p>Ground truth: <b>{{ truth }}</b>.{% if said %} {{ said }} here.{% endif %}</p>", truth=truth, said=said)


def point_html(instance: int | None, marks: list[str]) -> str:
    """Return what is at a clicked point of the room."""
    source = (
        "<p>{% if instance is none %}This point has no instance in the ground truth."
        "{% else %}This point is instance <b>{{ instance }}</b> (class {{ instance // 1000 }}); it is lit in green.{% endif %}"
        "{% if marks %} It lies on {{ marks|join(' and ') }}.{% endif %}</p>"
    )
    return render_line(source, instance=instance, marks=marks)
