"""Two models on one pair: agreement, blind tests that give nothing away, votes and their score. The judges here are rulers."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.errors import MaskgroupError, ModelError
from engine.judging.base import CropPair, Judge
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints
from engine.types import MaskKey, MaskPair, Verdict
from tests.stub_judge import StubJudge
from ui.components.wording import certainty
from ui.pages.judge.duel import Duel, answer, deal, next_disputed, show_score, show_truth, verdicts_on_screen, vote
from ui.pages.judge.handlers import first_choice, save, swap_sides
from ui.services.judges import NO_RIVAL, Judges
from ui.services.workbench import Workbench
from ui.stores.blind_votes import FILE, Vote, VoteBox

SCENE = "sh3d_living"
NAMES = ("ruby-base", "opal-tuned")


def sizer(name: str, shift: float) -> StubJudge:
    """Says "same" as the crops' areas are alike; `shift` moves its opinion."""

    def answer(pair: CropPair) -> float:
        alike = min(pair.a.size, pair.b.size) / max(pair.a.size, pair.b.size)
        return min(max(alike + shift, 0.01), 0.99)

    return StubJudge(answer, name=name, swap_disagreement=0.3)


@pytest.fixture
def judges() -> dict[str, StubJudge]:
    return {"ruby-base": sizer("ruby-base", 0.0), "opal-tuned": sizer("opal-tuned", -0.25)}


@pytest.fixture
def bench(tmp_path: Path, judges: dict[str, StubJudge]) -> Workbench:
    shelf = Judges(lambda name: judges[name], NAMES[0], others=lambda: NAMES[1:])
    labels = LabelStore(open_database(str(tmp_path / "labels.db")))
    return Workbench(SCENES_DIR, labels, shelf, points=OperatingPoints(tmp_path))


def test_disagreement_is_said_in_words_with_both_names(bench: Workbench) -> None:
    choice = next_disputed(bench, SCENE, *NAMES, seed=1)
    shown = answer(bench, choice, deal(*NAMES, is_blind=False)).html
    assert "They disagree." in shown
    assert re.search("ruby-base: same · opal-tuned: different", shown)
    assert shown.count("mg-card") == 2 + shown.count("mg-cards")


def test_a_disputed_pair_is_one_batch_for_each_model(bench: Workbench, judges: dict[str, StubJudge]) -> None:
    choice = next_disputed(bench, SCENE, *NAMES, seed=1)
    answer(bench, choice, deal(*NAMES, is_blind=False))
    assert [len(judge.batches) for judge in judges.values()] == [1, 1], "what is known is not asked again"


def test_a_blind_test_hides_names_until_the_vote(bench: Workbench, tmp_path: Path) -> None:
    choice, box = first_choice(bench, {}), VoteBox(tmp_path / FILE)
    hidden = deal(*NAMES, is_blind=True)
    before = answer(bench, choice, hidden).html
    assert not any(name in before for name in NAMES)
    assert " ms" not in before, "the time would give a model away"
    after = vote(bench, box, choice, hidden, "left", annotator=" Ada ")
    shown = answer(bench, choice, after).html
    assert f"Model 1 was <b>{hidden.left}</b>" in shown
    assert "Ground truth" in shown
    (kept,) = box.all()
    assert (kept.annotator, kept.winner, kept.pair) == ("Ada", hidden.left, choice.pair)
    with pytest.raises(MaskgroupError, match="nothing to vote on"):
        vote(bench, box, choice, after, "left", annotator="Ada")


def test_sides_of_a_blind_test_are_shuffled_evenly() -> None:
    rng = random.Random(0)
    lefts = [deal(*NAMES, is_blind=True, rng=rng).left for _ in range(400)]
    assert 150 < lefts.count(NAMES[0]) < 250
    assert {deal(*NAMES, is_blind=False).left for _ in range(20)} == {NAMES[0]}


