"""A small furnished room to train on: ground truth, several objects of some classes, six views."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.scenes.procedural import make_room, write_replica
from finetune.data.scene_pool import Role, ScenePool, open_pool

NAME = "small"
SEED = 7


def write_training_room(parent: Path) -> Path:
    """Write `parent`/small and its ground truth; returns the scene's folder."""
    return write_replica(make_room(SEED, (), view_count=6, image_size=(160, 90)), parent, NAME)


@cache
def open_room(folder: Path, role: Role) -> ScenePool:
    """Open the room once for all tests of a process."""
    return open_pool(folder, role=role)
