"""Finds masks that cover several objects, because the views that show several masks in their place agree that these are several.

Such a mask would glue its objects together, and it would count as a witness that other masks are one. So it is no witness any more,
and it has no links until it is placed with the group that it shows most of (MaskClustering, Yan et al., CVPR 2024, leaves such
masks out altogether).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.grouping.candidates import PairEvidence, count_witnesses, pair_attracted, unique_pairs
from engine.grouping.geometry import MaskTable, Projections
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array

PIECE_SHARE = 0.2
"""Share of a mask that must lie on each of two masks of one view for that view to be heard: less is a ragged border."""
MAX_PIECES = 3
"""The largest masks of one view in a mask's place that are compared with one another."""
SEEN_WELL = 0.5
"""Share of a mask that a view must see to be heard: where less is in sight, one object may hide the other."""
WHOLE_SHARE = 0.85
WHOLE_SEEN = 0.6
"""A view that sees this share of a mask, and as much of that as the first says on one mask, says that it is one object."""
APART = 0.7
"""Share of the other views that must show two pieces as two masks: views split single objects too, but not the same way."""
MIN_CONFLICTS = 3
BRIDGE_CONFLICT = (0.3, 0.2)
"""A mask is a bridge from this share of conflict on: the clear ones first, as they are what makes their neighbours look like it."""
MIN_HINTS = 2
MIN_PART = 3
MIN_PULL = 1.0
"""Two views make a mask suspect. It is glue if without the suspects its group falls into parts of at least so many masks, and two
of them pull at it with at least this much log-odds."""
MIN_WITNESSES = 3
MIN_VIEWS = 2
SPLIT_VIEWS = 0.5
"""A mask covers several objects if this share of the views heard, and this many, say so, and one is borne out by so many others."""


@dataclass(frozen=True, eq=False)
class Bridges:
    """What speaks against masks that attract masks of two objects.

    Attributes:
        conflict: (N,) float64 share of the pairs of masks that a mask attracts and views can judge which they show apart.
        apart: (C, 2) int32 rows of those pairs, first < second.
        suspects: (N,) masks with any such pair, two views being enough to show it apart.
    """

    conflict: Float64Array
    apart: Int32Array
    suspects: BoolArray


