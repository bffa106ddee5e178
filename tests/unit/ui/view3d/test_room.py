"""The room is light, coloured, and looks at its cameras; clouds are even; masks and cameras land where they are."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from engine.types import Camera, Frame, SceneMesh
from ui.view3d.decimate import decimate, thin
from ui.view3d.plotly_view import lit_part, mask_trace, paint_patch, room_values, room_view
from ui.view3d.room import (
    RoomCloud,
    back_project,
    camera_outline,
    estimate_up,
    face_eyes,
    height_of_ceiling,
    mesh_room,
    nearest_instance,
    thin_evenly,
)

UP = np.array([0.0, 0.0, 1.0])


def box_mesh() -> SceneMesh:
    """A 4 x 3 x 2.5 m room: six rectangles, the floor is instance 1001, the ceiling 2001."""
    x, y, z = 4.0, 3.0, 2.5
    corners = np.array([[i, j, k] for i in (0, x) for j in (0, y) for k in (0, z)], np.float32)
    quads = [(0, 2, 6, 4), (1, 3, 7, 5), (0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6)]
    vertices = np.concatenate([corners[list(q)] for q in quads])
    faces = np.array(
        [[4 * i, 4 * i + 1, 4 * i + 2] for i in range(6)] + [[4 * i, 4 * i + 2, 4 * i + 3] for i in range(6)], np.int32
    )
    labels = np.repeat([1001, 2001, 3001, 3001, 3001, 3001], 4).astype(np.int32)
    colors = np.repeat([[90, 60, 30], [255, 255, 255]] + [[150, 150, 150]] * 4, 4, axis=0).astype(np.uint8)
    return SceneMesh(vertices, faces, colors, labels)


def areas_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


@pytest.mark.parametrize("most", [600, 3000, 20_000])
def test_a_decimated_mesh_is_small_and_keeps_its_shape(most: int) -> None:
    mesh = box_mesh()
    light = decimate(mesh, most=most)
    assert 0 < len(light.faces) <= most
    assert light.faces.max() < len(light.vertices)
    for axis, size in enumerate((4.0, 3.0, 2.5)):
        assert abs(light.vertices[:, axis].min()) < 1e-3
        assert abs(light.vertices[:, axis].max() - size) < 1e-3
    whole = areas_of(mesh.vertices, mesh.faces).sum()
    assert abs(areas_of(light.vertices, light.faces).sum() - whole) < 0.1 * whole
    floor = light.instances == 1001
    assert (light.vertices[light.faces[floor]][..., 2] < 0.3).all()
    assert set(light.instances.tolist()) >= {1001, 2001, 3001}


def test_a_mesh_of_many_faces_is_thinned_first_and_keeps_its_shape() -> None:
    x, y = np.meshgrid(np.linspace(0, 4, 400), np.linspace(0, 3, 300))
    vertices = np.stack([x, y, 0.2 * np.sin(3 * x)], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(299)[:, None] * 400 + np.arange(399)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(more) for more in ((0, 1, 400), (1, 401, 400))]).astype(np.int32)
    labels = np.where(vertices[:, 0] < 2, 1001, 2001).astype(np.int32)
    mesh = SceneMesh(vertices, faces, np.full((len(vertices), 3), 90, np.uint8), labels)
    assert thin(mesh) is mesh, "that many are no trouble"
    small = thin(mesh, above=1000)
    assert len(small.faces) < len(faces) / 2
    assert small.vertex_instances is not None
    area = areas_of(vertices, faces).sum()
    for one in (small, decimate(small)):
        assert abs(areas_of(one.vertices, one.faces).sum() - area) < 0.05 * area
        assert one.vertices[:, 0].max() == pytest.approx(4, abs=0.05)
        assert (one.colors == 90).all()
    assert (small.vertex_instances == np.where(small.vertices[:, 0] < 2, 1001, 2001)).mean() > 0.98
    assert thin(SceneMesh(vertices, faces, mesh.colors, None), above=1000).vertex_instances is None


def test_a_room_is_the_same_every_time() -> None:
    first, second = (mesh_room(box_mesh(), UP) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    assert first.mesh is not None
    assert len(first.points) == len(first.mesh.faces) == len(first.colors) == len(first.instances)


def test_faces_look_at_the_cameras_however_they_were_wound() -> None:
    mesh, middle = box_mesh(), np.array([[2.0, 1.5, 1.2]])
    turned = face_eyes(mesh, middle)
    corners = turned.vertices[turned.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (((middle[0] - corners[:, 0]) * normals).sum(axis=1) > 0).all()
    assert sorted(map(sorted, turned.faces.tolist())) == sorted(map(sorted, mesh.faces.tolist()))


def test_a_cloud_is_thinned_evenly() -> None:
    rng = np.random.default_rng(0)
    dense = rng.uniform(0, 0.2, (40_000, 3)).astype(np.float32)
    spread = rng.uniform(0, 4, (2_000, 3)).astype(np.float32)
    points, colors = thin_evenly(np.concatenate([dense, spread]), np.zeros((42_000, 3), np.uint8), most=3000)
    assert len(points) == len(colors) <= 3000
    assert (points.max(axis=1) > 0.2).sum() > 1500, "what was scanned closely leaves room for the rest"


def test_the_ceiling_is_above_the_walls_middle() -> None:
    bottom, top, ceiling = height_of_ceiling(mesh_room(box_mesh(), UP).points, UP)
    assert bottom < 0.1
    assert 2.0 < ceiling < top <= 2.5


def test_up_is_against_the_cameras_y_axis() -> None:
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    np.testing.assert_allclose(estimate_up([pose, pose]), [0, 0, 1])
    np.testing.assert_allclose(estimate_up([]), [0, 0, 1])


def test_mask_is_back_projected_through_pixel_centres() -> None:
    camera = Camera(5, 3, fx=10, fy=10, cx=2, cy=1)
    instance_map = np.full((3, 5), -1, np.int32)
    instance_map[1, 2] = 7
    pose = np.eye(4)
    pose[:3, 3] = (1, 2, 3)
    frame = Frame("0", np.zeros((3, 5, 3), np.uint8), instance_map, np.full((3, 5), 2.0, np.float32), camera, pose)
    points, pixels = back_project(frame, 7, max_points=10)
    np.testing.assert_allclose(points, [[1, 2, 5]])
    assert pixels.tolist() == [7]


def test_mask_without_depth_has_no_points() -> None:
    frame = Frame("0", np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5), np.int32), None, None, None)
    assert len(back_project(frame, 0, max_points=10)[0]) == 0
    assert camera_outline(frame) is None


def test_nearest_instance() -> None:
    cloud = RoomCloud(np.array([[0, 0, 0], [1, 1, 1]], np.float32), np.zeros((2, 3), np.uint8), np.array([5, -1], np.int32), UP)
    assert nearest_instance(cloud, np.array([0.1, 0, 0], np.float32)) == 5
    assert nearest_instance(cloud, np.array([0.9, 1, 1], np.float32)) == -1


def unpacked(part: dict[str, str], dtype: type[np.generic]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(part["bdata"]), dtype)


def test_what_travels_gives_the_room_back() -> None:
    room = mesh_room(box_mesh(), UP)
    assert room.mesh is not None
    values = json.loads(json.dumps(room_values(room)))
    corners = unpacked(values["corners"], np.uint16).reshape(-1, 3) * values["step"] + values["low"]
    np.testing.assert_allclose(corners, room.mesh.vertices, atol=1e-3)
    np.testing.assert_array_equal(unpacked(values["faces"], np.uint16).reshape(-1, 3), room.mesh.faces)
    shown = np.array(values["palette"])[unpacked(values["colors"], np.uint8)]
    assert np.abs(shown - room.mesh.colors).mean() < 3
    assert values["of_faces"] == 12


def test_points_travel_without_faces() -> None:
    cloud = RoomCloud(np.eye(3, dtype=np.float32), np.full((3, 3), 7, np.uint8), np.full(3, -1, np.int32), UP)
    values = room_values(cloud)
    assert "faces" not in values
    assert values["palette"][0] == [7, 7, 7]


def test_lit_parts_and_colours_are_a_bit_and_a_byte_each() -> None:
    chosen = np.array([True, False, False, True, True, False, False, False, True])
    part = lit_part(chosen, (1, 2, 3), "a <b>")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(part["bits"]), np.uint8))[: len(chosen)]
    np.testing.assert_array_equal(bits.astype(bool), chosen)
    assert "<" not in part["name"]
    assert part["color"] == "rgb(1,2,3)"
    patch = paint_patch(np.array([0, 1], np.uint8), np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    assert patch["palette"] == [[1, 2, 3], [4, 5, 6]]


def test_scene_names_are_quoted_in_addresses() -> None:
    value = json.loads(
        room_view("a/../b <x>", [mask_trace(np.zeros((1, 3), np.float32), (1, 2, 3), "left mask")], permalink="?x=1")
    )
    assert value["cloud_url"] == "maskgroup/cloud/a%2F..%2Fb%20%3Cx%3E"
