"""Places masks that geometry cannot follow, by what other views show in their place.

A mask without depth (most lie beyond the sensor's range) has no points that could be followed, and one over several objects may not
testify. But once the other masks form groups, the groups' points, seen from the mask's own camera, say which object fills the place
under the mask. So the groups' points are thinned to voxels, each with the group most views see there, and laid into the picture with
a depth buffer. What comes out is one link a mask, to the mask of the group that fills most of its place: a leaf of the graph, which can
bridge no two groups, whose weight is what the place proves, and which constraints and the judge overrule like any other.
Knows nothing about how links are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import MaskTable, PosedView, depth_tolerance, to_world
from engine.types import NOTHING, BoolArray, Float32Array, Int32Array

VOXEL_M = 0.04
STEP_PX = 4
"""Every so many pixels of a view, across and down, one point is taken."""
BUFFER_WIDTH = 320
MAX_SPLAT_PX = 9
MIN_DEPTH_PIXELS = 25
"""A mask with fewer pixels of depth than this cannot be followed by them."""
MIN_COVERED = 0.1
"""Share of a mask's place that points must cover before they say anything."""
MIN_PLACED = 0.5
"""Share of the covered place that one group must fill."""


@dataclass(frozen=True, eq=False)
class Placements:
    """Which mask's object fills the place of another mask.

    Attributes:
        pairs: (P, 2) int32 rows: the placed mask, and a mask of the group that fills most of its place.
        shares: (P,) float32 share of the covered place that the group fills, [`MIN_PLACED`, 1].
        covered: (P,) float32 share of the place that any points cover, [`MIN_COVERED`, 1].
    """

    pairs: Int32Array
    shares: Float32Array
    covered: Float32Array


@dataclass(frozen=True, eq=False)
class _Voxels:
    """Labelled places: (P, 3) float32 metres, (P,) int32 group, (P,) int32 row of one mask of that group seen there."""

    points: Float32Array
    groups: Int32Array
    rows: Int32Array


def find_depthless(table: MaskTable) -> BoolArray:
    """Return the masks with too little depth to be followed, (N,) bool, in views that have a pose."""
    known = np.zeros(len(table), np.int64)
    is_posed = np.zeros(len(table.views), bool)
    for index, view in enumerate(table.views):
        is_posed[index] = view.camera is not None and view.pose is not None
        if view.depth is not None:
            rows = view.index_map[(view.index_map >= 0) & (view.depth > 0)]
            known += np.bincount(rows, minlength=len(table))
    # Masks that are small all over are not without depth.
    return (known < np.minimum(MIN_DEPTH_PIXELS, 0.5 * table.areas)) & is_posed[table.view_of]