def find_undersegmented(table: MaskTable, projections: Projections) -> BoolArray:
    """Return the masks that cover several objects, (N,) bool.

    A view may show several masks in a mask's place because the mask covers several objects, or because that view splits one object.
    The other views tell which: they show the pieces as two masks in the first case and as one in the second.
    """
    count, views = len(table), len(table.views)
    in_sight = projections.visible[projections.rows, table.view_of[projections.onto]]
    is_whole = (projections.shares >= WHOLE_SHARE) & (in_sight >= WHOLE_SEEN)
    whole = np.bincount(projections.rows[is_whole], minlength=count)
    first, second = _pair_pieces(table, projections, in_sight)
    mask, view = projections.rows[first], table.view_of[projections.onto[first]]
    apart, together = _hear_others(table, projections, mask, np.stack([projections.onto[first], projections.onto[second]], axis=1))
    is_two = (apart > 0) & (apart >= APART * (apart + together))
    split = np.bincount(np.unique(mask[is_two].astype(np.int64) * views + view[is_two]) // views, minlength=count)
    witnesses = np.zeros(count, np.int64)
    np.maximum.at(witnesses, mask[is_two], apart[is_two])
    return (split >= MIN_VIEWS) & (witnesses >= MIN_WITNESSES) & (split >= SPLIT_VIEWS * (split + whole))


def _pair_pieces(table: MaskTable, projections: Projections, in_sight: Float32Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the large projections of one mask in one view; returns two lists of projections."""
    place = projections.rows.astype(np.int64) * len(table.views) + table.view_of[projections.onto]
    large = np.flatnonzero((projections.shares >= PIECE_SHARE) & (in_sight >= SEEN_WELL))
    order = large[np.lexsort((-projections.shares[large], place[large]))]
    code = place[order]
    found: list[NDArray[np.int64]] = [np.zeros((2, 0), np.int64)]
    for gap in range(1, MAX_PIECES):
        together = np.flatnonzero(code[:-gap] == code[gap:])
        found.append(np.stack([order[together], order[together + gap]]))
    first, second = np.concatenate(found, axis=1)
    return first, second


def _hear_others(table: MaskTable, projections: Projections, mask: Int32Array, pairs: Int32Array) -> tuple[Int32Array, Int32Array]:
    """Count views that show each pair of pieces as two masks and as one, other than the mask's own view and that of the pieces.

    Pieces of two views are heard about by both.
    """
    agree, seen = count_witnesses(table, projections, pairs)
    own = table.view_of[mask]
    first, second = projections.dominant[pairs[:, 0], own], projections.dominant[pairs[:, 1], own]
    of_one_view = table.view_of[pairs[:, 0]] == table.view_of[pairs[:, 1]]
    seen = seen - of_one_view - ((first >= 0) & (second >= 0))
    agree = agree - ((first >= 0) & (first == second))
    return (seen - agree).astype(np.int32), agree.astype(np.int32)


def find_bridges(table: MaskTable, projections: Projections, evidence: PairEvidence, *, attracts: BoolArray) -> Bridges:
    """Find masks that attract masks of two objects, as views that show these together know.

    The parts of such a mask need not be seen by one view: here a view sees its left half and there another one its right half, and
    each takes it for what it sees. But the masks that it lands on in the two are two objects wherever both are in sight.

    Args:
        table: The masks.
        projections: Where they land in other views.
        evidence: Pairs of masks.
        attracts: (E,) whether a pair speaks for one object.
    """
    count = len(table)
    centre, pairs = pair_attracted(evidence, attracts)
    apart, together = _hear_others(table, projections, centre, pairs)
    judged = apart + together >= MIN_WITNESSES
    is_two = judged & (apart >= MIN_WITNESSES) & (apart >= APART * (apart + together))
    conflicts, all_judged = np.bincount(centre[is_two], minlength=count), np.bincount(centre[judged], minlength=count)
    share = np.where(conflicts >= MIN_CONFLICTS, conflicts / np.maximum(all_judged, 1), 0.0)
    hints = (apart >= MIN_HINTS) & (apart >= APART * (apart + together))
    return Bridges(share, unique_pairs(pairs[is_two]), np.bincount(centre[hints], minlength=count) > 0)


def find_glue(labels: Int32Array, without: Int32Array, suspects: BoolArray, pairs: Int32Array, weights: Float64Array) -> BoolArray:
    """Return the suspects without which a group falls apart, and which its parts pull at from two sides, (N,) bool.

    Args:
        labels: (N,) int32 groups with all masks.
        without: (N,) int32 groups of the masks that are no suspects.
        suspects: (N,) masks that may cover several objects.
        pairs: (E, 2) int32 rows of links.
        weights: (E,) float64 their log-odds.
    """
    sound = ~suspects
    sizes = np.bincount(without[sound], minlength=int(without.max(initial=-1)) + 1)
    is_part = sizes >= MIN_PART
    both = np.concatenate([pairs, pairs[:, ::-1]])
    doubled = np.concatenate([weights, weights])
    pulls = suspects[both[:, 0]] & sound[both[:, 1]] & (labels[both[:, 0]] == labels[both[:, 1]]) & is_part[without[both[:, 1]]]
    code = both[pulls, 0].astype(np.int64) << 32 | without[both[pulls, 1]]
    sides, place = np.unique(code, return_inverse=True)
    strong = np.bincount(place, weights=doubled[pulls], minlength=len(sides)) >= MIN_PULL
    return np.bincount((sides[strong] >> 32).astype(np.int64), minlength=len(labels)) >= 2


def without_observations(table: MaskTable, projections: Projections, undersegmented: BoolArray) -> Projections:
    """Return the projections without those masks as witnesses: nothing lands on them any more, and they land on nothing."""
    silent = np.append(undersegmented, [False, False])  # the last two serve -1 and -2
    dominant = np.where(silent[projections.dominant] | undersegmented[:, None], -2, projections.dominant)
    kept = ~undersegmented[projections.onto] & ~undersegmented[projections.rows]
    rows, onto = projections.rows[kept], projections.onto[kept]
    return replace(projections, rows=rows, onto=onto, shares=projections.shares[kept], dominant=dominant.astype(np.int32))
