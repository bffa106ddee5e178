"""Places masks that geometry cannot follow, by what other views show in their place.

A mask without depth (most lie beyond the sensor's range) has no points that could be followed, and one over several objects is
no witness. But once the other masks form groups, the groups' points, seen from the mask's own camera, say which object fills the
place under the mask. So the groups' points are thinned to voxels, each with the group most views see there, and laid into the
picture with a depth buffer. What comes out is one link a mask, to a mask of the group that fits its place best: a leaf of the
graph, which can bridge no two groups, and which constraints and the judge overrule like any other.
Knows nothing about how links are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.grouping.geometry import MaskTable, PosedView, depth_tolerance
from engine.grouping.voxels import lift_grid, thin_to_voxels
from engine.types import NOTHING, BoolArray, Float32Array, Int32Array

VOXEL_M = 0.04
STEP_PX = 4
"""Every so many pixels of a view, across and down, one point is taken."""
BUFFER_WIDTH = 320
MAX_SPLAT_PX = 9
BLOCK_M = 2.0
FARTHEST_M = 20.0
"""Voxels are looked up in blocks of the first; blocks farther off than the second are not looked for."""
MIN_DEPTH_PIXELS = 25
"""A mask with fewer pixels of depth than this cannot be followed by them."""
MIN_COVERED = 0.1
"""Share of a mask's place that points must cover before they say anything."""
MIN_FIT = 0.2
"""Least fit of a mask and the group in its place: below it the place is mostly something in front that no view measured."""
MIN_FILLED = 0.1
MIN_UNDER = 0.5
"""A mask shows two groups as one object if each fills this much of its place and has this share of its sight under it."""


@dataclass(frozen=True, eq=False)
class Placements:
    """What other views show in the place of masks.

    Attributes:
        pairs: (P, 2) int32 rows: the placed mask, and a mask of the group that fits its place best.
        fits: (P,) float32 how well place and group fit, [`MIN_FIT`, 1]: the share p of the covered place that the group fills times
            the square root of the share r of the group's pixels in the picture that lie there. A wall behind a small thing fills
            its whole place (p = 1), but little of the wall lies there (r near 0).
        joins: (J, 2) int32 rows of masks of two groups that placed masks show together or apart.
        agree: (J,) int32 views that show them under one mask.
        witnesses: (J,) int32 views that show both.
    """

    pairs: Int32Array
    fits: Float32Array
    joins: Int32Array
    agree: Int32Array
    witnesses: Int32Array


NO_PLACEMENTS = Placements(
    np.zeros((0, 2), np.int32), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32)
)


@dataclass(frozen=True, eq=False)
class Layout:
    """Which voxel fills each place under the wanted masks; it depends on no grouping, so one serves many.

    Attributes:
        voxel: (P,) int32 voxel of each point of the other masks.
        rows: (P,) int32 row of each such point's mask.
        places: For each view with wanted masks, (Q,) int32 rows of those and (Q,) int32 voxels, -1 = none, one for each place.
        others: For each such view, (R,) int32 rows of the masks that are not wanted, one for each place under them.
    """

    voxel: Int32Array
    rows: Int32Array
    places: list[tuple[Int32Array, Int32Array]]
    others: list[Int32Array]


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


