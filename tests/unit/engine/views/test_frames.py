"""Frames of every kind of scene: sizes, pictures, masks, and what is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskError, SceneError
from engine.scenes import open_scene
from engine.types import Frame
from engine.views.frames import FrameSource, fit_size, resize_nearest
from tests.tiny_room import BLUE_BOX, CAMERA, RED_BOX


def test_rendered_frame_agrees_with_photo_and_depth(tiny_room: Path) -> None:
    scene = open_scene(tiny_room)
    frame = FrameSource(scene).frame("0")
    photo, depth = scene.color("0"), scene.depth("0")
    assert photo is not None
    assert depth is not None
    assert frame.rgb.shape == (360, 480, 3)
    assert frame.camera == CAMERA.resized(480, 360)
    assert frame.instance_map.dtype == np.int32
    assert set(frame.mask_areas) == {RED_BOX, BLUE_BOX}
    native = FrameSource(scene, width=None, height=None, photo=False).frame("0")
    np.testing.assert_array_equal(native.rgb, photo)  # the photos are renderings of the same mesh
    assert native.depth is not None
    np.testing.assert_allclose(native.depth, depth, atol=0.0006)
    red = native.rgb[native.instance_map == RED_BOX]
    np.testing.assert_array_equal(red, np.tile((200, 30, 30), (len(red), 1)))


def test_photo_is_shown_where_there_is_one(tiny_room: Path) -> None:
    Image.new("RGB", (CAMERA.width, CAMERA.height), (1, 2, 3)).save(tiny_room / "color" / "2.png")
    (tiny_room / "color" / "10.png").unlink()
    source = FrameSource(open_scene(tiny_room))
    assert (source.frame("2").rgb == (1, 2, 3)).all()
    assert (source.frame("10").rgb[source.frame("10").instance_map == BLUE_BOX] == (30, 30, 200)).all()
    assert not (FrameSource(open_scene(tiny_room), photo=False).frame("2").rgb == (1, 2, 3)).all(axis=-1).any()


@pytest.mark.parametrize(
    ("image", "box", "expected"),
    [((640, 360), (640, 360), (640, 360)), ((1200, 680), (640, 360), (635, 360)), ((1296, 968), (640, 640), (640, 478))],
)
def test_frames_keep_the_aspect(image: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit_size(*image, *box) == expected


def test_exact_size_on_request(tiny_room: Path) -> None:
    frame = FrameSource(open_scene(tiny_room), width=50, height=20, keep_aspect=False).frame("0")
    assert frame.rgb.shape == (20, 50, 3)
    assert frame.camera == CAMERA.resized(50, 20)


def test_resizing_masks_invents_no_id() -> None:
    ids = np.array([[1, 9], [-1, 5]], np.int32)
    assert resize_nearest(ids, 4, 4).tolist() == [[1, 1, 9, 9], [1, 1, 9, 9], [-1, -1, 5, 5], [-1, -1, 5, 5]]
    assert resize_nearest(np.arange(9, dtype=np.int32).reshape(1, 9), 3, 1).tolist() == [[1, 4, 7]]


def test_recent_frames_are_kept_and_old_ones_go(tiny_room: Path) -> None:
    source = FrameSource(open_scene(tiny_room), max_frames=2)
    first, second = source.frame("0"), source.frame("2")
    assert source.frame("0") is first
    source.frame("10")  # "2" was used longest ago
    assert source.frame("0") is first
    assert source.frame("2") is not second


def test_threads_get_the_same_frames(tiny_room: Path) -> None:
    source, got = FrameSource(open_scene(tiny_room), max_frames=1), list[Frame]()
    threads = [threading.Thread(target=lambda: got.extend(source.frame(v) for v in ("0", "2", "10"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {view: FrameSource(open_scene(tiny_room)).frame(view) for view in ("0", "2", "10")}
    assert len(got) == 12
    for frame in got:
        np.testing.assert_array_equal(frame.instance_map, alone[frame.view].instance_map)
        np.testing.assert_array_equal(frame.rgb, alone[frame.view].rgb)


def test_scene_without_masks_says_so(tiny_room: Path) -> None:
    (tiny_room.parent / "ground_truth" / "tiny.txt").unlink()
    with pytest.raises(SceneError, match=r"no stored masks and a mesh without instance labels, expected"):
        FrameSource(open_scene(tiny_room)).frame("0")
    (tiny_room / "tiny_mesh.ply").unlink()
    with pytest.raises(SceneError, match=r"no stored masks and no mesh, expected"):
        FrameSource(open_scene(tiny_room)).frame("0")


def test_unknown_view(tiny_room: Path) -> None:
    with pytest.raises(MaskError, match="no view '11'"):
        FrameSource(open_scene(tiny_room)).frame("11")
