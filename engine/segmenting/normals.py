"""Surface points and normals of a depth image. Knows nothing about masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.types import BoolArray, Camera, Float32Array

WINDOW = 5
"""Side of the square of pixels that a plane is fitted to."""
MIN_KNOWN = 0.5
"""Share of the square that must have depth."""
LEAST_SPREAD = 1e-14


@dataclass(frozen=True, eq=False)
class Surface:
    """What a depth image shows, in camera axes.

    Attributes:
        points: (H, W, 3) float32 metres.
        normals: (H, W, 3) float32 unit vectors towards the camera, 0 where unknown.
        known: (H, W) bool, where both are.
    """

    points: Float32Array
    normals: Float32Array
    known: BoolArray


def measure_surface(depth: Float32Array, camera: Camera) -> Surface:
    """Fit a plane to the surroundings of every pixel.

    On a plane a X + b Y + c Z = 1, inverse depth is a x + b y + c along the ray (x, y, 1): least squares over a square give the
    normal (a, b, c), from box sums of the whole picture at once.

    Args:
        depth: (H, W) float32 metres along z, 0 = unknown.
        camera: Intrinsics of this size.
    """
    rays = camera.rays
    x, y = rays[..., 0], rays[..., 1]
    known = depth > 0
    weight = known.astype(np.float32)
    inverse = np.where(known, 1 / np.maximum(depth, 1e-6), 0).astype(np.float32)

    def mean(values: Float32Array) -> Float32Array:
        return ndimage.uniform_filter(values, WINDOW, mode="nearest")

    share = mean(weight)
    total = np.maximum(share, 1e-6)
    mx, my, mi = mean(weight * x) / total, mean(weight * y) / total, mean(inverse) / total
    sxx = mean(weight * x * x) / total - mx * mx
    syy = mean(weight * y * y) / total - my * my
    sxy = mean(weight * x * y) / total - mx * my
    sxi = mean(x * inverse) / total - mx * mi
    syi = mean(y * inverse) / total - my * mi
    spread = np.maximum(sxx * syy - sxy * sxy, LEAST_SPREAD)
    a, b = (sxi * syy - syi * sxy) / spread, (syi * sxx - sxi * sxy) / spread
    normals = -np.stack([a, b, mi - a * mx - b * my], axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    is_sure = known & (share > MIN_KNOWN)
    normals[~is_sure] = 0
    return Surface((rays * depth[..., None]).astype(np.float32), normals.astype(np.float32), is_sure)
