"""Rough depth of masks in photos whose cameras are known but that have no depth of their own.

Where a mask holds triangulated points, a plane through them gives its depth. Where it holds few or none, its depth is tried: at the
right one its pixels land, in the views around, on one mask each, which is about as large as it should be and looks alike. One
depth that is clearly better than the rest is taken; a mask without one stays without depth. The depth is good to some per cent,
which is enough to follow masks into other views; its unit is arbitrary, so rooms are scaled to a usual size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.grouping.geometry import MaskTable, PosedView
from engine.grouping.photo_links import masks_under
from engine.grouping.similarity import MIN_KNOWN, find_look_alikes, likeness_of
from engine.photos.placed import PlacedPhotos
from engine.types import BoolArray, Camera, Float32Array, Float64Array, Int32Array

USUAL_DEPTH_M = 2.5
"""Rooms are scaled so that half of their points are nearer to the cameras than this."""
PLANE_POINTS = 4
TRUSTED_POINTS = 3
"""Points from which on a plane is laid through them, and from which on they are believed without trying depths."""
TILT_RIDGE = 0.3
PLANE_ROUNDS = 8
PLANE_NOISE = 0.005
"""Least relative error of a point's depth, in the weights of the plane's fit."""
TRIED_DEPTHS = 48
PIXELS_TRIED = 32
VIEWS_TRIED = 12
MIN_IN_SIGHT = 0.6
"""Share of a mask's pixels that must land in a view before it is heard."""
MIN_VIEWS = 2
BEST_SHARE = 0.5
"""Of the views that are heard, this share counts, the best ones: in the others something may stand in front."""
MIN_SCORE = 0.2
MIN_MARGIN = 0.06
NEAR_STEPS = 4
"""A depth is taken if its score is at least the first, and better by the second than all that are farther than so many steps."""
NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class RoughGeometry:
    """Masks with poses and rough depth.

    Attributes:
        table: The masks; views that were placed have a camera, a pose and depth, in a unit that is metres only by a guess.
        by_points: (N,) masks whose depth comes from points they hold.
        by_trial: (N,) masks whose depth was found by trying.
    """

    table: MaskTable
    by_points: BoolArray
    by_trial: BoolArray

    @property
    def has_place(self) -> BoolArray:
        """(N,) masks whose depth is known."""
        return self.by_points | self.by_trial


def estimate_depth(table: MaskTable, placed: PlacedPhotos, embeddings: Float32Array) -> RoughGeometry:
    """Give the masks of placed photos poses and depth.

    Args:
        table: The masks.
        placed: The photos of the table's views, in their order.
        embeddings: (N, D) float32 looks of each mask.
    """
    if len(placed.points) == 0 or int(placed.is_placed.sum()) < 2:
        nobody = np.zeros(len(table), bool)
        return RoughGeometry(table, nobody, nobody)
    depth_of_seen = _depth_of_sightings(placed)
    scale = USUAL_DEPTH_M / max(float(np.median(depth_of_seen)), 1e-9)
    depth_of_seen = depth_of_seen * scale
    views = [_pose_view(view, placed, index, scale) for index, view in enumerate(table.views)]
    posed = replace(table, views=tuple(views))
    seen = masks_under(table, placed.seen_by, placed.seen_at, placed.sizes)
    counts = np.bincount(seen[seen >= 0], minlength=len(table))
    maps = [None if view.pose is None else np.zeros(view.index_map.shape, np.float32) for view in views]
    for index, view in enumerate(views):
        mine = np.flatnonzero((placed.seen_by == index) & (seen >= 0) & (depth_of_seen > NEAR))
        depth = maps[index]
        if depth is not None and len(mine):
            _lay_planes(view, depth, seen[mine], placed.seen_at[mine], placed.sizes[index], depth_of_seen[mine])
    known = posed.with_depths(maps)
    tried, found = _try_depths(known, embeddings, _shared_points(placed))
    by_trial = found & (counts < TRUSTED_POINTS) & placed.is_placed[table.view_of]
    by_points = (counts >= TRUSTED_POINTS) | ((counts >= 2) & ~by_trial)
    for index, view in enumerate(views):
        depth = maps[index]
        if depth is None:
            continue
        rows = np.append(np.where(by_trial, tried, 0.0), 0.0).astype(np.float32)[view.index_map]
        kept = np.append(by_points, False)[view.index_map]
        depth[:] = np.where(kept, depth, rows)
    return RoughGeometry(posed.with_depths(maps), by_points & placed.is_placed[table.view_of], by_trial)


