"""Procedural rooms: same seed, same room; instances and model keys fit the mesh; the replica layout is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.rendering.base import shade
from engine.rendering.embree import EmbreeRenderer
from engine.scenes import open_scene
from engine.scenes.procedural import STRUCTURE_CLASSES, Room, class_id, look_at, make_room, write_replica
from engine.scenes.procedural_pieces import KINDS, parametric_piece, restyled


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(3, view_count=4, image_size=(160, 90))


def test_the_same_seed_gives_the_same_room(room: Room) -> None:
    again, other = make_room(3, view_count=4, image_size=(160, 90)), make_room(4, view_count=4, image_size=(160, 90))
    assert np.array_equal(room.mesh.vertices, again.mesh.vertices)
    assert np.array_equal(room.mesh.colors, again.mesh.colors)
    assert room.models == again.models
    assert room.mesh.vertices.shape != other.mesh.vertices.shape or not np.array_equal(room.mesh.vertices, other.mesh.vertices)


def test_instances_carry_their_class_and_have_a_model(room: Room) -> None:
    assert room.mesh.vertex_instances is not None
    instances = set(np.unique(room.mesh.vertex_instances).tolist())
    assert instances == set(room.models) == set(room.kinds)
    assert all(instance // 1000 == class_id(room.kinds[instance]) for instance in instances)
    assert {room.kinds[i] for i in instances} >= set(STRUCTURE_CLASSES)


def test_rooms_hold_identical_copies_and_look_alikes() -> None:
    copies = look_alikes = 0
    for seed in range(8):
        room = make_room(seed, view_count=1, image_size=(32, 18))
        furniture = [(room.kinds[i], room.models[i]) for i in room.models if room.kinds[i] not in STRUCTURE_CLASSES]
        copies += len(furniture) - len(set(furniture))
        look_alikes += len(set(furniture)) - len({kind for kind, _ in furniture})
    assert copies >= 8
    assert look_alikes >= 8


def test_furniture_stays_inside_the_room_and_does_not_overlap(room: Room) -> None:
    labels = room.mesh.vertex_instances
    assert labels is not None
    walls = room.mesh.vertices[np.isin(labels, [i for i in room.models if room.kinds[i] in STRUCTURE_CLASSES])]
    points = [room.mesh.vertices[labels == i] for i in room.models if room.kinds[i] not in STRUCTURE_CLASSES]
    boxes = [(p.min(axis=0), p.max(axis=0)) for p in points]
    assert len(boxes) >= 5
    for index, (low, high) in enumerate(boxes):
        assert (low >= walls.min(axis=0) - 0.03).all()
        assert (high <= walls.max(axis=0) + 0.03).all()
        for other_low, other_high in boxes[:index]:
            assert (np.minimum(high, other_high) - np.maximum(low, other_low)).min() < 0.02


def test_cameras_see_furniture(room: Room) -> None:
    renderer = EmbreeRenderer(room.mesh)
    seen: set[int] = set()
    for view in room.views:
        assert view.camera is not None
        assert view.pose is not None
        assert np.allclose(view.pose[:3, :3].T @ view.pose[:3, :3], np.eye(3), atol=1e-9)
        assert np.linalg.det(view.pose[:3, :3]) == pytest.approx(1)
        image = shade(renderer.rasterize(view.camera, view.pose), room.mesh, view.camera, view.pose)
        seen |= set(np.unique(image.instance_map).tolist())
    assert sum(room.kinds.get(i) not in STRUCTURE_CLASSES for i in seen if i >= 0) >= 3


def test_look_at_points_the_camera_at_its_target() -> None:
    eye, target = np.array([1.0, 2.0, 1.5]), np.array([3.0, 1.0, 0.5])
    in_camera = np.linalg.inv(look_at(eye, target)) @ [*target, 1]
    assert np.allclose(in_camera[:2], 0, atol=1e-9)
    assert in_camera[2] == pytest.approx(np.linalg.norm(target - eye))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_a_sound_mesh(kind: str) -> None:
    piece = parametric_piece(kind, np.random.default_rng(1))
    assert piece.faces.max() < len(piece.vertices) == len(piece.colors) == len(piece.normals)
    assert piece.vertices[:, 2].min() == pytest.approx(0, abs=1e-5)
    assert 0.02 < piece.size.max() < 3
    # The tip of a lathed shape has no normal.
    assert (np.abs(np.linalg.norm(piece.normals, axis=1) - 1) < 0.01).mean() > 0.85


def test_a_restyled_piece_is_a_look_alike() -> None:
    rng = np.random.default_rng(0)
    piece = parametric_piece("chair", rng)
    other = restyled(piece, rng)
    assert (other.kind, other.faces.tolist()) == (piece.kind, piece.faces.tolist())
    assert other.model != piece.model
    assert not np.array_equal(other.colors, piece.colors) or not np.array_equal(other.vertices, piece.vertices)


def test_a_written_room_is_read_back_as_a_scene(room: Room, tmp_path: Path) -> None:
    folder = write_replica(room, tmp_path, "made")
    scene = open_scene(folder)
    assert scene.format == "replica"
    assert scene.view_names == tuple(view.name for view in room.views)
    assert scene.mesh is not None
    assert np.allclose(scene.mesh.vertices, room.mesh.vertices, atol=1e-6)
    assert np.array_equal(np.asarray(scene.mesh.vertex_instances), np.asarray(room.mesh.vertex_instances))
    pose = scene.view("2").pose
    assert pose is not None
    assert np.allclose(pose, np.asarray(room.views[2].pose), atol=1e-6)
    color = scene.color("0")
    assert color is not None
    assert color.shape == (90, 160, 3)
