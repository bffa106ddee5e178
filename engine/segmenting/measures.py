"""What tells whether two neighbouring regions are one object: sums over regions and borders, and measures made from them.

Both kinds of sums add up when regions are joined, so the measures of joined regions cost no second look at the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.segmenting.superpixels import Pieces
from engine.types import Float64Array, Int32Array

INSIDE = 2
"""How many pixels from the border both sides are looked at: the border itself is a mixture."""
MEASURES = (
    "border: colour differs",
    "border: colour differs much",
    "border: hue differs",
    "border: a step in depth",
    "border: a large step in depth",
    "border: convex",
    "border: concave",
    "border: normals differ",
    "border: depth unknown",
    "regions: colour differs",
    "regions: colour differs much",
    "regions: colour differs for their spread",
    "regions: not in one plane",
    "regions: far from one plane",
    "regions: normals differ",
    "regions: convex",
    "regions: concave",
    "regions: not flat",
    "log share of the smaller",
    "log share of the larger",
    "length of the border",
    "one plane, regions' colour differs",
    "one plane, border's colour differs",
    "one plane",
    "concave, colour differs much",
    "step, colour differs",
)
"""What the columns of `measure` are. Those of surfaces are 0 where there is no depth."""
BORDER_SUMS = 9
# Columns of the sums over regions.
_AREA, _LAB, _KNOWN, _NORMAL, _POINT, _LAB2 = 0, slice(1, 4), 4, slice(5, 8), slice(8, 11), slice(11, 14)
REGION_SUMS = 14
MIN_KNOWN = 0.3
"""Share of each region that must have depth for measures of its surface."""


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Regions and the borders between them.

    Attributes:
        regions: (N, 14) float64 sums over each region's pixels.
        first: (E,) int32 the lower region of each border.
        second: (E,) int32 the other one.
        borders: (E, 9) float64 sums over each border's pixel pairs.
        lengths: (E,) float64 pixel pairs of each border.
        area: Pixels of the picture.
    """

    regions: Float64Array
    first: Int32Array
    second: Int32Array
    borders: Float64Array
    lengths: Float64Array
    area: int


