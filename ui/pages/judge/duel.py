"""Two models on one pair: who is shown where, blind tests and their votes. Plain functions, tested without Gradio running."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from db.labels.store import ShownVerdict
from engine.errors import MaskgroupError
from engine.strict_json import to_json_text
from engine.types import MaskPair, Verdict
from ui.components.templates import render_line
from ui.components.typed import annotator_name
from ui.components.wording import truth_html, verdict_html, waiting_html
from ui.pages.judge.cards import VerdictCard, duel_html, revealed_html, score_html
from ui.pages.judge.handlers import Choice, next_choice, permalink, waiting_for
from ui.services.judges import NO_RIVAL
from ui.services.workbench import Workbench
from ui.stores.blind_votes import Ballot, Vote, VoteBox

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


@dataclass(frozen=True)
class Answer:
    """What stands on the page of a pair.

    Attributes:
        choice: The pair.
        html: The verdicts as the page shows them.
        verdicts: Those that a label of the pair carries: none as long as a blind test hides whose they are.
        token: Names exactly these verdicts, "" for none.
    """

    choice: Choice
    html: str
    verdicts: tuple[ShownVerdict, ...] = ()
    token: str = ""


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


def answer(bench: Workbench, choice: Choice, duel: Duel) -> Answer:
    """Ask the models about the picked pair; returns what the page shows, with the verdicts in it.

    A model that cannot answer says why, where its verdict would be.
    """
    pair = choice.pair
    if pair is None:
        return Answer(choice, waiting_html(waiting_for(choice)))
    if duel.right is None:
        verdict, problem = ask_model(bench, choice.scene, pair, duel.left)
        if verdict is None:
            return Answer(choice, waiting_html(problem))
        has_rival = len(bench.judges.names()) > 1
        note = "" if has_rival else render_line("<div class='mg-quiet mg-no-rival'>{{ words }}</div>", words=NO_RIVAL)
        return _answer(choice, duel, verdict_html(verdict, pair, note=note), [verdict])
    hidden = duel.is_open
    cards = [
        VerdictCard(f"Model {number}" if hidden else name, *ask_model(bench, choice.scene, pair, name), is_named=not hidden)
        for number, name in enumerate((duel.left, duel.right), start=1)
    ]
    if hidden:
        # A model's own words on why it cannot answer may hold its name.
        cards = [replace(card, problem="This model could not answer.") if card.problem else card for card in cards]
    note = ""
    if duel.ballot is not None:
        note = revealed_html(duel.left, duel.right, duel.ballot, bench.truth(choice.scene, pair))
    verdicts = [] if hidden else [card.verdict for card in cards if card.verdict is not None]
    return _answer(choice, duel, duel_html(cards, pair, note=note), verdicts)


def _answer(choice: Choice, duel: Duel, html: str, verdicts: Sequence[Verdict]) -> Answer:
    shown = tuple(ShownVerdict(verdict.model, verdict.prompt, verdict.p_same, verdict.ambiguity) for verdict in verdicts)
    if not shown:
        return Answer(choice, html)
    named = to_json_text([asdict(choice), duel.token, duel.ballot, [asdict(verdict) for verdict in shown]])
    return Answer(choice, html, shown, hashlib.sha256(named.encode()).hexdigest()[:16])


def verdicts_on_screen(given: Answer | None, choice: Choice, on_screen: str) -> tuple[ShownVerdict, ...]:
    """Return the verdicts that a person sees beside a pair, whose token on the screen is `on_screen`: "" = none yet.

    Raises:
        MaskgroupError: If others stand there: a label would carry verdicts that nobody saw.
    """
    if not on_screen:
        return ()
    if given is None or given.choice != choice or given.token != on_screen:
        raise MaskgroupError("The models' answers were just changing, so nothing was saved; look at them, then answer.")
    return given.verdicts


def question(bench: Workbench, choice: Choice, model: str | None, rival: str | None, *, is_blind: bool) -> str:
    """Return what is asked, as the page's script says it: an answer to another question than the page's is not shown."""
    return "\n".join([permalink(bench, choice), model or "", rival or "", "true" if is_blind else "false"])


def show_truth(bench: Workbench, choice: Choice, model: str, rival: str | None, dealt: Duel | None, *, is_blind: bool) -> str:
    """Return what ground truth says of the picked pair, and whether the chosen models say the same, as HTML.

    A blind test's models go by their places; before it is dealt only the truth is told.
    """
    pair = choice.pair
    if pair is None:
        return "<p>Pick a mask in both views first.</p>"
    is_contest = bool(rival) and rival != model
    asked = {"The model": model} if not is_contest else {model: model, rival or "": rival or ""}
    if is_contest and is_blind:
        is_dealt = dealt is not None and dealt.choice == choice and dealt.right is not None
        asked = {"Model 1": dealt.left, "Model 2": dealt.right or ""} if dealt is not None and is_dealt else {}
    said = {title: ask_model(bench, choice.scene, pair, name)[0] for title, name in asked.items()}
    return truth_html(bench.truth(choice.scene, pair), {title: verdict for title, verdict in said.items() if verdict is not None})


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
    box.add(Vote(annotator_name(annotator), choice.scene, pair, duel.left, duel.right, ballot))
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
