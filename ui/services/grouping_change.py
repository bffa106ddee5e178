"""What a correction changed: masks that moved, colours that stay with their groups, points to show. Groupings in, arrays out."""

from __future__ import annotations

import numpy as np

from engine.grouping.graph import Grouping
from engine.types import NOTHING, BoolArray, Int32Array


def count_moved(before: Grouping, after: Grouping) -> int:
    """Return how many masks left the group that most of their old group is in now, numbers of groups aside."""
    return int(moved_masks(before.labels, after.labels).sum())


def moved_masks(before: Int32Array, after: Int32Array) -> BoolArray:
    """Return the masks, (N,) bool, that went elsewhere: labels are (N,) int32 groups, whose numbers mean nothing across the two.

    A group that was split: all but its largest part. Groups that became one: all but the largest of them.
    """
    left = _minority(before, after)
    joined = _minority(after, before)
    return left if left.sum() >= joined.sum() else joined


def _minority(outer: Int32Array, inner: Int32Array) -> BoolArray:
    """(N,) bool: members of each `outer` group that are not in the `inner` group most of it is in."""
    away = np.zeros(len(outer), bool)
    for group in range(int(outer.max(initial=NOTHING)) + 1):
        rows = np.flatnonzero(outer == group)
        if len(rows):
            away[rows] = inner[rows] != np.bincount(inner[rows]).argmax()
    return away


def inherit_colors(before: Int32Array, colors: Int32Array, after: Int32Array) -> Int32Array:
    """Number the groups' colours so that a correction repaints only what it changed.

    Args:
        before: (N,) int32 group of each mask so far.
        colors: (G,) int32 colour of each of those groups.
        after: (N,) int32 group of each mask now.

    Returns:
        Colour of each group now, int32, each used once: a group takes the colour of the group that most of its masks come from,
        the largest heir first; groups without one take the smallest free numbers.
    """
    count = int(after.max(initial=NOTHING)) + 1
    inherited = np.full(count, NOTHING, np.int32)
    pairs, sizes = np.unique(np.stack([after, before]), axis=1, return_counts=True)
    taken: set[int] = set()
    for place in np.argsort(-sizes, kind="stable").tolist():
        group, color = int(pairs[0, place]), int(colors[pairs[1, place]])
        if inherited[group] == NOTHING and color not in taken:
            inherited[group] = color
            taken.add(color)
    free = (number for number in range(count + len(colors)) if number not in taken)
    for group in np.flatnonzero(inherited == NOTHING).tolist():
        inherited[group] = next(free)
    return inherited
