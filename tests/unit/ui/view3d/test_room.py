"""The room's cloud is even, coloured, without ceiling; masks and cameras land where they are."""

from __future__ import annotations

import base64
import json

import numpy as np

from engine.types import Camera, Frame, SceneMesh
from ui.view3d.plotly_view import cloud_trace, mask_trace, room_view
from ui.view3d.room import MAX_POINTS, RoomCloud, back_project, camera_outline, estimate_up, nearest_instance, sample_mesh

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


def test_sampled_room_has_floor_but_no_ceiling() -> None:
    cloud = sample_mesh(box_mesh(), UP, count=5000)
    assert (cloud.instances == 1001).sum() > 0
    assert (cloud.instances == 2001).sum() == 0
    assert (cloud.points.min(axis=0) >= -1e-4).all()
    assert (cloud.points.max(axis=0) <= [4.001, 3.001, 2.501]).all()


def test_cloud_is_the_same_every_time() -> None:
    first, second = (sample_mesh(box_mesh(), UP, count=1000) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)


def test_cloud_of_a_large_mesh_is_thinned_and_says_what_it_stands_for() -> None:
    mesh = box_mesh()
    many = SceneMesh(mesh.vertices, np.tile(mesh.faces, (2000, 1)), mesh.colors, mesh.vertex_instances)
    cloud = sample_mesh(many, UP)
    assert len(cloud.points) == MAX_POINTS
    assert cloud_trace(cloud)["meta"]["of_vertices"] == len(mesh.vertices)


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


def test_trace_carries_coordinates_and_palette_colours() -> None:
    cloud = sample_mesh(box_mesh(), UP, count=500)
    trace = cloud_trace(cloud)
    x = np.frombuffer(base64.b64decode(trace["x"]["bdata"]), np.float32)
    np.testing.assert_array_equal(x, cloud.points[:, 0])
    indices = np.frombuffer(base64.b64decode(trace["marker"]["color"]["bdata"]), np.uint8)
    scale = [color for _, color in trace["marker"]["colorscale"]]
    shown = np.array([[int(part) for part in scale[i][4:-1].split(",")] for i in indices])
    assert np.abs(shown - cloud.colors).mean() < 3
    json.dumps(trace)


def test_scene_names_are_quoted_in_addresses() -> None:
    value = json.loads(
        room_view("a/../b <x>", [mask_trace(np.zeros((1, 3), np.float32), (1, 2, 3), "left mask")], permalink="?x=1")
    )
    assert value["cloud_url"] == "/maskgroup/cloud/a%2F..%2Fb%20%3Cx%3E"
