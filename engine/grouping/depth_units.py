"""Finds out whether depth is written in other units than the poses: whether another scale makes views agree."""

from __future__ import annotations

from typing import cast

import numpy as np

from engine.grouping.geometry import MaskTable, PosedView, find_neighbours, project, to_world
from engine.types import Float32Array, Float64Array

FACTORS = (0.1, 0.1526, 0.2, 0.25, 0.5, 2.0, 4.0, 5.0, 6.5535, 10.0, 25.6, 39.37)
"""How many times too small or large depth may be: confusions of the scales in use (1000, 4000, 5000, 6553.5, 10000, 256), halves,
and inches."""
VIEWS = 12
NEIGHBOURS = 6
POINTS = 400
TOLERANCE = 0.04
"""Two depths of one point agree within this share of them: relative, so that no scale is favoured."""
MIN_SHARE = 0.4
SEEN_SHARE = 0.1
"""A scale at which views hardly see each other's points says little: its share is taken of this much of the most that any sees."""
CLEARLY = 2.0
"""Another scale is believed when it makes at least `MIN_SHARE` of the points agree, and this many times as many as the present."""


def find_depth_factor(table: MaskTable) -> float | None:
    """Return how many times too large depth is (0.2 = five times too small), None where its scale looks right or nothing tells.

    Args:
        table: Views with depth and poses; a few evenly spaced ones are compared.
    """
    posed = spread_views(table)
    if len(posed) < 2:
        return None
    local = [some_points(view) for view in posed]
    counts = {factor: count_agreeing(posed, local, factor) for factor in (1.0, *FACTORS)}
    least = max(POINTS // 4, SEEN_SHARE * max(seen for _, seen in counts.values()))
    shares = {factor: agreeing / max(seen, least) for factor, (agreeing, seen) in counts.items()}
    best = max(shares, key=lambda factor: shares[factor])
    return best if shares[best] >= MIN_SHARE and shares[best] >= CLEARLY * shares[1.0] and best != 1.0 else None


def spread_views(table: MaskTable) -> list[PosedView]:
    """Return the views with depth and a pose; a few evenly spaced ones where there are many."""
    posed = [view for view in table.views if view.is_posed]
    if not posed:
        return []
    spread = np.unique(np.linspace(0, len(posed) - 1, min(len(posed), 5 * VIEWS)).astype(int))
    return [posed[i] for i in cast("list[int]", spread.tolist())]


def some_points(view: PosedView) -> Float32Array:
    """Return points spread over a view, (P, 3) float32 metres, camera axes."""
    assert view.depth is not None
    assert view.camera is not None
    pixels = np.flatnonzero(view.depth.ravel() > 0)
    pixels = pixels[:: max(1, len(pixels) // POINTS)]
    return view.camera.rays.reshape(-1, 3)[pixels] * view.depth.ravel()[pixels, None]


def count_agreeing(views: list[PosedView], local: list[Float32Array], factor: float) -> tuple[int, int]:
    """Count points, moved into neighbouring views, that lie on the surface there if all depths are divided by `factor`.

    Returns:
        Those that lie on it, and all that fall where the other view knows a depth.
    """
    poses: list[Float64Array] = []
    worlds: list[Float32Array] = []
    for view, points in zip(views, local, strict=True):
        assert view.pose is not None
        poses.append(view.pose)
        worlds.append(to_world((points / np.float32(factor)).astype(np.float32), view.pose))
    seen = agreeing = 0
    around = find_neighbours(worlds, limit=NEIGHBOURS)
    for i in range(0, len(views), max(1, len(views) // VIEWS)):
        for j in cast("list[int]", around[i].tolist()):
            _, pixel, z = project(worlds[i], views[j])
            baseline = float(np.linalg.norm(poses[i][:3, 3] - poses[j][:3, 3]))
            # From one place any scale agrees: only what the step between two views moves can tell.
            telling = z < 40 * max(baseline, 1e-6)
            depth = views[j].depth
            assert depth is not None
            surface = depth.ravel()[pixel[telling]] / np.float32(factor)
            known = surface > 0
            seen += int(known.sum())
            agreeing += int((known & (np.abs(surface - z[telling]) < TOLERANCE * z[telling])).sum())
    return agreeing, seen
