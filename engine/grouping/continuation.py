"""Finds surfaces that go on beyond the picture: parts of one wall, floor or table top that no view shows together.

Overlap says nothing about two such parts. But a flat surface that is cut off by the picture's edge, or by something in front of it,
continues there, and a second flat part that begins nearby, in the same plane and cut off as well, is most likely its continuation
(the law of good continuation in Gestalt psychology; Wertheimer, 1923). A rim against something behind it or beside it is an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from engine.grouping.geometry import MaskPoints, MaskTable, PosedView, depth_tolerance, project, to_world
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array, UInt8Array

MAX_POSE_ERROR_M = 0.03
"""Where poses are worse than this, planes are too uncertain to say anything."""
FLAT_M = 0.012
"""Largest root-mean-square distance of a flat part's points from its plane, poses and depth without error."""
MIN_EDGE_M = 0.25
"""A part this large has a plane worth continuing; what continues it may be smaller."""
MIN_POINTS = 24
MIN_PART_POINTS = 3
"""Points that a plane needs, and that a part which continues it needs."""
OFF_PLANE_M = 0.02
OFF_PLANE_SHARE = 0.9
"""This share of a part's points must lie this near to the plane that it is said to continue."""
MAX_GAP_M = 2.0
GAP_OF_EDGE = 0.75
"""A gap may be this share of the larger part's edge."""
DETOUR = 1.5
DETOUR_M = 0.1
"""The open rims must be about as near to each other as the parts themselves."""
STEP_M = 0.05
"""Between the rims, a point every so often is looked for in all views: one that looks through it sees that nothing is there."""
MAX_COLOR_DIFFERENCE = 12.0
"""Median colours further apart than this are two materials."""
RIM_POINTS = 256
"""Rim points of one mask that are looked at."""
OCCLUDER_M = 0.05
OCCLUDER_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Continuations:
    """Pairs of masks, in different views, whose surfaces seem to go on into each other.

    Attributes:
        pairs: (C, 2) int32 rows of masks; one pair for two parts.
        gaps_m: (C,) float32 metres of surface between them that no view shows.
    """

    pairs: Int32Array
    gaps_m: Float32Array


