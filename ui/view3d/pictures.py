"""Draws what the pages show of a view: thumbnails, views with a mask outlined, crops on a calm square. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from engine.grouping.instances import group_colors
from engine.types import NOTHING, BoolArray, Float32Array, Frame, Int32Array, UInt8Array

COLOR_A = (255, 128, 14)
"""Orange marks the first mask everywhere: outline, 3D points, camera. Chosen with `COLOR_B` to differ for colour-blind eyes too."""
COLOR_B = (0, 140, 255)
"""Blue marks the second mask everywhere."""
OUTLINE_PX = 3
DIM = 0.45


def mask_borders(instance_map: Int32Array) -> BoolArray:
    """Return the pixels at which one mask meets another or nothing, (H, W) bool, one pixel wide."""
    border = np.zeros(instance_map.shape, bool)
    border[:, 1:] |= instance_map[:, 1:] != instance_map[:, :-1]
    border[1:, :] |= instance_map[1:, :] != instance_map[:-1, :]
    return border


def draw_view(frame: Frame, mask: int | None, color: tuple[int, int, int]) -> UInt8Array:
    """Draw a view with faint borders of all masks and, if one is picked, the rest dimmed and its outline in `color`.

    Returns:
        (H, W, 3) uint8.
    """
    picture = frame.rgb.astype(np.float32)
    borders = mask_borders(frame.instance_map) & (frame.instance_map != NOTHING)
    picture[borders] = 0.6 * picture[borders] + 0.4 * 255
    if mask is not None:
        selected = frame.instance_map == mask
        picture[~selected] *= DIM
        outside = ndimage.binary_dilation(selected, iterations=OUTLINE_PX)
        picture[outside & ~selected] = color
    return picture.astype(np.uint8)


def thumbnail(rgb: UInt8Array, *, width: int = 160) -> UInt8Array:
    """Shrink an image to `width` pixels, keeping its aspect; returns (h, width, 3) uint8."""
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def frame_crop(crop: UInt8Array, *, size: int = 220) -> UInt8Array:
    """Fit a crop into a black square of `size` pixels without changing its aspect; returns (size, size, 3) uint8."""
    height, width = crop.shape[:2]
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = np.asarray(Image.fromarray(crop).resize(target, Image.Resampling.BICUBIC))
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - target[1]) // 2, (size - target[0]) // 2
    square[top : top + target[1], left : left + target[0]] = resized
    return square


def draw_masks(frame: Frame) -> UInt8Array:
    """Draw a view with every mask in a colour of its own.

    Returns:
        (H, W, 3) uint8.
    """
    picture = frame.rgb.astype(np.float32)
    ids, ranks = np.unique(frame.instance_map, return_inverse=True)
    colors = group_colors(len(ids)).astype(np.float32)[ranks.reshape(frame.instance_map.shape)]
    inside = frame.instance_map != NOTHING
    picture[inside] = 0.5 * picture[inside] + 0.5 * colors[inside]
    picture[mask_borders(frame.instance_map) & inside] = 255
    return picture.astype(np.uint8)


def draw_depth(depth: Float32Array) -> UInt8Array:
    """Draw (H, W) float32 metres as grey, near dark and far light, and unknown (0) as black; returns (H, W, 3) uint8."""
    known = depth[depth > 0]
    near, far = (float(value) for value in np.percentile(known, (2, 98))) if len(known) else (0.0, 1.0)
    grey = 60 + 195 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    return np.repeat(np.where(depth > 0, grey, 0).astype(np.uint8)[..., None], 3, axis=2)
