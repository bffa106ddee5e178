"""Scores against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.grouping.metrics import score_masks, score_points


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_a_perfect_grouping_scores_one_under_any_names() -> None:
    scores = score_masks(ints(7, 7, 9, 9, 9), ints(3, 3, 0, 0, 0))
    assert (scores.ari, scores.v_measure, scores.precision, scores.recall, scores.f1, scores.coverage) == (1, 1, 1, 1, 1, 1)


def test_dropped_masks_count_as_groups_of_their_own() -> None:
    truth = ints(1, 1, 1, 2, 2, 2)
    dropped = score_masks(truth, ints(0, 0, -1, 1, 1, -1))
    alone = score_masks(truth, ints(0, 0, 5, 1, 1, 6))
    assert dropped.ari == pytest.approx(alone.ari)
    assert dropped.coverage == pytest.approx(4 / 6)
    assert dropped.recall == pytest.approx(2 / 6)
    assert dropped.precision == 1


def test_one_group_of_everything() -> None:
    scores = score_masks(ints(1, 1, 2, 2), ints(0, 0, 0, 0))
    assert scores.ari == 0
    assert scores.precision == pytest.approx(2 / 6)
    assert scores.recall == 1


def test_masks_without_truth_are_not_scored() -> None:
    assert score_masks(ints(1, -1, 1), ints(0, 9, 0)).masks == 2


def test_nothing_to_score() -> None:
    assert score_masks(ints(-1, -1), ints(0, 1)).masks == 0
    assert score_points(np.full(500, -1, np.int32), np.zeros(500, np.int32), [1.0]).instances == 0


def test_average_precision_by_hand() -> None:
    truth = np.repeat(ints(1, 2), 200)
    labels = truth - 1
    labels = np.where(np.arange(400) < 70, 2, labels).astype(np.int32)  # 130 of 200 left: IoU 0.65
    labels[:70] = -1
    scores = score_points(truth, labels, [0.9, 0.8])
    assert scores.ap25 == 1
    assert scores.ap50 == 1
    # At 0.5, 0.55, 0.6 both match; at 0.65 and above only the second, found second: precision 1/2 at recall 1/2.
    assert scores.ap == pytest.approx((3 * 1 + 7 * 0.25) / 10)


def test_confident_false_positives_cost_precision() -> None:
    truth = np.concatenate([np.full(200, 1), np.full(200, 2)]).astype(np.int32)
    labels = np.concatenate([np.full(200, 0), np.repeat([1, 2], 100)]).astype(np.int32)
    first = score_points(truth, labels, [0.9, 0.5, 0.5])
    last = score_points(truth, labels, [0.1, 0.9, 0.9])
    assert first.ap50 > last.ap50


def test_predictions_on_unlabelled_points_are_ignored() -> None:
    truth = np.concatenate([np.full(200, 1), np.full(300, -1)]).astype(np.int32)
    labels = np.concatenate([np.full(200, 0), np.full(300, 1)]).astype(np.int32)
    assert score_points(truth, labels, [0.2, 0.9]).ap50 == 1
