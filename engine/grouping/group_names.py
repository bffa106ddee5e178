"""What groups are called, by the objects that their masks show. Knows masks and groups, never where names come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from engine.types import NOTHING, Int32Array, MaskKey, Scene

LEAST_SHARE = 0.5
"""A group is called by a class that more than this share of its named area has."""


def name_masks(truth: Int32Array | None, count: int, name_of: Callable[[int], str | None]) -> tuple[str | None, ...]:
    """Return what each mask shows, None where that is unknown.

    Args:
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        count: Number of masks.
        name_of: What an object is called.
    """
    if truth is None:
        return (None,) * count
    known = {int(instance): name_of(int(instance)) for instance in np.unique(truth) if instance != NOTHING}
    return tuple(known.get(int(instance)) for instance in truth)


def name_own_masks(scene: Scene, truth: Int32Array | None, keys: Sequence[MaskKey]) -> tuple[str | None, ...]:
    """Return what each mask is called: as the tool that made it says, else as the object that it shows; None = unknown.

    Args:
        scene: Where the masks come from.
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        keys: The masks, N.
    """
    own = tuple(scene.mask_name_of(key.mask) for key in keys)
    return own if any(own) else name_masks(truth, len(keys), scene.name_of)


def name_groups(labels: Int32Array, areas: Int32Array, names: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return what each group is called: as most of its masks' area is, None where nothing has more than half.

    Args:
        labels: (N,) int32 group of each mask.
        areas: (N,) int32 pixels of each mask.
        names: What each mask shows, N.
    """
    shown = [Counter[str]() for _ in range(int(labels.max(initial=NOTHING)) + 1)]
    for label, area, name in zip(labels.tolist(), areas.tolist(), names, strict=True):
        if label != NOTHING and name is not None:
            shown[label][name] += area
    called: list[str | None] = []
    for areas_by_name in shown:
        name, area = areas_by_name.most_common(1)[0] if areas_by_name else ("", 0)
        called.append(name if area > LEAST_SHARE * areas_by_name.total() else None)
    return tuple(called)
