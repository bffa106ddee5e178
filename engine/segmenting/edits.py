"""What people do to the masks of a view: draw, erase, split, join, take away; and the steps that they can take back.

Everything is a plain function from a map of masks to another one. Knows nothing about files, pages or models.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from engine.errors import MaskgroupError
from engine.types import NOTHING, BoolArray, Int32Array

MAX_ID = 65535
"""Largest id of a mask: pictures of ids have 16 bits."""
SAME_MASK = 0.8
"""A mask that overlaps one of before by this IoU is that one: touched up, not another. Above 1/2 at most one can."""
MAX_STEPS = 50
LEAST_PX, LEAST_SHARE = 4, 0.002
"""Parts of fewer pixels, or of a smaller share of the mask, are slivers that a cut leaves, no masks."""
EIGHT = np.ones((3, 3), np.int8)

Point = tuple[float, float]
"""(column, row) in pixels; whole numbers are pixel centres."""


class EditError(MaskgroupError):
    """An edit that cannot be done."""


def list_masks(ids: Int32Array) -> list[int]:
    """Return the ids of the masks of a view, smallest first; counted, as sorting all pixels takes a second in large photos."""
    return (np.flatnonzero(count_pixels(ids)[1:]) + 1).tolist()


def count_pixels(ids: Int32Array) -> NDArray[np.int64]:
    """Return how many pixels each id from 0 to the highest has, (ids,) int64; pixels without a mask count for 0."""
    return np.bincount(np.maximum(ids, 0).ravel(), minlength=1)


def draw_stroke(shape: tuple[int, int], points: Sequence[Point], radius_px: float) -> BoolArray:
    """Return the pixels under a round brush that is led along points, (H, W) bool."""
    drawn = Image.new("1", (shape[1], shape[0]))
    pen = ImageDraw.Draw(drawn)
    if len(points) > 1:
        pen.line(list(points), fill=1, width=int(2 * radius_px) + 1)
    for x, y in points:
        pen.point((round(x), round(y)), fill=1)
        if radius_px >= 1:
            pen.ellipse((x - radius_px, y - radius_px, x + radius_px, y + radius_px), fill=1)
    return np.asarray(drawn, bool)


def draw_polygon(shape: tuple[int, int], corners: Sequence[Point]) -> BoolArray:
    """Return the pixels in a polygon, its edges included, (H, W) bool.

    Raises:
        EditError: If it has fewer than three corners.
    """
    if len(corners) < 3:
        raise EditError("A polygon needs at least three corners; click them one after the other.")
    drawn = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(drawn).polygon(list(corners), fill=1, outline=1)
    return np.asarray(drawn, bool)


def add_mask(ids: Int32Array, where: BoolArray, *, leaves_others: bool = False) -> Int32Array:
    """Return masks with a new one, (H, W) int32, -1 = none.

    Args:
        ids: (H, W) int32 masks, -1 = none.
        where: (H, W) bool, its pixels.
        leaves_others: Whether it gets only pixels that have no mask yet; False = it takes them from others.

    Raises:
        EditError: If no pixel is left to it.
    """
    return _put(ids, where, find_free_id(ids), leaves_others=leaves_others)


def grow_mask(ids: Int32Array, where: BoolArray, mask: int, *, leaves_others: bool = False) -> Int32Array:
    """Return masks with some pixels added to one; arguments as for `add_mask`.

    Raises:
        EditError: If there is no such mask, or no pixel to add.
    """
    _require(ids, [mask])
    return _put(ids, where, mask, leaves_others=leaves_others)


def erase(ids: Int32Array, where: BoolArray, mask: int | None = None) -> Int32Array:
    """Return masks without some pixels, of all masks or of one; what has none left is gone.

    Raises:
        EditError: If no mask is there.
    """
    gone = where & (ids != NOTHING if mask is None else ids == mask)
    if not gone.any():
        raise EditError("There is no mask to erase there; erase where a mask is coloured.")
    return np.where(gone, NOTHING, ids).astype(np.int32)


def remove_masks(ids: Int32Array, masks: Collection[int]) -> Int32Array:
    """Return masks without some of them.

    Raises:
        EditError: If one of them is not there, or none is named.
    """
    _require(ids, masks)
    return np.where(np.isin(ids, list(masks)), NOTHING, ids).astype(np.int32)


def join_masks(ids: Int32Array, masks: Collection[int]) -> Int32Array:
    """Return masks with some of them made one, under a new id.

    Raises:
        EditError: If one of them is not there, or they are fewer than two.
    """
    if len(set(masks)) < 2:
        raise EditError("Joining needs at least two masks; pick them with Shift and a click.")
    _require(ids, masks)
    return np.where(np.isin(ids, list(masks)), find_free_id(ids), ids).astype(np.int32)


def split_by_line(ids: Int32Array, mask: int, line: Sequence[Point]) -> Int32Array:
    """Return masks with one cut in two or more along a line.

    The pixels of the cut, slivers beside it, and pieces of the mask that it does not part go to the part that is nearest.

    Raises:
        EditError: If there is no such mask, or the line does not part it.
    """
    _require(ids, [mask])
    whole = ids == mask
    rows, columns = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    # Large photos have small masks: only the part of the picture that holds it is looked at.
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    parts = np.zeros(ids.shape, np.int32)
    parts[window] = _cut(whole[window], [(x - columns[0], y - rows[0]) for x, y in line])
    return _number_parts(ids, whole, parts)


def _cut(own: BoolArray, line: Sequence[Point]) -> Int32Array:
    """Return the part of each pixel of a mask that is cut along a line, (H, W) int32."""
    drawn = Image.new("1", (own.shape[1], own.shape[0]))
    if len(line) > 1:
        ImageDraw.Draw(drawn).line(list(line), fill=1, width=1)
    # Parts touch by edges, not by corners, so a line one pixel wide parts them at any slope.
    rest = own & ~np.asarray(drawn, bool)
    pieces, _ = ndimage.label(own)
    parts, count = ndimage.label(rest)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    least = max(LEAST_PX, LEAST_SHARE * np.count_nonzero(own))
    large = [part for part in range(1, count + 1) if areas[part] >= least]
    # The piece that each of them was part of before; one that is alone in it was not parted.
    piece_of = {part: int(pieces[parts == part][0]) for part in large}
    parted = [part for part in large if sum(other == piece_of[part] for other in piece_of.values()) > 1]
    if not parted:
        raise EditError("The line does not cut the mask in two; draw it right across, from outside to outside.")
    kept = np.where(np.isin(parts, parted), parts, 0)
    nearest = ndimage.distance_transform_edt(kept == 0, return_distances=False, return_indices=True)
    return kept[tuple(nearest)].astype(np.int32)


def split_pieces(ids: Int32Array, mask: int) -> Int32Array:
    """Return masks with one made several: each of its pieces that do not touch is one.

    Raises:
        EditError: If there is no such mask, or it is one piece.
    """
    _require(ids, [mask])
    own = ids == mask
    parts, count = ndimage.label(own, EIGHT)
    if count < 2:
        raise EditError("The mask is one piece; draw a line right across it to split it.")
    return _number_parts(ids, own, parts)


def find_free_id(ids: Int32Array) -> int:
    """Return an id that no mask has.

    Raises:
        EditError: If all 65,535 are taken.
    """
    return _find_free({*list_masks(ids)})


def _find_free(used: Collection[int]) -> int:
    highest = max(used, default=0)
    if highest < MAX_ID:
        return highest + 1
    free = next((number for number in range(1, MAX_ID + 1) if number not in used), None)
    if free is None:
        raise EditError(f"The view has {MAX_ID:,} masks, as many as it can; take some away first.")
    return free


def match_masks(after: Int32Array, before: Int32Array) -> dict[int, int]:
    """Return the masks of `after` that are masks of `before`, by their ids: those that overlap by `SAME_MASK` or more.

    Args:
        after: (H, W) int32 masks, -1 = none.
        before: (H, W) int32 masks, -1 = none.
    """
    both = (after != NOTHING) & (before != NOTHING)
    areas_after, areas_before = count_pixels(after), count_pixels(before)
    shared = np.bincount(after[both].astype(np.int64) * len(areas_before) + before[both])
    same: dict[int, int] = {}
    for pair in np.flatnonzero(shared).tolist():
        new, old = divmod(pair, len(areas_before))
        if shared[pair] >= SAME_MASK * (areas_after[new] + areas_before[old] - shared[pair]):
            same[new] = old
    return same


class EditHistory:
    """The states of a view's masks, one a step, which can be taken back and done again. Kept compressed.

    Args:
        ids: (H, W) int32 masks to begin with, -1 = none.
    """

    def __init__(self, ids: Int32Array) -> None:
        self._shape = ids.shape
        self._steps = [_pack(ids)]
        self._at = 0

    @property
    def ids(self) -> Int32Array:
        """The masks as they are now, (H, W) int32, -1 = none."""
        return np.frombuffer(zlib.decompress(self._steps[self._at]), np.int32).reshape(self._shape)

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether a step that was taken back can be done again."""
        return self._at + 1 < len(self._steps)

    def add(self, ids: Int32Array) -> None:
        """Add a step; steps that were taken back are gone, and so is the oldest where there are more than `MAX_STEPS`."""
        self._steps = [*self._steps[: self._at + 1], _pack(ids)][-MAX_STEPS - 1 :]
        self._at = len(self._steps) - 1

    def replace(self, ids: Int32Array) -> None:
        """Put other ids of the same masks in the place of the present step."""
        self._steps[self._at] = _pack(ids)

    def undo(self) -> None:
        """Take a step back.

        Raises:
            EditError: If there is none.
        """
        if not self.can_undo:
            raise EditError("There is nothing to undo.")
        self._at -= 1

    def redo(self) -> None:
        """Do a step again.

        Raises:
            EditError: If there is none.
        """
        if not self.can_redo:
            raise EditError("There is nothing to redo.")
        self._at += 1


