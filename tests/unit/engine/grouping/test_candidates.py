"""Candidate pairs are few, hold the pairs that matter, and count witnesses."""

from __future__ import annotations

import numpy as np

from engine.grouping.candidates import MAX_PER_MASK, propose_by_appearance, propose_by_geometry, unique_pairs
from engine.grouping.geometry import follow_masks, tabulate_masks
from tests.grouping_rooms import dining_room, split, truth_of


def test_pairs_are_few_and_mostly_right() -> None:
    frames = dining_room()[1]
    table, truth = tabulate_masks(frames), truth_of(frames)
    evidence = propose_by_geometry(table, follow_masks(table))
    same = truth[evidence.pairs[:, 0]] == truth[evidence.pairs[:, 1]]
    assert len(evidence) <= MAX_PER_MASK * len(table)
    assert same.mean() > 0.8
    assert np.median(evidence.overlap[same]) > 0.9
    assert np.median(evidence.agree[same] / evidence.witnesses[same]) > 0.9


def test_pieces_of_one_object_in_one_view_become_candidates() -> None:
    frames = split(dining_room()[1], rate=0.3)
    table, truth = tabulate_masks(frames), truth_of(frames)
    evidence = propose_by_geometry(table, follow_masks(table))
    one_view = table.view_of[evidence.pairs[:, 0]] == table.view_of[evidence.pairs[:, 1]]
    pieces = one_view & (truth[evidence.pairs[:, 0]] == truth[evidence.pairs[:, 1]])
    wanted = sum(mask >= 1000 and mask - 1000 in frame.mask_areas for frame in frames for mask in frame.mask_areas)
    assert pieces.sum() > 0.7 * wanted


def test_nearest_neighbours_are_of_other_views() -> None:
    frames = dining_room()[1]
    table = tabulate_masks(frames)
    vectors = np.random.default_rng(0).normal(size=(len(table), 8)).astype(np.float32)
    evidence = propose_by_appearance(table, vectors, neighbours=4)
    a, b = evidence.pairs.T
    assert (table.view_of[a] != table.view_of[b]).all()
    assert np.bincount(np.concatenate([a, b]), minlength=len(table)).min() >= 4
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(evidence.similarity, (unit[a] * unit[b]).sum(axis=1), rtol=1e-4)


def test_pairs_are_unique_ordered_and_without_loops() -> None:
    pairs = unique_pairs(np.array([[3, 1], [1, 3], [2, 2], [0, 5]], np.int32))
    assert pairs.tolist() == [[0, 5], [1, 3]]
    assert unique_pairs(np.zeros((0, 2), np.int32)).shape == (0, 2)