def lay_out(table: MaskTable, wanted: BoolArray, *, pose_error_m: float = 0.0) -> Layout:
    """Lay the points of all other masks into the views of the wanted ones.

    Args:
        table: The masks, with the poses in use.
        wanted: (N,) bool masks to place; they lend no points.
        pose_error_m: Error of the poses in use, metres.
    """
    points, voxel, rows = _gather_voxels(table, ~wanted)
    blocks, block_of = np.unique(np.floor(points / BLOCK_M).astype(np.int32), axis=0, return_inverse=True)
    order = np.argsort(block_of, kind="stable").astype(np.int32)
    bounds = np.searchsorted(block_of[order], np.arange(len(blocks) + 1))
    centres = (blocks.astype(np.float32) + 0.5) * np.float32(BLOCK_M)
    places: list[tuple[Int32Array, Int32Array]] = []
    others: list[Int32Array] = []
    for index in cast("list[int]", np.unique(table.view_of[wanted]).tolist()):
        view = table.views[index]
        if view.camera is None or view.pose is None or len(points) == 0:
            continue
        near = np.flatnonzero(_may_see(view, centres))
        some = np.concatenate([order[bounds[k] : bounds[k + 1]] for k in near.tolist()] or [order[:0]])
        seen, step = _lay_into(view, points[some], wanted, pose_error_m)
        under = view.index_map[step // 2 :: step, step // 2 :: step].ravel()
        is_wanted = np.append(wanted, False)[under]
        hit = seen.ravel()[is_wanted]
        places.append((under[is_wanted], np.where(hit >= 0, np.append(some, NOTHING)[hit], NOTHING).astype(np.int32)))
        others.append(under[(under >= 0) & ~is_wanted])
    return Layout(voxel, rows, places, others)


def place_masks(layout: Layout, labels: Int32Array) -> Placements:
    """Find the group that fits each wanted mask's place.

    Args:
        layout: What fills the places.
        labels: (N,) int32 group of each mask; those of wanted masks do not matter.
    """
    if len(layout.voxel) == 0:
        return NO_PLACEMENTS
    groups, sources = _name_voxels(layout, labels)
    pairs: list[tuple[int, int]] = []
    fits: list[float] = []
    seen: list[_Places] = []
    for (masks, voxels), others in zip(layout.places, layout.others, strict=True):
        places = _see_places(masks, voxels, others, labels, groups, sources)
        seen.append(places)
        score = np.where(places.covered >= MIN_COVERED, places.filled * np.sqrt(places.under), 0)
        order = np.lexsort((-score, places.masks))
        first = order[np.append(True, places.masks[order][1:] != places.masks[order][:-1])] if len(order) else order
        for record in first[score[first] >= MIN_FIT].tolist():
            pairs.append((int(places.masks[record]), int(places.sources[record])))
            fits.append(float(score[record]))
    joins, agree, witnesses = _compare_groups(seen)
    return Placements(np.asarray(pairs, np.int32).reshape(-1, 2), np.asarray(fits, np.float32), joins, agree, witnesses)


@dataclass(frozen=True, eq=False)
class _Places:
    """Which groups lie under which wanted masks of one view, a record each.

    Attributes:
        masks: (R,) int32 rows of the wanted masks.
        groups: (R,) int32 groups.
        filled: (R,) float32 share of the mask's covered place that the group fills.
        under: (R,) float32 share of the group's pixels in this view that lie under the mask.
        covered: (R,) float32 share of the mask's place that any points cover.
        sources: (R,) int32 row of the group's mask that lends most of the points there.
    """

    masks: Int32Array
    groups: Int32Array
    filled: Float32Array
    under: Float32Array
    covered: Float32Array
    sources: Int32Array


def _see_places(
    under: Int32Array, voxels: Int32Array, others: Int32Array, labels: Int32Array, group_of: Int32Array, source_of: Int32Array
) -> _Places:
    area = np.bincount(under, minlength=len(labels))
    mask, voxel = under[voxels >= 0], voxels[voxels >= 0]
    code, record, counts = np.unique(mask.astype(np.int64) << 32 | group_of[voxel], return_inverse=True, return_counts=True)
    masks, groups = (code >> 32).astype(np.int32), (code & 0xFFFFFFFF).astype(np.int32)
    size = int(labels.max(initial=-1)) + 1
    visible = np.bincount(groups, weights=counts, minlength=size)
    visible += np.bincount(labels[others], minlength=size)
    covered = np.bincount(mask, minlength=len(labels))
    # The mask that lends most points to a record: the last write, the largest count, stays.
    lent, lends = np.unique(record.astype(np.int64) << 32 | source_of[voxel], return_counts=True)
    order = np.argsort(lends, kind="stable")
    sources = np.zeros(len(code), np.int32)
    sources[lent[order] >> 32] = lent[order] & 0xFFFFFFFF
    return _Places(
        masks=masks,
        groups=groups,
        filled=(counts / np.maximum(covered[masks], 1)).astype(np.float32),
        under=(counts / np.maximum(visible[groups], 1)).astype(np.float32),
        covered=(covered[masks] / np.maximum(area[masks], 1)).astype(np.float32),
        sources=sources,
    )


def _compare_groups(seen: list[_Places]) -> tuple[Int32Array, Int32Array, Int32Array]:
    """Count, for pairs of groups that lie mostly under masks of one view, the views that show them under one mask, and all."""
    together: dict[tuple[int, int], list[int]] = {}
    source: dict[int, int] = {}
    for places in seen:
        sure = np.flatnonzero((places.under >= MIN_UNDER) & (places.filled >= MIN_FILLED) & (places.covered >= MIN_COVERED))
        for n, a in enumerate(sure.tolist()):
            source.setdefault(int(places.groups[a]), int(places.sources[a]))
            for b in sure[n + 1 :].tolist():
                first, second = sorted((int(places.groups[a]), int(places.groups[b])))
                if first != second:
                    together.setdefault((first, second), []).append(int(places.masks[a] == places.masks[b]))
    wanted = {pair: views for pair, views in together.items() if any(views)}
    joins = np.asarray([(source[a], source[b]) for a, b in wanted], np.int32).reshape(-1, 2)
    agree = np.asarray([sum(views) for views in wanted.values()], np.int32)
    return joins, agree, np.asarray([len(views) for views in wanted.values()], np.int32)


def _gather_voxels(table: MaskTable, lends: BoolArray) -> tuple[Float32Array, Int32Array, Int32Array]:
    """Thin the points of all lending masks to voxels.

    Returns:
        (V, 3) float32 a point of each voxel, metres; (P,) int32 voxel of each point, and (P,) int32 row of its mask.
    """
    points: list[Float32Array] = []
    rows: list[Int32Array] = []
    lending = np.append(lends, False)
    for view in table.views:
        if view.depth is None or view.camera is None or view.pose is None:
            continue
        step = max(1, round(STEP_PX * view.camera.width / 640))
        own, depth = view.index_map[::step, ::step], view.depth[::step, ::step]
        valid = (depth > 0) & lending[own]
        points.append(lift_grid(view, valid, step=step))
        rows.append(own[valid])
    if not points or sum(map(len, points)) == 0:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32)
    world = np.concatenate(points)
    first, voxel = thin_to_voxels(world, VOXEL_M)
    return world[first], voxel.astype(np.int32), np.concatenate(rows)