def find_adjacency(pieces: Pieces) -> Adjacency:
    """Add up what the regions and their borders look like."""
    first, second, values = zip(*(_look_at_borders(pieces, axis) for axis in (0, 1)), strict=True)
    a, b = np.concatenate(first).astype(np.int64), np.concatenate(second).astype(np.int64)
    count = pieces.count
    keys, border = np.unique(np.minimum(a, b) * count + np.maximum(a, b), return_inverse=True)
    table = np.concatenate(values)
    sums = np.stack([np.bincount(border, column, len(keys)) for column in table.T], axis=1)
    return Adjacency(
        _sum_regions(pieces),
        (keys // count).astype(np.int32),
        (keys % count).astype(np.int32),
        sums.reshape(len(keys), BORDER_SUMS).astype(np.float64),
        np.bincount(border, minlength=len(keys)).astype(np.float64),
        pieces.labels.size,
    )


def measure(
    regions: Float64Array, first: Int32Array, second: Int32Array, borders: Float64Array, lengths: Float64Array, area: int
) -> Float64Array:
    """Return the measures of some borders, (E, 26) float64; see `MEASURES`.

    Args:
        regions: (N, 14) sums over regions.
        first: (E,) one region of each border.
        second: (E,) the other one.
        borders: (E, 9) sums over borders.
        lengths: (E,) their lengths.
        area: Pixels of the picture.
    """
    a, b = regions[first], regions[second]
    size_a, size_b = a[:, :1], b[:, :1]
    lab_a, lab_b = a[:, _LAB] / size_a, b[:, _LAB] / size_b
    spread = np.maximum(a[:, _LAB2] / size_a - lab_a**2, 0) + np.maximum(b[:, _LAB2] / size_b - lab_b**2, 0)
    color = np.sqrt(np.square(lab_a - lab_b).sum(axis=1))
    known_a, known_b = np.maximum(a[:, _KNOWN], 1e-9)[:, None], np.maximum(b[:, _KNOWN], 1e-9)[:, None]
    has_surface = (np.minimum(known_a / size_a, known_b / size_b) > MIN_KNOWN)[:, 0]
    mean_a, mean_b = a[:, _NORMAL] / known_a, b[:, _NORMAL] / known_b
    flat_a, flat_b = np.sqrt(np.square(mean_a).sum(axis=1)), np.sqrt(np.square(mean_b).sum(axis=1))
    normal_a, normal_b = mean_a / np.maximum(flat_a, 1e-6)[:, None], mean_b / np.maximum(flat_b, 1e-6)[:, None]
    center_a, center_b = a[:, _POINT] / known_a, b[:, _POINT] / known_b
    way = center_b - center_a
    near = np.maximum(np.minimum(center_a[:, 2], center_b[:, 2]), 0.05)
    off_plane = np.maximum(np.abs((normal_a * way).sum(axis=1)), np.abs((normal_b * way).sum(axis=1))) / near
    convex = ((normal_b - normal_a) * way).sum(axis=1) / (np.sqrt(np.square(way).sum(axis=1)) + 1e-6)
    alike = (normal_a * normal_b).sum(axis=1)
    smaller, larger = np.minimum(size_a, size_b)[:, 0], np.maximum(size_a, size_b)[:, 0]
    means = borders / lengths[:, None]
    one_plane = has_surface * np.exp(-off_plane / 0.02) * np.clip(alike, 0, 1)
    differs = 1 - np.exp(-color / 8)
    columns = (
        differs,
        1 - np.exp(-color / 25),
        1 - np.exp(-color / np.sqrt(spread.sum(axis=1) / 2 + 4.0)),
        has_surface * (1 - np.exp(-off_plane / 0.02)),
        has_surface * (1 - np.exp(-off_plane / 0.1)),
        has_surface * np.clip(1 - alike, 0, 1.2),
        has_surface * np.clip(convex, 0, 1),
        has_surface * np.clip(-convex, 0, 1),
        has_surface * (2 - flat_a - flat_b),
        np.log10(np.maximum(smaller / area, 1e-5)),
        np.log10(np.maximum(larger / area, 1e-5)),
        np.minimum(lengths / np.sqrt(smaller), 2.0),
        one_plane * differs,
        one_plane * means[:, 0],
        one_plane,
        means[:, 1] * means[:, 6],
        means[:, 3] * means[:, 0],
    )
    return np.concatenate([means, np.stack(columns, axis=1)], axis=1)


def _look_at_borders(pieces: Pieces, axis: int) -> tuple[Int32Array, Int32Array, Float64Array]:
    """Return the two regions and the nine values of each pair of neighbouring pixels, along one axis, that are in two regions."""
    labels, lab = pieces.labels, pieces.lab
    before, after = (labels[:-1], labels[1:]) if axis == 0 else (labels[:, :-1], labels[:, 1:])
    row, column = np.nonzero(before != after)
    down, right = (1, 0) if axis == 0 else (0, 1)
    a = _step_inside(pieces, row, column, -down * INSIDE, -right * INSIDE)
    b = _step_inside(pieces, row + down, column + right, down * INSIDE, right * INSIDE)
    difference = lab[a] - lab[b]
    color = np.sqrt(np.square(difference).sum(axis=1))
    hue = np.sqrt(np.square(difference[:, 1:]).sum(axis=1))
    values = np.zeros((len(row), BORDER_SUMS))
    values[:, 0], values[:, 1], values[:, 2] = 1 - np.exp(-color / 8), 1 - np.exp(-color / 25), 1 - np.exp(-hue / 6)
    values[:, 8] = 1
    if pieces.surface is not None:
        surface = pieces.surface
        known = surface.known[a] & surface.known[b]
        way = surface.points[b] - surface.points[a]
        near = np.maximum(np.minimum(surface.points[a][:, 2], surface.points[b][:, 2]), 0.05)
        normal_a, normal_b = surface.normals[a], surface.normals[b]
        step = np.minimum(np.abs((normal_a * way).sum(axis=1)), np.abs((normal_b * way).sum(axis=1))) / near
        convex = ((normal_b - normal_a) * way).sum(axis=1) / (np.sqrt(np.square(way).sum(axis=1)) + 1e-6)
        values[:, 3], values[:, 4] = known * (1 - np.exp(-step / 0.01)), known * (1 - np.exp(-step / 0.04))
        values[:, 5], values[:, 6] = known * np.clip(convex, 0, 1), known * np.clip(-convex, 0, 1)
        values[:, 7] = known * np.clip(1 - (normal_a * normal_b).sum(axis=1), 0, 1)
        values[:, 8] = ~known
    return labels[row, column], labels[row + down, column + right], values


def _step_inside(pieces: Pieces, row: np.ndarray, column: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels a step away from the border where that is still the same region, else those at the border."""
    labels = pieces.labels
    rows = np.clip(row + down, 0, labels.shape[0] - 1)
    columns = np.clip(column + right, 0, labels.shape[1] - 1)
    is_same = labels[rows, columns] == labels[row, column]
    return np.where(is_same, rows, row), np.where(is_same, columns, column)


def _sum_regions(pieces: Pieces) -> Float64Array:
    flat, count = pieces.labels.ravel(), pieces.count

    def total(values: np.ndarray) -> Float64Array:
        return np.bincount(flat, values.ravel(), count).astype(np.float64)

    sums = np.zeros((count, REGION_SUMS))
    sums[:, _AREA] = np.bincount(flat, minlength=count)
    for channel in range(3):
        sums[:, 1 + channel] = total(pieces.lab[..., channel])
        sums[:, 11 + channel] = total(np.square(pieces.lab[..., channel]))
    if pieces.surface is not None:
        known = pieces.surface.known
        sums[:, _KNOWN] = total(known)
        for axis in range(3):
            sums[:, 5 + axis] = total(pieces.surface.normals[..., axis] * known)
            sums[:, 8 + axis] = total(pieces.surface.points[..., axis] * known)
    return sums
