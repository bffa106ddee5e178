"""Scans of phones as ScanNet++ and ARKitScenes lay them out; what they share with other formats is in test_other_formats.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.importing import import_scene
from engine.scenes import open_scene
from engine.views.frames import FrameSource
from tests.format_rooms import instance_maps, name_in, write_arkitscenes, write_scannetpp
from tests.tiny_room import POSES, write_tiny_room


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


def test_masks_of_scannetpp_are_rendered_from_its_objects_which_have_names(room: Path, tmp_path: Path) -> None:
    scene = open_scene(write_scannetpp(room, tmp_path / "there", with_objects=True))
    assert (scene.format, scene.mask_ids_are_instances) == ("scannet++", True)
    frames = FrameSource(scene, width=32, height=24)
    for view, objects in instance_maps().items():
        found = frames.frame(name_in("scannet++", view)).instance_map
        assert (found == np.select([objects == 7001, objects == 7002], [2, 3], -1)).all()
    assert (scene.name_of(2), scene.name_of(3)) == ("chair", "lamp")


@pytest.mark.parametrize("write", [lambda a, b: write_scannetpp(a, b, with_objects=True), write_arkitscenes])
def test_they_are_imported(write: Callable[[Path, Path], Path], room: Path, tmp_path: Path) -> None:
    source = write(room, tmp_path / "there")
    imported = import_scene(source, tmp_path / "kept")
    assert imported.report.n_views == 3
    doubts = [finding for finding in imported.report.findings if finding.level == "doubt"]
    assert all("maskgroup segment" in doubt.text for doubt in doubts)  # ARKitScenes has no objects
    assert open_scene(imported.folder).mesh is not None


def test_a_pose_that_is_not_in_the_frame_of_the_mesh_is_said(room: Path, tmp_path: Path) -> None:
    folder = write_scannetpp(room, tmp_path / "there")
    path = folder / "iphone" / "pose_intrinsic_imu.json"
    listed = json.loads(path.read_text())
    listed["frame_000000"]["pose"] = listed["frame_000000"].pop("aligned_pose")
    path.write_text(json.dumps(listed))
    assert any("1 frames" in note for note in open_scene(folder).notes)


@pytest.mark.parametrize("value", [None, [], {"aligned_pose": [[1]]}, {"aligned_pose": np.eye(4).tolist(), "intrinsic": "x"}])
def test_a_frame_of_scannetpp_without_a_pose_is_left_out(value: object, room: Path, tmp_path: Path) -> None:
    folder = write_scannetpp(room, tmp_path / "there")
    path = folder / "iphone" / "pose_intrinsic_imu.json"
    listed = json.loads(path.read_text())
    listed["frame_000002"] = value
    path.write_text(json.dumps(listed))
    scene = open_scene(folder)
    assert [view.name for view in scene.left_out] == ["frame_000002"]
    assert "expected" in scene.left_out[0].reason


def test_scannetpp_without_photos_says_what_to_unpack(room: Path, tmp_path: Path) -> None:
    folder = write_scannetpp(room, tmp_path / "there")
    shutil.rmtree(folder / "iphone" / "rgb")
    with pytest.raises(SceneError, match=r"rgb\.mkv"):
        open_scene(folder)


def test_frames_of_arkitscenes_may_lie_in_the_scene_itself(room: Path, tmp_path: Path) -> None:
    assert open_scene(write_arkitscenes(room, tmp_path / "there", inner="")).view_names == tuple(
        name_in("arkitscenes", view) for view in POSES
    )


def test_photos_between_two_poses_are_not_views(room: Path, tmp_path: Path) -> None:
    folder = write_arkitscenes(room, tmp_path / "there", inner="")
    photo = folder / "lowres_wide" / "40000000_100.000.png"
    shutil.copy(photo, photo.with_name("40000000_100.050.png"))
    shutil.copy(photo, photo.with_name("other.png"))
    scene = open_scene(folder)
    assert len(scene.view_names) == 3
    assert scene.left_out == ()
    assert any("2 photos" in note for note in scene.notes)


def test_intrinsics_may_be_a_millisecond_off_and_a_view_without_any_is_left_out(room: Path, tmp_path: Path) -> None:
    folder = write_arkitscenes(room, tmp_path / "there", inner="")
    cameras = folder / "lowres_wide_intrinsics"
    (cameras / "40000000_100.000.pincam").rename(cameras / "40000000_100.001.pincam")
    (cameras / "40000000_102.000.pincam").unlink()
    scene = open_scene(folder)
    assert scene.view_names == ("40000000_100.000", "40000000_110.000")
    assert "pincam" in scene.left_out[0].reason


@pytest.mark.parametrize("line", ["1 2 3", "a b c d e f g", "100 nan 0 0 0 0 0", "100 0 0 0 0 0 inf"])
def test_a_broken_line_of_poses_is_one_sentence(line: str, room: Path, tmp_path: Path) -> None:
    folder = write_arkitscenes(room, tmp_path / "there", inner="")
    path = folder / "lowres_wide.traj"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SceneError, match="line 5"):
        open_scene(folder)
