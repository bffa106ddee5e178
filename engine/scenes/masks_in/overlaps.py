"""Masks that may overlap become one map of ids, by one rule. Knows no file format.

A pixel belongs to the smallest mask that covers it; of masks of equal size, to the one that comes first. A mask that keeps less
than a tenth of its pixels is left out: smaller ones already cover what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import SceneError
from engine.types import NOTHING, BoolArray, Int32Array, UInt8Array

KEPT_SHARE = 0.1
"""Share of its pixels that a mask must keep."""
MAX_DRAWN_PX = 1_000_000_000
"""Pixels of one view's masks together, counted where they are drawn: some seconds of work."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """A mask within its bounding box: one bit a pixel, the box's first row and column and its size, and the mask's pixels."""

    mask_id: int
    area: int
    row: int
    column: int
    shape: tuple[int, int]
    bits: UInt8Array


class Layers:
    """Masks of one picture, one upon another; keeps one bit for each pixel of their bounding boxes.

    Args:
        width: Width of the picture, pixels.
        height: Height of the picture, pixels.
        where: What they are read from, for messages.
    """

    def __init__(self, width: int, height: int, where: str = "masks") -> None:
        self.width, self.height = width, height
        self._where = where
        self._layers: list[_Layer] = []
        self._drawn = 0

    def reserve(self, pixels: int) -> None:
        """Count pixels that are about to be drawn.

        Raises:
            SceneError: If they are too many together.
        """
        self._drawn += pixels
        if self._drawn > MAX_DRAWN_PX:
            raise SceneError(
                f"{self._where}: found masks of more than {MAX_DRAWN_PX:,} pixels together, expected fewer in a view; "
                "make pictures and masks smaller, or keep fewer masks."
            )

    def add(self, mask_id: int, mask: BoolArray, *, column: int = 0) -> None:
        """Add a mask; one without any pixel is nothing.

        Args:
            mask_id: Its id.
            mask: (height, some columns) bool.
            column: Where its first column lies in the picture.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return
        inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        area = int(np.count_nonzero(inner))
        shape = (inner.shape[0], inner.shape[1])
        self._layers.append(_Layer(mask_id, area, int(rows[0]), column + int(columns[0]), shape, np.packbits(inner)))

    def flatten(self) -> Int32Array:
        """Return the id of every pixel, (height, width) int32, -1 = none."""
        place = np.full((self.height, self.width), NOTHING, np.int32)
        for index in sorted(range(len(self._layers)), key=lambda index: (-self._layers[index].area, -index)):
            layer = self._layers[index]
            inner = np.unpackbits(layer.bits, count=layer.shape[0] * layer.shape[1]).astype(bool).reshape(layer.shape)
            place[layer.row : layer.row + layer.shape[0], layer.column : layer.column + layer.shape[1]][inner] = index
        kept = np.bincount(place[place != NOTHING], minlength=len(self._layers))
        ids = [
            layer.mask_id if kept[index] and kept[index] >= KEPT_SHARE * layer.area else NOTHING
            for index, layer in enumerate(self._layers)
        ]
        lookup = np.array([*ids, NOTHING], np.int32)  # the last entry serves -1
        return lookup[place]
