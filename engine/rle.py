"""Masks as COCO run-length encoding, in the packed form that every tool of that format reads."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from engine.types import BoolArray


def encode_mask(mask: BoolArray) -> str:
    """Return the "counts" of a mask: runs column by column, beginning outside the mask, packed into text.

    Args:
        mask: (H, W) bool.
    """
    return coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode("ascii")
