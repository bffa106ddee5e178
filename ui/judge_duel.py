"""Two models on one pair: who is shown where, blind tests and their votes. Plain functions, tested without Gradio running."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, replace

from engine.errors import MaskgroupError
from engine.types import MaskPair, Verdict
from ui.judge_cards import Card, duel_html, revealed_html, score_html
from ui.judge_page import Choice, next_choice, waiting_for
from ui.judges import NO_RIVAL
from ui.votes import Ballot, Vote, VoteBox
from ui.wording import verdict_html, waiting_html
from ui.workbench import Workbench

TRIES = 8
"""Proposed pairs that a blind test looks through for one on which the models disagree."""


@dataclass(frozen=True)
class Duel:
    """Who answers, in the places where the page shows them.

    Attributes:
        left: Model on the left.
        right: Model on the right; None = only one model is asked.
        is_blind: Whether the names are hidden until the vote.
        ballot: The vote, None until one is cast.
        choice: The pair that they are asked about.
        token: Tells this duel from others without telling who stands where, "" for a single card.
    """

    left: str
    right: str | None = None
    is_blind: bool = False
    ballot: Ballot | None = None
    choice: Choice | None = None
    token: str = ""

    @property
    def is_open(self) -> bool:
        """Whether a vote can be cast now."""
        return self.is_blind and self.right is not None and self.ballot is None


def deal(first: str, second: str | None, *, is_blind: bool, choice: Choice | None = None, rng: random.Random | None = None) -> Duel:
    """Place two models; a blind test shuffles the sides. One model twice, or no second one, is a single card."""
    if not second or second == first:
        return Duel(first, choice=choice)
    sides = [first, second]
    if is_blind:
        (rng or random.SystemRandom()).shuffle(sides)
    return Duel(sides[0], sides[1], is_blind, choice=choice, token=secrets.token_hex(8))


def deal_again(before: Duel | None, choice: Choice, first: str, second: str | None, *, is_blind: bool) -> Duel:
    """Return the duel before where nothing has changed, so that nobody votes on one pair twice; else a new one."""
    dealt = deal(first, second, is_blind=is_blind, choice=choice)
    if before is None or (before.choice, before.is_blind) != (choice, dealt.is_blind):
        return dealt
    same_models = {before.left, before.right} == {dealt.left, dealt.right}
    same_places = dealt.is_blind or before.left == dealt.left
    return before if same_models and same_places else dealt


def check_shown(duel: Duel | None, choice: Choice, on_screen: str) -> Duel:
    """Return the duel if it is the one on the screen, whose token is `on_screen`, and about this choice.

    Raises:
        MaskgroupError: If it is not: a vote would count for answers that nobody has seen.
    """
    if duel is None or duel.choice != choice or duel.token != on_screen:
        raise MaskgroupError("The models have not answered about this pair yet, so no vote was counted; vote once they have.")
    return duel


def show_duel(bench: Workbench, choice: Choice, duel: Duel) -> str:
    """Return what the models say of the picked pair, as HTML; a model that cannot answer says why, where its verdict would be."""
    pair = choice.pair
    if pair is None:
        return waiting_html(waiting_for(choice))
    if duel.right is None:
        verdict, problem = ask_model(bench, choice.scene, pair, duel.left)
        if verdict is None:
            return waiting_html(problem)
        has_rival = len(bench.judges.names()) > 1
        return verdict_html(verdict, pair, note="" if has_rival else f"<div class='mg-quiet mg-no-rival'>{NO_RIVAL}</div>")
    hidden = duel.is_open
    cards = [
        Card(f"Model {number}" if hidden else name, *ask_model(bench, choice.scene, pair, name), is_named=not hidden)
        for number, name in enumerate((duel.left, duel.right), start=1)
    ]
    if hidden:
        # A model's own words on why it cannot answer may hold its name.
        cards = [replace(card, problem="This model could not answer.") if card.problem else card for card in cards]
    note = ""
    if duel.ballot is not None:
        note = revealed_html(duel.left, duel.right, duel.ballot, bench.truth(choice.scene, pair))
    return duel_html(cards, pair, note=note)


def ask_model(bench: Workbench, scene: str, pair: MaskPair, model: str) -> tuple[Verdict | None, str]:
    """Return a model's verdict, or None and why there is none."""
    try:
        return bench.verdict(scene, pair, model=model), ""
    except MaskgroupError as error:
        return None, str(error)


def vote(bench: Workbench, box: VoteBox, choice: Choice, duel: Duel, ballot: Ballot, *, annotator: str) -> Duel:
    """Keep a vote; returns the duel with its models revealed.

    Raises:
        MaskgroupError: If there is nothing to vote on.
    """
    pair = choice.pair
    if pair is None or duel.right is None or not duel.is_open:
        raise MaskgroupError("There is nothing to vote on: turn the blind test on, and pick a pair of masks.")
    if any(ask_model(bench, choice.scene, pair, name)[0] is None for name in (duel.left, duel.right)):
        raise MaskgroupError("One of the models could not answer, so there is nothing to vote on; take the next pair.")
    box.add(Vote(annotator.strip() or "me", choice.scene, pair, duel.left, duel.right, ballot))
    return replace(duel, ballot=ballot)


def show_score(box: VoteBox, first: str, second: str | None) -> str:
    """Return the running score between two models, as HTML."""
    return "" if not second or second == first else score_html(box.score(first, second))


def next_disputed(bench: Workbench, scene: str, first: str, second: str, *, seed: int | None = None) -> Choice:
    """Return a proposed pair on which the models disagree, else the one on which they are furthest apart.

    Pairs on which both say the same tell nothing in a vote between them.
    """
    rng = random.Random(seed)
    proposed = [choice for _ in range(TRIES) if (choice := next_choice(bench, scene, seed=rng.getrandbits(32))).pair is not None]
    if not proposed:
        return next_choice(bench, scene, seed=seed)
    pairs = [choice.pair for choice in proposed if choice.pair is not None]
    try:
        said = [bench.verdicts(scene, pairs, model=name) for name in (first, second)]
    except MaskgroupError:
        return proposed[0]
    gaps = [(a.answer != b.answer, abs(a.p_same - b.p_same)) for a, b in zip(*said, strict=True)]
    return proposed[gaps.index(max(gaps))]
