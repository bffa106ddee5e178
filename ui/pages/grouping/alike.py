"""Finds the groups that look like a given one: six identical chairs are checked side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import NOTHING, Float32Array
from ui.services.grouping_result import Result

MIN_LIKENESS = 0.75
MAX_ALIKE = 8


@dataclass(frozen=True)
class Alike:
    """A group that looks like another.

    Attributes:
        group: Its id.
        distance_m: Between the groups' middles in the room, metres; None where either is not in it.
    """

    group: int
    distance_m: float | None


def find_alike(result: Result, group: int) -> list[Alike]:
    """Return at most `MAX_ALIKE` other groups that look like a group, the most alike first."""
    labels, count = result.grouping.labels, len(result.grouping.groups)
    means = np.zeros((count, result.looks.shape[1]), np.float32)
    # Large masks show an object's colours better than slivers of it.
    np.add.at(means, labels, result.looks * np.sqrt(result.run.table.areas)[:, None])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    likeness = means @ means[group]
    likeness[group] = -1
    middles = _middles(result, count)
    found: list[Alike] = []
    for other in np.argsort(-likeness, kind="stable")[:MAX_ALIKE].tolist():
        if likeness[other] >= MIN_LIKENESS:
            apart = float(np.linalg.norm(middles[other] - middles[group]))
            found.append(Alike(other, apart if np.isfinite(apart) else None))
    return found


def _middles(result: Result, count: int) -> Float32Array:
    """(G, 3) float32 mean of each group's points in the room, metres; NaN where it has none."""
    middles = np.full((count, 3), np.nan, np.float32)
    labels = result.point_labels
    if result.room is None or labels is None:
        return middles
    seen = labels != NOTHING
    sizes = np.bincount(labels[seen], minlength=count)
    for axis in range(3):
        sums = np.bincount(labels[seen], weights=result.room.points[seen, axis], minlength=count)
        middles[:, axis] = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
    return middles
