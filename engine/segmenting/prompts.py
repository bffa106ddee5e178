"""A mask from a click or a box: what everything that makes one provides, and the regions of the built-in segmenter."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.segmenting.edits import EditError, Point
from engine.segmenting.registry import open_segmenter
from engine.segmenting.run import segment_picture
from engine.types import NOTHING, BoolArray, Float32Array, Int32Array, UInt8Array, View

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels; whole numbers are pixel centres."""


class PromptedPicture(Protocol):
    """One view, ready to be asked about many times."""

    def at(self, point: Point) -> BoolArray:
        """Return the mask of what lies at a point, (H, W) bool.

        Raises:
            EditError: If nothing is found there.
            ModelError: If a model fails.
        """
        ...

    def within(self, box: Box) -> BoolArray:
        """Return the mask of what a box holds, (H, W) bool; raises as `at` does."""
        ...


class Prompter(Protocol):
    """Makes masks from clicks and boxes."""

    @property
    def name(self) -> str:
        """What it is called, for people."""
        ...

    def prepare(self, rgb: UInt8Array, depth: Float32Array | None, view: View) -> PromptedPicture:
        """Look at a view once; see `segment_picture` for the arguments."""
        ...


def open_prompter(model: str = "", *, device: str = "auto") -> Prompter:
    """Return the built-in prompter, or that of a model.

    Args:
        model: A hub id, or a folder written by save_pretrained; "" = built in.
        device: Where a model runs.

    Raises:
        ModelError: If there is no such model, or it takes no clicks.
    """
    if not model:
        return RegionPrompter()
    # Imports PyTorch and transformers.
    from engine.segmenting.prompt_models import ModelPrompter

    return ModelPrompter(model, device=device)


class RegionPrompter:
    """Cuts the view into the regions of the built-in segmenter, and gives the one that is asked about."""

    name = "built in, by surface and colour"

    def prepare(self, rgb: UInt8Array, depth: Float32Array | None, view: View) -> PromptedPicture:
        """Cut the view."""
        return RegionPicture(segment_picture(open_segmenter(), rgb, depth, view))


class RegionPicture:
    """A view cut into regions.

    Args:
        regions: (H, W) int32, -1 = none.
    """

    def __init__(self, regions: Int32Array) -> None:
        self._regions = regions

    def at(self, point: Point) -> BoolArray:
        """Return the region under a point."""
        column, row = round(point[0]), round(point[1])
        height, width = self._regions.shape
        if not (0 <= row < height and 0 <= column < width) or self._regions[row, column] == NOTHING:
            raise EditError("There is nothing at this point; click on something in the picture.")
        return self._regions == self._regions[row, column]

    def within(self, box: Box) -> BoolArray:
        """Return the largest region that lies mostly in the box, else the one that has most of it; what lies outside is cut off."""
        inside = _fill_box(box, self._regions.shape)
        found, pixels = np.unique(self._regions[inside & (self._regions != NOTHING)], return_counts=True)
        if not len(found):
            raise EditError("There is nothing in this box; draw it around something in the picture.")
        whole = np.asarray([np.count_nonzero(self._regions == one) for one in found])
        mostly = pixels > whole / 2
        best = found[np.argmax(np.where(mostly, pixels, 0) if mostly.any() else pixels)]
        return inside & (self._regions == best)


def _fill_box(box: Box, shape: tuple[int, ...]) -> BoolArray:
    left, top, right, bottom = box
    inside = np.zeros(shape, bool)
    rows = slice(max(0, int(np.ceil(min(top, bottom)))), max(0, int(np.floor(max(top, bottom))) + 1))
    columns = slice(max(0, int(np.ceil(min(left, right)))), max(0, int(np.floor(max(left, right))) + 1))
    inside[rows, columns] = True
    return inside
