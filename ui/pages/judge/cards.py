"""Two models' verdicts side by side, and the score of a blind test, as HTML. Names are escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.types import MaskPair, Verdict
from ui.components.wording import HIGH_AMBIGUITY, HIGH_SWAP_DISAGREEMENT, asked_words, threshold_words
from ui.escape import escape
from ui.stores.blind_votes import Ballot, Score

WIDE_GAP = 0.2
"""Probabilities at least this far apart are pointed out even where the answers agree."""
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
    """Return two cards under a banner that says whether the models agree; `note` is HTML that follows."""
    verdicts = [card.verdict for card in cards if card.verdict is not None]
    asked = f"<div class='mg-quiet'>{asked_words(verdicts[0], pair)}</div>" if verdicts else ""
    return (
        f"<div class='mg-duel' role='status'>{_banner(cards)}"
        f"<div class='mg-cards'>{''.join(_card(card) for card in cards)}</div>{asked}{note}</div>"
    )


def _banner(cards: Sequence[VerdictCard]) -> str:
    (one, a), (two, b) = [(escape(card.title), card.verdict) for card in cards]
    if a is None or b is None:
        return ""
    gap = abs(a.p_same - b.p_same)
    if a.answer != b.answer:
        return (
            f"<div class='mg-banner mg-differ'><b>They disagree.</b> {one}: {a.answer} · {two}: {b.answer} "
            f"({gap * 100:.0f} points apart)</div>"
        )
    surer = ""
    if gap >= WIDE_GAP:
        more = one if (a.p_same > b.p_same) == (a.answer == "same") else two
        surer = f", but {more} is {gap * 100:.0f} points surer"
    return f"<div class='mg-banner'>Both say <b>{a.answer}</b>{surer}.</div>"


def _card(card: VerdictCard) -> str:
    title = f"<div class='mg-model'>{escape(card.title)}</div>"
    verdict = card.verdict
    if verdict is None:
        return f"<div class='mg-verdict mg-card'>{title}<div>{escape(card.problem)}</div></div>"
    swap = verdict.swap_disagreement
    rows = [
        ("same", f"{verdict.p_same:.0%}", False),
        ("neither yes nor no", f"{verdict.ambiguity:.0%}", verdict.ambiguity > HIGH_AMBIGUITY),
        (
            "views swapped",
            "not asked" if swap is None else f"±{swap * 100:.0f} points",
            swap is not None and swap > HIGH_SWAP_DISAGREEMENT,
        ),
    ]
    if card.is_named:
        rows.append(("time", f"{verdict.latency_s * 1000:.0f} ms", False))
    lines = "".join(
        f"<div{' class=mg-doubt' if doubt else ''}><dt>{name}</dt><dd>{'⚠ ' if doubt else ''}{value}</dd></div>"
        for name, value, doubt in rows
    )
    threshold = threshold_words(verdict) if card.is_named else ""
    return (
        f"<div class='mg-verdict mg-card mg-{verdict.answer}'>{title}"
        f"<div class='mg-headline'>{ANSWER_WORDS[verdict.answer]}</div>"
        f"<div class='mg-bar' aria-hidden='true'><span style='width:{verdict.p_same:.1%}'></span></div>"
        f"<dl>{lines}</dl>{f'<div class=mg-quiet>{threshold}</div>' if threshold else ''}</div>"
    )


def revealed_html(left: str, right: str, ballot: Ballot, truth: bool | None) -> str:
    """Return what stands below the cards once a vote is cast."""
    picked = {"left": escape(left), "right": escape(right), "both": "both", "neither": "neither"}[ballot]
    known = "" if truth is None else f" Ground truth: <b>{'the same object' if truth else 'different objects'}</b>."
    shown = f"Model 1 was <b>{escape(left)}</b>, model 2 was <b>{escape(right)}</b>."
    return f"<p class='mg-reveal'>{shown} You voted: {picked}.{known}</p>"


def score_html(score: Score) -> str:
    """Return the running score."""
    first, second = escape(score.first), escape(score.second)
    votes = score.first_won + score.second_won + score.draws
    if score.share is None:
        said = "No vote yet." if votes == 0 else f"{votes} vote{'' if votes == 1 else 's'}, all draws."
        return f"<p>{said} Vote for the model that is right: [1], [2], both [3] or neither [4].</p>"
    assert score.low is not None
    assert score.high is not None
    verdict = (
        f"{second} is better"
        if score.low > 0.5
        else f"{first} is better"
        if score.high < 0.5
        else "too few votes to tell them apart"
    )
    return (
        f"<p><b>{second} won {score.second_won}, {first} won {score.first_won}</b>, {score.draws} draws: {second} has "
        f"{score.share:.0%} of the decided votes [95 %: {score.low:.0%} to {score.high:.0%}], {verdict}.</p>"
    )
