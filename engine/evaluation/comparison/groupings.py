"""Compares two groupings of the same masks, and computes the groups for other thresholds of a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from engine.grouping.graph import Grouping, MaskGraph, cut
from engine.grouping.judge_rounds import calibrate
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingRun
from engine.types import NOTHING, USUAL_THRESHOLD, BoolArray, Float32Array, Int32Array, MaskKey

THRESHOLDS = tuple(round(0.01 * k, 2) for k in range(5, 96))
"""Every step of the page's slider."""
Change = Literal["fixed", "broken", "moved"]
"""What became of a mask that is in another group now: right at last, wrong now, or neither (both wrong, or no ground truth)."""


@dataclass(frozen=True)
class ThresholdCut:
    """The groups at one threshold; scores are None without ground truth."""

    threshold: float
    groups: int
    ari: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class ChangedMask:
    """A mask that changed its group from A to B."""

    key: MaskKey
    change: Change


def cut_at(graph: MaskGraph, threshold: float, *, decided_at: float = USUAL_THRESHOLD) -> Grouping:
    """Cut a graph as if its judge said "same" from `threshold` on: every answer is shifted by the threshold's log-odds.

    The judge's reliability is measured again on the shifted answers. No new pairs are asked. Scenes without geometry compare
    answers with answers about look-alikes of one view, which shift too, so there a threshold changes little.

    Args:
        graph: Masks and links, with the judge's answers.
        threshold: In (0, 1).
        decided_at: The threshold that the answers in `graph` are already shifted to.
    """
    asked = np.flatnonzero(graph.asked).astype(np.int32)
    moved = replace(graph, known_different=_shift(graph.known_different, threshold, decided_at))
    return cut(calibrate(moved.with_answers(asked, _shift(graph.p_same[asked], threshold, decided_at))))


def _shift(p_same: Float32Array, threshold: float, decided_at: float) -> Float32Array:
    p = np.clip(p_same.astype(np.float64), 1e-6, 1 - 1e-6)
    there, here = (np.log(t / (1 - t)) for t in (threshold, decided_at))
    return (1 / (1 + np.exp(-(np.log(p / (1 - p)) + here - there)))).astype(np.float32)


def sweep_thresholds(
    graph: MaskGraph,
    truth: Int32Array | None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    decided_at: float = USUAL_THRESHOLD,
    tick: Callable[[], None] = lambda: None,
) -> list[ThresholdCut]:
    """Return what the grouping would be at each threshold.

    Args:
        graph: Masks and links, with the judge's answers.
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        thresholds: In (0, 1).
        decided_at: The threshold that the answers in `graph` are already shifted to.
        tick: Called before each; may raise to stop.
    """
    found: list[ThresholdCut] = []
    for threshold in thresholds:
        tick()
        grouping = cut_at(graph, threshold, decided_at=decided_at)
        scores = score_masks(truth, grouping.labels) if truth is not None else None
        found.append(
            ThresholdCut(
                threshold,
                len(grouping.groups),
                *((scores.ari, scores.precision, scores.recall) if scores is not None else (None, None, None)),
            )
        )
    return found


def find_changes(
    keys: Sequence[MaskKey], labels_a: Int32Array, labels_b: Int32Array, truth: Int32Array | None = None
) -> list[ChangedMask]:
    """Return the masks that are in another group in B than in A, whatever the groups' numbers.

    Args:
        keys: The masks, N.
        labels_a: (N,) int32 groups in A.
        labels_b: (N,) int32 groups in B.
        truth: (N,) int32 objects, -1 = unknown, or None.
    """
    changed: list[int] = np.flatnonzero(~agree(labels_a, labels_b)).tolist()
    if truth is None:
        return [ChangedMask(keys[i], "moved") for i in changed]
    known = truth != NOTHING
    right_a, right_b = agree(labels_a, truth) & known, agree(labels_b, truth) & known
    return [
        ChangedMask(keys[i], "fixed" if right_b[i] and not right_a[i] else "broken" if right_a[i] and not right_b[i] else "moved")
        for i in changed
    ]


def agree(labels: Int32Array, others: Int32Array) -> BoolArray:
    """Return for which items two labellings agree, (N,) bool, after matching labels one to one for the most agreement."""
    ids_a, a = np.unique(labels, return_inverse=True)
    ids_b, b = np.unique(others, return_inverse=True)
    table = np.zeros((len(ids_a), len(ids_b)), np.int64)
    np.add.at(table, (a, b), 1)
    rows, columns = linear_sum_assignment(-table)
    partner = np.full(len(ids_a), -1)
    partner[rows] = columns
    return partner[a] == b


def summarize_run(
    run: GroupingRun, *, decided_at: float = USUAL_THRESHOLD, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return what a comparison keeps of one model's grouping, as JSON values: scores, labels, the threshold sweep."""
    scores, points = run.mask_scores, run.point_scores
    sweep = sweep_thresholds(run.graph, run.truth, decided_at=decided_at, tick=tick)
    return {
        "groups": len(run.grouping.groups),
        "calls": run.calls,
        "seconds": round(sum(run.seconds.values()), 2),
        "ari": scores.ari if scores else None,
        "v_measure": scores.v_measure if scores else None,
        "precision": scores.precision if scores else None,
        "recall": scores.recall if scores else None,
        "ap": points.ap if points else None,
        "ap50": points.ap50 if points else None,
        "labels": run.grouping.labels.tolist(),
        "sweep": [[c.threshold, c.groups, c.ari, c.precision, c.recall] for c in sweep],
    }


def summarize_both(
    run_a: GroupingRun,
    run_b: GroupingRun,
    *,
    decided_at: tuple[float, float] = (USUAL_THRESHOLD, USUAL_THRESHOLD),
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return what a comparison keeps of two models' groupings of one scene, as JSON values.

    Args:
        run_a: The first model's run.
        run_b: The second model's.
        decided_at: Both models' thresholds in these runs.
        tick: Called often; may raise to stop.
    """
    keys = run_a.table.keys
    assert keys == run_b.table.keys, "both models group the same masks"
    changes = find_changes(keys, run_a.grouping.labels, run_b.grouping.labels, run_a.truth)
    return {
        "evidence": run_a.options.evidence,
        "masks": [str(key) for key in keys],
        "a": summarize_run(run_a, decided_at=decided_at[0], tick=tick),
        "b": summarize_run(run_b, decided_at=decided_at[1], tick=tick),
        "changed": [[str(change.key), change.change] for change in changes],
    }
