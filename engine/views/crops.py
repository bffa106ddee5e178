"""Shows one mask of a view as the picture that a judge sees. Knows nothing about models or prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from engine.errors import MaskError
from engine.types import BoolArray, Frame, MaskKey, UInt8Array

PictureStyle = Literal["on_black", "outlined", "blurred", "whole_view"]
"""How a mask is shown: alone on black, as in the original; with its surroundings and an outline; with its surroundings blurred;
or as the whole view with an outline."""

PADDING_PX = 10
"""Pixels of margin around a mask's bounding box, as in the original."""
CONTEXT_SHARE = 0.5
"""Surroundings on each side, as a share of the longer side of the mask's box."""
MIN_CONTEXT_PX = 24
OUTLINE_RGB = (255, 0, 255)
OUTLINE_SHARE = 1 / 80
"""Width of the outline as a share of the picture's longer side, so that it is still seen when a model shrinks the picture."""
BLUR_SHARE = 1 / 20
"""Radius of the blur as a share of the picture's longer side."""


@dataclass(frozen=True)
class Box:
    """A pixel rectangle: columns x0..x1 and rows y0..y1, both ends included."""

    x0: int
    y0: int
    x1: int
    y1: int

    def padded(self, margin: int, width: int, height: int) -> Box:
        """Return the box grown by `margin` pixels, kept inside an image of `width` x `height`."""
        return Box(
            max(self.x0 - margin, 0),
            max(self.y0 - margin, 0),
            min(self.x1 + margin, width - 1),
            min(self.y1 + margin, height - 1),
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that take the whole box, last row and column included."""
        return slice(self.y0, self.y1 + 1), slice(self.x0, self.x1 + 1)


def bounding_box(mask: BoolArray) -> Box:
    """Return the tight box of a mask.

    Args:
        mask: (H, W) bool.

    Raises:
        MaskError: If no pixel is set.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise MaskError("The mask is empty: 0 pixels are set, at least 1 was expected; pick another mask.")
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def crop_on_black(rgb: UInt8Array, mask: BoolArray, *, padding: int = PADDING_PX) -> UInt8Array:
    """Cut a mask out on black.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool.
        padding: Margin around the tight box, pixels; clipped at the image's border.

    Returns:
        (h, w, 3) uint8, black outside the mask.

    Raises:
        MaskError: If the mask is empty.
    """
    height, width = mask.shape
    rows, columns = bounding_box(mask).padded(padding, width, height).slices
    return np.where(mask[rows, columns, None], rgb[rows, columns], 0).astype(np.uint8)


def select_mask(frame: Frame, key: MaskKey) -> BoolArray:
    """Return the (H, W) bool mask of `key` in its frame.

    Raises:
        MaskError: If the frame has no such mask.
    """
    if key.mask not in frame.mask_areas:
        some = ", ".join(str(i) for i in sorted(frame.mask_areas)[:8]) or "none"
        raise MaskError(
            f"View {frame.view!r} has no mask {key.mask}; its masks are {some}{', ...' if len(frame.mask_areas) > 8 else ''}."
        )
    return frame.instance_map == key.mask


def show_mask(frame: Frame, key: MaskKey, *, style: PictureStyle = "on_black") -> UInt8Array:
    """Show the mask `key` of its frame as a judge's prompt wants it.

    Returns:
        (h, w, 3) uint8: the mask's box with a margin of `PADDING_PX` ("on_black") or of its surroundings ("outlined", "blurred"),
        or all of the view ("whole_view", at the frame's size).

    Raises:
        MaskError: If the frame has no such mask.
    """
    mask = select_mask(frame, key)
    if style == "on_black":
        return crop_on_black(frame.rgb, mask)
    if style == "whole_view":
        return draw_outline(frame.rgb, mask)
    box = bounding_box(mask)
    margin = max(round(CONTEXT_SHARE * max(box.x1 - box.x0 + 1, box.y1 - box.y0 + 1)), MIN_CONTEXT_PX)
    cut = box.padded(margin, mask.shape[1], mask.shape[0]).slices
    return draw_outline(frame.rgb[cut], mask[cut]) if style == "outlined" else blur_around(frame.rgb[cut], mask[cut])


def draw_outline(rgb: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Return a copy of (h, w, 3) uint8 with a line around the (h, w) bool mask, outside it: the mask's own pixels stay."""
    width = max(round(max(mask.shape) * OUTLINE_SHARE), 1)
    grown = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * width + 1))
    return np.where((np.asarray(grown) > 0)[..., None] & ~mask[..., None], np.array(OUTLINE_RGB, np.uint8), rgb)


def blur_around(rgb: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Return a copy of (h, w, 3) uint8 that is blurred outside the (h, w) bool mask."""
    blurred = Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(max(mask.shape) * BLUR_SHARE))
    return np.where(mask[..., None], rgb, np.asarray(blurred))
