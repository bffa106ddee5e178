"""The original project's protocol and its published results: what `maskgroup reproduce` repeats and compares with.

The figures are the project's own, from its `metrics.json` files; no weights and no pairs of it are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from engine.errors import SceneError
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.predictions import Prediction
from engine.evaluation.run import EvaluationSettings
from engine.scenes import open_scene
from engine.scenes.folders import is_folder
from engine.scenes.replica import NAME as REPLICA
from engine.types import Scene

MODEL = "Qwen/Qwen3-VL-8B-Instruct"
ROOMS = ("office4", "room2")
"""Rooms of Replica on which it was measured."""
PAIRS = 300
PROMPT = "original"
SOURCE = f"the original project, {MODEL} and its LoRA adapter, {PAIRS} pairs a room"

Role = Literal["base", "tuned"]
ROLES: tuple[Role, ...] = ("base", "tuned")


@dataclass(frozen=True)
class PublishedScores:
    """Scores as published, each in [0, 1], with two digits."""

    accuracy: float
    precision: float
    recall: float


PUBLISHED: Mapping[tuple[str, Role], PublishedScores] = MappingProxyType(
    {
        ("office4", "base"): PublishedScores(0.74, 0.67, 0.88),
        ("office4", "tuned"): PublishedScores(0.82, 0.76, 0.92),
        ("room2", "base"): PublishedScores(0.80, 0.76, 0.91),
        ("room2", "tuned"): PublishedScores(0.92, 0.91, 0.94),
    }
)


def protocol_settings(
    model: str, *, pairs: int = PAIRS, seed: int = 0, given: tuple[Prediction, ...] | None = None
) -> EvaluationSettings:
    """Return how the original measured: random negatives, its prompt, one order, "same" from one half on.

    Args:
        model: The judge.
        pairs: Pairs of each room.
        seed: Seed of the sample.
        given: The original's own predictions, whose pairs are asked instead of a sample.

    Raises:
        MaskError: If there cannot be so many pairs.
    """
    sampling = SamplingSettings(pairs=pairs, negatives="random", seed=seed)
    return EvaluationSettings(model=model, prompt=PROMPT, sampling=sampling, both_orders=False, given=given)


def open_rooms(folder: Path, names: Sequence[str]) -> list[Scene]:
    """Open rooms of a Replica folder in OpenYOLO3D's layout.

    Args:
        folder: Holds a folder for each room, and `ground_truth/ROOM.txt`.
        names: The rooms.

    Raises:
        SceneError: If the folder or a room is missing, has another layout, or has no ground truth.
    """
    layout = f"{folder} with ROOM/{{color,depth,poses}}, ROOM/intrinsics.txt, ROOM/ROOM_mesh.ply and ground_truth/ROOM.txt"
    if not is_folder(folder):
        raise SceneError(f"{folder} is no folder; expected Replica in OpenYOLO3D's layout: {layout}.")
    missing = [name for name in names if Path(name).name != name or not is_folder(folder / name)]
    if missing:
        there = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())[:12]) or "no folder"
        raise SceneError(
            f"{folder} lacks {' and '.join(missing)} (there: {there}); expected Replica in OpenYOLO3D's layout, {layout}, "
            "or other rooms by --room."
        )
    scenes = [open_scene(folder / name) for name in names]
    for scene in scenes:
        mesh = scene.mesh if scene.format == REPLICA else None
        if scene.format != REPLICA or mesh is None:
            what = "has no mesh" if scene.format == REPLICA else f"has the layout {scene.format!r}"
            raise SceneError(f"{scene.folder} {what}; expected Replica in OpenYOLO3D's layout, {layout}.")
        if mesh.vertex_instances is None:
            labels = folder / "ground_truth" / f"{scene.name}.txt"
            raise SceneError(f"{scene.folder} has no ground truth; put its labels at {labels}.")
    return scenes
