"""Groups are carried over to the mesh and to a fused cloud, and written as PLY."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from engine.grouping.geometry import tabulate_masks
from engine.grouping.instances import fuse_cloud, label_mesh, write_instances_ply
from engine.grouping.metrics import score_points
from engine.types import SceneMesh
from tests.grouping_rooms import dining_room, truth_of, without_geometry


def finer(mesh: SceneMesh) -> SceneMesh:
    """The same surface with more vertices; labels go by face."""
    cut = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    vertices, faces, origin = trimesh.remesh.subdivide_to_size(cut.vertices, cut.faces, 0.1, return_index=True)
    labels = np.full(len(vertices), -1, np.int32)
    labels[faces.ravel()] = np.repeat(mesh.face_instances[origin], 3)
    return SceneMesh(vertices.astype(np.float32), faces.astype(np.int32), np.full((len(vertices), 3), 90, np.uint8), labels)


def test_votes_label_what_was_seen() -> None:
    mesh, frames = dining_room()
    fine = finer(mesh)
    cloud = label_mesh(fine, tabulate_masks(frames), truth_of(frames))
    seen = cloud.labels >= 0
    assert seen.mean() > 0.3
    assert fine.vertex_instances is not None
    assert np.mean(cloud.labels[seen] == fine.vertex_instances[seen]) > 0.95  # vertices on an edge belong to two faces
    truth = np.where(seen, fine.vertex_instances, -1)
    assert score_points(truth, cloud.labels, np.ones(100)).ap50 > 0.9


def test_fused_cloud_has_the_objects_boxes() -> None:
    _, frames = dining_room()
    cloud = fuse_cloud(tabulate_masks(frames), truth_of(frames), colors=[f.rgb for f in frames])
    assert cloud is not None
    cupboard = next(box for box in cloud.boxes if box.group == 8)
    np.testing.assert_allclose(cupboard.minimum, (-2.5, 1.2, 0.0), atol=0.15)
    np.testing.assert_allclose(cupboard.maximum, (-2.0, 2.0, 1.8), atol=0.15)


def test_nothing_to_fuse() -> None:
    frames = without_geometry(dining_room()[1])
    assert fuse_cloud(tabulate_masks(frames), truth_of(frames)) is None


def test_written_points_are_read_back(tmp_path: Path) -> None:
    mesh, frames = dining_room()
    cloud = label_mesh(mesh, tabulate_masks(frames), truth_of(frames))
    write_instances_ply(cloud, tmp_path / "instances.ply")
    read = trimesh.load(tmp_path / "instances.ply", process=False)
    np.testing.assert_allclose(read.vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    raw = read.metadata["_ply_raw"]["vertex"]["data"]["instance"]
    np.testing.assert_array_equal(np.asarray(raw).ravel(), cloud.labels)
