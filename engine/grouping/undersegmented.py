"""Finds masks that cover several objects, because view after view shows several masks where they show one.

Such a mask would glue its objects together, and it would testify that other masks are one. So it may testify no more, and it keeps
one link, to the mask that it covers most (MaskClustering, Yan et al., CVPR 2024, leaves such masks out altogether).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.grouping.geometry import Landings, MaskTable
from engine.types import BoolArray

MIN_SHARE = 0.12
"""Share of a mask that must lie on another to count: less is rim."""
MIN_VIEWS = 3
"""Views that must see the mask: two may both be wrong."""


SPLIT_VIEWS = 0.65
"""A mask covers several objects if this share of the views that see it well, and at least two, show it as several."""
SEEN_WELL = 0.5
"""Share of a mask that a view must see to count here: where less is in sight, one object may hide the other."""


def find_undersegmented(table: MaskTable, landings: Landings) -> BoolArray:
    """Return the masks that cover several objects, (N,) bool: most views show several masks in their place.

    Random splits of single objects are told apart by how often they happen: three views in ten, not seven.
    """
    count, views = len(table), len(table.views)
    place = landings.rows.astype(np.int64) * views + table.view_of[landings.onto]
    pieces = np.bincount(place[landings.shares >= MIN_SHARE], minlength=count * views).reshape(count, views)
    seen = np.bincount(place, minlength=count * views).reshape(count, views) > 0
    seen &= landings.visible >= SEEN_WELL
    split = ((pieces >= 2) & seen).sum(axis=1)
    return (split >= 2) & (split >= SPLIT_VIEWS * np.maximum(seen.sum(axis=1), MIN_VIEWS))


def without_testimony(table: MaskTable, landings: Landings, undersegmented: BoolArray) -> Landings:
    """Return the landings with those masks silenced: nothing lands on them any more, and they land on one mask only, each."""
    silent = np.append(undersegmented, [False, False])  # the last two serve -1 and -2
    dominant = np.where(silent[landings.dominant] | undersegmented[:, None], -2, landings.dominant)
    in_sight = landings.visible[landings.rows, table.view_of[landings.onto]]
    order = np.lexsort((-landings.shares * in_sight, landings.rows))
    first = order[np.append(True, landings.rows[order][1:] != landings.rows[order][:-1])] if len(order) else order
    is_best = np.zeros(len(landings.rows), bool)
    is_best[first] = True
    kept = ~undersegmented[landings.onto] & (~undersegmented[landings.rows] | is_best)
    rows, onto = landings.rows[kept], landings.onto[kept]
    return replace(landings, rows=rows, onto=onto, shares=landings.shares[kept], dominant=dominant.astype(np.int32))
