"""Depth as four kinds of sensor see it. Every function takes a true depth map, metres, and returns a spoiled one, 0 = unknown."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from engine.types import Float32Array

RANGE_M = 5.0
NEAREST_M = 0.3
JUMP_SHARE = 0.05
"""Neighbouring depths that differ by more than this share of themselves lie on two sides of an edge."""
QUANTUM = 0.0018
"""Step of structured light at 1 m; it grows with the square of the distance."""
PHONE_WIDTH = 256


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> Float32Array:
    """Return smooth noise (H, W) float32 of mean 0 and deviation about 1 that changes over `cell_px` pixels."""
    rows, columns = (max(2, round(side / cell_px) + 2) for side in shape)
    coarse = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return (fine / max(1e-6, float(fine.std()))).astype(np.float32)


def find_edges(depth: Float32Array) -> np.ndarray:
    """Return (H, W) bool: pixels beside a jump of depth."""
    low, high = ndimage.minimum_filter(depth, 3), ndimage.maximum_filter(depth, 3)
    return high - low > JUMP_SHARE * np.maximum(low, 0.1)


def structured_light(depth: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Kinect-like: noise of 1.2 mm + 1.9 mm (z - 0.4)^2, quantised in steps that grow with z^2, holes at edges and in patches."""
    step = QUANTUM * depth**2
    seen = np.round(depth / np.maximum(step, 1e-6)) * step
    seen = seen + rng.normal(0, 1, depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    holes = np.asarray(ndimage.binary_dilation(find_edges(depth), iterations=2), bool) | (smooth_field(rng, depth.shape, 8) > 2.1)
    return _within_range(seen, depth, holes)


def time_of_flight(depth: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Azure-like: 0.4 % noise, a smooth offset of some millimetres, and pixels at edges that mix foreground and background."""
    seen = depth * (1 + 0.004 * rng.normal(0, 1, depth.shape)) + 0.006 * smooth_field(rng, depth.shape, 120)
    low, high = ndimage.minimum_filter(depth, 3), ndimage.maximum_filter(depth, 3)
    mixed = find_edges(depth)
    share = rng.random(depth.shape)
    seen = np.where(mixed, share * low + (1 - share) * high, seen)
    return _within_range(seen, depth, smooth_field(rng, depth.shape, 10) > 2.3)


def phone_lidar(depth: Float32Array, rng: np.random.Generator) -> Float32Array:
    """A phone's: 256 pixels across, smoothed and upsampled, so that edges are ramps; a smooth error of 1 %."""
    height, width = depth.shape
    small = (PHONE_WIDTH, max(2, round(PHONE_WIDTH * height / width)))
    coarse = np.asarray(Image.fromarray(depth).resize(small, Image.Resampling.BOX))
    coarse = ndimage.gaussian_filter(coarse, 1.0)
    coarse = coarse * (1 + 0.003 * rng.normal(0, 1, coarse.shape)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    seen = fine * (1 + 0.01 * smooth_field(rng, depth.shape, 160))
    return _within_range(seen, np.where(depth > 0, fine, 0), np.zeros(depth.shape, bool))


def network_depth(depth: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Estimated from a picture: no holes and no limit of range, blurred at edges, bent by 2 %, its scale off by 3 % a view."""
    scale = 1 + 0.03 * rng.normal()
    bent = 1 + 0.02 * smooth_field(rng, depth.shape, 220)
    known = depth > 0
    filled = depth if known.all() else np.where(known, depth, float(np.median(depth[known])) if known.any() else 1.0)
    return np.where(known, ndimage.gaussian_filter(filled, 1.5) * bent * scale, 0).astype(np.float32)


def _within_range(seen: np.ndarray, depth: Float32Array, holes: np.ndarray) -> Float32Array:
    known = (depth > NEAREST_M) & (depth < RANGE_M) & ~holes & (seen > 0)
    return np.where(known, seen, 0).astype(np.float32)


SENSORS = {
    "structured light": structured_light,
    "time of flight": time_of_flight,
    "phone LiDAR": phone_lidar,
    "network depth": network_depth,
}