def _depth_of_sightings(placed: PlacedPhotos) -> Float64Array:
    """Return the depth of each sighting's point in its photo, (S,) float64, the model's unit."""
    poses = placed.poses[placed.seen_by]
    offset = placed.points[placed.seen_point] - poses[:, :3, 3]
    return np.einsum("si,si->s", offset, poses[:, :3, 2])


def _pose_view(view: PosedView, placed: PlacedPhotos, index: int, scale: float) -> PosedView:
    if not placed.is_placed[index]:
        return replace(view, depth=None, camera=None, pose=None)
    height, width = view.index_map.shape
    pose = placed.poses[index].copy()
    pose[:3, 3] *= scale
    return replace(view, depth=None, camera=placed.camera(index).resized(width, height), pose=pose)


def _lay_planes(
    view: PosedView, depth: Float32Array, rows: Int32Array, at: Float32Array, size: Int32Array, z: Float64Array
) -> None:
    """Fill the depth of a view's masks by the points on them: inverse depth is linear in the picture on a plane."""
    height, width = view.index_map.shape
    column, row = ((at + 0.5) * (np.asarray([width, height]) / size) - 0.5).T
    for mask in np.unique(rows).tolist():
        mine = rows == mask
        inverse = 1 / z[mine]
        place = np.stack([column[mine], row[mine]], axis=1) / width
        middle = place.mean(axis=0)
        tilt, level = np.zeros(2), float(np.median(inverse))
        if len(inverse) >= PLANE_POINTS:
            tilt, level = _fit_plane(place - middle, inverse)
        v, u = np.nonzero(view.index_map == mask)
        plane = level + (np.stack([u, v], axis=1) / width - middle) @ tilt
        depth[v, u] = 1 / np.clip(plane, inverse.min() * 0.8, inverse.max() * 1.25)


def _fit_plane(place: Float64Array, inverse: Float64Array) -> tuple[Float64Array, float]:
    """Fit inverse depth, (P,), by a tilt and a level over places, (P, 2), points that disagree counting less."""
    columns: Float64Array = np.concatenate([place, np.ones((len(place), 1))], axis=1)
    ridge = np.diag([TILT_RIDGE * 0.025, TILT_RIDGE * 0.025, 0.0])
    weights: Float64Array = np.ones(len(place))
    solved: Float64Array = np.zeros(3)
    for _ in range(PLANE_ROUNDS):
        weighed: Float64Array = columns * weights[:, None]
        solved = np.asarray(np.linalg.solve(weighed.T @ columns + ridge, weighed.T @ inverse), np.float64)
        rest: Float64Array = inverse - columns @ solved
        noise = max(1.48 * float(np.median(np.abs(rest))), PLANE_NOISE * float(np.median(inverse)))
        weights = 1 / (1 + (rest / (2 * noise)) ** 2)
    return solved[:2], float(solved[2])


def _shared_points(placed: PlacedPhotos) -> Int32Array:
    """Return how many points each two photos share, (V, V) int32, 0 on the diagonal."""
    count = len(placed.names)
    seen = np.zeros((len(placed.points), count), np.float32)
    seen[placed.seen_point, placed.seen_by] = 1
    shared = (seen.T @ seen).astype(np.int32)
    np.fill_diagonal(shared, 0)
    return shared


def _try_depths(table: MaskTable, embeddings: Float32Array, shared: Int32Array) -> tuple[Float64Array, BoolArray]:
    """Return the depth at which each mask fits the other views best, (N,) float64, and whether it is clear, (N,) bool."""
    first = cast("list[int]", np.searchsorted(table.view_of, np.arange(len(table.views) + 1)).tolist())
    best, is_clear = np.zeros(len(table)), np.zeros(len(table), bool)
    alike = likeness_of(embeddings, find_look_alikes(table, embeddings))
    usual = (float(alike.mean()), max(float(alike.std()), 1e-3)) if len(alike) >= MIN_KNOWN else (0.5, 0.25)
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    for index, view in enumerate(table.views):
        rows = np.arange(first[index], first[index + 1], dtype=np.int32)
        known = view.depth[view.depth > 0] if view.depth is not None else np.zeros(0, np.float32)
        if view.pose is None or view.camera is None or len(rows) == 0 or len(known) == 0:
            continue
        near, far = float(np.quantile(known, 0.01)), float(np.quantile(known, 0.99))
        inverse: Float64Array = np.linspace(1 / (1.3 * far), 1 / (0.8 * near), TRIED_DEPTHS)
        ranked = cast("list[int]", np.argsort(-shared[index], kind="stable")[:VIEWS_TRIED].tolist())
        others = [j for j in ranked if shared[index, j] > 0]
        scores: list[Float64Array] = []
        rays = _spread_rays(view, view.camera, rows)
        for other in others:
            targets = np.arange(first[other], first[other + 1], dtype=np.int32)
            if len(targets):
                scores.append(_score_depths(table, view, table.views[other], rows, targets, rays, inverse, unit, usual))
        if not scores:
            continue
        total = _best_half(np.stack(scores))
        chosen = total.argmax(axis=1)
        most = total[np.arange(len(rows)), chosen]
        is_far = np.abs(np.arange(TRIED_DEPTHS) - chosen[:, None]) > NEAR_STEPS
        rival = np.where(is_far, total, 0).max(axis=1)
        best[rows] = 1 / inverse[chosen]
        is_clear[rows] = (most > MIN_SCORE) & (most - rival > MIN_MARGIN)
    return best, is_clear


