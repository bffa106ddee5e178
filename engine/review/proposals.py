"""Proposes the next pair of masks worth showing to a person. Looks at two views at a time, never at ground truth.

Half of the proposals are the best geometric match of a mask (likely the same object), half are its nearest look-alike in colour
(likely different): with both kinds, people learn what the judge can and cannot do, and labels stay balanced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from engine.errors import LeftOutError
from engine.types import NOTHING, Float64Array, Frame, MaskKey, MaskPair
from engine.views.crops import bounding_box

MIN_AREA_SHARE = 0.0015
"""A mask smaller than this share of its image is too small to look at (345 of 640x360 pixels)."""
MAX_AREA_SHARE = 0.25
"""Larger masks are mostly walls and floors, which say little."""
MIN_OVERLAP = 0.15
"""Share of a mask's visible points that must land on the other mask for the two to be called a geometric match."""
ATTEMPTS = 40
DEPTH_TOLERANCE_M = 0.08


def presentable_masks(frame: Frame) -> list[int]:
    """Return the masks of a frame that are neither too small nor too large to judge, in ascending order of id."""
    pixels = frame.instance_map.size
    return [i for i, area in sorted(frame.mask_areas.items()) if MIN_AREA_SHARE * pixels <= area <= MAX_AREA_SHARE * pixels]


def project_mask(frame: Frame, mask: int, onto: Frame, *, max_points: int = 400) -> dict[int, float]:
    """Say where a mask's surface is seen in another frame.

    Args:
        frame: Frame of the mask; needs depth, camera and pose.
        mask: Mask id in `frame`.
        onto: The other frame; its depth, where known, hides what is behind other things.
        max_points: Points of the mask that are followed, evenly spread.

    Returns:
        Share of the followed points on each mask of `onto`, in (0, 1]; empty where geometry is missing or nothing is seen.
    """
    if frame.depth is None or frame.camera is None or frame.pose is None or onto.camera is None or onto.pose is None:
        return {}
    v, u = np.nonzero((frame.instance_map == mask) & (frame.depth > 0))
    if len(u) == 0:
        return {}
    step = max(1, len(u) // max_points)
    u, v = u[::step], v[::step]
    world = (frame.camera.rays[v, u] * frame.depth[v, u, None]) @ frame.pose[:3, :3].T + frame.pose[:3, 3]
    local = (world - onto.pose[:3, 3]) @ onto.pose[:3, :3]
    z = np.maximum(local[:, 2], 1e-6)
    column = np.rint(onto.camera.fx * local[:, 0] / z + onto.camera.cx)
    row = np.rint(onto.camera.fy * local[:, 1] / z + onto.camera.cy)
    seen = (local[:, 2] > 0.05) & (column >= 0) & (column < onto.camera.width) & (row >= 0) & (row < onto.camera.height)
    columns, rows, z = column[seen].astype(int), row[seen].astype(int), z[seen]
    if onto.depth is not None:
        surface = onto.depth[rows, columns]
        near = (surface == 0) | (np.abs(surface - z) < DEPTH_TOLERANCE_M + 0.02 * z)
        columns, rows = columns[near], rows[near]
    ids, counts = np.unique(onto.instance_map[rows, columns], return_counts=True)
    return {int(i): float(n) / len(u) for i, n in zip(ids, counts, strict=True) if i != NOTHING}


def colour_signature(frame: Frame, mask: int) -> Float64Array:
    """Describe a mask by its mean colour, colour spread and shape of its box: (7,) float64, about unit scale."""
    selected = frame.instance_map == mask
    pixels = frame.rgb[selected].astype(np.float64) / 255
    box = bounding_box(selected)
    aspect = np.log((box.x1 - box.x0 + 1) / (box.y1 - box.y0 + 1))
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0), [0.2 * aspect]])


def propose_pair(
    view_names: Collection[str],
    load_frame: Callable[[str], Frame],
    *,
    rng: np.random.Generator,
    avoid: Collection[MaskPair] = (),
) -> MaskPair | None:
    """Pick a pair of masks of two views that shows something and is not in `avoid`.

    Args:
        view_names: Views to pick from.
        load_frame: Gives a view's frame; called for two views an attempt.
        rng: Source of chance; equal generators give equal proposals.
        avoid: Canonical pairs that were labelled already.

    Returns:
        A pair, or None if no two views have masks worth showing.
    """
    names = list(view_names)
    fallback: MaskPair | None = None
    for attempt in range(ATTEMPTS if len(names) > 1 else 0):
        first, second = (names[int(i)] for i in rng.choice(len(names), size=2, replace=False))
        try:
            frame_a, frame_b = load_frame(first), load_frame(second)
        except LeftOutError:
            continue  # a file of one of the two is broken; there are other views
        masks_a, masks_b = presentable_masks(frame_a), presentable_masks(frame_b)
        if not masks_a or not masks_b:
            continue
        mask_a = int(rng.choice(masks_a))
        projection = {i: share for i, share in project_mask(frame_a, mask_a, frame_b).items() if i in masks_b}
        best = max(projection, key=lambda i: projection[i], default=None)
        wants_match = attempt % 2 == int(rng.integers(2))
        if wants_match and best is not None and projection[best] >= MIN_OVERLAP:
            mask_b = best
        elif wants_match and frame_a.depth is not None and attempt < ATTEMPTS // 2:
            continue
        else:
            others = [i for i in masks_b if i != best] or masks_b
            target = colour_signature(frame_a, mask_a)
            mask_b = min(others, key=lambda i: float(np.linalg.norm(colour_signature(frame_b, i) - target)))
        pair = MaskPair(MaskKey(first, mask_a), MaskKey(second, mask_b))
        if pair.canonical() not in avoid:
            return pair
        fallback = pair
    return fallback