def test_one_model_is_one_card_that_says_how_to_get_another(tmp_path: Path) -> None:
    alone = Workbench(SCENES_DIR, LabelStore(open_database(str(tmp_path / "l.db"))), lambda: sizer("base", 0.0))
    choice = first_choice(alone, {})
    shown = answer(alone, choice, deal("base", "", is_blind=True)).html
    assert NO_RIVAL in shown
    assert deal("base", "base", is_blind=True) == Duel("base")


def test_a_model_that_fails_says_why_beside_the_other(tmp_path: Path) -> None:
    def load(name: str) -> Judge:
        if name == "broken":
            raise ModelError("The adapter of 'broken' is for another model.")
        return sizer(name, 0.0)

    bench = Workbench(
        SCENES_DIR, LabelStore(open_database(str(tmp_path / "l.db"))), Judges(load, "base", others=lambda: ["broken"])
    )
    choice = first_choice(bench, {})
    shown = answer(bench, choice, deal("base", "broken", is_blind=False)).html
    assert "is for another model" in shown
    assert "mg-headline" in shown
    blind = deal("base", "broken", is_blind=True)
    assert "broken" not in answer(bench, choice, blind).html
    with pytest.raises(MaskgroupError, match="could not answer"):
        vote(bench, VoteBox(tmp_path / FILE), choice, blind, "both", annotator="me")


def test_a_chosen_threshold_changes_the_answer_and_is_said(bench: Workbench) -> None:
    choice = first_choice(bench, {})
    assert choice.pair is not None
    said = bench.verdict(SCENE, choice.pair)
    assert bench.points is not None
    bench.points.save(NAMES[0], OperatingPoint(min(0.995, said.p_same + 0.005)))
    now = bench.verdict(SCENE, choice.pair)
    assert (said.answer, now.answer) == ("same" if said.p_same >= 0.5 else "different", "different")
    assert now.p_same == said.p_same
    assert "the threshold chosen for it" in answer(bench, choice, deal(*NAMES, is_blind=False)).html


def test_certainty_is_a_coin_toss_at_the_threshold() -> None:
    assert certainty(Verdict(0.3, 0, "m", "p", 0, threshold=0.3)) == pytest.approx(0.5)
    assert certainty(Verdict(0.9, 0, "m", "p", 0)) == pytest.approx(0.9)
    assert certainty(Verdict(0.1, 0, "m", "p", 0)) == pytest.approx(0.9)


def a_vote(number: int, ballot: str, *, annotator: str = "Ada", swapped: bool = False) -> Vote:
    pair = MaskPair(MaskKey("1", number), MaskKey("2", number))
    left, right = reversed(NAMES) if swapped else NAMES
    return Vote(annotator, SCENE, pair.swapped() if swapped else pair, left, right, ballot)  # type: ignore[arg-type]


def test_the_score_counts_each_persons_latest_vote_on_a_pair(tmp_path: Path) -> None:
    box = VoteBox(tmp_path / "new" / FILE)
    assert "No vote yet" in show_score(box, *NAMES)
    for cast in (
        a_vote(1, "left"),
        a_vote(1, "left", swapped=True),  # another opinion on pair 1: now for the second model
        a_vote(2, "right"),
        a_vote(2, "right", annotator="Bob"),
        a_vote(3, "both"),
        a_vote(4, "left"),
    ):
        box.add(cast)
    score = box.score(*NAMES)
    assert (score.first_won, score.second_won, score.draws) == (1, 3, 1)
    # Wilson's interval of 3 of 4, by its formula.
    z, p, n = 1.959964, 0.75, 4
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert (score.low, score.high) == (pytest.approx(middle - half, abs=1e-4), pytest.approx(middle + half, abs=1e-4))
    assert box.score(*reversed(NAMES)).first_won == 3
    assert "too few votes" in show_score(box, *NAMES)


