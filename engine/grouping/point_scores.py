"""Average precision where no labelled mesh is at hand: over the points that the views' own depth measures.

The rule is ScanNet's, class-agnostic, as in `engine.grouping.metrics`. What differs are the points: every pixel under a mask,
or with ground truth, that has depth becomes a point, points are thinned to voxels of 2 cm, and a voxel's object and group are
those that most of its pixels have. Objects that no depth reaches are therefore not scored, and numbers are comparable only
between runs on the same frames, never with scores over a mesh.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.grouping.geometry import MaskTable
from engine.grouping.graph import Grouping
from engine.grouping.instances import CLOUD_VOXEL_M, name_majority
from engine.grouping.metrics import PointScores, score_points
from engine.grouping.voxels import lift_grid, thin_to_voxels
from engine.types import NOTHING, Float32Array, Int32Array

ACROSS = 320
"""Points taken across a picture."""


def score_mask_points(table: MaskTable, truth: Int32Array | Sequence[Int32Array | None], grouping: Grouping) -> PointScores | None:
    """Score groups over the points of the views' depth; None without depth and poses.

    Args:
        table: Masks with depth and the poses in use.
        truth: (N,) int32 object of each mask, or the (H, W) int32 objects of each view's pixels, None for views without;
            -1 = unknown.
        grouping: The groups.
    """
    points: list[Float32Array] = []
    objects: list[Int32Array] = []
    groups: list[Int32Array] = []
    for index, view in enumerate(table.views):
        if view.depth is None or view.camera is None or view.pose is None:
            continue
        step = max(1, view.camera.width // ACROSS)
        rows, depth = view.index_map[::step, ::step], view.depth[::step, ::step]
        if isinstance(truth, np.ndarray):
            true = np.append(truth, NOTHING).astype(np.int32)[rows]
        else:
            whole = truth[index]
            true = np.full(rows.shape, NOTHING, np.int32) if whole is None else whole[::step, ::step]
        valid = (depth > 0) & ((rows >= 0) | (true >= 0))
        points.append(lift_grid(view, valid, step=step))
        objects.append(true[valid])
        groups.append(np.append(grouping.labels, NOTHING).astype(np.int32)[rows[valid]])
    if not points or sum(map(len, points)) == 0:
        return None
    first, voxel = thin_to_voxels(np.concatenate(points), CLOUD_VOXEL_M)
    count = len(first)
    confidences = [group.confidence for group in grouping.groups]
    return score_points(
        name_majority(voxel, np.concatenate(objects), count), name_majority(voxel, np.concatenate(groups), count), confidences
    )
