"""Masks that cannot be followed take the group that other views show in their place; where nothing proves it they say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.grouping.constraints import Constraint
from engine.grouping.explanations import explain_group
from engine.grouping.findings import tell_findings
from engine.grouping.geometry import tabulate_masks
from engine.grouping.graph import cut
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames
from engine.grouping.placement import MIN_FIT, find_depthless, lay_out, place_masks
from engine.types import NOTHING, Frame
from tests.grouping_rooms import dining_room, truth_of

OPTIONS = GroupingOptions(lift=False, repair=False)


def short_sighted(frames: Sequence[Frame], range_m: float) -> list[Frame]:
    """Leave the depth that a sensor of this range has."""
    cut_off: list[Frame] = []
    for frame in frames:
        assert frame.depth is not None
        cut_off.append(replace(frame, depth=np.where(frame.depth < range_m, frame.depth, 0).astype(np.float32)))
    return cut_off


def told(run: GroupingRun) -> str:
    assert run.findings is not None
    return tell_findings(run.findings, run.registration, views=len(run.table.views), masks=len(run.table))


@pytest.fixture(scope="module")
def seen() -> tuple[list[Frame], GroupingRun]:
    frames = short_sighted(dining_room(24)[1], 2.6)
    return frames, group_frames(frames, truth=truth_of(frames), options=OPTIONS)


def test_masks_beyond_the_sensors_range_join_their_object(seen: tuple[list[Frame], GroupingRun]) -> None:
    frames, run = seen
    depthless = find_depthless(run.table)
    assert depthless.sum() > 0.1 * len(run.table)
    assert run.mask_scores is not None
    truth = truth_of(frames)
    alone = np.where(depthless, 1000 + np.arange(len(truth)), truth)
    assert run.mask_scores.ari > score_masks(truth, alone.astype(np.int32)).ari + 0.02
    assert run.mask_scores.ari > 0.95
    assert run.mask_scores.precision > 0.98


def test_a_placed_mask_says_why_and_people_overrule_it(seen: tuple[list[Frame], GroupingRun]) -> None:
    _, run = seen
    evidence, labels = run.graph.evidence, run.grouping.labels
    links = [k for k in np.flatnonzero(~np.isnan(evidence.placed)).tolist() if len(set(labels[evidence.pairs[k]].tolist())) == 1]
    a, b = evidence.pairs[links[0]].tolist()
    explained = explain_group(run.graph, run.grouping, int(labels[a]), limit=10_000)
    words = [link.evidence for link in explained if {link.a, link.b} == {run.graph.keys[a], run.graph.keys[b]}]
    assert "other views show this object in the mask's place" in words[0]
    apart = cut(run.graph, constraints=[Constraint(run.graph.keys[a], run.graph.keys[b], together=False)])
    assert apart.labels[a] != apart.labels[b]


def test_placed_masks_bridge_no_groups(seen: tuple[list[Frame], GroupingRun]) -> None:
    _, run = seen
    evidence = run.graph.evidence
    placed = evidence.pairs[~np.isnan(evidence.placed)]
    depthless = find_depthless(run.table)
    ends = np.where(depthless[placed[:, 0]], placed[:, 0], placed[:, 1])
    assert len(np.unique(ends)) == len(ends), "each placed mask has one such link"


def test_a_small_thing_before_a_wall_is_not_taken_for_the_wall() -> None:
    frames = dining_room(24)[1]
    vase = 7
    blind: list[Frame] = []
    for frame in frames:  # the vase never has depth, and nothing else is said about it
        assert frame.depth is not None
        blind.append(replace(frame, depth=np.where(frame.instance_map == vase, 0, frame.depth).astype(np.float32)))
    run = group_frames(blind, truth=truth_of(blind), options=OPTIONS)
    vases = [row for row, key in enumerate(run.graph.keys) if key.mask == vase]
    others = {int(run.grouping.labels[row]) for row, key in enumerate(run.graph.keys) if key.mask != vase}
    assert vases
    assert not {int(run.grouping.labels[row]) for row in vases} & others
    assert f"{len(vases)} of them without depth: no other view proves what they show" in told(run)


def test_only_fits_above_the_least_are_reported(seen: tuple[list[Frame], GroupingRun]) -> None:
    frames, run = seen
    table = tabulate_masks(frames)
    found = place_masks(lay_out(table, find_depthless(table)), run.grouping.labels)
    assert len(found.pairs)
    assert ((found.fits >= MIN_FIT) & (found.fits <= 1)).all()
    nothing = place_masks(lay_out(table, np.ones(len(table), bool)), run.grouping.labels)
    assert len(nothing.pairs) == 0, "no mask lends points"


def test_depth_that_is_one_hole_gives_a_result_and_a_sentence() -> None:
    frames = [replace(f, depth=np.zeros_like(f.depth)) for f in dining_room()[1] if f.depth is not None]
    run = group_frames(frames, options=OPTIONS)
    assert len(run.grouping.groups) == len(run.table)
    assert "The depth of every view is one hole" in told(run)
    assert "No mask was dropped" in told(run)


def test_three_masks_and_one_view_give_a_result_and_a_sentence() -> None:
    frames = dining_room()[1][:2]
    kept = sorted(frames[0].mask_areas)[:3]
    few = [replace(f, instance_map=np.where(np.isin(f.instance_map, kept), f.instance_map, NOTHING)) for f in frames]
    assert "mask" in told(group_frames(few, options=OPTIONS))
    one = group_frames(few[:1], options=OPTIONS)
    assert len(one.grouping.groups) == 3
    assert "3 masks stand alone" in told(one)


def test_all_masks_merged_give_a_result_and_a_sentence() -> None:
    frames = dining_room()[1]
    merged = [replace(f, instance_map=np.where(f.instance_map >= 0, f.instance_map % 2, NOTHING)) for f in frames]
    run = group_frames(merged, options=OPTIONS)
    assert len(run.grouping.labels) == len(run.table)
    assert "No mask was dropped" in told(run)
