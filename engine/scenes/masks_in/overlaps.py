"""Masks that may overlap become one map of ids, by one rule. Knows no file format.

A pixel belongs to the smallest mask that covers it; of masks of equal size, to the one that comes first. A mask that keeps less
than a tenth of its pixels is left out: smaller ones already cover what it is.
"""

from __future__ import annotations

import numpy as np

from engine.types import NOTHING, BoolArray, Int32Array, UInt8Array

KEPT_SHARE = 0.1
"""Share of its pixels that a mask must keep."""


class Layers:
    """Masks of one picture, one upon another; keeps one bit a pixel for each.

    Args:
        width: Width of the picture, pixels.
        height: Height of the picture, pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._ids: list[int] = []
        self._areas: list[int] = []
        self._bits: list[UInt8Array] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, mask_id: int, mask: BoolArray) -> None:
        """Add a mask, (height, width) bool; one without any pixel is nothing."""
        area = int(np.count_nonzero(mask))
        if area:
            self._ids.append(mask_id)
            self._areas.append(area)
            self._bits.append(np.packbits(mask))

    def flatten(self) -> Int32Array:
        """Return the id of every pixel, (height, width) int32, -1 = none."""
        count = self.height * self.width
        place = np.full(count, NOTHING, np.int32)
        order = sorted(range(len(self)), key=lambda index: (-self._areas[index], -index))
        for index in order:
            place[np.unpackbits(self._bits[index], count=count).astype(bool)] = index
        kept = np.bincount(place[place != NOTHING], minlength=len(self))
        ids = [
            mask_id if kept[index] >= KEPT_SHARE * self._areas[index] and kept[index] else NOTHING
            for index, mask_id in enumerate(self._ids)
        ]
        lookup = np.array([*ids, NOTHING], np.int32)  # the last entry serves -1
        return lookup[place].reshape(self.height, self.width)