def _put(ids: Int32Array, where: BoolArray, mask: int, *, leaves_others: bool) -> Int32Array:
    taken = where & (ids != mask) & ((ids == NOTHING) | (not leaves_others))
    if not taken.any():
        raise EditError("Nothing is left to draw there: all of it has this mask already, or others that are to be left alone.")
    return np.where(taken, mask, ids).astype(np.int32)


def _require(ids: Int32Array, masks: Collection[int]) -> None:
    if not masks:
        raise EditError("No mask is picked; click one first.")
    for mask in masks:
        if mask == NOTHING or not (ids == mask).any():
            raise EditError("The mask is not there any more; pick another.")


def _number_parts(ids: Int32Array, own: BoolArray, parts: Int32Array) -> Int32Array:
    """Return masks with each part, numbered from 1, under an id of its own that no mask had."""
    result, used = ids.copy(), {*list_masks(ids)}
    inside = parts[own]
    numbers = np.zeros(int(inside.max()) + 1, np.int32)
    for part in np.flatnonzero(np.bincount(inside)).tolist():
        numbers[part] = _find_free(used)
        used.add(int(numbers[part]))
    result[own] = numbers[inside]
    return result


def _pack(ids: Int32Array) -> bytes:
    return zlib.compress(np.ascontiguousarray(ids, np.int32).tobytes(), 1)
