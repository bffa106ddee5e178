"""Finds the instances of a mesh that are copies of one object: six chairs of one model, for instance.

A crop on black cannot tell such copies apart, so they must be counted separately from look-alikes. Knows nothing about masks
or pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from engine.types import NOTHING, Float64Array, SceneMesh

SHAPE_TOLERANCE = 0.01
"""Largest difference of two copies' shape: of area relative to the larger, of lengths relative to the larger radius."""

CHROMA_TOLERANCE = 0.03
"""Largest difference of two copies' mean chromaticity (r, g, b over their sum); light and shade may differ freely."""

_QUANTILES = np.linspace(0.02, 0.98, 25)


@dataclass(frozen=True, eq=False)
class _Shape:
    """What a rigid motion leaves unchanged.

    Attributes:
        area: Surface, square metres.
        lengths: (28,) float64 metres: spread along the three principal axes, then quantiles of the distance from the centroid.
        chroma: (3,) float64, area-weighted mean chromaticity.
    """

    area: float
    lengths: Float64Array
    chroma: Float64Array

    def is_copy_of(self, other: _Shape) -> bool:
        radius = max(self.lengths[-1], other.lengths[-1])
        return (
            abs(self.area - other.area) <= SHAPE_TOLERANCE * max(self.area, other.area)
            and float(np.abs(self.lengths - other.lengths).max()) <= SHAPE_TOLERANCE * radius
            and float(np.abs(self.chroma - other.chroma).max()) <= CHROMA_TOLERANCE
        )


def find_identical_copies(mesh: SceneMesh) -> dict[int, int]:
    """Group the instances that have one shape and colour, wherever they stand and however they are turned.

    Mirror images count as copies. Two scans of one kind of chair differ by more than the tolerance and do not.

    Returns:
        For every instance that has a copy, the smallest instance id of its group.
    """
    shapes = _measure_instances(mesh)
    leaders: list[int] = []
    group: dict[int, int] = {}
    for instance in sorted(shapes):
        leader = next((i for i in leaders if shapes[i].is_copy_of(shapes[instance])), None)
        if leader is None:
            leaders.append(instance)
        group[instance] = instance if leader is None else leader
    sizes = {leader: sum(1 for other in group.values() if other == leader) for leader in leaders}
    return {instance: leader for instance, leader in group.items() if sizes[leader] > 1}


def _measure_instances(mesh: SceneMesh) -> dict[int, _Shape]:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    centres = corners.mean(axis=1)
    colors = mesh.colors[mesh.faces].astype(np.float64).mean(axis=1)
    instances = mesh.face_instances
    shapes: dict[int, _Shape] = {}
    for instance in np.unique(instances[instances != NOTHING]):
        chosen = instances == instance
        if areas[chosen].sum() > 0:
            shapes[int(instance)] = _measure(centres[chosen], areas[chosen], colors[chosen])
    return shapes


def _measure(centres: Float64Array, areas: Float64Array, colors: Float64Array) -> _Shape:
    weights = areas / areas.sum()
    offsets = centres - weights @ centres
    spread = np.sqrt(np.clip(np.linalg.eigvalsh((offsets * weights[:, None]).T @ offsets), 0, None))
    distances = np.linalg.norm(offsets, axis=1)
    order = np.argsort(distances)
    quantiles = cast("Float64Array", np.interp(_QUANTILES, np.cumsum(weights[order]), distances[order]))
    color = weights @ colors
    return _Shape(float(areas.sum()), np.concatenate([spread, quantiles]), color / max(color.sum(), 1e-9))