def test_broken_lines_lose_only_themselves(tmp_path: Path) -> None:
    path = tmp_path / FILE
    box = VoteBox(path)
    box.add(a_vote(1, "left"))
    with path.open("a") as file:
        file.write('{"annotator": "cut sh')
    box.add(a_vote(2, "right"))
    with path.open("a") as file:
        file.write('[]\n{"ballot": "all"}\n')
    assert [vote.pair.a.mask for vote in box.all()] == [1, 2]


def test_swapped_sides_are_asked_in_that_order(bench: Workbench) -> None:
    choice = first_choice(bench, {})
    assert f"view {choice.view_b} first" in answer(bench, swap_sides(choice), deal(*NAMES, is_blind=False)).html


def test_a_label_carries_both_columns_and_only_those(bench: Workbench) -> None:
    choice = first_choice(bench, {})
    given = answer(bench, choice, deal(NAMES[1], NAMES[0], is_blind=False))
    shown = verdicts_on_screen(given, choice, given.token)
    label = save(bench, choice, "same", annotator="Ada", seconds=None, shown=shown)
    assert [verdict.model for verdict in bench.labels.current(SCENE)[0].shown] == [NAMES[1], NAMES[0]]
    assert choice.pair is not None
    assert [verdict.p_same for verdict in label.shown] == [
        bench.verdict(SCENE, choice.pair, model=name).p_same for name in (NAMES[1], NAMES[0])
    ]
    alone = answer(bench, choice, deal(NAMES[1], None, is_blind=False))
    assert [verdict.model for verdict in verdicts_on_screen(alone, choice, alone.token)] == [NAMES[1]]


def test_a_label_of_a_blind_test_carries_none_until_the_vote(bench: Workbench, tmp_path: Path) -> None:
    choice = first_choice(bench, {})
    duel = deal(*NAMES, is_blind=True, choice=choice)
    hidden = answer(bench, choice, duel)
    assert (hidden.token, hidden.verdicts) == ("", ())
    told = answer(bench, choice, vote(bench, VoteBox(tmp_path / FILE), choice, duel, "left", annotator="Ada"))
    assert {verdict.model for verdict in verdicts_on_screen(told, choice, told.token)} == set(NAMES)


def test_no_label_carries_verdicts_that_stand_elsewhere(bench: Workbench) -> None:
    choice = first_choice(bench, {})
    one, two = (answer(bench, choice, deal(name, None, is_blind=False)) for name in NAMES)
    assert one.token != two.token
    for given, at, token in ((one, choice, two.token), (one, swap_sides(choice), one.token), (None, choice, one.token)):
        with pytest.raises(MaskgroupError, match="just changing"):
            verdicts_on_screen(given, at, token)


def test_ground_truth_judges_the_models_that_are_chosen(bench: Workbench) -> None:
    choice = next_disputed(bench, SCENE, *NAMES, seed=1)
    assert choice.pair is not None
    truth = bench.truth(SCENE, choice.pair)
    right = {name: (bench.verdict(SCENE, choice.pair, model=name).answer == "same") == truth for name in NAMES}
    assert sorted(right.values()) == [False, True]
    words = {name: "right" if is_right else "wrong" for name, is_right in right.items()}
    for name in NAMES:
        assert f"The model is {words[name]} here" in show_truth(bench, choice, name, "", None, is_blind=False)
        assert f"The model is {words[name]} here" in show_truth(bench, choice, name, name, None, is_blind=True)
    both = show_truth(bench, choice, *NAMES, None, is_blind=False)
    assert f"{NAMES[0]} is {words[NAMES[0]]} and {NAMES[1]} is {words[NAMES[1]]} here" in both
    blind = show_truth(bench, choice, *NAMES, deal(*NAMES, is_blind=True, choice=choice), is_blind=True)
    assert "Model 1 is" in blind
    assert not any(name in blind for name in NAMES)
    assert " is r" not in show_truth(bench, choice, *NAMES, deal(*NAMES, is_blind=True), is_blind=True)
