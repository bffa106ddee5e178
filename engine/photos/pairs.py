"""Chooses which photos are compared: all with all while they are few, else neighbours in order and those that look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from engine.types import Float32Array, Int32Array, UInt8Array

ALL_PAIRS_UP_TO = 100
NEXT_PHOTOS = 8
ALIKE_PHOTOS = 16
THUMBNAIL = (16, 12)


def describe_photo(rgb: UInt8Array) -> Float32Array:
    """Return how a photo, (H, W, 3) uint8, looks as a whole: (D,) float32 of unit length; brightness and contrast left out."""
    small = np.asarray(Image.fromarray(rgb).resize(THUMBNAIL, Image.Resampling.BOX), np.float32)
    small = small - small.mean(axis=(0, 1))
    return (small / max(float(np.linalg.norm(small)), 1e-6)).ravel()


def choose_pairs(looks: Sequence[Float32Array]) -> Int32Array:
    """Return the pairs of photos to compare, (E, 2) int32, first < second; their number grows with the photos beyond a hundred.

    Args:
        looks: What `describe_photo` says of each, in the order in which they were taken.
    """
    count = len(looks)
    if count <= ALL_PAIRS_UP_TO:
        return np.stack(np.triu_indices(count, k=1), axis=1).astype(np.int32)
    described = np.stack(looks)
    chosen: set[tuple[int, int]] = set()
    for i in range(count):
        alike = described @ described[i]
        alike[i] = -np.inf
        near = np.argpartition(-alike, ALIKE_PHOTOS)[:ALIKE_PHOTOS].tolist()
        for j in (*near, *range(i + 1, min(count, i + 1 + NEXT_PHOTOS))):
            chosen.add((min(i, j), max(i, j)))
    return np.asarray(sorted(chosen), np.int32)
