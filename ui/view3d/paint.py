"""Colours of the room's points by group, ground truth, confidence or disagreement. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from engine.grouping.geometry import MaskTable
from engine.grouping.graph import Grouping
from engine.grouping.palette import group_colors
from engine.grouping.voxels import lift_grid
from engine.types import NOTHING, Float32Array, Int32Array, UInt8Array

Coloring = Literal["photo", "group", "class", "truth", "confidence", "disagreement", "before", "change"]
REACH_M = 0.06
STAND_IN_M = 0.2
PIXELS_IN_ALL = 400_000
GREY = (150, 150, 150)
AGREES, DISAGREES = (190, 200, 210), (200, 30, 60)
LOW, HIGH = np.array((253, 180, 40), np.float64), np.array((30, 60, 150), np.float64)
"""Ends of the scale of confidence, amber to blue: they differ in lightness too."""
COLORS = 254
"""With grey one less than a byte holds: so many shades a mesh takes in the browser."""


@dataclass(frozen=True, eq=False)
class MaskHits:
    """Which masks see which points: H hits, one for each pixel that comes near a point.

    Attributes:
        points: (H,) int32 index of the point.
        masks: (H,) int32 row of the mask.
        count: Number of points.
        stand_in: (count,) int32 the point whose label each takes: itself where masks see it, else a near one that they see,
            -1 where there is none.
    """

    points: Int32Array
    masks: Int32Array
    count: int
    stand_in: Int32Array

    def label(self, labels: Int32Array) -> Int32Array:
        """Return the group with the most hits at each point, (P,) int32, -1 without any; `labels` is (N,) int32."""
        found = np.full(self.count, NOTHING, np.int32)
        if len(self.points) == 0:
            return found
        groups = int(labels.max(initial=0)) + 1
        hit = np.asarray(self.points.astype(np.int64) * groups + labels[self.masks], np.int64)
        code, hits = np.unique(hit, return_counts=True)
        order = np.argsort(hits, kind="stable")  # the last write wins: the one with the most hits
        found[(code[order] // groups)] = code[order] % groups
        return np.where(self.stand_in == NOTHING, NOTHING, found[self.stand_in]).astype(np.int32)


def hit_points(points: Float32Array, table: MaskTable) -> MaskHits:
    """Return which of the points, (P, 3) float32 metres, the masks' back-projected pixels come near."""
    tree = KDTree(points)
    posed = [view for view in table.views if view.is_posed]
    pixels = sum(view.index_map.size for view in posed)
    step = max(1, int(np.sqrt(pixels / PIXELS_IN_ALL)))
    found: list[Int32Array] = []
    rows: list[Int32Array] = []
    for view in posed:
        assert view.depth is not None
        masks = view.index_map[::step, ::step]
        seen = (view.depth[::step, ::step] > 0) & (masks != NOTHING)
        distances, nearest = tree.query(lift_grid(view, seen, step=step), distance_upper_bound=REACH_M)
        near = np.isfinite(distances)
        found.append(np.asarray(nearest)[near].astype(np.int32))
        rows.append(masks[seen][near].astype(np.int32))
    empty = np.zeros(0, np.int32)
    hit = np.concatenate([empty, *found])
    return MaskHits(hit, np.concatenate([empty, *rows]), len(points), _stand_ins(points, hit))


def _stand_ins(points: Float32Array, hit: Int32Array) -> Int32Array:
    """Return `MaskHits.stand_in`: pixels are fewer than small faces, and hit one here and miss the next."""
    seen = np.unique(hit)
    if len(seen) == 0:
        return np.full(len(points), NOTHING, np.int32)
    distances, nearest = KDTree(points[seen]).query(points, distance_upper_bound=STAND_IN_M)
    near = np.isfinite(distances)
    return np.where(near, seen[np.minimum(np.asarray(nearest), len(seen) - 1)], NOTHING).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Paint:
    """One colour a point: (P,) uint8 indices into a palette of (C, 3) uint8, C <= 256."""

    indices: UInt8Array
    palette: UInt8Array


def paint_labels(labels: Int32Array) -> Paint:
    """Colour points by number, grey for -1; numbers that differ by a multiple of `COLORS` share a colour."""
    indices = np.where(labels == NOTHING, 0, labels % COLORS + 1).astype(np.uint8)
    return Paint(indices, np.concatenate([[GREY], group_colors(COLORS)]).astype(np.uint8))


def paint_truth(instances: Int32Array) -> Paint:
    """Colour points by ground truth, (P,) int32, -1 = none."""
    _, numbers = np.unique(instances, return_inverse=True)
    shift = int((instances == NOTHING).any())
    return paint_labels((numbers - shift).astype(np.int32))


def paint_confidence(labels: Int32Array, grouping: Grouping) -> Paint:
    """Colour points by the confidence of their group, amber (0.5 and less) to blue (1)."""
    confidence = np.array([group.confidence for group in grouping.groups] or [0.0])
    level = np.clip((confidence - 0.5) * 2, 0, 1)[np.maximum(labels, 0)]
    indices = np.where(labels == NOTHING, 0, np.rint(level * (COLORS - 1)) + 1).astype(np.uint8)
    ramp = LOW + (HIGH - LOW) * np.linspace(0, 1, COLORS)[:, None]
    return Paint(indices, np.concatenate([[GREY], np.rint(ramp)]).astype(np.uint8))


def paint_disagreement(labels: Int32Array, instances: Int32Array) -> Paint:
    """Colour points red where most of their group, or most of their true object, is another one."""
    both = (labels != NOTHING) & (instances != NOTHING)
    indices = np.zeros(len(labels), np.uint8)
    indices[both] = 1
    wrong = _minority(labels[both], instances[both]) | _minority(instances[both], labels[both])
    indices[np.flatnonzero(both)[wrong]] = 2
    return Paint(indices, np.array([GREY, AGREES, DISAGREES], np.uint8))


def paint_change(before: Int32Array, after: Int32Array) -> Paint:
    """Colour the points whose number, (P,) int32 each, is another one than before, as they are now; all others are pale."""
    now = paint_labels(after)
    palette = now.palette.copy()
    palette[0] = AGREES
    return Paint(np.where(before == after, 0, now.indices).astype(np.uint8), palette)


def _minority(first: Int32Array, second: Int32Array) -> np.ndarray:
    """(P,) bool: points whose `second` is not the most frequent one among the points of the same `first`."""
    wrong = np.zeros(len(first), bool)
    for value in np.unique(first):
        inside = first == value
        values, counts = np.unique(second[inside], return_counts=True)
        wrong[inside] = second[inside] != values[counts.argmax()]
    return wrong
