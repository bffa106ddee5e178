"""How large and how narrow a picture may be that a model is shown: the same in judging, in training, and for servers.

Real models take what they get: a view of 12 megapixels becomes 12,000 tokens, and a picture more than 200 times as long as wide is
an error. Small pictures need nothing: every model's own processor enlarges them.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
from PIL import Image

from engine.types import UInt8Array

MOST_PIXELS = 1024 * 1024
"""Of a picture: about a thousand tokens of a Qwen3-VL."""
MOST_STRETCH = 100
"""Longer side by shorter side."""


def fit_picture(picture: UInt8Array, *, own_limit: int | None = None) -> UInt8Array:
    """Make a picture fit.

    Args:
        picture: (h, w, 3) uint8.
        own_limit: Pixels to which the model's own processor shrinks every picture, None = unknown. Where it shrinks further than
            is done here, it alone does so: twice would blur.

    Returns:
        The same picture if it fits. Else (h, w, 3) uint8: on black until it is not too narrow, then shrunk.
    """
    if max(picture.shape[:2]) > MOST_STRETCH * min(picture.shape[:2]):
        picture = _put_on_black(picture)
    if picture.shape[0] * picture.shape[1] <= MOST_PIXELS or (own_limit is not None and own_limit <= MOST_PIXELS):
        return picture
    return _shrink(picture, sqrt(MOST_PIXELS / (picture.shape[0] * picture.shape[1])))


def _put_on_black(picture: UInt8Array) -> UInt8Array:
    # The longest that a picture of the narrowest kind may be; without this, a long line would become a huge square of black.
    longest = sqrt(MOST_PIXELS * MOST_STRETCH)
    if max(picture.shape[:2]) > longest:
        picture = _shrink(picture, longest / max(picture.shape[:2]))
    height, width = picture.shape[:2]
    least = ceil(max(height, width) / MOST_STRETCH)
    on_black = np.zeros((max(height, least), max(width, least), 3), dtype=np.uint8)
    top, left = (on_black.shape[0] - height) // 2, (on_black.shape[1] - width) // 2
    on_black[top : top + height, left : left + width] = picture
    return on_black


def _shrink(picture: UInt8Array, scale: float) -> UInt8Array:
    height, width = picture.shape[:2]
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def own_limit_of(image_processor: Any) -> int | None:
    """Return to how many pixels an image processor of transformers shrinks a picture, None if it does not say."""
    size: Any = getattr(image_processor, "size", None)
    try:
        # A Qwen-VL's "longest edge" counts pixels of the area.
        return int(size["longest_edge"]) if "merge_size" in image_processor.to_dict() else None
    except (KeyError, TypeError, AttributeError):
        return None