def place_masks(table: MaskTable, labels: Int32Array, wanted: BoolArray, *, pose_error_m: float = 0.0) -> Placements:
    """Find the group that fills each wanted mask's place.

    Args:
        table: The masks, with the poses in use.
        labels: (N,) int32 group of each mask; wanted masks lend no points, whatever their label.
        wanted: (N,) bool masks to place.
        pose_error_m: Error of the poses in use, metres.
    """
    voxels = _gather_voxels(table, labels, ~wanted)
    pairs: list[tuple[int, int]] = []
    shares: list[float] = []
    covers: list[float] = []
    for index in np.unique(table.view_of[wanted]).tolist():
        view = table.views[index]
        if view.camera is None or view.pose is None or len(voxels.points) == 0:
            continue
        seen, step = _lay_into(view, voxels, wanted, pose_error_m)
        rows = view.index_map[step // 2 :: step, step // 2 :: step][: seen.shape[0], : seen.shape[1]].ravel()
        under = np.flatnonzero((rows >= 0) & np.append(wanted, False)[rows])
        area = np.bincount(rows[under], minlength=len(table))
        hit = under[seen.ravel()[under] >= 0]
        mask, voxel = rows[hit], seen.ravel()[hit]
        code = mask.astype(np.int64) << 32 | voxels.groups[voxel]
        unique, counts = np.unique(code, return_counts=True)
        covered = np.bincount(mask, minlength=len(table))
        for row in np.unique(mask).tolist():
            own = np.flatnonzero(unique >> 32 == row)
            best = int(own[counts[own].argmax()])
            share = float(counts[best] / covered[row])
            if covered[row] < MIN_COVERED * area[row] or share < MIN_PLACED:
                continue
            sources = voxels.rows[voxel[code == unique[best]]]
            pairs.append((row, int(np.bincount(sources).argmax())))
            shares.append(share)
            covers.append(float(covered[row] / area[row]))
    return Placements(np.asarray(pairs, np.int32).reshape(-1, 2), np.asarray(shares, np.float32), np.asarray(covers, np.float32))


def _gather_voxels(table: MaskTable, labels: Int32Array, lends: BoolArray) -> _Voxels:
    """Thin the points of all lending masks to voxels, each with the group that most of its points have."""
    points: list[Float32Array] = []
    rows: list[Int32Array] = []
    lending = np.append(lends, False)
    for view in table.views:
        if not view.is_posed:
            continue
        assert view.depth is not None
        assert view.camera is not None
        assert view.pose is not None
        step = max(1, round(STEP_PX * view.camera.width / 640))
        own, depth = view.index_map[::step, ::step], view.depth[::step, ::step]
        valid = (depth > 0) & lending[own]
        points.append(to_world((view.camera.rays[::step, ::step][valid] * depth[valid][:, None]).astype(np.float32), view.pose))
        rows.append(own[valid])
    if not points or sum(map(len, points)) == 0:
        return _Voxels(np.zeros((0, 3), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))
    world, row = np.concatenate(points), np.concatenate(rows)
    cells = np.floor(world / VOXEL_M).astype(np.int64) + (1 << 20)
    _, voxel = np.unique(cells @ np.asarray([1, 1 << 21, 1 << 42]), return_inverse=True)
    code = voxel.astype(np.int64) << 32 | labels[row]
    unique, first, counts = np.unique(code, return_index=True, return_counts=True)
    order = np.argsort(counts, kind="stable")
    winner = np.zeros(int(voxel.max()) + 1, np.int64)
    winner[unique[order] >> 32] = first[order]  # the last write, the largest count, stays
    return _Voxels(world[winner], labels[row[winner]], row[winner])


def _lay_into(view: PosedView, voxels: _Voxels, wanted: BoolArray, pose_error_m: float) -> tuple[NDArray[np.int32], int]:
    """Return the nearest voxel at each place of a thinned picture, (h, w) int32, -1 = none, and how many pixels a place is wide.

    Only places under wanted masks are filled. Where the picture has depth of its own, only voxels that lie there count.
    """
    assert view.camera is not None
    assert view.pose is not None
    camera = view.camera
    step = max(1, round(camera.width / BUFFER_WIDTH))
    offset = step // 2
    index = view.index_map[offset::step, offset::step]
    is_wanted = np.append(wanted, False)[index]
    height, width = index.shape
    own = None if view.depth is None else view.depth[offset::step, offset::step]
    rotation = view.pose[:3, :3].astype(np.float32)
    local = voxels.points @ rotation - (view.pose[:3, 3].astype(np.float32) @ rotation)
    front = np.flatnonzero(local[:, 2] > 0.1)
    local = local[front]
    z = local[:, 2]
    column = (local[:, 0] / z * np.float32(camera.fx) + np.float32(camera.cx + 0.5)) / step
    row = (local[:, 1] / z * np.float32(camera.fy) + np.float32(camera.cy + 0.5)) / step
    size = np.clip(np.ceil(VOXEL_M * camera.fx / z / step), 1, MAX_SPLAT_PX).astype(np.int32)
    near = (column > -size) & (column < width + size) & (row > -size) & (row < height + size)
    front, z, column, row, size = front[near], z[near], column[near], row[near], size[near]
    places: list[NDArray[np.int64]] = []
    keys: list[NDArray[np.int64]] = []
    for extent in np.unique(size).tolist():
        some = np.flatnonzero(size == extent)
        left = np.floor(column[some] - (extent - 1) / 2).astype(np.int32)
        top = np.floor(row[some] - (extent - 1) / 2).astype(np.int32)
        for down in range(extent):
            for across in range(extent):
                x, y = left + across, top + down
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                place = (y[inside] * width + x[inside]).astype(np.int64)
                which = some[inside]
                kept = is_wanted.ravel()[place]
                if own is not None:
                    surface = own.ravel()[place]
                    kept &= (surface == 0) | (np.abs(surface - z[which]) < depth_tolerance(z[which], pose_error_m))
                places.append(place[kept])
                keys.append((z[which[kept]] * 1000).astype(np.int64) << 32 | front[which[kept]])
    buffer = np.full(height * width, np.iinfo(np.int64).max, np.int64)
    if places:
        np.minimum.at(buffer, np.concatenate(places), np.concatenate(keys))
    seen = np.where(buffer == np.iinfo(np.int64).max, NOTHING, buffer & 0xFFFFFFFF).astype(np.int32)
    return seen.reshape(height, width), step
