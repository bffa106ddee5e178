"""The scannet reader on a small scene that the test writes, whole and broken in many ways."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskError, SceneError
from engine.grouping.pipeline import group_scene
from engine.rendering import make_renderer, shade
from engine.scenes import list_scenes, open_scene
from engine.types import Scene
from engine.views.frames import FrameSource
from tests.tiny_room import CAMERA, POSES, ply_text, tiny_mesh

NAME = "scene0000_00"
BOXES = {0: 7001, 4: 7002}
"""objectId of each box, and the tiny room's label for it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tracked views and one that lost its pose; the depth camera sees a wider field than the colour camera."""
    mesh, folder = tiny_mesh(), tmp_path / NAME
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    (folder / f"{NAME}_vh_clean_2.ply").write_text(ply_text(mesh))
    assert mesh.vertex_instances is not None
    # Two segments an object, so that the aggregation has something to join.
    segments = [100 + 2 * (i // 8) + (i % 8) // 4 for i in range(len(mesh.vertices))]
    write_json(folder / f"{NAME}_vh_clean_2.0.010000.segs.json", {"segIndices": segments})
    groups = [
        {
            "objectId": number,
            "label": f"box {number}",
            "segments": sorted({s for s, own in zip(segments, mesh.vertex_instances, strict=True) if own == label}),
        }
        for number, label in BOXES.items()
    ]
    write_json(folder / f"{NAME}.aggregation.json", {"segGroups": groups})
    write_json(folder / f"{NAME}_vh_clean.aggregation.json", {"segGroups": "of the finer mesh, not to be read"})
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", matrix)
    wide = matrix.copy()
    wide[0, 0], wide[1, 1] = CAMERA.fx / 2, CAMERA.fy / 2
    np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", wide)
    renderer = make_renderer(mesh, "embree")
    wide_camera = type(CAMERA)(CAMERA.width, CAMERA.height, CAMERA.fx / 2, CAMERA.fy / 2, CAMERA.cx, CAMERA.cy)
    for view, pose in POSES.items():
        np.savetxt(folder / "pose" / f"{view}.txt", pose)
        seen = shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose)
        Image.fromarray(seen.rgb).save(folder / "color" / f"{view}.jpg")
        depth = renderer.rasterize(wide_camera, pose).depth
        Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{view}.png")
    (folder / "pose" / "11.txt").write_text("\n".join(["-inf -inf -inf -inf"] * 4))
    return folder


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def test_scene_is_found_and_lost_views_are_left_out(folder: Path) -> None:
    scene = open_scene(folder)
    assert (scene.format, scene.name, scene.view_names) == ("scannet", NAME, ("0", "2", "10"))
    assert [(info.format, info.n_views) for info in list_scenes(folder.parent)] == [("scannet", 3)]
    assert [view.name for view in scene.left_out] == ["11"]
    assert "NaN or infinity" in scene.left_out[0].reason
    with pytest.raises(MaskError, match="no view '11'"):
        scene.view("11")


def test_objects_are_numbered_from_one_and_the_floor_has_none(folder: Path) -> None:
    scene, room = open_scene(folder), tiny_mesh()
    assert scene.mesh is not None
    assert scene.mesh.vertex_instances is not None
    assert room.vertex_instances is not None
    for number, label in BOXES.items():
        assert np.array_equal(scene.mesh.vertex_instances == number + 1, room.vertex_instances == label)
    assert np.array_equal(scene.mesh.vertex_instances == -1, room.vertex_instances == -1)


def test_objects_are_called_as_their_labels_say(folder: Path) -> None:
    scene = open_scene(folder)
    assert (scene.name_of(1), scene.name_of(5), scene.name_of(2)) == ("box 0", "box 4", None)
    (folder / f"{NAME}.aggregation.json").write_text("{")
    broken = open_scene(folder)
    assert broken.name_of(1) is None
    assert any("aggregation.json" in note for note in broken.notes)


def test_depth_is_seen_as_by_the_colour_camera(folder: Path) -> None:
    scene, mesh = open_scene(folder), tiny_mesh()
    depth = scene.depth("2")
    assert depth is not None
    expected = make_renderer(mesh, "embree").rasterize(CAMERA, POSES["2"]).depth
    assert ((depth > 0) & (expected > 0)).sum() > 0.5 * (expected > 0).sum()
    (folder / "intrinsic" / "intrinsic_depth.txt").unlink()
    unaligned = open_scene(folder).depth("2")
    assert unaligned is not None
    off, off_unaligned = (float(np.abs(found - expected)[(found > 0) & (expected > 0)].mean()) for found in (depth, unaligned))
    assert off < 0.5 * off_unaligned, "the depth camera's pixels are twice as coarse, so edges still differ"
    (folder / "depth_scale.txt").write_text("500")
    doubled = open_scene(folder).depth("2")
    assert doubled is not None
    assert np.allclose(doubled, 2 * unaligned)


def test_boxes_are_grouped(folder: Path) -> None:
    scene = open_scene(folder)
    run = group_scene(scene, FrameSource(scene))
    assert run.mask_scores is not None
    assert run.mask_scores.ari == 1.0
    assert {key.mask for key in run.graph.keys} == {number + 1 for number in BOXES}


def test_scene_without_objects_says_that_it_has_no_masks(folder: Path) -> None:
    (folder / f"{NAME}.aggregation.json").unlink()
    scene = open_scene(folder)
    with pytest.raises(SceneError, match="a mesh without instance labels"):
        FrameSource(scene).frame("0")


SEGS, OBJECTS = f"{NAME}_vh_clean_2.0.010000.segs.json", f"{NAME}.aggregation.json"


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (SEGS, "{", "cannot be read as JSON"),
        (SEGS, "[1, 2]", "found no JSON object, expected an object with 'segIndices'"),
        (SEGS, '{"segIndices": [1, 2, 3]}', "found 3 segments, expected 24"),
        (SEGS, '{"segIndices": [1, "x"]}', "found a segment that is no number"),
        (SEGS, '{"segIndices": [-4]}', "found a segment that is no number"),
        (SEGS, '{"segIndices": [99999999999]}', "found a segment that is no number"),
        (OBJECTS, '{"segGroups": 3}', "found no list 'segGroups'"),
        (OBJECTS, '{"segGroups": [7]}', "found an object without objectId"),
        (OBJECTS, '{"segGroups": [{"objectId": 1}]}', "found an object without objectId"),
        (OBJECTS, '{"segGroups": [{"objectId": -1, "segments": []}]}', "found the object -1"),
        (OBJECTS, '{"segGroups": [{"objectId": 1, "segments": "many"}]}', "found an object without"),
    ],
)
def test_broken_labels_are_a_sentence(folder: Path, file: str, content: str, sentence: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(SceneError, match=sentence) as caught:
        _ = open_scene(folder).mesh
    assert file in str(caught.value)


Change = Callable[[Path], object]
Use = Callable[[Scene], object]


@pytest.mark.parametrize(
    ("change", "use", "sentence"),
    [
        (lambda f: (f / "pose" / "0.txt").write_text("1 2 3"), lambda s: s.view("0"), "expected a camera-to-world pose"),
        (lambda f: shutil.rmtree(f / "intrinsic"), lambda s: s.view("0"), "intrinsic_color.txt: found no file"),
        (lambda f: (f / "color" / "0.jpg").write_bytes(b"x"), lambda s: s.color("0"), "no readable image|broken or cut short"),
        (lambda f: (f / f"other{SEGS[len(NAME) :]}").write_text("{}"), lambda s: s.mesh, None),
        (lambda f: (f / f"{NAME}b.aggregation.json").write_text("{}"), lambda s: s.mesh, "expected one file"),
    ],
)
def test_broken_files_are_a_sentence(folder: Path, change: Change, use: Use, sentence: str | None) -> None:
    change(folder)
    if sentence is None:
        use(open_scene(folder))
        return
    with pytest.raises(SceneError, match=sentence):
        use(open_scene(folder))


def test_scene_without_a_usable_pose_is_a_sentence(folder: Path) -> None:
    for view in POSES:
        (folder / "pose" / f"{view}.txt").write_text("nan inf")
    with pytest.raises(SceneError, match="4 views without a usable pose"):
        open_scene(folder)


def test_links_out_of_the_scene_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"segGroups": []}')
    (folder / OBJECTS).unlink()
    (folder / OBJECTS).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(SceneError, match="expected a path inside"):
        _ = open_scene(folder).mesh
