"""The yardstick for scenes without geometry: what answers are worth against look-alikes of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.grouping.geometry import tabulate_masks
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.grouping.similarity import find_look_alikes, measure_novelty, weigh_against, weigh_answers
from engine.types import Frame, MaskKey, MaskPair
from engine.views.appearance import describe_masks
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
    assert measure_novelty((1 - likeness).clip(0.01, 0.99).astype(np.float32), likeness) == 1.0, "to contradict is news"
    assert measure_novelty(repeats[:7], likeness[:7]) == 1.0, "too few to tell"
    few, odds = likeness[:16], np.log(repeats[:16] / (1 - repeats[:16]))
    shared = float(np.corrcoef(odds, few)[0, 1]) - 0.25
    assert measure_novelty(repeats[:16], few) == pytest.approx(1 - shared, abs=1e-3)


class LikenessJudge:
    """Not a model: says again how alike two masks' colours are."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        keys = [MaskKey(frame.view, mask) for frame in frames for mask in sorted(frame.mask_areas)]
        self._looks = dict(zip(keys, np.concatenate([describe_masks(frame) for frame in frames]), strict=True))

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        """Return the cosine of each pair's colours, which rounding may take a little beyond 1."""
        return [min(1.0, max(0.0, float(self._looks[pair.a] @ self._looks[pair.b]))) for pair in pairs]


def test_only_what_is_new_in_answers_is_weighed() -> None:
    frames = without_geometry(dining_room()[1])
    graph = group_frames(frames, options=GroupingOptions(evidence="vlm", lift=False), judge=LikenessJudge(frames)).graph
    assert graph.novelty < 0.5
    full, none = (replace(graph, novelty=share).weights for share in (1.0, 0.0))
    assert np.allclose(graph.weights, graph.novelty * full + (1 - graph.novelty) * none)
    assert not np.allclose(full[graph.asked], none[graph.asked])


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