def find_continuations(
    table: MaskTable,
    points: Sequence[MaskPoints],
    labels: Int32Array,
    *,
    colors: Sequence[UInt8Array] | None = None,
    pose_error_m: float = 0.0,
) -> Continuations:
    """Find parts of flat surfaces that continue each other.

    Args:
        table: The masks.
        points: Points of each view's masks, as `sample_points` gives them.
        labels: (N,) group of each mask so far: the parts.
        colors: (H, W, 3) uint8 picture of each view; parts of different colours do not continue each other. None = not compared.
        pose_error_m: Error of the poses in use, metres.
    """
    nothing = Continuations(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
    count = int(labels.max(initial=-1)) + 1
    if pose_error_m > MAX_POSE_ERROR_M or count < 2:
        return nothing
    posed = [(p, v.pose) for p, v in zip(points, table.views, strict=True) if v.pose is not None and len(p.rows)]
    if not posed:
        return nothing
    world = np.concatenate([to_world(p.local, pose) for p, pose in posed])
    owner = labels[np.concatenate([p.rows for p, _ in posed])]
    order = np.argsort(owner, kind="stable")
    world, owner = world[order], owner[order]
    bounds = np.searchsorted(owner, np.arange(count + 1))
    centres, normals, flat, edges = _fit_planes(world, owner, count, FLAT_M + pose_error_m)
    in_view = np.zeros((count, len(table.views)), np.float32)
    in_view[labels, table.view_of] = 1
    lies = OFF_PLANE_M + 2 * pose_error_m
    wanted: list[tuple[int, int]] = []
    for a in np.flatnonzero(flat & (edges >= MIN_EDGE_M)).tolist():
        offset = centres - centres[a]
        reach = min(MAX_GAP_M, GAP_OF_EDGE * edges[a]) + 1.5 * (edges[a] + edges)
        near = (np.abs(offset @ normals[a]) < lies) & (np.einsum("gd,gd->g", offset, offset) < reach**2)
        near &= (np.diff(bounds) >= MIN_PART_POINTS) & (in_view @ in_view[a] == 0)
        near &= ~flat | (edges < edges[a]) | ((edges == edges[a]) & (np.arange(count) > a))  # each two parts once
        wanted += [
            (a, b)
            for b in np.flatnonzero(near).tolist()
            if _lies_in(world[bounds[b] : bounds[b + 1]], centres[a], normals[a], lies)
        ]
    if not wanted:
        return nothing
    rims = _find_rims(table, labels, np.unique(np.asarray(wanted)))
    pairs: list[tuple[int, int]] = []
    gaps: list[float] = []
    for a, b in wanted:
        found = _join(table, rims.get(a), rims.get(b), float(edges[a]), pose_error_m)
        if found is not None and (colors is None or _color_difference(table, colors, found[:2]) < MAX_COLOR_DIFFERENCE):
            pairs.append(found[:2])
            gaps.append(found[2])
    return Continuations(np.asarray(pairs, np.int32).reshape(-1, 2), np.asarray(gaps, np.float32))


def _fit_planes(
    world: Float32Array, owner: Int32Array, count: int, tolerance_m: float
) -> tuple[Float64Array, Float64Array, BoolArray, Float64Array]:
    """Fit a plane to each group's points: centre (G, 3), normal (G, 3), whether it is flat (G,), edge of its extent (G,) metres."""
    number = np.maximum(np.bincount(owner, minlength=count), 1)
    centres = np.stack([np.bincount(owner, weights=world[:, k], minlength=count) / number for k in range(3)], axis=1)
    offsets = world - centres[owner]
    moments = np.empty((count, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            moments[:, i, j] = np.bincount(owner, weights=offsets[:, i] * offsets[:, j], minlength=count) / number
            moments[:, j, i] = moments[:, i, j]
    spread, axes = np.linalg.eigh(moments)
    spread = np.sqrt(np.maximum(spread, 0))
    flat = (spread[:, 0] < tolerance_m) & (spread[:, 1] > 3 * spread[:, 0]) & (spread[:, 1] > 0.03) & (number >= MIN_POINTS)
    # A rectangle of edge d spreads by d / sqrt(12).
    edges = np.sqrt(12 * spread[:, 1] * spread[:, 2])
    return centres, axes[:, :, 0], flat, edges


def _lies_in(points: Float32Array, centre: Float64Array, normal: Float64Array, tolerance_m: float) -> bool:
    return bool(np.mean(np.abs((points - centre) @ normal) < tolerance_m) >= OFF_PLANE_SHARE)


@dataclass(frozen=True, eq=False)
class _Rim:
    """Rim of a part: (R, 3) world points, (R,) rows of their masks, (R,) whether the surface may go on there."""

    world: Float32Array
    rows: Int32Array
    is_open: BoolArray


def _find_rims(table: MaskTable, labels: Int32Array, groups: Int32Array) -> dict[int, _Rim]:
    is_wanted = np.isin(labels, groups)
    parts: list[_Rim] = []
    for index in cast("list[int]", np.unique(table.view_of[is_wanted]).tolist()):
        view = table.views[index]
        if view.is_posed:
            parts.append(_rim_of_view(view, is_wanted))
    if not parts:
        return {}
    world, rows, is_open = (np.concatenate([getattr(part, name) for part in parts]) for name in ("world", "rows", "is_open"))
    owner = labels[rows]
    return {int(g): _Rim(world[owner == g], rows[owner == g], is_open[owner == g]) for g in groups}


def _rim_of_view(view: PosedView, is_wanted: BoolArray) -> _Rim:
    assert view.depth is not None
    assert view.camera is not None
    assert view.pose is not None
    # Around the picture lies no mask and no depth, so its edge hides what is behind it like anything without depth.
    index = np.pad(view.index_map, 1, constant_values=-2)
    depth = np.pad(view.depth, 1, constant_values=0)
    own, z = index[1:-1, 1:-1], depth[1:-1, 1:-1]
    is_open = np.zeros(own.shape, bool)
    is_end = np.zeros(own.shape, bool)
    low, same, high = slice(0, -2), slice(1, -1), slice(2, None)
    for side in ((low, same), (high, same), (same, low), (same, high)):
        differs, beyond = index[side] != own, depth[side]
        hidden = (beyond == 0) | (beyond < z * (1 - OCCLUDER_SHARE) - OCCLUDER_M)
        is_open |= differs & hidden
        is_end |= differs & ~hidden
    wanted = np.append(is_wanted, False)[own] & (z > 0)
    flat = np.flatnonzero((is_open | is_end) & wanted)
    labels = own.ravel()[flat]
    order = np.argsort(labels, kind="stable")
    flat, labels = flat[order], labels[order]
    _, starts, counts = np.unique(labels, return_index=True, return_counts=True)
    place = np.arange(len(labels)) - np.repeat(starts, counts)
    step = np.maximum(1, -(-np.repeat(counts, counts) // RIM_POINTS))
    flat = flat[place % step == 0]
    local = view.camera.rays.reshape(-1, 3)[flat] * view.depth.ravel()[flat, None]
    return _Rim(to_world(local.astype(np.float32), view.pose), own.ravel()[flat], (is_open & ~is_end).ravel()[flat])


def _join(table: MaskTable, a: _Rim | None, b: _Rim | None, edge_m: float, pose_error_m: float) -> tuple[int, int, float] | None:
    """Return the two masks at which one part continues the other and the metres between them, or None."""
    if a is None or b is None or not a.is_open.any() or not b.is_open.any():
        return None
    nearest = float(np.min(KDTree(a.world).query(b.world)[0]))
    found, places = KDTree(a.world[a.is_open]).query(b.world[b.is_open])
    distances, places = np.asarray(found), np.asarray(places)
    best = int(distances.argmin())
    gap = float(distances[best])
    if gap > min(MAX_GAP_M, GAP_OF_EDGE * edge_m) or gap > DETOUR * nearest + DETOUR_M:
        return None
    start, stop = a.world[a.is_open][places[best]], b.world[b.is_open][best]
    steps = max(1, int(gap / STEP_M))
    between = start + (stop - start) * ((np.arange(steps) + 0.5) / steps)[:, None].astype(np.float32)
    if _is_open_air(table, between.astype(np.float32), pose_error_m):
        return None
    return int(a.rows[a.is_open][places[best]]), int(b.rows[b.is_open][best]), gap


def _color_difference(table: MaskTable, colors: Sequence[UInt8Array], rows: tuple[int, int]) -> float:
    """Distance of two masks' median colours in YCbCr, [0, 255]; brightness counts half, as light changes along a wall."""
    views = [(row, int(table.view_of[row])) for row in rows]
    medians = [np.median(colors[view][table.views[view].index_map == row], axis=0) for row, view in views]
    first, second = np.asarray(Image.fromarray(np.asarray([medians], np.uint8)).convert("YCbCr"), np.float64)[0]
    return float(np.linalg.norm((first - second) * (0.5, 1, 1)))


def _is_open_air(table: MaskTable, points: Float32Array, pose_error_m: float) -> bool:
    """Whether some view looks through one of the points: then no surface is there."""
    for view in table.views:
        if not view.is_posed:
            continue
        assert view.depth is not None
        _, pixel, z = project(points, view)
        surface = view.depth.ravel()[pixel]
        if (surface > z + 2 * depth_tolerance(z, pose_error_m)).any():
            return True
    return False
