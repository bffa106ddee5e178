"""Scene readers on whole scenes: what they find, in which order, and how it is labelled."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import LeftOutError, MaskError, SceneError
from engine.scenes import find_scene, list_scenes, open_scene
from engine.scenes.names import numeric_order
from engine.types import Scene, SceneMesh
from tests.tiny_room import BLUE_BOX, CAMERA, POSES, RED_BOX, VIEWS, ply_text, tiny_mesh, write_tiny_room


def test_replica_scene_is_read_whole(tiny_room: Path) -> None:
    scene = open_scene(tiny_room)
    assert (scene.name, scene.format, scene.view_names) == ("tiny", "replica", VIEWS)
    view = scene.view("10")
    assert view.camera == CAMERA
    np.testing.assert_allclose(view.pose, POSES["10"])
    color, depth, mesh = scene.color("10"), scene.depth("10"), scene.mesh
    assert color is not None
    assert color.shape == (24, 32, 3)
    assert depth is not None
    assert 1.0 < depth[12, 16] < 4.0
    assert scene.stored_instance_map("10") is None
    assert mesh is not None
    assert mesh.vertex_instances is not None
    np.testing.assert_array_equal(mesh.faces, tiny_mesh().faces)
    np.testing.assert_array_equal(mesh.colors, tiny_mesh().colors)
    assert set(mesh.vertex_instances) == {-1, RED_BOX, BLUE_BOX}


def test_views_are_in_numeric_order() -> None:
    assert sorted(["10", "2", "frame_10", "1", "frame_9"], key=numeric_order) == ["1", "2", "10", "frame_9", "frame_10"]


def test_face_takes_the_majority_of_its_vertices() -> None:
    labels = np.array([5, 5, 9, -1, -1], np.int32)
    faces = np.array([[0, 1, 2], [2, 0, 1], [0, 2, 1], [0, 2, 3], [3, 4, 0], [0, 1, 3]], np.int32)
    mesh = SceneMesh(np.zeros((5, 3), np.float32), faces, np.zeros((5, 3), np.uint8), labels)
    assert mesh.face_instances.tolist() == [5, 5, 5, -1, -1, 5]


def test_four_by_four_intrinsics_are_the_same_camera(tiny_room: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.loadtxt(tiny_room / "intrinsics.txt")
    np.savetxt(tiny_room / "intrinsics.txt", matrix)
    assert open_scene(tiny_room).view("0").camera == CAMERA


def test_without_photos_the_principal_point_gives_the_size(tiny_room: Path) -> None:
    for photo in (tiny_room / "color").iterdir():
        photo.unlink()
    scene = open_scene(tiny_room)
    assert scene.view_names == VIEWS
    assert scene.view("0").camera == CAMERA
    assert scene.color("0") is None


def test_without_ground_truth_the_mesh_has_no_labels(tiny_room: Path) -> None:
    (tiny_room.parent / "ground_truth" / "tiny.txt").unlink()
    mesh = open_scene(tiny_room).mesh
    assert mesh is not None
    assert mesh.vertex_instances is None
    assert (mesh.face_instances == -1).all()


@pytest.mark.parametrize("scale", [1000.0, 5000.0, 6553.5])
def test_depth_scale_is_measured_against_the_mesh(tmp_path: Path, scale: float) -> None:
    depth = open_scene(write_tiny_room(tmp_path, depth_scale=scale)).depth("0")
    expected = open_scene(write_tiny_room(tmp_path / "other")).depth("0")
    assert depth is not None
    assert expected is not None
    np.testing.assert_allclose(depth, expected, atol=0.002)


def test_depth_scale_file_wins(tiny_room: Path) -> None:
    before = open_scene(tiny_room).depth("0")
    (tiny_room / "depth_scale.txt").write_text("2000\n")
    after = open_scene(tiny_room).depth("0")
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after * 2, before, rtol=1e-6)


def test_depth_scale_without_mesh_is_millimetres(tiny_room: Path) -> None:
    (tiny_room / "tiny_mesh.ply").unlink()
    scene = open_scene(tiny_room)
    depth = scene.depth("0")
    raw = np.asarray(Image.open(tiny_room / "depth" / "0.png"))
    assert scene.mesh is None
    assert depth is not None
    np.testing.assert_allclose(depth * 1000, raw, rtol=1e-6)


def test_polygons_become_triangles_and_missing_colours_grey(tiny_room: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 8\nproperty float x\nproperty float y\nproperty float z\n"
    corners = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n1 0 1\n1 1 1\n.5 1.5 1\n"
    faces = "element face 3\nproperty list uchar int vertex_indices\nend_header\n"
    (tiny_room / "tiny_mesh.ply").write_text(header + faces + corners + "4 0 1 2 3\n3 4 5 6\n5 0 1 2 7 3\n")
    (tiny_room.parent / "ground_truth" / "tiny.txt").unlink()
    mesh = open_scene(tiny_room).mesh
    assert mesh is not None
    assert (mesh.colors == 128).all()
    assert len(mesh.faces) == 2 + 1 + 3
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 > 2.5  # all of the three polygons is covered


def test_binary_polygons_of_mixed_length_are_read(tiny_room: Path) -> None:
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], "<f4").tobytes()
    faces = b"element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    polygons = b"\x04" + np.array([0, 1, 2, 3], "<i4").tobytes() + b"\x03" + np.array([0, 1, 4], "<i4").tobytes()
    (tiny_room / "tiny_mesh.ply").write_bytes(header + faces + corners + polygons)
    (tiny_room.parent / "ground_truth" / "tiny.txt").unlink()
    mesh = open_scene(tiny_room).mesh
    assert mesh is not None
    assert {frozenset(face) for face in mesh.faces.tolist()} in (
        {frozenset((0, 1, 2)), frozenset((0, 2, 3)), frozenset((0, 1, 4))},
        {frozenset((0, 1, 3)), frozenset((1, 2, 3)), frozenset((0, 1, 4))},
    )


def test_quads_only_become_two_triangles_each(tiny_room: Path) -> None:
    text = ply_text(tiny_mesh()).split("element face")[0]
    quads = "element face 1\nproperty list uchar int vertex_index\nend_header\n"
    vertices = ply_text(tiny_mesh()).split("end_header\n")[1].splitlines()[:24]
    (tiny_room / "tiny_mesh.ply").write_text(text + quads + "\n".join(vertices) + "\n4 0 1 3 2\n")
    mesh = open_scene(tiny_room).mesh
    assert mesh is not None
    assert mesh.faces.tolist() == [[0, 1, 3], [0, 3, 2]]


def test_two_thousand_views_open_quickly_and_broken_ones_are_left_out(tiny_room: Path) -> None:
    pose = (tiny_room / "poses" / "0.txt").read_text()
    photo = (tiny_room / "color" / "0.png").read_bytes()
    for index in range(2000):
        (tiny_room / "color" / f"v{index}.png").write_bytes(photo)
        (tiny_room / "poses" / f"v{index}.txt").write_text("" if index == 7 else pose)
    started = time.process_time()
    scene = open_scene(tiny_room)
    assert time.process_time() - started < 10
    assert len(scene.view_names) == 2002
    assert scene.view_names[-1] == "v1999"
    assert [view.name for view in scene.left_out] == ["v7"]
    with pytest.raises(LeftOutError, match=r"no view 'v7'; it was left out: .*v7\.txt: found 0 rows"):
        scene.view("v7")


@pytest.fixture
def processed(tmp_path: Path) -> Path:
    folder = tmp_path / "flat"
    for view in ("10", "9"):
        (folder / view).mkdir(parents=True)
        Image.new("RGB", (4, 3), (9, 8, 7)).save(folder / view / "rgb.png")
        np.save(folder / view / "instance_mask.npy", np.array([[0, 1, 1, 2], [-1, 1, 5, 2], [0, 0, 5, 5]]))
        np.save(folder / view / "unique_instances.npy", np.array([1, 5]))
    return folder


def test_processed_scene_is_read(processed: Path) -> None:
    scene = open_scene(processed)
    assert (scene.format, scene.view_names) == ("processed", ("9", "10"))
    stored, color = scene.stored_instance_map("9"), scene.color("9")
    assert stored is not None
    assert stored.dtype == np.int32
    assert stored.tolist() == [[-1, 1, 1, -1], [-1, 1, 5, -1], [-1, -1, 5, 5]]  # 2 is not listed as an instance
    assert color is not None
    assert color[0, 0].tolist() == [9, 8, 7]
    assert scene.view("9").camera is None
    assert scene.depth("9") is None
    assert scene.mesh is None


def test_unknown_view_is_named(tiny_room: Path, processed: Path) -> None:
    for folder in (tiny_room, processed):
        for name in ("77", "../tiny", "0/../0", ""):
            with pytest.raises(MaskError, match="has no view"):
                open_scene(folder).color(name)


def test_scenes_are_listed_and_found(tiny_room: Path, processed: Path) -> None:
    scenes_dir = tiny_room.parent
    processed.rename(scenes_dir / "flat")
    listed = {info.name: (info.format, info.n_views) for info in list_scenes(scenes_dir)}
    assert listed == {"flat": ("processed", 2), "tiny": ("replica", 3)}
    assert find_scene("tiny", scenes_dir).folder == tiny_room.resolve()
    assert find_scene(str(tiny_room), Path("/nowhere")).name == "tiny"
    with pytest.raises(SceneError, match="expected one of: flat, tiny"):
        find_scene("office", scenes_dir)
    with pytest.raises(SceneError, match="--scenes"):
        list_scenes(tiny_room / "intrinsics.txt")


def test_bundled_room(living_room: Scene, bundled_scenes: Path) -> None:
    assert [info.name for info in list_scenes(bundled_scenes)] == ["sh3d_living"]
    assert living_room.view_names == tuple(str(i) for i in range(40))
    mesh = living_room.mesh
    assert mesh is not None
    assert mesh.vertex_instances is not None
    raw = np.loadtxt(bundled_scenes / "ground_truth" / "sh3d_living.txt", dtype=np.int64)
    np.testing.assert_array_equal(mesh.vertex_instances, np.where(raw == 0, -1, raw))
    assert sum(path.stat().st_size for path in bundled_scenes.rglob("*") if path.is_file()) < 15e6
    assert (bundled_scenes / "ATTRIBUTION.md").is_file()
