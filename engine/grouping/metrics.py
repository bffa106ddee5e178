"""How good a grouping is where ground truth exists: over masks (ARI, V-measure, pairs) and over points (average precision)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engine.types import NOTHING, BoolArray, Float64Array, Int32Array

IntegerArray = NDArray[np.integer[Any]]

AP_THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
MIN_REGION_POINTS = 100
"""Instances of fewer points are not scored, as in ScanNet's benchmark."""


@dataclass(frozen=True)
class MaskScores:
    """Scores over masks.

    Attributes:
        ari: Adjusted Rand index, [-0.5, 1].
        v_measure: Harmonic mean of homogeneity and completeness, [0, 1].
        precision: Share of the pairs of masks in one group that are one object.
        recall: Share of the pairs of masks of one object that are in one group.
        f1: Their harmonic mean.
        coverage: Share of the scored masks that have a group.
        masks: Masks with ground truth; the others are not scored.
    """

    ari: float
    v_measure: float
    precision: float
    recall: float
    f1: float
    coverage: float
    masks: int


@dataclass(frozen=True)
class PointScores:
    """Class-agnostic average precision over points: mean over IoU 0.5 to 0.95, at 0.5, and at 0.25."""

    ap: float
    ap50: float
    ap25: float
    instances: int


def score_masks(truth: Int32Array, labels: Int32Array) -> MaskScores:
    """Compare groups of masks with ground truth.

    Args:
        truth: (N,) int32 object of each mask, -1 = unknown (not scored).
        labels: (N,) int32 group of each mask, -1 = dropped: counts as a group of its own.
    """
    # Takes most of a second to import, and the command line imports this module when it starts.
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    known = truth != NOTHING
    truth, given = truth[known], labels[known].astype(np.int64)
    if len(truth) == 0:
        return MaskScores(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    dropped = given == NOTHING
    placed = np.where(dropped, given.max(initial=0) + 1 + np.arange(len(given)), given)
    joint, sizes, groups = _counts(truth, placed)
    together, of_object, of_group = (_pairs(c) for c in (joint, sizes, groups))
    precision = together / of_group if of_group else 1.0
    recall = together / of_object if of_object else 1.0
    return MaskScores(
        ari=float(adjusted_rand_score(truth, placed)),
        v_measure=float(v_measure_score(truth, placed)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        coverage=float(1 - dropped.mean()),
        masks=len(truth),
    )


def _counts(a: IntegerArray, b: IntegerArray) -> tuple[IntegerArray, IntegerArray, IntegerArray]:
    _, ia = np.unique(a, return_inverse=True)
    _, ib = np.unique(b, return_inverse=True)
    joint = np.unique(ia.astype(np.int64) * (int(ib.max()) + 1) + ib, return_counts=True)[1]
    return joint, np.bincount(ia), np.bincount(ib)


def _pairs(counts: IntegerArray) -> float:
    c = counts.astype(np.float64)
    return float((c * (c - 1) / 2).sum())


def score_points(truth: Int32Array, labels: Int32Array, confidences: Sequence[float] | Float64Array) -> PointScores:
    """Compare 3D instances with ground truth by ScanNet's rule, without classes.

    Predictions are matched one to one at each IoU; a prediction that matches nothing is a false positive unless most of it lies
    on points without ground truth or on instances too small to be scored.

    Args:
        truth: (P,) int32 object of each point, -1 = unlabelled.
        labels: (P,) int32 group of each point, -1 = none.
        confidences: Confidence of each group, indexed by label.
    """
    objects, object_sizes = np.unique(truth[truth != NOTHING], return_counts=True)
    scored = object_sizes >= MIN_REGION_POINTS
    groups, group_sizes = np.unique(labels[labels != NOTHING], return_counts=True)
    big = group_sizes >= MIN_REGION_POINTS
    groups, group_sizes = groups[big], group_sizes[big]
    if not scored.any():
        return PointScores(0.0, 0.0, 0.0, 0)
    both = (truth != NOTHING) & np.isin(labels, groups)
    table = np.zeros((len(objects), len(groups)))
    if len(groups):
        np.add.at(table, (np.searchsorted(objects, truth[both]), np.searchsorted(groups, labels[both])), 1)
    ignored = np.bincount(np.searchsorted(groups, labels[np.isin(labels, groups) & (truth == NOTHING)]), minlength=len(groups))
    ignored = ignored + table[~scored].sum(axis=0)
    iou = table / np.maximum(object_sizes[:, None] + group_sizes[None, :] - table, 1)
    iou = iou[scored]
    confidence = np.asarray([confidences[int(g)] for g in groups], np.float64)
    is_ignored = ignored / np.maximum(group_sizes, 1)
    precisions = {t: _average_precision(iou, confidence, is_ignored > t, t) for t in (0.25, *AP_THRESHOLDS)}
    return PointScores(
        ap=float(np.mean([precisions[t] for t in AP_THRESHOLDS])),
        ap50=precisions[0.5],
        ap25=precisions[0.25],
        instances=int(scored.sum()),
    )


def _average_precision(iou: Float64Array, confidence: Float64Array, is_ignored: BoolArray, threshold: float) -> float:
    """Area under the precision-recall curve at one IoU; iou is (objects, groups)."""
    objects = len(iou)
    hit = np.zeros(iou.shape[1], bool)
    if iou.size:
        # Above 0.5 a match is unique; at 0.25 the best one-to-one match is taken.
        rows, columns = linear_sum_assignment(np.where(iou > threshold, iou, 0), maximize=True)
        hit[columns[iou[rows, columns] > threshold]] = True
    counted = hit | ~is_ignored
    hit, confidence = hit[counted], confidence[counted]
    if not hit.any():
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    hit, confidence = hit[order], confidence[order]
    last = np.r_[confidence[1:] != confidence[:-1], True]  # equal confidences are one step of the curve
    true, found = np.cumsum(hit)[last], (np.arange(len(hit)) + 1)[last]
    precision, recall = true / found, true / objects
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))
