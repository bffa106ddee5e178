"""Clean rooms to spoil, made from seeds that neither training nor any other check uses; big ones reach beyond a sensor's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.assets import SCENES_DIR
from engine.rendering import make_renderer, shade
from engine.scenes import find_scene
from engine.scenes.procedural import make_room
from engine.scenes.procedural_pieces import Piece
from engine.types import Frame, SceneMesh
from engine.views.frames import FrameSource

FIRST_SEED = 6_000_000
"""Procedural rooms for choosing; those for confirming begin `UNSEEN` later."""
UNSEEN = 50_000
HALL = 1.8
"""A hall is a room this many times as large."""


@dataclass(frozen=True, eq=False)
class CleanRoom:
    """A room as it is: frames whose mask ids are objects, true depth and poses, and the mesh with its objects."""

    name: str
    frames: list[Frame]
    mesh: SceneMesh | None


def make_clean_room(number: int, *, unseen: bool, views: int = 40, pieces: Sequence[Piece] = ()) -> CleanRoom:
    """Make the procedural room of this number, every second one as a hall.

    Args:
        number: From 0.
        unseen: Whether it is for confirming rather than for choosing.
        views: Cameras.
        pieces: Real furniture to draw from beside the parametric kinds.
    """
    seed = FIRST_SEED + (UNSEEN if unseen else 0) + number
    room = make_room(seed, pieces, view_count=views, image_size=(640, 360))
    scale = HALL if number % 2 else 1.0
    renderer = make_renderer(room.mesh, "embree")
    frames: list[Frame] = []
    for view in room.views:
        assert view.camera is not None
        assert view.pose is not None
        image = shade(renderer.rasterize(view.camera, view.pose), room.mesh, view.camera, view.pose)
        pose = view.pose.copy()
        pose[:3, 3] *= scale
        depth = (image.depth * scale).astype(np.float32)
        frames.append(Frame(view.name, image.rgb, image.instance_map, depth, view.camera, pose))
    mesh = replace(room.mesh, vertices=(room.mesh.vertices * np.float32(scale)).astype(np.float32))
    return CleanRoom(f"{'hall' if number % 2 else 'room'} {seed}", frames, mesh)


def load_clean_room(name: str) -> CleanRoom:
    """Read a scene with a labelled mesh: a folder, or a bundled scene's name."""
    scene = find_scene(name, SCENES_DIR)
    source = FrameSource(scene, max_frames=len(scene.view_names), photo=False)
    return CleanRoom(scene.name, [source.frame(view) for view in scene.view_names], scene.mesh)