def _name_voxels(layout: Layout, labels: Int32Array) -> tuple[Int32Array, Int32Array]:
    """Return the group that most points of each voxel have, (V,) int32, and the row of one of its masks there, (V,) int32."""
    code = layout.voxel.astype(np.int64) << 32 | labels[layout.rows]
    unique, first, counts = np.unique(code, return_index=True, return_counts=True)
    order = np.argsort(counts, kind="stable")
    winner = np.zeros(int(layout.voxel.max()) + 1, np.int64)
    winner[unique[order] >> 32] = first[order]  # the last write, the largest count, stays
    return labels[layout.rows[winner]], layout.rows[winner]


def _may_see(view: PosedView, centres: Float32Array) -> BoolArray:
    """Return which blocks, (B, 3) float32 centres in metres, may reach into a view, (B,) bool."""
    assert view.camera is not None
    assert view.pose is not None
    rotation = view.pose[:3, :3].astype(np.float32)
    local = centres @ rotation - (view.pose[:3, 3].astype(np.float32) @ rotation)
    reach = 0.87 * BLOCK_M  # half a cube's diagonal
    z = local[:, 2] + reach
    camera = view.camera
    across = max(camera.cx, camera.width - camera.cx) / camera.fx
    down = max(camera.cy, camera.height - camera.cy) / camera.fy
    inside = (np.abs(local[:, 0]) < across * z + 2 * reach) & (np.abs(local[:, 1]) < down * z + 2 * reach)
    return inside & (z > 0) & (z < FARTHEST_M)


def _lay_into(view: PosedView, points: Float32Array, wanted: BoolArray, pose_error_m: float) -> tuple[NDArray[np.int32], int]:
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
    local = points @ rotation - (view.pose[:3, 3].astype(np.float32) @ rotation)
    front = np.flatnonzero(local[:, 2] > 0.1)
    local = local[front]
    z: Float32Array = local[:, 2].astype(np.float32)
    column = (local[:, 0] / z * np.float32(camera.fx) + np.float32(camera.cx + 0.5)) / step
    row = (local[:, 1] / z * np.float32(camera.fy) + np.float32(camera.cy + 0.5)) / step
    size = np.clip(np.ceil(VOXEL_M * camera.fx / z / step), 1, MAX_SPLAT_PX).astype(np.int32)
    near = (column > -size) & (column < width + size) & (row > -size) & (row < height + size)
    # Most points lie nowhere near a wanted mask: a look at the place of their centre spares their splats.
    around = np.asarray(ndimage.maximum_filter(is_wanted.astype(np.uint8), size=MAX_SPLAT_PX), bool)
    x, y = np.clip(column[near], 0, width - 1).astype(np.int32), np.clip(row[near], 0, height - 1).astype(np.int32)
    near[near] = around[y, x]
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
