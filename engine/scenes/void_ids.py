"""Finds ids in stored masks that mark no object: 255 and 65535 are what many tools write for "void". Knows no scene format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.types import Int32Array

VOID_IDS = (255, 65535)
SAMPLED_VIEWS = 7
LEAST_VIEWS = 3
SHARE_OF_VIEWS = 0.85
"""A void id is in nearly all views; an object hardly ever is."""
GAP = 20
"""How far the other ids lie below it: ids are numbered from 1 without large gaps."""
LARGE_SHARE = 0.02
"""Share of the picture, or of its border, that void covers in most views."""


def guess_void_id(names: Sequence[str], read: Callable[[str], Int32Array | None]) -> int | None:
    """Return the id that seems to mean "nothing here" in a scene's masks, or None.

    It must be 255 or 65535, be in nearly every view beside other ids that all lie well below it, and cover some of the border or
    of the picture in most views.

    Args:
        names: The scene's views.
        read: Gives a view's ids as stored, (H, W) int32, -1 = nothing; None if it cannot be read.
    """
    places: list[int] = np.unique(np.linspace(0, len(names) - 1, min(SAMPLED_VIEWS, len(names))).astype(int)).tolist()
    maps = [ids for place in places if names and (ids := read(names[place])) is not None and ids.size]
    if len(maps) < LEAST_VIEWS:
        return None
    for void in reversed(VOID_IDS):
        if sum(_is_void_in(ids, void) for ids in maps) >= SHARE_OF_VIEWS * len(maps):
            return void
    return None


def _is_void_in(ids: Int32Array, void: int) -> bool:
    others = ids[(ids != void) & (ids > 0)]
    where = ids == void
    if not where.any() or others.size == 0 or int(others.max()) > void - GAP:
        return False
    border = np.concatenate([where[0], where[-1], where[:, 0], where[:, -1]])
    return float(border.mean()) >= LARGE_SHARE or float(where.mean()) >= LARGE_SHARE
