"""Points of a coarse grid of pixels, and their thinning to voxels. Knows nothing about masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.grouping.geometry import PosedView, to_world
from engine.types import BoolArray, Float32Array

LARGEST_CELL = 1 << 20
"""Voxels are numbered from this far below the origin; three such numbers fit into 64 bits."""


def lift_grid(view: PosedView, chosen: BoolArray, *, step: int) -> Float32Array:
    """Return the world points of some pixels of a posed view, (P, 3) float32 metres.

    Args:
        view: A view that `is_posed`.
        chosen: (h, w) bool over every `step`-th pixel across and down; their depth is known.
        step: Pixels from one point to the next.
    """
    assert view.depth is not None
    assert view.camera is not None
    assert view.pose is not None
    local = view.camera.rays[::step, ::step][chosen] * view.depth[::step, ::step][chosen][:, None]
    return to_world(local.astype(np.float32), view.pose)


def thin_to_voxels(points: Float32Array, voxel_m: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort (P, 3) float32 points into voxels of an edge in metres.

    Returns:
        The first point of each voxel, (V,) int64, and the voxel of each point, (P,) int64.
    """
    cells = np.floor(points / voxel_m).astype(np.int64) + LARGEST_CELL
    codes = cells @ np.asarray([1, 2 * LARGEST_CELL, (2 * LARGEST_CELL) ** 2])
    _, first, voxel = np.unique(codes, return_index=True, return_inverse=True)
    return first, voxel
