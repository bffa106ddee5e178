"""The 3D grouping page's handlers on a tiny room and a real database, without Gradio; real runs of the real pipeline."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import MaskError, MaskgroupError, ModelError, SceneError
from engine.exporting.source import Origin, from_run
from engine.grouping.constraints import Constraint
from engine.grouping.pipeline import Stage
from engine.judging.base import Judge
from engine.types import MaskKey
from tests.stub_judge import SpeakingJudge, StubJudge
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, VIEWS
from ui.pages.grouping import corrections, words
from ui.pages.grouping import handlers as page
from ui.pages.grouping.handlers import Pick
from ui.pages.grouping.room import number_classes, paint_room, show_room
from ui.pages.grouping.views import ViewPictures
from ui.services.grouping_change import inherit_colors, moved_masks
from ui.services.grouping_result import Result
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.view3d.paint import MaskHits, paint_change, paint_disagreement, paint_labels, paint_truth

WAIT_S = 120


def make_bench(folder: Path, judge: Judge) -> Workbench:
    return Workbench(folder.parent, LabelStore(open_database(str(folder.parent.parent / "labels.db"))), lambda: judge)


def run(runs: GroupingRuns, evidence: str = "geometry") -> None:
    worker = runs.start(NAME, evidence)  # pyright: ignore[reportArgumentType]
    assert worker is not None
    worker.join(WAIT_S)
    assert not worker.is_alive()


@pytest.fixture
def bench(tiny_room: Path) -> Workbench:
    return make_bench(tiny_room, StubJudge())


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
    told = words.show_summary(runs.result(NAME))
    assert "2 groups</b> of 6 masks in 3 views; " in told
    assert "ARI</abbr> 1.000" in told
    assert "Depth has hardly any noise, holes in" in told
    assert "No mask was dropped." in told
    assert words.show_progress(state) == ""


def test_page_before_any_run_says_what_to_do(bench: Workbench) -> None:
    runs = GroupingRuns(bench)
    assert "Press <b>Run</b>" in words.show_progress(runs.state(NAME))
    assert json.loads(show_room(runs, Pick(NAME)))["paint"] is None
    with pytest.raises(MaskgroupError, match="has no groups yet; press Run"):
        page.list_groups(bench, runs, Pick(NAME))


def test_unknown_scene_is_a_sentence(bench: Workbench) -> None:
    with pytest.raises(SceneError, match=r"no scene '\.\./x'"):
        GroupingRuns(bench).start("../x")


def test_judge_takes_part_where_asked(tiny_room: Path) -> None:
    judge = StubJudge()
    runs = GroupingRuns(make_bench(tiny_room, judge))
    run(runs, "vlm")
    assert judge.asked > 0
    assert runs.result(NAME).run.calls > 0
    assert f"{runs.result(NAME).run.calls} pairs asked" in words.show_summary(runs.result(NAME))


def test_run_can_be_watched_and_cancelled_and_started_again(tiny_room: Path) -> None:
    gate = threading.Event()
    runs = GroupingRuns(make_bench(tiny_room, StubJudge(before=lambda: gate.wait(WAIT_S))))
    worker = runs.start(NAME, "vlm")
    assert worker is not None
    assert runs.start(NAME) is None, "one run a scene at a time"
    assert page.is_running(runs, NAME)
    runs.cancel(NAME)
    gate.set()
    worker.join(WAIT_S)
    assert "stopped" in words.show_progress(runs.state(NAME))
    assert not page.is_running(runs, NAME)
    run(runs)
    assert groups_of(runs.result(NAME)) == BOXES


def test_judge_that_cannot_load_is_a_sentence_and_keeps_the_groups(tiny_room: Path) -> None:
    def fail() -> Judge:
        raise ModelError("There is no model 'x'.")

    runs = GroupingRuns(Workbench(tiny_room.parent, LabelStore(open_database(str(tiny_room.parent.parent / "l.db"))), fail))
    run(runs)
    run(runs, "both")
    assert "There is no model &#x27;x&#x27;." in words.show_progress(runs.state(NAME))
    assert groups_of(runs.result(NAME)) == BOXES


def test_list_shows_each_group_once(bench: Workbench, runs: GroupingRuns) -> None:
    listed = page.list_groups(bench, runs, Pick(NAME))
    assert [picture.caption.rpartition(",")[0] for picture in listed] == ["bed 1: 3 masks", "bed 2: 3 masks"]
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
    result = runs.result(NAME)
    said = words.show_groups(bench, NAME, result, page.latest_group(result, both), page.group_before(result, both))
    assert "overlap" in said
    assert "Picked before" in said
    assert str(BLUE_BOX) not in said, "ids may give the truth away"


def test_click_in_the_room_picks_the_group_there(runs: GroupingRuns) -> None:
    result = runs.result(NAME)
    assert result.room is not None
    for box in (RED_BOX, BLUE_BOX):
        labels = result.point_labels
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
    picture = page.show_view(ViewPictures(bench), runs, shown)
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
        value = json.loads(show_room(runs, Pick(NAME, coloring, both.latest, both.before)))
        assert len(base64.b64decode(value["paint"]["colors"]["bdata"])) == len(room.points)
        assert {"bed, group 1", "bed, group 2"} <= {part["name"] for part in value["lit"]}
    assert json.loads(show_room(runs, Pick(NAME, "photo")))["paint"] is None


def test_merge_and_undo(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = corrections.merge(runs, both)
    result = runs.result(NAME)
    assert len(result.grouping.groups) == 1
    assert result.last is not None
    assert (result.last.moved, result.last.ari_before) == (3, 1.0)
    assert result.last.ari_after is not None
    assert result.last.ari_after < 1.0
    assert "Merged" in words.show_summary(result)
    assert "3 masks moved, ARI 1.000 → 0.000" in words.show_summary(result)
    assert len(page.show_crops(bench, runs, merged)) == 6
    runs.undo(NAME)
    assert groups_of(runs.result(NAME)) == BOXES
    with pytest.raises(MaskgroupError, match="no correction to undo"):
        runs.undo(NAME)


def test_mask_that_is_not_it_leaves_its_group(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    with pytest.raises(MaskgroupError, match="Click the crop"):
        corrections.reject_mask(bench, runs, both)
    picked = page.pick_crop(runs, both, 1)
    rest = corrections.reject_mask(bench, runs, picked)
    result = runs.result(NAME)
    assert picked.mask is not None
    assert rest.latest is not None
    assert result.group_of(picked.mask) != result.group_of(rest.latest)
    assert result.last is not None
    assert result.last.moved == 1
    assert {key for key in page.ordered_masks(result, rest)} == {MaskKey(v, BLUE_BOX) for v in VIEWS} - {picked.mask}


def test_mask_can_be_taken_out_of_a_merge(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = corrections.merge(runs, both)
    index = page.ordered_masks(runs.result(NAME), merged).index(MaskKey("2", RED_BOX))
    corrections.reject_mask(bench, runs, page.pick_crop(runs, merged, index))
    result = runs.result(NAME)
    assert result.grouping.contradictions == ()
    assert frozenset({MaskKey("2", RED_BOX)}) in groups_of(result)


def test_contradiction_is_told_and_not_dropped_silently(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    picked = page.pick_crop(runs, both, 1)
    assert picked.mask is not None
    rest = corrections.reject_mask(bench, runs, picked)
    corrections.merge(runs, page.pick_group(runs, rest, picked.mask))
    assert "These cannot all be true" in words.show_summary(runs.result(NAME))
    runs.undo(NAME)
    assert "These cannot all be true" not in words.show_summary(runs.result(NAME))


def test_merge_needs_two_groups(runs: GroupingRuns) -> None:
    with pytest.raises(MaskgroupError, match="needs two groups"):
        corrections.merge(runs, page.pick_group(runs, Pick(NAME), MaskKey("0", RED_BOX)))


def test_room_shows_all_cameras_and_which_of_them_see_the_group(runs: GroupingRuns, both: Pick) -> None:
    def cameras(pick: Pick) -> dict[str, int]:
        traces = json.loads(show_room(runs, pick))["traces"]
        lines = [trace for trace in traces if trace["mode"] == "lines"]
        return {trace["name"]: int(np.isnan(coordinates(trace["x"])).sum()) for trace in lines}

    assert cameras(Pick(NAME)) == {"camera of view 0": 0, "cameras": 2}
    named = page.latest_group(runs.result(NAME), both)
    assert named is not None
    seeing = {key.view for key in named.masks} - {named.best_masks[0].view}
    found = cameras(both)
    assert found[f"cameras that see {runs.result(NAME).name(named.id)}"] == len(seeing)


def coordinates(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])


def test_all_views_show_the_group_and_each_can_be_clicked(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    pictures, result = ViewPictures(bench), runs.result(NAME)
    sheet = pictures.sheet(result, (None, None))
    assert len(sheet.views) == len(VIEWS)
    plain, lit = page.show_sheet(pictures, runs, Pick(NAME)), page.show_sheet(pictures, runs, both)
    assert plain is not None
    assert lit is not None
    for place, name in enumerate(VIEWS):
        frame = bench.frame(NAME, name)
        y, x = (int(i) for i in np.argwhere(frame.instance_map == RED_BOX).mean(axis=0))
        if frame.instance_map[y, x] != RED_BOX:
            continue
        left, top = sheet.origin(place)
        height, width = frame.instance_map.shape
        at = left + int((x + 0.5) * sheet.width / width), top + int((y + 0.5) * sheet.height / height)
        picked = page.pick_in_sheet(pictures, runs, Pick(NAME), *at)
        assert (picked.mask, picked.latest, picked.view) == (MaskKey(name, RED_BOX), MaskKey(name, RED_BOX), name)
        floor = top + sheet.height - 12
        assert lit[floor, left + 12].sum() < plain[floor, left + 12].sum(), "what is not picked gets dark"
    with pytest.raises(MaskError, match="no view where you clicked"):
        page.pick_in_sheet(pictures, runs, both, 10_000, 3)


def test_large_scenes_show_the_views_that_see_the_group(
    bench: Workbench, runs: GroupingRuns, both: Pick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.pages.grouping.views.MAX_VIEWS", 2)
    sheet = ViewPictures(bench).sheet(runs.result(NAME), page.picked_ids(runs.result(NAME), both))
    assert len(sheet.views) == 2


def test_groups_that_look_alike_are_offered_nearest_first(
    bench: Workbench, runs: GroupingRuns, both: Pick, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.show_alike(bench, runs, Pick(NAME)) == []
    monkeypatch.setattr("ui.pages.grouping.alike.MIN_LIKENESS", 0.0)
    offered = page.show_alike(bench, runs, both)
    assert [picture.key.mask for picture in offered] == [RED_BOX]
    assert offered[0].caption.endswith(" m")
    swapped = page.pick_alike(runs, both, 0)
    assert swapped.latest is not None
    assert (swapped.latest.mask, swapped.before) == (RED_BOX, both.latest)


def test_least_sure_groups_come_first_where_asked(bench: Workbench, runs: GroupingRuns) -> None:
    listed = page.list_groups(bench, runs, Pick(NAME, order="least sure"))
    confidences = [float(picture.caption.rsplit(" ", 1)[1]) for picture in listed]
    assert confidences == sorted(confidences)


def test_colours_stay_with_groups_through_a_merge_and_its_undo() -> None:
    three = np.array([0, 0, 0, 1, 1, 2], np.int32)
    colors = np.array([4, 7, 9], np.int32)
    merged = np.array([0, 0, 0, 0, 0, 1], np.int32)
    after = inherit_colors(three, colors, merged)
    assert after.tolist() == [4, 9]
    assert moved_masks(three, merged).tolist() == [False] * 3 + [True, True, False]
    back = inherit_colors(merged, after, three)
    assert back[0] == 4
    assert back[2] == 9
    assert len(set(back.tolist())) == 3
    assert inherit_colors(three, colors, three).tolist() == colors.tolist()


def test_room_shows_before_and_what_changed(runs: GroupingRuns, both: Pick) -> None:
    with pytest.raises(MaskgroupError, match="Nothing was corrected yet"):
        show_room(runs, Pick(NAME, "before"))
    result = runs.result(NAME)
    assert result.room is not None
    labels = result.point_labels
    assert labels is not None
    before = json.loads(show_room(runs, Pick(NAME, "group")))["paint"]
    merged = corrections.merge(runs, both)
    assert json.loads(show_room(runs, Pick(NAME, "before")))["paint"] == before
    changed = coordinates(json.loads(show_room(runs, Pick(NAME, "change", merged.latest)))["paint"]["colors"])
    red = page.latest_group(result, Pick(NAME, latest=MaskKey("0", RED_BOX)))
    blue = page.latest_group(result, Pick(NAME, latest=MaskKey("0", BLUE_BOX)))
    assert red is not None
    assert blue is not None
    moved = [bool((changed[labels == group.id] > 0).all()) for group in (red, blue)]
    assert sorted(moved) == [False, True], "one group took the other's colour"
    assert paint_change(np.array([1, 2]), np.array([1, 3])).indices.tolist() == [0, 4]


def test_what_people_said_is_among_the_reasons(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = corrections.merge(runs, both)
    result = runs.result(NAME)
    said = words.show_groups(bench, NAME, result, page.latest_group(result, merged), None)
    assert said.count("you said same on 20") >= 3


def test_centre_of_a_merge_can_be_taken_out(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    merged = corrections.merge(runs, both)
    assert merged.latest is not None
    index = page.ordered_masks(runs.result(NAME), merged).index(merged.latest)
    corrections.reject_mask(bench, runs, page.pick_crop(runs, merged, index))
    result = runs.result(NAME)
    assert result.grouping.contradictions == ()
    assert sorted(len(group) for group in groups_of(result)) == [1, 5], "the others stay together"
    assert frozenset({merged.latest}) in groups_of(result)


def test_most_hits_win_and_points_without_any_have_none() -> None:
    hits = MaskHits(np.array([0, 0, 0, 2], np.int32), np.array([0, 1, 2, 2], np.int32), 3, np.array([0, -1, 2], np.int32))
    assert hits.label(np.array([0, 1, 1], np.int32)).tolist() == [1, -1, 1]


def test_paints() -> None:
    labels = np.array([-1, 0, 0, 0, 1, 1], np.int32)
    truth = np.array([9, 9, 9, 5, 5, 5], np.int32)
    assert paint_labels(labels).indices.tolist() == [0, 1, 1, 1, 2, 2]
    assert paint_truth(truth).indices.tolist() == [2, 2, 2, 1, 1, 1]
    assert paint_disagreement(labels, truth).indices.tolist() == [0, 1, 1, 2, 1, 1]


def test_a_correction_is_of_the_groups_on_the_screen(runs: GroupingRuns, both: Pick) -> None:
    version = runs.state(NAME).version  # type: ignore[union-attr]
    on_screen = page.pick_token(both, version)
    page.check_shown(both, version, on_screen)
    assert str(RED_BOX) not in on_screen
    other = replace(both, latest=both.before, before=both.latest)
    for pick, now in ((other, version), (both, version + 1), (replace(both, mask=both.latest), version)):
        with pytest.raises(MaskgroupError, match="just changing"):
            page.check_shown(pick, now, on_screen)


def test_stale_labels_and_corrections_are_told(runs: GroupingRuns) -> None:
    result = runs.result(NAME)
    gone = Constraint(MaskKey("77", RED_BOX), MaskKey("0", RED_BOX), True, "2026-01-01")
    stale = replace(result, corrections=replace(result.corrections, constraints=(gone,)))
    assert (page.count_stale(result), page.count_stale(stale), page.count_stale(None)) == (0, 1, 0)
    assert words.stale_html(0, 0) == ""
    assert "2 labels and 1 correction" in words.stale_html(2, 1)


def test_every_stage_of_a_run_has_its_words() -> None:
    assert get_args(Stage) == words.STAGES
    assert set(words.STAGE_WORDS) == set(words.STAGES)


def test_a_group_is_named_found_and_coloured_by_its_name(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    red = runs.result(NAME).group_of(MaskKey("0", RED_BOX))
    first = page.pick_group(runs, both, MaskKey("0", RED_BOX))
    assert runs.result(NAME).called(red) == "bed", "the scene's own class"
    assert page.name_to_edit(runs.result(NAME), page.latest_group(runs.result(NAME), first)) == "bed"
    version = runs.state(NAME).version  # pyright: ignore[reportOptionalMemberAccess]
    corrections.name_group(runs, first, "  Aunt's   <b>chair</b> ")
    result = runs.result(NAME)
    assert runs.state(NAME).version == version + 1  # pyright: ignore[reportOptionalMemberAccess]
    assert result.title(red) == f"Aunt's <b>chair</b>, {result.name(red)}"
    shown = words.show_groups(bench, NAME, result, page.latest_group(result, first), None)
    assert "&lt;b&gt;chair&lt;/b&gt;, group" in shown
    assert "<b>chair" not in shown
    assert "proposal" not in shown
    for text, count in (("CHAIR aunt", 1), ("bed", 1), ("group", 2), (f"{result.name(red)}", 1), ("sofa", 0), ("", 2)):
        assert len(page.list_groups(bench, runs, replace(both, find=text))) == count, text
    listed = replace(both, find="chair", latest=None, before=None)
    assert page.pick_listed(runs, listed, 0).latest == result.grouping.groups[red].best_masks[0]
    assert number_classes(result).tolist() == [0 if group == red else 1 for group in range(2)]
    assert result.point_labels is not None
    paint = paint_room(result, "class", result.point_labels)
    assert paint is not None
    assert len(np.unique(paint.indices[result.point_labels != -1])) == 2
    corrections.name_group(runs, first, "bed")
    assert number_classes(runs.result(NAME)).tolist() == [0, 0], "objects of one name have one colour"
    corrections.name_group(runs, first, "")
    assert runs.result(NAME).called(red) == "bed"
    assert runs.result(NAME).corrections.names == ()


def test_a_name_stays_through_corrections_and_their_undo(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    corrections.name_group(runs, both, "blue box")
    merged = corrections.merge(runs, both)
    (group,) = runs.result(NAME).grouping.groups
    assert runs.result(NAME).called(group.id) == "blue box"
    runs.undo(NAME)
    result = runs.result(NAME)
    assert [result.called(result.group_of(MaskKey("0", box))) for box in (RED_BOX, BLUE_BOX)] == ["bed", "blue box"]
    corrections.reject_mask(bench, runs, replace(merged, mask=MaskKey("2", BLUE_BOX), latest=MaskKey("0", BLUE_BOX)))
    result = runs.result(NAME)
    assert result.called(result.group_of(MaskKey("0", BLUE_BOX))) == "blue box"
    run(runs)
    result = runs.result(NAME)
    assert result.called(result.group_of(MaskKey("0", BLUE_BOX))) == "blue box", "a new run keeps what people said"


def test_what_is_no_name_is_refused_in_one_sentence(runs: GroupingRuns, both: Pick) -> None:
    for text in ("x" * 61, "a\u202eb", "a\u0000b"):
        with pytest.raises(MaskgroupError, match="cannot be a group's name, expected one line of at most 60"):
            corrections.name_group(runs, both, text)
    with pytest.raises(MaskgroupError, match="Pick a group first"):
        corrections.name_group(runs, Pick(NAME), "chair")
    assert runs.result(NAME).corrections.names == ()


def exported_names(bench: Workbench, result: Result) -> tuple[str | None, ...]:
    scene, given = bench.open_scene(NAME).scene, result.corrections.names
    grouped = from_run(scene, result.run, grouping=result.grouping, given=given, origin=Origin("a test"), size=(640, 360))
    return grouped.called


def test_a_proposed_name_is_a_proposal_until_a_person_confirms_it(tiny_room: Path) -> None:
    judge = SpeakingJudge("An office chair.")
    bench = make_bench(tiny_room, judge)
    runs = GroupingRuns(bench)
    run(runs)
    pick = page.pick_group(runs, Pick(NAME), MaskKey("0", RED_BOX))
    corrections.propose_name(bench, runs, pick, "base")
    result = runs.result(NAME)
    group = page.latest_group(result, pick)
    assert group is not None
    assert result.called(group.id) == "office chair?"
    assert exported_names(bench, result)[group.id] == "bed", "nobody has confirmed it"
    assert page.name_to_edit(result, group) == "office chair"
    assert "Its name is a proposal of speaker: press" in words.show_groups(bench, NAME, result, group, None)
    corrections.name_group(runs, pick, page.name_to_edit(result, group))
    assert runs.result(NAME).called(group.id) == "office chair"
    assert exported_names(bench, runs.result(NAME))[group.id] == "office chair"
    judge.said = "I do not know what this is, sorry"
    with pytest.raises(MaskgroupError, match="What speaker says of this group is no name"):
        corrections.propose_name(bench, runs, pick, "base")
    assert runs.result(NAME).called(group.id) == "office chair"


def test_a_judge_without_words_proposes_nothing(bench: Workbench, runs: GroupingRuns, both: Pick) -> None:
    with pytest.raises(ModelError, match="cannot name things; choose another judge"):
        corrections.propose_name(bench, runs, both, "base")
    assert runs.result(NAME).corrections.names == ()
