"""Says how well look-alikes fit together by where they are: what one shows must lie where the other is.

A mask with depth is one place in every other photo. A mask without is a stretch of one, along its epipolar lines; the other mask
must lie somewhere on it.
"""

from __future__ import annotations

import numpy as np

from engine.grouping.geometry import MaskTable
from engine.types import Float32Array, Float64Array, Int32Array

PIXELS = 16
DEPTHS = 24
NEAREST_M, FARTHEST_M = 0.3, 15.0
"""Where a mask of unknown depth may be, in the unit to which rooms are scaled."""
MARGIN = 0.25
"""A mask's box is widened by this share of its sides, as depth is rough and things hide one another."""
MARGIN_PX = 6
IN_SIGHT = 0.5
"""Share of a mask that must be in another photo at some depth before that photo is asked."""
EVEN_SHARE = 0.4
AGAINST, FOR = 2.0, 1.2
"""A share of this much in the other's box says nothing; log-odds that none, and all of it, say."""
ROUGH = (0.85, 1.18)
"""Known depth is good to so much."""
CHUNK = 4096
NEAR = 1e-3


def weigh_places(table: MaskTable, pairs: Int32Array) -> Float64Array:
    """Return log-odds, (E,) float64, from whether the places of two masks fit; 0 where a view has no pose.

    Args:
        table: The masks, with poses, and depth where it is known.
        pairs: Pairs of masks of two views.
    """
    rays, depth = _sample(table)
    boxes = _find_boxes(table)
    has_pose = np.asarray([view.pose is not None and view.camera is not None for view in table.views], bool)
    poses = np.stack([view.pose if view.pose is not None else np.eye(4) for view in table.views])
    lenses = np.asarray(
        [(0.0,) * 6 if (c := view.camera) is None else (c.fx, c.fy, c.cx, c.cy, c.width, c.height) for view in table.views]
    )
    known = has_pose[table.view_of[pairs[:, 0]]] & has_pose[table.view_of[pairs[:, 1]]]
    log_odds = np.zeros(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        part = np.flatnonzero(known[start : start + CHUNK]) + start
        both: list[Float64Array] = []
        for a, b in (pairs[part].T, pairs[part, ::-1].T):
            own, other = table.view_of[a], table.view_of[b]
            both.append(_share_on(rays[a], depth[a], poses[own], poses[other], lenses[other], boxes[b]))
        share = np.fmin(both[0], both[1])
        bent = np.interp(share, [0.0, EVEN_SHARE, 1.0], [-AGAINST, 0.0, FOR])
        log_odds[part] = np.where(np.isnan(share), 0.0, bent)
    return log_odds


def _sample(table: MaskTable) -> tuple[Float32Array, Float64Array]:
    """Return rays through pixels of each mask, (N, PIXELS, 3) float32, and its median depth, (N,) float64, 0 = unknown."""
    rays, depth = np.zeros((len(table), PIXELS, 3), np.float32), np.zeros(len(table))
    for view in table.views:
        if view.camera is None:
            continue
        flat = np.flatnonzero(view.index_map >= 0)
        labels = view.index_map.ravel()[flat]
        order = np.argsort(labels, kind="stable")
        flat, labels = flat[order], labels[order]
        rows, start, count = np.unique(labels, return_index=True, return_counts=True)
        place = start[:, None] + ((np.arange(PIXELS) + 0.5) * count[:, None] / PIXELS).astype(np.int64)
        rays[rows] = view.camera.rays.reshape(-1, 3)[flat[place]]
        if view.depth is not None:
            values = view.depth.ravel()[flat[place]]
            is_known = (values > 0).mean(axis=1) > 0.5
            depth[rows[is_known]] = np.median(values[is_known], axis=1)
    return rays, depth


def _find_boxes(table: MaskTable) -> Float64Array:
    """Return each mask's widened box, (N, 4) float64: left, top, right, bottom, pixels."""
    boxes = np.zeros((len(table), 4))
    for view in table.views:
        v, u = np.nonzero(view.index_map >= 0)
        rows = view.index_map[v, u]
        order = np.argsort(rows, kind="stable")
        present, start = np.unique(rows[order], return_index=True)
        if len(present) == 0:
            continue
        u, v = u[order], v[order]
        left, right = np.minimum.reduceat(u, start), np.maximum.reduceat(u, start)
        top, bottom = np.minimum.reduceat(v, start), np.maximum.reduceat(v, start)
        wide, high = MARGIN * (right - left) + MARGIN_PX, MARGIN * (bottom - top) + MARGIN_PX
        boxes[present] = np.stack([left - wide, top - high, right + wide, bottom + high], axis=1)
    return boxes


def _share_on(
    rays: Float32Array, depth: Float64Array, own: Float64Array, other: Float64Array, lens: Float64Array, box: Float64Array
) -> Float64Array:
    """Return the largest share of each of E masks that lies in the other's box at any depth it may have, (E,); NaN out of sight."""
    tried = 1 / np.linspace(1 / FARTHEST_M, 1 / NEAREST_M, DEPTHS)
    z = np.where(depth[:, None] > 0, depth[:, None] * np.linspace(*ROUGH, DEPTHS), tried)
    turn = np.einsum("eji,ejk->eik", own[:, :3, :3], other[:, :3, :3])
    base = np.einsum("ei,eik->ek", own[:, :3, 3] - other[:, :3, 3], other[:, :3, :3])
    local = np.einsum("epi,eik->epk", rays, turn)[:, None] * z[:, :, None, None] + base[:, None, None]
    flat = 1 / np.maximum(local[..., 2], NEAR)
    fx, fy, cx, cy, width, height = (value[:, None, None] for value in lens.T)
    u, v = local[..., 0] * flat * fx + cx, local[..., 1] * flat * fy + cy
    inside = (local[..., 2] > NEAR) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    left, top, right, bottom = (value[:, None, None] for value in box.T)
    on = inside & (u >= left) & (u <= right) & (v >= top) & (v <= bottom)
    in_sight = inside.mean(axis=2)
    share = np.where(in_sight >= IN_SIGHT, on.mean(axis=2) / np.maximum(in_sight, NEAR), -1.0).max(axis=1)
    return np.where(share >= 0, share, np.nan)