def _spread_rays(view: PosedView, camera: Camera, rows: Int32Array) -> Float32Array:
    """Return rays through pixels spread over each mask, (M, PIXELS_TRIED, 3) float32, camera axes, z = 1."""
    flat = np.flatnonzero(view.index_map >= 0)
    labels = view.index_map.ravel()[flat]
    order = np.argsort(labels, kind="stable")
    flat, labels = flat[order], labels[order]
    start, stop = np.searchsorted(labels, rows), np.searchsorted(labels, rows, side="right")
    place = start[:, None] + ((np.arange(PIXELS_TRIED) + 0.5) * (stop - start)[:, None] / PIXELS_TRIED).astype(np.int64)
    return camera.rays.reshape(-1, 3)[flat[place]]


def _score_depths(
    table: MaskTable,
    view: PosedView,
    other: PosedView,
    rows: Int32Array,
    targets: Int32Array,
    rays: Float32Array,
    inverse: Float64Array,
    unit: Float32Array,
    usual: tuple[float, float],
) -> Float64Array:
    """Return how well each of M masks fits another view at each depth, (M, D) float64 in [0, 1]; NaN out of sight."""
    assert view.pose is not None
    assert other.pose is not None
    assert other.camera is not None
    camera, turn = other.camera, view.pose[:3, :3].T @ other.pose[:3, :3]
    base = ((view.pose[:3, 3] - other.pose[:3, 3]) @ other.pose[:3, :3]).astype(np.float32)
    local = (rays @ turn.astype(np.float32))[:, None] * (1 / inverse).astype(np.float32)[None, :, None, None] + base
    z = local[..., 2]
    flat = 1 / np.maximum(z, NEAR)
    column, row = local[..., 0] * flat * camera.fx + (camera.cx + 0.5), local[..., 1] * flat * camera.fy + (camera.cy + 0.5)
    inside = (z > NEAR) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    pixel = np.where(inside, row, 0).astype(np.int64) * camera.width + np.where(inside, column, 0).astype(np.int64)
    under = np.where(inside, other.index_map.ravel()[pixel], -1)
    count, depths, width = len(rows), len(inverse), len(targets) + 1
    code = np.where(under >= 0, under - targets[0], width - 1).reshape(count * depths, -1)
    hits = np.bincount((np.arange(count * depths)[:, None] * width + code).ravel(), minlength=count * depths * width)
    hits = hits.reshape(count, depths, width)[:, :, :-1]
    onto = hits.argmax(axis=2)
    in_sight = inside.mean(axis=2)
    share = hits.max(axis=2) / PIXELS_TRIED / np.maximum(in_sight, 1e-6)
    distance = np.where(inside, z, 0).sum(axis=2) / np.maximum(inside.sum(axis=2), 1)
    expected = table.areas[rows][:, None] / (inverse[None] * np.maximum(distance, NEAR)) ** 2 * in_sight
    actual = table.areas[targets[onto]]
    size = np.minimum(expected / actual, actual / np.maximum(expected, NEAR))
    alike = np.einsum("md,mkd->mk", unit[rows], unit[targets[onto]])
    looks = 1 / (1 + np.exp(-2 * ((alike - usual[0]) / usual[1] - 0.5)))
    return np.where(in_sight > MIN_IN_SIGHT, share * np.sqrt(np.clip(size, 0, 1)) * looks, np.nan)


def _best_half(scores: Float64Array) -> Float64Array:
    """Return the mean of the best views' scores at each depth, (M, D) from (V, M, D); 0 where too few views are heard."""
    heard = np.isfinite(scores).sum(axis=0)
    counted = np.maximum(np.ceil(heard * BEST_SHARE), 1)
    ordered = -np.sort(-np.where(np.isfinite(scores), scores, 0.0), axis=0)
    is_best = np.arange(len(scores))[:, None, None] < counted
    return np.where(heard >= MIN_VIEWS, (ordered * is_best).sum(axis=0) / counted, 0.0)
