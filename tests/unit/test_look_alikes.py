"""The yardstick for scenes without geometry: what answers are worth against look-alikes of one picture."""

from __future__ import annotations

import numpy as np

from engine.geometry import tabulate_masks
from engine.look_alikes import find_look_alikes, measure_novelty, weigh_against, weigh_answers
from engine.pipeline import GroupingOptions, group_frames
from tests.grouping_rooms import SimulatedJudge, dining_room, truth_of, without_geometry


def test_each_masks_nearest_neighbour_in_its_own_view() -> None:
    frames = dining_room()[1][:3]
    table = tabulate_masks(frames)
    looks = np.random.default_rng(0).normal(size=(len(table), 5)).astype(np.float32)
    looks[1] = looks[0] + 0.01
    pairs = find_look_alikes(table, looks)
    assert (table.view_of[pairs[:, 0]] == table.view_of[pairs[:, 1]]).all()
    assert [0, 1] in pairs.tolist()
    assert set(pairs.ravel().tolist()) == set(range(len(table)))


def test_scores_like_those_of_known_pairs_speak_against() -> None:
    rng = np.random.default_rng(1)
    known, same, different = rng.normal(0, 1, 200), rng.normal(4, 1, 150), rng.normal(0, 1, 150)
    weights = weigh_against(np.concatenate([same, different]), known, cap=4.0)
    assert (weights[:150] > 0).mean() > 0.95
    assert (weights[150:] < 0).mean() > 0.95
    assert np.abs(weights).max() <= 4.0


def test_judge_that_cannot_tell_look_alikes_apart_gets_little_say() -> None:
    rng = np.random.default_rng(2)
    yes_man = rng.uniform(0.8, 0.99, 200).astype(np.float32)
    assert np.abs(weigh_answers(yes_man, yes_man)).mean() < 1.0
    discerning = np.where(np.arange(200) < 100, 0.95, 0.03).astype(np.float32)
    assert weigh_answers(discerning, np.full(50, 0.05, np.float32) + rng.uniform(-0.03, 0.03, 50).astype(np.float32))[0] > 2


def test_a_judge_that_repeats_likeness_says_little_new() -> None:
    rng = np.random.default_rng(3)
    likeness = rng.uniform(0, 1, 300)
    repeats = (1 / (1 + np.exp(-6 * (likeness - 0.5) - rng.normal(0, 0.3, 300)))).astype(np.float32)
    independent = rng.uniform(0.01, 0.99, 300).astype(np.float32)
    assert measure_novelty(repeats, likeness) < 0.1
    assert measure_novelty(independent, likeness) > 0.85
    assert measure_novelty(np.full(300, 0.9, np.float32), likeness) == 1.0, "constant answers have no correlation"


def test_looks_and_answers_together_beat_either_without_geometry() -> None:
    frames = dining_room()[1]
    spoiled, truth = without_geometry(frames), truth_of(frames)
    judge = SimulatedJudge(spoiled, truth)
    run = group_frames(spoiled, truth=truth, options=GroupingOptions(evidence="vlm", lift=False), judge=judge)
    assert run.mask_scores is not None
    assert run.mask_scores.ari > 0.75
    assert len(run.graph.known_different) >= 8
    same_view = [pair for pair in judge.asked if pair.a.view == pair.b.view]
    assert len(same_view) == len(run.graph.known_different)
    assert run.calls == len(judge.asked) <= 6 * len(run.table)
