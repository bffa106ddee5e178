"""Finds how many units of a depth image make a metre, by comparing it with the rendered mesh. Knows no scene format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.types import Camera, Float64Array, Int32Array, SceneMesh

logger = logging.getLogger(__name__)

DEFAULT = 1000.0
"""Millimetres: what is assumed where nothing tells otherwise."""

KNOWN = (1000.0, 4000.0, 5000.0, 6553.5, 10000.0, 256.0)
"""Scales in use: millimetres, ScanNet exports, TUM, OpenYOLO3D's Replica, tenths of millimetres, 8.8 fixed point."""

TOLERANCE = 0.08
"""Largest relative difference between the measured and a known scale."""

MIN_PIXELS = 50
"""Fewer common pixels than this say nothing."""


@dataclass(frozen=True, eq=False)
class DepthSample:
    """One stored depth image: (H, W) int32 raw units, the colour images' camera, and its pose, (4, 4) camera-to-world."""

    raw: Int32Array
    camera: Camera
    pose: Float64Array


def estimate(mesh: SceneMesh, samples: Sequence[DepthSample]) -> float:
    """Return the known scale nearest to the median of raw / rendered depth, or 1000 where none is near."""
    from engine.rendering import make_renderer

    if not samples:
        return DEFAULT
    renderer = make_renderer(mesh, "embree")
    ratios: list[Float64Array] = []
    for sample in samples:
        height, width = sample.raw.shape
        step = max(width // 160, 1)
        small = sample.raw[step // 2 :: step, step // 2 :: step]
        camera = sample.camera.resized(width, height)
        strided = Camera(
            width=len(range(step // 2, width, step)),
            height=len(range(step // 2, height, step)),
            fx=camera.fx / step,
            fy=camera.fy / step,
            cx=(camera.cx - step // 2) / step,
            cy=(camera.cy - step // 2) / step,
        )
        rendered = renderer.rasterize(strided, sample.pose).depth
        common = (rendered > 0) & (small > 0)
        ratios.append(small[common] / rendered[common].astype(np.float64))
    values = np.concatenate(ratios)
    if len(values) < MIN_PIXELS:
        return DEFAULT
    measured = float(np.median(values))
    nearest = min(KNOWN, key=lambda scale: abs(measured / scale - 1))
    if abs(measured / nearest - 1) <= TOLERANCE:
        return nearest
    logger.warning("Depth images hold about %.0f units a metre, no known scale; assuming 1000: write depth_scale.txt.", measured)
    return DEFAULT
