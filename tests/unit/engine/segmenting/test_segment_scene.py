"""The copy of a scene with new masks: what it keeps, what it never touches, and what goes wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.checking.run import check_scene
from engine.errors import MaskgroupError, SceneError
from engine.grouping.pipeline import GroupingOptions, find_truth, group_scene
from engine.scenes import open_scene
from engine.segmenting.base import Picture
from engine.segmenting.registry import open_segmenter
from engine.segmenting.run import SegmentingCancelled, segment_scene
from engine.types import Int32Array
from engine.views.frames import FrameSource
from tests.format_rooms import instance_maps, name_in, write_room
from tests.fuzz.whole_scenes import write_whole
from tests.tiny_room import POSES, write_tiny_room


class RedAndBlue:
    """Finds what is red and what is blue, as a stand-in for a segmenter that is always right here."""

    name = "red and blue"
    size = None

    def __init__(self) -> None:
        self.seen: list[Picture] = []

    def segment(self, picture: Picture) -> Int32Array:
        self.seen.append(picture)
        red, blue = picture.rgb[..., 0].astype(int), picture.rgb[..., 2].astype(int)
        return np.where(red > 2 * blue, 1, np.where(blue > 2 * red, 2, -1)).astype(np.int32)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "reader", ["replica", "transforms", "colmap binary", "trajectory", "posed masks", "scannet", "frame files"]
)
def test_the_copy_has_the_views_cameras_and_depth_of_the_scene(reader: str, tmp_path: Path) -> None:
    source = write_whole(reader, tmp_path)
    before = listing(source)
    scene, segmenter = open_scene(source), RedAndBlue()
    made = segment_scene(scene, segmenter, tmp_path / "new" / "copy")
    assert listing(source) == before
    copy = open_scene(tmp_path / "new" / "copy")
    assert copy.format == "posed masks"
    assert copy.view_names == scene.view_names
    assert (made.n_views, made.left_out) == (3, ())
    assert not copy.mask_ids_are_instances
    for view in scene.view_names:
        old, new = scene.view(view), copy.view(view)
        assert new.camera is not None
        assert old.pose is not None
        assert new.pose is not None
        assert np.allclose(new.pose, old.pose)
        old_color, new_color = scene.color(view), copy.color(view)
        assert old_color is not None
        assert new_color is not None
        assert (old_color == new_color).all()
        old_depth, new_depth = scene.depth(view), copy.depth(view)
        assert old_depth is not None
        assert new_depth is not None
        assert np.allclose(old_depth, new_depth, atol=6e-4)
        masks = copy.stored_instance_map(view)
        assert masks is not None
        assert (masks == RedAndBlue().segment(Picture(new_color))).all()
    assert all(picture.depth is not None and picture.camera is not None for picture in segmenter.seen)
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "copy"]


def test_ground_truth_goes_along_and_scores_the_groups(room: Path, tmp_path: Path) -> None:
    made = segment_scene(open_scene(room), RedAndBlue(), tmp_path / "copy")
    assert made.has_truth
    copy = open_scene(made.folder)
    frames = FrameSource(copy, width=32, height=24)
    truth = find_truth(copy, list(frames.usable(copy.view_names)))
    assert truth is not None
    assert set(truth.tolist()) == {7001, 7002}
    assert copy.name_of(7001) == "bed"  # Replica's class 7
    run = group_scene(copy, frames, options=GroupingOptions(lift=False))
    assert run.mask_scores is not None
    assert run.mask_scores.ari == 1
    assert check_scene(copy).is_sound


def test_a_scene_without_photos_is_rendered(room: Path, tmp_path: Path) -> None:
    for name in (room.name, "ground_truth"):
        shutil.copytree(room.parent / name, tmp_path / name)
    for name in ("color", "depth"):
        shutil.rmtree(tmp_path / room.name / name)
    made = segment_scene(open_scene(tmp_path / room.name), RedAndBlue(), tmp_path / "copy")
    assert made.n_masks == 6
    copy = open_scene(made.folder)
    assert copy.mesh is not None
    assert copy.depth("0") is not None


def test_views_of_a_list_without_any_masks_get_some(room: Path, tmp_path: Path) -> None:
    from tests.format_rooms import write_transforms

    scene = open_scene(write_transforms(room, tmp_path / "there"))
    assert scene.stored_instance_map(name_in("transforms", "0")) is None
    made = segment_scene(scene, RedAndBlue(), tmp_path / "copy")
    assert (made.n_masks, made.has_truth) == (6, False)
    assert open_scene(made.folder).view_names == scene.view_names


def test_a_broken_view_is_left_out_and_named(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "png")
    photo = folder / "color" / "2.png"
    photo.write_bytes(photo.read_bytes()[:60])
    made = segment_scene(open_scene(folder), RedAndBlue(), tmp_path / "copy")
    assert made.n_views == 2
    assert [view.name for view in made.left_out] == ["2"]


def test_large_ids_of_objects_are_numbered_anew_alike_in_all_views(room: Path, tmp_path: Path) -> None:
    for name in (room.name, "ground_truth"):
        shutil.copytree(room.parent / name, tmp_path / name)
    path = tmp_path / "ground_truth" / f"{room.name}.txt"
    path.write_text(path.read_text().replace("7002", "1889037"))
    copy = open_scene(segment_scene(open_scene(tmp_path / room.name), RedAndBlue(), tmp_path / "copy").folder)
    truth = find_truth(copy, list(FrameSource(copy, width=32, height=24).usable(copy.view_names)))
    assert truth is not None
    assert len(set(truth.tolist())) == 2
    assert 7001 in truth.tolist()
    for view, objects in instance_maps().items():
        found = np.asarray(copy.reader.read_ground_truth_map(view))  # pyright: ignore[reportAttributeAccessIssue]
        assert ((found >= 0) == (objects >= 0)).all()


def test_nothing_is_left_of_a_stopped_or_failed_one(room: Path, tmp_path: Path) -> None:
    with pytest.raises(SegmentingCancelled):
        segment_scene(open_scene(room), RedAndBlue(), tmp_path / "copy", is_cancelled=lambda: True)

    class Broken(RedAndBlue):
        def segment(self, picture: Picture) -> Int32Array:
            raise MaskgroupError("no")

    with pytest.raises(MaskgroupError):
        segment_scene(open_scene(room), Broken(), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_never_replaced(room: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(SceneError, match="already"):
        segment_scene(open_scene(room), RedAndBlue(), tmp_path / "copy")
    with pytest.raises(SceneError, match="already"):
        segment_scene(open_scene(room), RedAndBlue(), room)
    assert list((tmp_path / "copy").iterdir()) == []


def test_the_built_in_one_makes_a_scene_that_can_be_grouped(room: Path, tmp_path: Path) -> None:
    segmenter = open_segmenter()
    made = segment_scene(open_scene(room), segmenter, tmp_path / "copy")
    assert made.coverage == 1
    assert made.segmenter == "surfaces"
    copy = open_scene(made.folder)
    assert len(copy.view_names) == len(POSES)
    run = group_scene(copy, FrameSource(copy, width=32, height=24), options=GroupingOptions(lift=False))
    assert len(run.grouping.groups) >= 2
