"""What a check doubts is mended in a copy, the copy is sound, and the scene stays as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.checking.mends import MendingCancelled, Mends, mend_scene, pack_mends, unpack_mends, write_mended
from engine.checking.run import check_scene
from engine.errors import SceneError
from engine.grouping.axes import TURN
from engine.scenes import open_scene
from engine.types import HasGroundTruth
from tests.command_line import run_command
from tests.tiny_room import POSES, write_tiny_room
from tests.unit.engine.checking.test_check import SPOILED, every_pose, write_dining_room

MENDED = {
    "OpenGL axes": ["Poses were read as OpenGL axes"],
    "world-to-camera": ["Poses were read as world-to-camera and"],
    "OpenGL world-to-camera": ["Poses were read as world-to-camera with OpenGL axes"],
    "depth in other units": ["Depth was divided by 5."],
    "depth in tenths": ["Depth was divided by 0.1."],
    "OpenGL axes and other units": ["Poses were read as OpenGL axes", "Depth was divided by 5."],
    "principal point of other pictures": ["Intrinsics were taken to belong to pictures of 80x44"],
    "background as a mask": ["Masks of the id 99 became nothing."],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dining_room(tmp_path_factory.mktemp("dining") / "dining")


def spoiled(way: str, whole: Path, parent: Path) -> Path:
    shutil.copytree(whole, parent / "room")
    if way == "principal point of other pictures":
        (parent / "room" / "intrinsics.txt").write_text("40 0 39.5\n0 40 21.75\n0 0 1\n")  # 160x90, and these are for 80x44.5
    else:
        SPOILED[way][0](parent / "room")
    return parent / "room"


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("way", MENDED)
def test_what_a_check_doubts_is_mended_in_a_copy(way: str, whole: Path, tmp_path: Path) -> None:
    folder = spoiled(way, whole, tmp_path)
    before = listing(folder)
    scene = open_scene(folder)
    mended = mend_scene(scene, tmp_path / "mended", check_scene(scene))
    assert mended is not None
    assert listing(folder) == before
    told = mended.mends.tell()
    assert len(told) == len(MENDED[way])
    assert all(said.startswith(start) for said, start in zip(told, MENDED[way], strict=True)), told
    copy, good = open_scene(mended.folder), open_scene(whole)
    if way == "background as a mask":
        masks = copy.stored_instance_map(copy.view_names[0])
        assert masks is not None
        assert 99 not in masks
        return
    assert mended.report.is_sound
    assert check_scene(copy).is_sound
    for view in good.view_names:
        one, other = copy.view(view), good.view(view)
        assert one.pose is not None
        assert other.pose is not None
        np.testing.assert_allclose(one.pose, other.pose, atol=1e-6)
        assert one.camera is not None
        assert other.camera is not None
        assert one.camera.fx == pytest.approx(other.camera.fx, rel=0.02)
        depth, own = good.depth(view), copy.depth(view)
        assert depth is not None
        assert own is not None
        np.testing.assert_allclose(depth, own, atol=3e-3)
        masks, objects = copy.stored_instance_map(view), good.stored_instance_map(view)
        np.testing.assert_array_equal(masks, objects)
        truth = copy.reader.read_ground_truth_map(view)  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_array_equal(truth, objects)


@pytest.mark.parametrize("way", ["depth of holes", "poses of other views", "stretched", "empty masks"])
def test_where_nothing_can_be_mended_nothing_is_written(way: str, whole: Path, tmp_path: Path) -> None:
    scene = open_scene(spoiled(way, whole, tmp_path))
    assert mend_scene(scene, tmp_path / "mended", check_scene(scene)) is None
    assert not (tmp_path / "mended").exists()


def test_masks_of_a_labelled_mesh_are_rendered_anew_from_mended_poses(tmp_path: Path) -> None:
    room = write_tiny_room(tmp_path)
    every_pose(lambda pose: pose @ TURN)(room)
    scene = open_scene(room)
    mended = mend_scene(scene, tmp_path / "mended", check_scene(scene))
    assert mended is not None
    copy = open_scene(mended.folder)
    assert copy.mask_ids_are_instances
    assert set(np.unique(copy.stored_instance_map(next(iter(POSES))))) == {-1, 7001, 7002}


def test_what_is_there_already_is_never_replaced(whole: Path, tmp_path: Path) -> None:
    scene = open_scene(spoiled("OpenGL axes", whole, tmp_path))
    (tmp_path / "mended").mkdir()
    with pytest.raises(SceneError, match="already"):
        mend_scene(scene, tmp_path / "mended", check_scene(scene))


def test_a_stopped_copy_leaves_nothing_and_mends_are_values_that_can_be_kept(whole: Path, tmp_path: Path) -> None:
    mends = Mends(("OpenGL axes", "world-to-camera"), 5.0, (80, 44), (255,))
    assert unpack_mends(json.loads(json.dumps(pack_mends(mends)))) == mends
    for broken in ({}, {**pack_mends(mends), "conventions": ["as given"]}, {**pack_mends(mends), "void_ids": ["x"]}):
        with pytest.raises((ValueError, LookupError, TypeError)):
            unpack_mends(broken)
    with pytest.raises(MendingCancelled):
        write_mended(open_scene(whole), mends, tmp_path / "copy", is_cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_to_be_edited_has_masks_of_each_view_and_the_objects_as_ground_truth(tmp_path: Path) -> None:
    room = write_tiny_room(tmp_path)
    assert open_scene(room).mask_ids_are_instances
    assert write_mended(open_scene(room), Mends(), tmp_path / "copy", own_masks=True) == ()
    copy = open_scene(tmp_path / "copy")
    assert not copy.mask_ids_are_instances
    assert isinstance(copy.reader, HasGroundTruth)
    for view in POSES:
        masks, truth = copy.stored_instance_map(view), copy.reader.read_ground_truth_map(view)
        assert set(np.unique(masks)) == {-1, 1, 2}
        assert set(np.unique(truth)) == {-1, 7001, 7002}


def test_the_command_says_what_it_changed(whole: Path, tmp_path: Path) -> None:
    folder = spoiled("OpenGL axes", whole, tmp_path)
    done = run_command("check", str(folder), "--fix", str(tmp_path / "mended"), "--json")
    assert done.code == 0
    content = json.loads(done.out)
    assert (content["ok"], content["before"]["ok"]) == (True, False)
    assert content["changes"] == ["Poses were read as OpenGL axes and turned to camera-to-world with OpenCV axes."]
    again = run_command("check", str(tmp_path / "mended"), "--fix", str(tmp_path / "other"))
    assert again.code == 0
    assert "nothing that can be mended" in again.err
    assert not (tmp_path / "other").exists()
