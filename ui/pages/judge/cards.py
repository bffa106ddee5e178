"""Two models' verdicts side by side, and the score of a blind test, as HTML of templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.types import MaskPair, Verdict
from ui.components.templates import render, render_line
from ui.components.wording import HIGH_AMBIGUITY, HIGH_SWAP_DISAGREEMENT, asked_words, threshold_words
from ui.stores.blind_votes import Ballot, Score

WIDE_GAP = 0.2
"""Probabilities at least this far apart are pointed out even where the answers agree."""
MEANINGS = {
    "same": "The probability that the model gives to one and the same object: P(same).",
    "hesitates": "The part of its answer that is neither yes nor no: the ambiguity.",
    "order matters": "How far P(same) moves when the two views swap places: the swap disagreement.",
    "time": "How long the model took to answer.",
}
"""What each line of a card means, in the field's own words; shown where somebody points at it."""
ANSWER_WORDS = {"same": "Same", "different": "Different"}


@dataclass(frozen=True)
class VerdictCard:
    """One model's side.

    Attributes:
        title: What stands above: the model's name, or "Model 1" in a blind test.
        verdict: Its verdict, None where it could not answer.
        problem: Why it could not.
        is_named: Whether details that could give the model away are shown.
    """

    title: str
    verdict: Verdict | None
    problem: str = ""
    is_named: bool = True


def duel_html(cards: Sequence[VerdictCard], pair: MaskPair, *, note: str = "") -> str:
    """Return two cards under a banner that says whether the models agree; `note`, HTML of a template, follows."""
    one, two = cards
    a, b = one.verdict, two.verdict
    answered = a or b
    gap, surer = 0.0, ""
    if a is not None and b is not None:
        gap = abs(a.p_same - b.p_same)
        if gap >= WIDE_GAP:
            surer = one.title if (a.p_same > b.p_same) == (a.answer == "same") else two.title
    return render(
        "pages/judge/duel.html.j2",
        titles=(one.title, two.title),
        a=a,
        b=b,
        is_judged=a is not None and b is not None,
        points=f"{gap * 100:.0f}",
        surer=surer,
        cards=[_card(card) for card in cards],
        asked=asked_words(answered, pair) if answered is not None else "",
        note=note,
    )


def _card(card: VerdictCard) -> str:
    verdict = card.verdict
    rows = [] if verdict is None else _rows(verdict, is_named=card.is_named)
    return render(
        "pages/judge/card.html.j2",
        card=card,
        answer="" if verdict is None else ANSWER_WORDS[verdict.answer],
        rows=[(name, value, is_doubtful, MEANINGS[name]) for name, value, is_doubtful in rows],
        threshold=threshold_words(verdict) if verdict is not None and card.is_named else "",
    )


def _rows(verdict: Verdict, *, is_named: bool) -> list[tuple[str, str, bool]]:
    """Return a card's lines: name, value, whether it is doubtful."""
    swap = verdict.swap_disagreement
    moved = "not asked" if swap is None else f"±{swap * 100:.0f} points"
    rows = [
        ("same", f"{verdict.p_same:.0%}", False),
        ("hesitates", f"{verdict.ambiguity:.0%}", verdict.ambiguity > HIGH_AMBIGUITY),
        ("order matters", moved, swap is not None and swap > HIGH_SWAP_DISAGREEMENT),
    ]
    return [*rows, ("time", f"{verdict.latency_s * 1000:.0f} ms", False)] if is_named else rows


def revealed_html(left: str, right: str, ballot: Ballot, truth: bool | None) -> str:
    """Return what stands below the cards once a vote is cast."""
    source = (
        "<p class='mg-reveal'>Model 1 was <b>{{ left }}</b>, model 2 was <b>{{ right }}</b>. You voted: {{ picked }}."
        "{% if truth is not none %} Ground truth: <b>{{ 'the same object' if truth else 'different objects' }}</b>.{% endif %}</p>"
    )
    picked = {"left": left, "right": right, "both": "both", "neither": "neither"}[ballot]
    return render_line(source, left=left, right=right, picked=picked, truth=truth)


def score_html(score: Score) -> str:
    """Return the running score."""
    if score.share is not None:
        return render("pages/judge/score.html.j2", score=score)
    votes = score.first_won + score.second_won + score.draws
    said = "No vote yet." if votes == 0 else f"{votes} vote{'' if votes == 1 else 's'}, all draws."
    source = "<p>{{ said }} Vote for the model that is right: [1], [2], both [3] or neither [4].</p>"
    return render_line(source, said=said)
