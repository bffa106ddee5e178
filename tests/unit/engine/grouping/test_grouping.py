"""The whole grouping on rooms with known truth: clean, shaken, split, without geometry, corrected by people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from engine.errors import MaskgroupError
from engine.grouping.constraints import Constraint, settle_constraints
from engine.grouping.explanations import explain_group
from engine.grouping.graph import cut, cut_labels
from engine.grouping.judge_rounds import ask_in_rounds
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames
from engine.types import Frame, MaskKey
from tests.grouping_rooms import SimulatedJudge, components, dining_room, shake, split, truth_of, without_geometry

GEOMETRY = GroupingOptions(lift=False)


def ari(run: GroupingRun) -> float:
    assert run.mask_scores is not None
    return run.mask_scores.ari


def group(frames: list[Frame], options: GroupingOptions = GEOMETRY, *, seed: int = 0) -> GroupingRun:
    truth = truth_of(frames)
    judge = None if options.evidence == "geometry" else SimulatedJudge(frames, truth, seed=seed)
    return group_frames(frames, truth=truth, options=options, judge=judge)


def test_identical_chairs_are_told_apart() -> None:
    run = group(list(dining_room()[1]))
    assert ari(run) >= 0.98
    assert run.calls == 0


def test_shaken_poses_are_repaired_first() -> None:
    run = group(shake(dining_room()[1], sigma_m=0.05, sigma_deg=1.4))
    assert run.registration.accepted
    assert ari(run) >= 0.95


def test_split_masks_are_joined() -> None:
    run = group(split(dining_room()[1], rate=0.3))
    assert ari(run) >= 0.95
    pieces = [key for key in run.graph.keys if key.mask >= 1000]
    groups = dict(zip(run.graph.keys, run.grouping.labels.tolist(), strict=True))
    joined = [groups[key] == groups[MaskKey(key.view, key.mask - 1000)] for key in pieces]
    assert np.mean(joined) > 0.8


def test_without_geometry_the_cut_beats_connected_components() -> None:
    frames = without_geometry(dining_room()[1])
    gains: list[float] = []
    for seed in range(4):
        run = group(frames, GroupingOptions(evidence="vlm", lift=False), seed=seed)
        gains.append(ari(run) - adjusted_rand_score(truth_of(frames), components(run.graph)))
        assert run.calls <= 6 * len(run.graph.keys) + 1
    assert min(gains) > 0.2
    assert np.mean(gains) > 0.4


def test_calls_stay_within_the_budget_and_are_never_repeated() -> None:
    frames = list(dining_room()[1])
    run = group(frames)
    graph = run.graph
    judge = SimulatedJudge(frames, truth_of(frames))
    blind = replace(graph, use_geometry=False)
    asked = ask_in_rounds(blind, judge, budget=100)
    assert asked.calls == len(judge.asked) == 100
    assert len({pair.canonical() for pair in judge.asked}) == 100
    again = ask_in_rounds(asked.graph, judge, budget=50)
    assert len({pair.canonical() for pair in judge.asked}) == 150
    assert again.graph.asked.sum() == 150


def test_weights_are_computed_once_and_anew_with_other_answers() -> None:
    graph = group(list(dining_room()[1])[:3]).graph
    weights = graph.weights
    assert graph.weights is weights
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 1
    link = np.flatnonzero(~graph.is_same_view)[:1].astype(np.int32)
    answered = graph.with_answers(link, np.ones(1, np.float32))
    assert answered.weights[link] > weights[link]
    assert (cut_labels(graph) == cut(graph).labels).all()


def test_people_win_over_all_evidence_at_once() -> None:
    run = group(list(dining_room()[1]))
    groups = run.grouping.groups
    inside, other = groups[0].masks[0], groups[1].masks[0]
    last = groups[0].masks[-1]
    changed = cut(run.graph, constraints=[Constraint(inside, last, together=False), Constraint(inside, other, together=True)])
    label = dict(zip(run.graph.keys, changed.labels.tolist(), strict=True))
    assert label[inside] != label[last]
    assert label[inside] == label[other]
    assert changed.contradictions == ()


def test_contradictions_are_reported_with_the_shortest_cycle() -> None:
    a, b, c, d = (MaskKey(str(k), 1) for k in range(4))
    long = [Constraint(a, b, together=True), Constraint(b, c, together=True), Constraint(c, d, together=True)]
    short = Constraint(a, d, together=True)
    apart = Constraint(d, a, together=False)
    held, refused = settle_constraints([*long, short, apart], known={a, b, c, d})
    assert held == (*long, short)
    assert refused[0].cycle == (short, apart)
    assert "0:1 and 3:1 are the same" in str(refused[0])
    held, refused = settle_constraints([*long[:2], apart, long[2]], known={a, b, c, d})
    assert refused[0].constraint == long[2]
    assert set(refused[0].cycle) == {*long, apart}


def test_a_chain_of_must_links_and_a_must_not() -> None:
    run = group(list(dining_room()[1]))
    first = run.grouping.groups[0].masks
    constraints = [Constraint(first[0], first[1], together=True), Constraint(first[1], first[0], together=False)]
    assert len(cut(run.graph, constraints=constraints).contradictions) == 1


def test_every_mask_has_a_group_and_groups_explain_themselves() -> None:
    run = group(list(dining_room()[1]))
    assert sum(len(g.masks) for g in run.grouping.groups) == len(run.graph.keys)
    assert ((run.grouping.confidences >= 0) & (run.grouping.confidences <= 1)).all()
    largest = run.grouping.groups[0]
    assert 1 <= len(largest.best_masks) <= 5
    assert set(largest.best_masks) <= set(largest.masks)
    links = explain_group(run.graph, run.grouping, 0)
    assert links
    assert all("overlap" in link.evidence for link in links if link.joined)


def test_geometry_asked_for_where_there_is_none() -> None:
    with pytest.raises(MaskgroupError, match="evidence 'vlm'"):
        group(without_geometry(dining_room()[1]))


def test_a_judge_is_needed_for_its_evidence() -> None:
    with pytest.raises(MaskgroupError, match="judge"):
        group_frames(dining_room()[1], options=GroupingOptions(evidence="both"))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_views_give_a_sane_answer(count: int) -> None:
    run = group(list(dining_room()[1][:count]))
    assert len(run.grouping.groups) == len(run.graph.keys)
    assert run.warnings


def test_a_wrong_depth_scale_is_noticed() -> None:
    frames = [replace(f, depth=f.depth * 1000) for f in dining_room()[1] if f.depth is not None]
    assert any("depth_scale" in warning for warning in group(frames).warnings)
