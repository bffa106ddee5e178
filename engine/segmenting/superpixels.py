"""Cuts a picture into small pieces along edges of colour and surface: the nodes of the graph. Knows nothing about merging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.segmenting.base import Picture
from engine.segmenting.normals import Surface, measure_surface
from engine.types import Float32Array, Int32Array

COLOR_STEP = 6.0
"""Difference of neighbouring colours (CIELAB) that counts as one."""
NORMAL_STEP = 0.25
"""The same of normals."""
BEND = 0.03
"""The same of how depth bends, as a share of it: what a plane does not do."""
MAX_BEND = 3.0
SEEDS = 7
"""Side of the square of pixels in which a piece starts at the smoothest place."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A picture in pieces.

    Attributes:
        lab: (H, W, 3) float32 CIELAB, slightly smoothed.
        surface: Its surface, None without depth.
        labels: (H, W) int32 piece of each pixel, from 0 without gaps.
    """

    lab: Float32Array
    surface: Surface | None
    labels: Int32Array

    @property
    def count(self) -> int:
        """Number of pieces."""
        return int(self.labels.max()) + 1


def cut_into_pieces(picture: Picture) -> Pieces:
    """Cut a picture by watershed from the places where neither colour nor surface changes."""
    # Takes a while to import, and the command line imports this module when it starts.
    from skimage.color import rgb2lab
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(picture.rgb, (1, 1, 0))
    lab = np.asarray(rgb2lab(smooth), np.float32)
    change = _slope(lab) / COLOR_STEP
    surface = None
    if picture.depth is not None and picture.camera is not None and (picture.depth > 0).any():
        surface = measure_surface(picture.depth, picture.camera)
        change += _slope(surface.normals) / NORMAL_STEP
        change += _bend(picture.depth, surface)
    change = ndimage.gaussian_filter(change, 0.7)
    seeds, _ = ndimage.label(ndimage.minimum_filter(change, SEEDS) == change, np.ones((3, 3)))
    return Pieces(lab, surface, np.asarray(watershed(change, seeds), np.int32) - 1)


def _slope(values: Float32Array) -> Float32Array:
    """Return how much an image of several channels changes at each pixel, (H, W) float32."""
    squares = np.zeros(values.shape[:2], np.float32)
    for channel in range(values.shape[2]):
        for axis in (0, 1):
            squares += np.square(ndimage.sobel(values[..., channel], axis))
    return (np.sqrt(squares) / 8).astype(np.float32)


def _bend(depth: Float32Array, surface: Surface) -> Float32Array:
    """Return the second difference of inverse depth, as a share of it; 0 where depth is unknown."""
    inverse = np.where(surface.known, 1 / np.maximum(depth, 1e-3), 0).astype(np.float32)
    second = [np.abs(ndimage.convolve1d(inverse, [1, -2, 1], axis=axis)) for axis in (0, 1)]
    is_inside = ndimage.minimum_filter(surface.known, 3)
    return np.where(is_inside, np.minimum((second[0] + second[1]) * depth / BEND, MAX_BEND), 0).astype(np.float32)
