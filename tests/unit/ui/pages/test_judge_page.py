"""The Judge page's handlers on the bundled room and a real database, without Gradio. The judge here is a ruler, not a model:
it compares mean colours, so that these tests need no weights and its answers can be foreseen."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.errors import MaskError, ModelError, SceneError
from engine.judging.base import Judge
from engine.types import MaskKey
from tests.stub_judge import StubJudge
from ui.pages.judge import handlers as page
from ui.pages.judge.duel import Duel, answer, show_truth, verdicts_on_screen
from ui.pages.judge.handlers import Choice
from ui.services.workbench import Workbench

SCENE = "sh3d_living"


ONE = Duel("base")


class Bench(Workbench):
    """A workbench whose judge can be looked at."""

    def __init__(self, labels: LabelStore, judge: Judge) -> None:
        super().__init__(SCENES_DIR, labels, lambda: judge)


@pytest.fixture
def judge() -> StubJudge:
    return StubJudge(name="colour")


@pytest.fixture
def bench(tmp_path: Path, judge: StubJudge) -> Bench:
    return Bench(LabelStore(open_database(str(tmp_path / "labels.db"))), judge)


@pytest.fixture
def choice(bench: Bench) -> Choice:
    return page.first_choice(bench, {})


def test_page_opens_on_a_pair_of_two_views(choice: Choice) -> None:
    assert choice.scene == SCENE
    assert choice.pair is not None
    assert choice.view_a != choice.view_b


def test_address_opens_exactly_that_pair(bench: Bench, choice: Choice) -> None:
    query = {name: values[0] for name, values in parse_qs(page.permalink(bench, choice)[1:]).items()}
    assert page.first_choice(bench, query) == choice


def test_address_does_not_tell_instance_ids(bench: Bench, choice: Choice) -> None:
    assert str(choice.mask_a) not in page.permalink(bench, choice)


@pytest.mark.parametrize(
    "query",
    [
        {"scene": "attic", "a": "0:1", "b": "1:1"},
        {"scene": SCENE, "a": "0", "b": "1:1"},
        {"scene": SCENE, "a": "0:x", "b": "1:1"},
        {"scene": SCENE, "a": "nowhere:1", "b": "1:1"},
        {"scene": "../../etc", "a": "0:1", "b": "1:1"},
    ],
)
def test_address_of_what_does_not_exist_opens_what_does(bench: Bench, query: dict[str, str]) -> None:
    opened = page.first_choice(bench, query)
    assert opened.scene == SCENE
    assert opened.view_a in bench.views(SCENE)


def test_address_with_unknown_mask_opens_the_views_without_it(bench: Bench) -> None:
    opened = page.first_choice(bench, {"scene": SCENE, "a": "2:1", "b": "10:9999"})
    assert (opened.view_a, opened.view_b, opened.mask_b) == ("2", "10", None)
    assert opened.mask_a is not None


def test_click_picks_the_mask_under_the_pixel(bench: Bench, choice: Choice) -> None:
    instance_map = bench.frame(SCENE, choice.view_a).instance_map
    y, x = (int(i) for i in np.argwhere(instance_map != -1)[1000])
    clicked = page.click_mask(bench, choice, "a", x, y)
    assert clicked.mask_a == instance_map[y, x]
    assert clicked.mask_b == choice.mask_b


def test_click_beside_the_image_is_a_sentence(bench: Bench, choice: Choice) -> None:
    for x, y in ((-1, 0), (10_000, 10), (10, 10_000)):
        with pytest.raises(MaskError, match="no mask where you clicked"):
            page.click_mask(bench, choice, "a", x, y)


def test_other_view_drops_its_mask_only(choice: Choice) -> None:
    changed = page.choose_view(choice, "b", "7")
    assert (changed.view_b, changed.mask_b, changed.mask_a) == ("7", None, choice.mask_a)
    assert changed.pair is None


def test_swapping_twice_is_nothing(choice: Choice) -> None:
    assert page.swap_sides(choice).mask_a == choice.mask_b
    assert page.swap_sides(page.swap_sides(choice)) == choice


def test_side_shows_picture_masks_and_crop(bench: Bench, choice: Choice) -> None:
    screen = page.show_side(bench, choice, "a")
    assert screen.picture.shape == bench.frame(SCENE, choice.view_a).rgb.shape
    assert screen.mask in [mask for _, mask in screen.choices]
    assert screen.crop is not None
    assert page.show_side(bench, page.choose_mask(choice, "a", None), "a").crop is None


def test_mask_names_do_not_tell_instance_ids(bench: Bench, choice: Choice) -> None:
    for words, mask in bench.mask_choices(SCENE, choice.view_a):
        assert str(mask) not in words


def test_verdict_is_asked_once_in_the_order_shown(bench: Bench, judge: StubJudge, choice: Choice) -> None:
    assert f"view {choice.view_a} first, then view {choice.view_b}" in answer(bench, choice, ONE).html
    answer(bench, choice, ONE)
    assert judge.asked == 1
    answer(bench, page.swap_sides(choice), ONE)
    assert judge.asked == 2


def test_verdict_waits_for_both_masks(bench: Bench, judge: StubJudge, choice: Choice) -> None:
    assert "Click a mask in the right view" in answer(bench, page.choose_mask(choice, "b", None), ONE).html
    assert judge.asked == 0


def test_judge_that_cannot_load_says_so_in_place(tmp_path: Path) -> None:
    def fail() -> Judge:
        raise ModelError("There is no model 'x'.")

    bench = Workbench(SCENES_DIR, LabelStore(open_database(str(tmp_path / "l.db"))), fail)
    assert "There is no model &#x27;x&#x27;." in answer(bench, page.first_choice(bench, {}), ONE).html


def test_saved_label_holds_what_was_shown(bench: Bench, choice: Choice) -> None:
    given = answer(bench, choice, ONE)
    shown = verdicts_on_screen(given, choice, given.token)
    label = page.save(bench, choice, "different", annotator=" Ada ", seconds=1.5, shown=shown)
    (kept,) = bench.labels.current(SCENE)
    assert kept == label
    assert (kept.pair, kept.decision, kept.annotator, kept.model, kept.seconds) == (choice.pair, "different", "Ada", "colour", 1.5)
    assert kept.p_same == bench.verdict(SCENE, choice.pair).p_same
    assert "different objects (by Ada" in page.describe_label(bench, kept)


def test_label_without_verdict_holds_none(bench: Bench, choice: Choice) -> None:
    # The model has answered, but the page did not show it yet.
    given = answer(bench, choice, ONE)
    shown = verdicts_on_screen(given, choice, "")
    label = page.save(bench, choice, "unsure", annotator="", seconds=None, shown=shown)
    assert (label.model, label.p_same, label.annotator) == (None, None, "me")


def test_nothing_is_saved_until_both_masks_are_picked(bench: Bench, choice: Choice) -> None:
    with pytest.raises(MaskError, match="pick a mask in both views"):
        page.save(bench, page.choose_mask(choice, "a", None), "same", annotator="Ada", seconds=None)
    assert bench.labels.history() == []


def test_labelled_pair_is_not_proposed_again(bench: Bench) -> None:
    first = page.next_choice(bench, SCENE, seed=3)
    page.save(bench, first, "same", annotator="Ada", seconds=None)
    again = page.next_choice(bench, SCENE, seed=3)
    assert again.pair is not None
    assert first.pair is not None
    assert again.pair.canonical() != first.pair.canonical()


def test_truth_is_told_when_asked(bench: Bench, choice: Choice) -> None:
    one, other = (bench.views(SCENE)[i] for i in (0, 1))
    both = bench.frame(SCENE, one).mask_areas.keys() & bench.frame(SCENE, other).mask_areas.keys()
    same = Choice(SCENE, one, other, min(both), min(both))
    assert "one and the same object" in show_truth(bench, same, "base", None, None, is_blind=False)
    unpicked = page.choose_mask(choice, "a", None)
    assert "Pick a mask in both views" in show_truth(bench, unpicked, "base", None, None, is_blind=False)


def test_room_lights_both_masks_and_cameras(bench: Bench, choice: Choice) -> None:
    value, sentence = page.show_room(bench, choice)
    names = [trace["name"] for trace in json.loads(value)["traces"]]
    assert names == ["left mask", "left camera", "right mask", "right camera"]
    assert sentence == ""


def test_clicked_point_is_named_and_lit(bench: Bench, choice: Choice) -> None:
    points = bench.mask_points(SCENE, MaskKey(choice.view_a, choice.mask_a or 0))
    middle = points[len(points) // 2]
    value, sentence = page.show_room(bench, choice, clicked=tuple(float(v) for v in middle))
    assert "the left mask" in sentence
    assert json.loads(value)["traces"][-1]["name"].startswith("instance ")


def test_unknown_scene_is_a_sentence(bench: Bench) -> None:
    with pytest.raises(SceneError, match=r"no scene '\.\./x'"):
        bench.open_scene("../x")
