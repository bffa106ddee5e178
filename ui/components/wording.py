"""Says in plain words what the pages show. Every name that comes from a file is escaped here, before it becomes HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.types import Decision, MaskPair, Verdict
from ui.escape import escape

DECISION_WORDS: dict[Decision, str] = {
    "same": "the same object",
    "different": "different objects",
    "unsure": "not sure",
    "skip": "skipped",
}
USUAL_THRESHOLD = 0.5
HIGH_AMBIGUITY = 0.2
"""Above this much probability on neither yes nor no, the page says that the model hesitated."""
HIGH_SWAP_DISAGREEMENT = 0.2
"""Above this distance between the two orders' probabilities, the page says that the order mattered."""


def verdict_html(verdict: Verdict, pair: MaskPair, *, note: str = "") -> str:
    """Return the verdict as a card: one sentence, a bar, and how it was asked; `note` is HTML that follows."""
    sure = certainty(verdict)
    headline = "Same object" if verdict.answer == "same" else "Different objects"
    how_sure = (
        "almost certain" if sure > 0.95 else "fairly sure" if sure > 0.8 else "leaning this way" if sure > 0.6 else "a coin toss"
    )
    hesitation = (
        f" It put {verdict.ambiguity:.0%} of its answer on neither yes nor no: treat this one with care."
        if verdict.ambiguity > HIGH_AMBIGUITY
        else ""
    )
    swap = verdict.swap_disagreement
    wavering = (
        f" The two orders differ by {swap * 100:.0f} points: the answer depends on which view comes first."
        if swap is not None and swap > HIGH_SWAP_DISAGREEMENT
        else ""
    )
    threshold = threshold_words(verdict)
    return (
        f'<div class="mg-verdict mg-{verdict.answer}" role="status">'
        f'<div class="mg-headline">{headline}</div>'
        f'<div class="mg-bar" aria-hidden="true"><span style="width:{verdict.p_same:.1%}"></span></div>'
        f'<div class="mg-ends" aria-hidden="true"><span>different</span><span>same</span></div>'
        f"<div>The model gives <b>{verdict.p_same:.0%}</b> to both crops showing one object: "
        f"{how_sure}.{hesitation}{wavering}{' ' + threshold if threshold else ''}</div>"
        f'<div class="mg-quiet">{asked_words(verdict, pair)} · model '
        f"{escape(verdict.model)} · prompt {escape(verdict.prompt)} · {verdict.latency_s * 1000:.0f} ms</div>{note}</div>"
    )


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
    """Return in which order the views were shown, as HTML."""
    first, second = escape(pair.a.view), escape(pair.b.view)
    swapped = "" if verdict.swap_disagreement is None else ", and the other way round"
    return f"Asked with view {first} first, then view {second}{swapped}"


ASKING_HTML = '<div class="mg-verdict mg-waiting" role="status">asking …</div>'
"""Stands where the verdict will be, from the moment in which another pair or model is chosen."""


def waiting_html(message: str) -> str:
    """Return a verdict card that holds only a hint."""
    return f'<div class="mg-verdict mg-waiting" role="status">{escape(message)}</div>'


def truth_html(is_same: bool | None, verdicts: Mapping[str, Verdict]) -> str:
    """Return what ground truth says of the pair, and of each verdict, by the name of its model, whether it is right."""
    if is_same is None:
        return "<p>This scene has no ground truth for these masks.</p>"
    truth = "one and the same object" if is_same else "two different objects"
    agrees = {name: (verdict.answer == "same") == is_same for name, verdict in verdicts.items()}
    said = " and ".join(f"{escape(name)} is {'right' if is_right else 'wrong'}" for name, is_right in agrees.items())
    return f"<p>Ground truth: <b>{truth}</b>.{f' {said} here.' if said else ''}</p>"


def point_html(instance: int | None, marks: list[str]) -> str:
    """Return what is at a clicked point of the room."""
    if instance is None:
        what = "This point has no instance in the ground truth."
    else:
        what = f"This point is instance <b>{instance}</b> (class {instance // 1000}); it is lit in green."
    return f"<p>{what}{' It lies on ' + escape(' and '.join(marks)) + '.' if marks else ''}</p>"
