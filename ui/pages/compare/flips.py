"""The gallery of pairs that one model or both got wrong: pictures, words, and the ways to judging and labelling."""

from __future__ import annotations

from urllib.parse import urlencode

from engine.evaluation.comparison.paired import ComparedPair, Outcome
from engine.evaluation.comparison.run import FinishedComparison
from ui.components.changed_pairs import Flip, ModelNames, draw_flips, show_caption, show_flip, show_proof
from ui.components.pairs import pair_link, review_link
from ui.components.templates import render, render_line
from ui.services.workbench import Workbench

FLIPS: tuple[tuple[str, Outcome], ...] = (("fixed", "fixed"), ("broken", "broken"), ("both wrong", "both_wrong"))
"""What the page calls each outcome that it shows."""
MAX_FLIPS = 60
PROVING = 4
"""Pairs of each outcome beside the sentence that they prove."""


def list_flips(bench: Workbench, found: FinishedComparison | None, outcome: Outcome, *, most: int = MAX_FLIPS) -> list[Flip]:
    """Return the pairs with an outcome, those first on which the models are furthest apart; scenes that are gone are left out."""
    return [] if found is None else draw_flips(bench, _with_outcome(found, outcome), most=most)


def _with_outcome(found: FinishedComparison, outcome: Outcome) -> list[ComparedPair]:
    return [pair for scene in found.scenes for pair in scene.pairs if pair.outcome == outcome]


def proof_html(bench: Workbench, found: FinishedComparison) -> str:
    """Return what proves the outcome: some of the pairs that the second model put right, and some that it got wrong, as HTML."""
    fixed, broken = _with_outcome(found, "fixed"), _with_outcome(found, "broken")
    return show_proof(bench, _names(found), fixed, broken, most=PROVING)


def gallery_html(bench: Workbench, found: FinishedComparison | None, outcome: Outcome) -> str:
    """Return the gallery as HTML; each pair is one click from the Judge page and from labelling."""
    if found is None:
        return ""
    flips = list_flips(bench, found, outcome)
    total = len(_with_outcome(found, outcome))
    if not flips:
        return render_line(
            "<p>{% if total %}{{ total }}, in scenes that are not here any more.{% else %}None.{% endif %}</p>", total=total
        )
    shown = [
        {
            **show_flip(bench, _names(found), flip),
            "judge": judge_address(bench, found, flip.pair),
            "label": label_address(bench, flip.pair),
        }
        for flip in flips
    ]
    return render("pages/compare/flips.html.j2", total=total, flips=shown)


def caption_html(found: FinishedComparison, pair: ComparedPair) -> str:
    """Return the truth and what both models said of a pair, as HTML."""
    return show_caption(_names(found), pair)


def _names(found: FinishedComparison) -> ModelNames:
    return found.settings.model_a, found.settings.model_b


def judge_address(bench: Workbench, found: FinishedComparison, pair: ComparedPair) -> str:
    """Return the query string that opens a pair on the Judge page, with the two models of the comparison."""
    models = urlencode({"model": found.settings.model_a, "rival": found.settings.model_b})
    return f"{pair_link(bench, pair.scene, pair.a.pair)}&{models}"


def label_address(bench: Workbench, pair: ComparedPair) -> str:
    """Return the query string that opens a pair on the Review page, where it is labelled."""
    return review_link(bench, pair.scene, pair.a.pair)
