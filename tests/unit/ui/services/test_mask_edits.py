"""Masks that are being edited, and what the editor's script asks: labels, groups, other people, and nonsense."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from db.labels.store import LabelStore, NewLabel
from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import MaskgroupError
from engine.scenes import open_scene
from engine.segmenting.versions import FOLDER
from engine.types import MaskKey, MaskPair
from tests.format_rooms import write_room
from tests.stub_judge import StubJudge
from tests.tiny_room import write_tiny_room
from ui.pages.scenes import mask_editor as page
from ui.services import mask_edits
from ui.services.grouping_runs import GroupingRuns
from ui.services.mask_edits import Drawn, MaskEdits
from ui.services.scene_list import SceneFolders
from ui.services.workbench import Workbench
from ui.stores.groupings import GroupingStore

ME, OTHER = "a" * 32, "b" * 32
SCENE, VIEW = "mine", "2"
CORNER = Drawn("brush", ((2, 2), (6, 2)), 1.5)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    given = write_tiny_room(tmp_path / "given")
    write_room(given, tmp_path / "scenes" / SCENE, "posed masks", "png")
    folders = SceneFolders(given.parent, imported=tmp_path / "scenes")
    return Workbench(given.parent, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge, folders=folders)


@pytest.fixture
def runs(bench: Workbench) -> GroupingRuns:
    return GroupingRuns(bench, GroupingStore(RunStore(bench.labels.database)))


@pytest.fixture
def edits(bench: Workbench, runs: GroupingRuns) -> MaskEdits:
    return MaskEdits(bench, runs)


def ask(**more: Any) -> dict[str, Any]:
    return {"token": ME, "scene": SCENE, "view": VIEW, **more}


def test_labels_of_unchanged_masks_stay_valid_and_those_of_changed_ones_are_stale(bench: Workbench, edits: MaskEdits) -> None:
    first, second = sorted(bench.masks(SCENE, VIEW))
    other = min(bench.masks(SCENE, "0"))
    for mask in (first, second):
        pair = MaskPair(MaskKey(VIEW, mask), MaskKey("0", other))
        bench.labels.add(NewLabel(annotator="me", scene=SCENE, pair=pair, decision="same"))
    assert bench.stale_labels(bench.labels.current(SCENE)) == []
    drawing = edits.open(ME, SCENE, VIEW)
    drawing = edits.draw(ME, SCENE, VIEW, drawing.step, CORNER)
    drawing = edits.remove(ME, SCENE, VIEW, drawing.step, [2])
    assert bench.stale_labels(bench.labels.current(SCENE)) == [], "nothing is saved yet"
    _, saved = edits.save(ME, SCENE, VIEW)
    assert (saved.kept, saved.gone, len(saved.new)) == ({first}, {second}, 1)
    (stale,) = bench.stale_labels(bench.labels.current(SCENE))
    assert second in (stale.pair.a.mask, stale.pair.b.mask)
    assert sorted(bench.masks(SCENE, VIEW)) == [first, *saved.new]


def test_groups_of_other_masks_are_forgotten_and_kept_ones_said_to_be_old(
    bench: Workbench, runs: GroupingRuns, edits: MaskEdits
) -> None:
    worker = runs.start(SCENE)
    assert worker is not None
    worker.join()
    (kept,) = runs.kept(SCENE)
    drawing = edits.open(ME, SCENE, VIEW)
    # Ids stay: a mask is only touched up, by fewer pixels than make it another one.
    edge = np.argwhere(drawing.ids == drawing.masks[1])[0]
    edits.erase(ME, SCENE, VIEW, drawing.step, Drawn("brush", ((float(edge[1]), float(edge[0])),), 0.5))
    _, saved = edits.save(ME, SCENE, VIEW)
    assert not saved.new
    assert runs.state(SCENE) is None
    opening = runs.open_kept(SCENE, kept.id)
    assert opening is not None
    opening.join()
    state = runs.state(SCENE)
    assert state is not None
    assert state.status == "failed"
    assert "are not those of the kept run any more; press Run" in state.message


def test_two_people_do_not_overwrite_each_other(edits: MaskEdits) -> None:
    for who, number in ((ME, 1), (OTHER, 2)):
        drawing = edits.open(who, SCENE, VIEW)
        edits.remove(who, SCENE, VIEW, drawing.step, [number])
    edits.save(ME, SCENE, VIEW)
    with pytest.raises(MaskgroupError, match="by somebody else"):
        edits.save(OTHER, SCENE, VIEW)
    assert edits.open(OTHER, SCENE, VIEW).is_changed, "theirs are not lost"
    edits.close(OTHER, SCENE, VIEW)
    assert not edits.open(OTHER, SCENE, VIEW).is_changed


def test_what_was_picked_belongs_to_a_step(edits: MaskEdits) -> None:
    drawing = edits.open(ME, SCENE, VIEW)
    edits.draw(ME, SCENE, VIEW, drawing.step, CORNER)
    with pytest.raises(MaskgroupError, match="have changed since"):
        edits.remove(ME, SCENE, VIEW, drawing.step, [1])


def test_views_that_are_left_longest_are_closed_and_unsaved_ones_last(edits: MaskEdits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_edits, "MAX_OPEN", 2)
    drawing = edits.open(ME, SCENE, VIEW)
    edits.draw(ME, SCENE, VIEW, drawing.step, CORNER)
    edits.open(ME, SCENE, "0")
    edits.open(ME, SCENE, "10")
    assert edits.undo(ME, SCENE, VIEW).can_redo
    with pytest.raises(MaskgroupError, match="does not have these edits any more"):
        edits.undo(ME, SCENE, "0")


def test_only_imported_scenes_are_changed(edits: MaskEdits, tmp_path: Path) -> None:
    answer = page.open_masks(edits, ask(scene="tiny"))
    assert "was not imported" in answer["fault"]
    for scene in ("tiny", "../given/tiny", "", "none"):
        with pytest.raises(MaskgroupError):
            edits.open(ME, scene, VIEW)
    assert not list((tmp_path / "given").rglob(FOLDER))
    for view in ("none", "../0", "0/../2"):
        with pytest.raises(MaskgroupError, match="no view"):
            page.open_masks(edits, ask(view=view))


def test_the_page_draws_what_the_masks_are(edits: MaskEdits, tmp_path: Path) -> None:
    answer = page.open_masks(edits, ask(view=""))
    assert answer["view"] == "0"
    assert answer["views"] == ["0", "2", "10"]
    answer = page.open_masks(edits, ask())
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["numbers"]))))
    masks = open_scene(tmp_path / "scenes" / SCENE).stored_instance_map(VIEW)
    assert masks is not None
    numbers = pixels[..., 0] + 256 * pixels[..., 1].astype(int)
    assert np.array_equal(numbers > 0, masks >= 0)
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert len(answer["colors"]) == 2
    big = np.arange(1, 4001, dtype=np.int32).reshape(1, -1).repeat(3, axis=0)
    shown = page.show(mask_edits.MaskDrawing("s", "v", 1, big, False, False, False, ()))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["numbers"]))))
    assert pixels.shape == (1, page.SHOWN_PX, 3)
    assert int(pixels[0, -1, 0]) + 256 * int(pixels[0, -1, 1]) > 3990


def test_each_edit_of_the_page_is_done(edits: MaskEdits) -> None:
    step = page.open_masks(edits, ask())["step"]

    def do(**more: Any) -> dict[str, Any]:
        nonlocal step
        answer = page.change(edits, ask(step=step, **more))
        step = answer["step"]
        return answer

    box = [[1, 1], [6, 1], [6, 6], [1, 6]]
    assert len(do(do="draw", tool="polygon", points=box)["colors"]) == 3
    assert len(do(do="draw", tool="brush", points=[[8, 3]], radius=1, into=3)["colors"]) == 3
    assert len(do(do="erase", tool="brush", points=[[7, 0], [7, 8]], radius=0.4, into=3)["colors"]) == 3
    assert len(do(do="split", into=3, points=[])["colors"]) == 4
    assert len(do(do="join", masks=[3, 4])["colors"]) == 3
    assert len(do(do="split", into=3, points=[[3, -1], [3, 9]])["colors"]) >= 4
    assert do(do="undo")["canRedo"]
    assert not do(do="redo")["canRedo"]
    assert len(do(do="draw", tool="point", points=[[16, 20]], leavesOthers=True)["colors"]) >= 5
    answer = page.save(edits, ask())
    assert answer["said"].startswith("Saved: 2 unchanged")
    assert not answer["isChanged"]
    assert [one["number"] for one in answer["versions"]] == [1, 2]
    assert len(do(do="version", number=1)["colors"]) == 2


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        ask(token="x"),
        ask(token=7),
        ask(do="draw", step=1, scene=5),
        ask(do="draw", step=1, scene="x" * 600),
        ask(do="explode", step=1),
        ask(do="draw", step="1", tool="brush", points=[[1, 1]]),
        ask(do="draw", step=1, tool="brush", points=[[1, 1]] * 5001),
        ask(do="draw", step=1, tool="brush", points=[[1]]),
        ask(do="draw", step=1, tool="brush", points=[["a", "b"]]),
        ask(do="draw", step=1, tool="brush", points=[[1, float("nan")]]),
        ask(do="draw", step=1, tool="brush", points=[]),
        ask(do="draw", step=1, tool="exec", points=[[1, 1]]),
        ask(do="draw", step=1, tool="brush", points=[[1, 1]], radius="x"),
        ask(do="draw", step=1, tool="brush", points=[[1, 1]], into=99),
        ask(do="remove", step=1, masks="all"),
        ask(do="remove", step=1, masks=[0]),
        ask(do="remove", step=1, masks=[1.5]),
        ask(do="remove", step=1, masks=[1] * 1001),
        ask(do="version", number=99),
        ask(do="version", number=2**40),
    ],
)
def test_nonsense_is_one_sentence_and_changes_nothing(edits: MaskEdits, request_: object) -> None:
    edits.open(ME, SCENE, VIEW)
    with pytest.raises(MaskgroupError) as told:
        page.change(edits, request_)
    assert "\n" not in str(told.value)
    assert not edits.open(ME, SCENE, VIEW).is_changed


def test_points_far_outside_are_bounded(edits: MaskEdits) -> None:
    step = page.open_masks(edits, ask())["step"]
    answer = page.change(edits, ask(do="draw", step=step, tool="brush", points=[[-1e300, 0], [1e300, 0]], radius=1e300))
    assert len(answer["colors"]) == 1, "a brush over everything takes every mask's pixels"
