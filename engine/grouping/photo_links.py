"""What photos alone prove about pairs of masks: points that both hold, and features that match between them.

Two masks that hold the same triangulated points show one object, unless a point lies on a rim and is taken for the neighbour's.
How often that happens is measured on the scene itself: a mask cannot be the same object as two masks of one view, so where it
shares points with both, the weaker of the two links is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.grouping.candidates import code_pairs
from engine.grouping.geometry import MaskTable
from engine.photos.placed import PlacedPhotos
from engine.types import NOTHING, BoolArray, Float32Array, Float64Array, Int32Array

COUNT_LEVELS = (1, 2, 3, 5, 8)
"""Links are weighed together with those of as many shared points or matches."""
POINTS_CAP = 4.0
MATCHES_CAP = 2.0
"""Largest log-odds that shared points, and matches of two views, may claim."""
PSEUDO_COUNT = 10.0
PRIOR_WRONG = 0.15
"""Links that the assumed share of wrong ones counts for beside the measured ones."""


@dataclass(frozen=True, eq=False)
class PhotoLinks:
    """Pairs of masks of two views that hold the same things.

    Attributes:
        pairs: (L, 2) int32 rows of masks, first < second.
        points: (L,) int32 triangulated points that both hold.
        matches: (L,) int32 features that match between them, as the two views' epipolar geometry confirms; counted where one of
            the two could not be placed.
        log_odds: (L,) float64 what both say together about the two being one object.
        points_of: (N,) int32 triangulated points that each mask holds.
    """

    pairs: Int32Array
    points: Int32Array
    matches: Int32Array
    log_odds: Float64Array
    points_of: Int32Array


def masks_under(table: MaskTable, views: Int32Array, at: Float32Array, sizes: Int32Array) -> Int32Array:
    """Return the row of the mask under each place, (S,) int32, -1 = none.

    Args:
        table: The masks.
        views: (S,) int32 index of the view.
        at: (S, 2) float32 column and row in the photo's own pixels.
        sizes: (V, 2) int32 width and height of each view's photo.
    """
    under = np.full(len(views), NOTHING, np.int32)
    for index, view in enumerate(table.views):
        some = np.flatnonzero(views == index)
        if len(some) == 0:
            continue
        height, width = view.index_map.shape
        share = (at[some] + 0.5) / sizes[index]
        column = np.clip((share[:, 0] * width).astype(np.int64), 0, width - 1)
        row = np.clip((share[:, 1] * height).astype(np.int64), 0, height - 1)
        under[some] = view.index_map[row, column]
    return under


def link_by_photos(table: MaskTable, placed: PlacedPhotos) -> PhotoLinks:
    """Count what pairs of masks have in common, and say what it proves.

    Args:
        table: The masks.
        placed: The photos of the table's views, in their order.
    """
    seen = masks_under(table, placed.seen_by, placed.seen_at, placed.sizes)
    held = np.unique(np.stack([placed.seen_point[seen >= 0], seen[seen >= 0]], axis=1), axis=0)
    points_of = np.bincount(held[:, 1], minlength=len(table)).astype(np.int32)
    by_points, n_points = _count(_pair_up(held))
    ends = [masks_under(table, placed.matched[:, side], placed.matched_at[:, side], placed.sizes) for side in (0, 1)]
    # What two placed photos have in common has become a point, or was thrown out because it fits nowhere.
    both = (ends[0] >= 0) & (ends[1] >= 0) & ~placed.is_placed[placed.matched].all(axis=1)
    by_matches, n_matches = _count(np.sort(np.stack([end[both] for end in ends], axis=1), axis=1))
    codes = np.union1d(by_points, by_matches)
    pairs = np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1).astype(np.int32)
    points, matches = _spread(codes, by_points, n_points), _spread(codes, by_matches, n_matches)
    apart = table.view_of[pairs[:, 0]] != table.view_of[pairs[:, 1]]
    pairs, points, matches = pairs[apart], points[apart], matches[apart]
    weighed = np.maximum(_weigh(table, pairs, points, cap=POINTS_CAP), _weigh(table, pairs, matches, cap=MATCHES_CAP))
    return PhotoLinks(pairs, points, matches, weighed, points_of)


def odds_of(links: PhotoLinks, pairs: Int32Array) -> Float64Array:
    """Return what the links say about other pairs, (E, 2) int32 rows with the smaller first: (E,) float64, 0 where nothing."""
    place, is_known = _find(links, pairs)
    return np.where(is_known, np.append(links.log_odds, 0.0)[place], 0.0)


def points_of(links: PhotoLinks, pairs: Int32Array) -> Int32Array:
    """Return how many points other pairs, (E, 2) int32 rows with the smaller first, share: (E,) int32."""
    place, is_known = _find(links, pairs)
    return np.where(is_known, np.append(links.points, 0)[place], 0).astype(np.int32)


def _find(links: PhotoLinks, pairs: Int32Array) -> tuple[NDArray[np.int64], BoolArray]:
    """Return where each pair is among the links, (E,), and whether it is, (E,) bool."""
    codes, wanted = code_pairs(links.pairs), code_pairs(pairs)
    place = np.searchsorted(codes, wanted)
    return place, np.append(codes, -1)[place] == wanted


def _pair_up(held: NDArray[np.int32]) -> Int32Array:
    """Return all pairs of masks that hold one point, (Q, 2) int32, from (T, 2) rows of point and mask, sorted."""
    starts = np.flatnonzero(np.r_[True, held[1:, 0] != held[:-1, 0]]) if len(held) else np.zeros(0, np.int64)
    found = [np.zeros((0, 2), np.int32)]
    sizes = np.diff(np.r_[starts, len(held)])
    for size in np.unique(sizes).tolist():
        if size < 2:
            continue
        first = starts[sizes == size]
        masks = held[first[:, None] + np.arange(size), 1]
        a, b = np.triu_indices(size, k=1)
        found.append(np.stack([masks[:, a].ravel(), masks[:, b].ravel()], axis=1))
    return np.concatenate(found).astype(np.int32)


def _count(pairs: Int32Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.unique(code_pairs(pairs), return_counts=True)


def _spread(codes: NDArray[np.int64], known: NDArray[np.int64], counts: NDArray[np.int64]) -> Int32Array:
    values = np.zeros(len(codes), np.int32)
    values[np.searchsorted(codes, known)] = counts
    return values


def _weigh(table: MaskTable, pairs: Int32Array, counts: Int32Array, *, cap: float) -> Float64Array:
    """Return log-odds, (L,) float64, by the share of links of such a count that a stronger link to the same view proves wrong."""
    log_odds = np.zeros(len(pairs))
    linked = counts > 0
    is_beaten = _find_beaten(table, pairs, counts)
    level = np.searchsorted(COUNT_LEVELS, counts, side="right")
    for number in range(1, len(COUNT_LEVELS) + 1):
        some = linked & (level == number)
        wrong = (is_beaten[some].sum() + PSEUDO_COUNT * PRIOR_WRONG) / (some.sum() + PSEUDO_COUNT)
        log_odds[some] = np.log((1 - wrong) / wrong) if wrong < 1 else -cap
    log_odds[is_beaten] = np.minimum(log_odds[is_beaten], 0.0)
    return np.clip(log_odds, -cap, cap)


def _find_beaten(table: MaskTable, pairs: Int32Array, counts: Int32Array) -> BoolArray:
    """Return the links of which one mask has a stronger link to another mask of the other's view, (L,) bool."""
    beaten = np.zeros(len(pairs), bool)
    for side in (0, 1):
        code = pairs[:, side].astype(np.int64) * len(table.views) + table.view_of[pairs[:, 1 - side]]
        _, place = np.unique(code, return_inverse=True)
        most = np.zeros(int(place.max(initial=-1)) + 1, np.int32)
        np.maximum.at(most, place, counts)
        beaten |= (counts > 0) & (counts < most[place])
    return beaten
