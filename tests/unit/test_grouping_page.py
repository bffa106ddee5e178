"""The 3D grouping page's handlers on a tiny room and a real database, without Gradio; real runs of the real pipeline."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from db.labels import LabelStore
from db.session import open_database
from engine.errors import MaskError, MaskgroupError, ModelError, SceneError
from engine.judging import CropPair, Judge
from engine.types import MaskKey, Verdict
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, VIEWS
from ui import grouping_page as page
from ui.grouping_page import Pick
from ui.grouping_paint import PointVotes, paint_disagreement, paint_labels, paint_truth
from ui.grouping_runs import GroupingRuns, Result
from ui.workbench import Workbench

WAIT_S = 120


class ColourJudge:
    """Says "same" where mean colours are near; waits at the gate first, where it has one."""

    name = "colour"

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.asked = 0

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        self.asked += len(pairs)
        distances = [float(np.abs(pair.a.mean(axis=(0, 1)) - pair.b.mean(axis=(0, 1))).mean()) for pair in pairs]
        return [
            Verdict(p_same=float(np.exp(-d / 20)), ambiguity=0.0, model=self.name, prompt="none", latency_s=0.0) for d in distances
        ]


def make_bench(folder: Path, judge: Judge) -> Workbench:
    return Workbench(folder.parent, LabelStore(open_database(str(folder.parent.parent / "labels.db"))), lambda: judge)


def run(runs: GroupingRuns, evidence: str = "geometry") -> None:
    worker = runs.start(NAME, evidence)  # pyright: ignore[reportArgumentType]
    assert worker is not None
    worker.join(WAIT_S)
    assert not worker.is_alive()


@pytest.fixture
def bench(tiny_room: Path) -> Workbench:
    return make_bench(tiny_room, ColourJudge())


@pytest.fixture
def runs(bench: Workbench) -> GroupingRuns:
    made = GroupingRuns(bench)
    run(made)
    return made


@pytest.fixture
def both(runs: GroupingRuns) -> Pick:
    """The group of the red box picked, then that of the blue one."""
    first = page.pick_group(runs, Pick(NAME), MaskKey("0", RED_BOX))
    return page.pick_group(runs, first, MaskKey("0", BLUE_BOX))


def groups_of(result: Result) -> set[frozenset[MaskKey]]:
    return {frozenset(group.masks) for group in result.grouping.groups}


BOXES = {frozenset(MaskKey(view, box) for view in VIEWS) for box in (RED_BOX, BLUE_BOX)}


def test_run_groups_the_two_boxes_and_says_so(runs: GroupingRuns) -> None:
    state = runs.state(NAME)
    assert state is not None
    assert (state.status, state.message) == ("done", "")
    assert groups_of(runs.result(NAME)) == BOXES
    assert "2 groups</b> of 6 masks in 3 views; ARI 1.000" in page.show_summary(runs.result(NAME))
    assert page.show_progress(state) == ""


def test_page_before_any_run_says_what_to_do(bench: Workbench) -> None:
    runs = GroupingRuns(bench)
    assert "Press <b>Run</b>" in page.show_progress(runs.state(NAME))
    assert json.loads(page.show_room(bench, runs, Pick(NAME)))["paint"] is None
    with pytest.raises(MaskgroupError, match="has no groups yet; press Run"):
        page.list_groups(bench, runs, Pick(NAME))


def test_unknown_scene_is_a_sentence(bench: Workbench) -> None:
    with pytest.raises(SceneError, match=r"no scene '\.\./x'"):
        GroupingRuns(bench).start("../x")


def test_judge_takes_part_where_asked(tiny_room: Path) -> None:
    judge = ColourJudge()
    runs = GroupingRuns(make_bench(tiny_room, judge))
    run(runs, "vlm")
    assert judge.asked > 0
    assert runs.result(NAME).run.calls > 0
    assert f"{runs.result(NAME).run.calls} pairs asked" in page.show_summary(runs.result(NAME))


def test_run_can_be_watched_and_cancelled_and_started_again(tiny_room: Path) -> None:
    gate = threading.Event()
    runs = GroupingRuns(make_bench(tiny_room, ColourJudge(gate)))
    worker = runs.start(NAME, "vlm")
    assert worker is not None
    assert runs.start(NAME) is None, "one run a scene at a time"
    assert page.is_running(runs, NAME)
    runs.cancel(NAME)
    gate.set()
    worker.join(WAIT_S)
    assert "stopped" in page.show_progress(runs.state(NAME))
    assert not page.is_running(runs, NAME)
    run(runs)
    assert groups_of(runs.result(NAME)) == BOXES


def test_judge_that_cannot_load_is_a_sentence_and_keeps_the_groups(tiny_room: Path) -> None:
    def fail() -> Judge:
        raise ModelError("There is no model 'x'.")

    runs = GroupingRuns(Workbench(tiny_room.parent, LabelStore(open_database(str(tiny_room.parent.parent / "l.db"))), fail))
    run(runs)
    run(runs, "both")
    assert "There is no model &#x27;x&#x27;." in page.show_progress(runs.state(NAME))
    assert groups_of(runs.result(NAME)) == BOXES


def test_list_shows_each_group_once(bench: Workbench, runs: GroupingRuns) -> None:
    listed = page.list_groups(bench, runs, Pick(NAME))
    assert [picture.caption.split(",")[0] for picture in listed] == ["group 1: 3 masks", "group 2: 3 masks"]
    assert {picture.key.mask for picture in listed} == {RED_BOX, BLUE_BOX}
    picked = page.pick_listed(runs, Pick(NAME), 1)
    assert picked.latest == listed[1].key
    with pytest.raises(MaskError, match="no group at place 2"):
        page.pick_listed(runs, Pick(NAME), 2)


def test_group_lines_up_its_crops_with_views(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    crops = page.show_crops(bench, runs, both)
    assert {picture.key for picture in crops} == {MaskKey(view, BLUE_BOX) for view in VIEWS}
    assert {picture.caption.split(",")[0] for picture in crops} == {f"view {view}" for view in VIEWS}
    assert crops[0].pixels.shape == (page.CROP, page.CROP, 3)
    words = page.show_group(bench, runs, both)
    assert "overlap" in words
    assert "Picked before" in words
    assert str(BLUE_BOX) not in words, "ids may give the truth away"


def test_click_in_the_room_picks_the_group_there(runs: GroupingRuns) -> None:
    result = runs.result(NAME)
    assert result.room is not None
    for box in (RED_BOX, BLUE_BOX):
        labels = page.point_labels(result)
        assert labels is not None
        seen = np.flatnonzero((result.room.instances == box) & (labels >= 0))
        picked = page.pick_point(runs, Pick(NAME), tuple(result.room.points[seen[0]].tolist()))
        assert picked.latest is not None
        assert picked.latest.mask == box
    floor = result.room.points[result.room.points[:, 1].argmin()]
    with pytest.raises(MaskError, match="No mask covers this point"):
        page.pick_point(runs, Pick(NAME), tuple(floor.tolist()))


def test_click_in_a_view_picks_the_group_there(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    shown = page.pick_crop(runs, both, 0)
    assert shown.mask is not None
    picture = page.show_view(bench, shown)
    assert picture is not None
    assert picture.shape == bench.frame(NAME, shown.mask.view).rgb.shape
    y, x = (int(i) for i in np.argwhere(bench.frame(NAME, shown.mask.view).instance_map == RED_BOX)[3])
    assert page.pick_pixel(bench, runs, shown, x, y).latest == MaskKey(shown.mask.view, RED_BOX)
    with pytest.raises(MaskError, match="no mask where you clicked"):
        page.pick_pixel(bench, runs, shown, -1, 0)


def test_room_gets_a_patch_of_colours_and_not_the_cloud(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    room = runs.result(NAME).room
    assert room is not None
    for coloring in ("group", "truth", "confidence", "disagreement"):
        value = json.loads(page.show_room(bench, runs, Pick(NAME, coloring, both.latest, both.before)))
        assert len(base64.b64decode(value["paint"]["color"]["bdata"])) == len(room.points)
        assert {trace["name"] for trace in value["traces"]} == {"group 1", "group 2"}
    assert json.loads(page.show_room(bench, runs, Pick(NAME, "photo")))["paint"] is None


def test_merge_and_undo(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = page.merge(runs, both)
    result = runs.result(NAME)
    assert len(result.grouping.groups) == 1
    assert result.last is not None
    assert (result.last.moved, result.last.ari_before) == (3, 1.0)
    assert result.last.ari_after is not None
    assert result.last.ari_after < 1.0
    assert "Merged" in page.show_summary(result)
    assert "3 masks moved, ARI 1.000 → 0.000" in page.show_summary(result)
    assert len(page.show_crops(bench, runs, merged)) == 6
    runs.undo(NAME)
    assert groups_of(runs.result(NAME)) == BOXES
    with pytest.raises(MaskgroupError, match="no correction to undo"):
        runs.undo(NAME)


def test_mask_that_is_not_it_leaves_its_group(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    with pytest.raises(MaskgroupError, match="Click the crop"):
        page.reject_mask(bench, runs, both)
    picked = page.pick_crop(runs, both, 1)
    rest = page.reject_mask(bench, runs, picked)
    result = runs.result(NAME)
    assert picked.mask is not None
    assert rest.latest is not None
    assert result.group_of(picked.mask) != result.group_of(rest.latest)
    assert result.last is not None
    assert result.last.moved == 1
    assert {key for key in page.ordered_masks(result, rest)} == {MaskKey(v, BLUE_BOX) for v in VIEWS} - {picked.mask}


def test_mask_can_be_taken_out_of_a_merge(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = page.merge(runs, both)
    index = page.ordered_masks(runs.result(NAME), merged).index(MaskKey("2", RED_BOX))
    page.reject_mask(bench, runs, page.pick_crop(runs, merged, index))
    result = runs.result(NAME)
    assert result.grouping.contradictions == ()
    assert frozenset({MaskKey("2", RED_BOX)}) in groups_of(result)


def test_contradiction_is_told_and_not_dropped_silently(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    picked = page.pick_crop(runs, both, 1)
    assert picked.mask is not None
    rest = page.reject_mask(bench, runs, picked)
    page.merge(runs, page.pick_group(runs, rest, picked.mask))
    assert "These cannot all be true" in page.show_summary(runs.result(NAME))
    runs.undo(NAME)
    assert "These cannot all be true" not in page.show_summary(runs.result(NAME))


def test_merge_needs_two_groups(runs: GroupingRuns) -> None:
    with pytest.raises(MaskgroupError, match="needs two groups"):
        page.merge(runs, page.pick_group(runs, Pick(NAME), MaskKey("0", RED_BOX)))


def test_most_votes_win_and_points_without_votes_have_none() -> None:
    votes = PointVotes(np.array([0, 0, 0, 2], np.int32), np.array([0, 1, 2, 2], np.int32), 3)
    assert votes.label(np.array([0, 1, 1], np.int32)).tolist() == [1, -1, 1]


def test_paints() -> None:
    labels = np.array([-1, 0, 0, 0, 1, 1], np.int32)
    truth = np.array([9, 9, 9, 5, 5, 5], np.int32)
    assert paint_labels(labels).indices.tolist() == [0, 1, 1, 1, 2, 2]
    assert paint_truth(truth).indices.tolist() == [2, 2, 2, 1, 1, 1]
    assert paint_disagreement(labels, truth).indices.tolist() == [0, 1, 1, 2, 1, 1]
