"""What a comparison shows beyond its table follows the definitions; facts of pairs follow geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.assets import SCENES_DIR
from engine.evaluation.comparison.groupings import agree, find_changes
from engine.evaluation.comparison.paired import ComparedPair
from engine.evaluation.comparison.report import break_down, confusion, precision_recall, reliability
from engine.evaluation.metrics import score
from engine.evaluation.pair_facts import PairFacts, collect_facts, read_facts, write_facts
from engine.evaluation.predictions import Prediction
from engine.scenes import find_scene
from engine.types import MaskKey, MaskPair
from engine.views.frames import FrameSource
from tests.tiny_room import BLUE_BOX, RED_BOX, write_tiny_room


def said(p_same: float, is_same: bool, *, index: int = 0, kind: str | None = None) -> Prediction:
    other = 12000 + index if is_same else 13000 + index
    pair = MaskPair(MaskKey("1", 12000 + index), MaskKey("2", other))
    return Prediction(index, pair, is_same, p_same >= 0.5, p_same=p_same, negative_kind=kind)  # type: ignore[arg-type]


ANSWERS = [
    said(p, same, index=i) for i, (p, same) in enumerate([(0.92, True), (0.98, False), (0.35, True), (0.31, False), (0.08, False)])
]


def test_confusion_counts_every_pair_once_and_the_ambiguous_as_wrong() -> None:
    counted = confusion([*ANSWERS, Prediction(9, ANSWERS[0].pair, True, None, p_same=0.9)])
    assert (counted.same_right, counted.same_missed, counted.different_right, counted.different_missed) == (1, 2, 2, 1)


def test_reliability_is_what_ece_measures() -> None:
    bins = reliability(ANSWERS)
    assert [(b.mean_p, b.share_same, b.pairs) for b in bins] == [
        (pytest.approx(0.08), 0, 1),
        (pytest.approx(0.33), 0.5, 2),
        (pytest.approx(0.95), 0.5, 2),
    ]
    ece = score(ANSWERS).estimates["ece"].value
    assert sum(b.pairs * abs(b.mean_p - b.share_same) for b in bins) / 5 == pytest.approx(ece)


def test_precision_recall_passes_through_the_counted_point() -> None:
    curve = precision_recall(ANSWERS)
    assert curve is not None
    at = int(np.flatnonzero(curve.threshold == 0.35)[0])
    assert (curve.precision[at], curve.recall[at]) == (2 / 3, 1)
    assert precision_recall([ANSWERS[0]]) is None


def test_breakdown_puts_pairs_where_they_belong() -> None:
    pairs = [ComparedPair("room", a, said(1 - a.p_same if a.p_same else 0, a.is_same, index=a.index)) for a in ANSWERS]
    facts = {("room", str(p.a.pair.a), str(p.a.pair.b)): PairFacts(100 * 4**i, None, 20.0 * i) for i, p in enumerate(pairs)}
    found = break_down(pairs, facts)
    assert "visible share" not in found, "nothing is known of it"
    assert [(s.label, s.pairs) for s in found["crop size"]] == [
        ("0 px to 400 px", 1),
        ("400 px to 1600 px", 1),
        ("1600 px to 6400 px", 1),
        ("6400 px and more", 2),
    ]
    assert [s.pairs for s in found["view angle"]] == [1, 2, 2]
    first = found["crop size"][0]
    assert (first.a.value, first.b.value) == (1, 0)
    assert first.a.low < 1 == first.a.high
    assert {(s.label, s.pairs) for s in found["class"]} == {("class 12", 5), ("class 13", 3)}


def test_facts_of_a_tiny_room(tmp_path: Path) -> None:
    scene = find_scene(str(write_tiny_room(tmp_path / "scenes")), SCENES_DIR)
    frames = FrameSource(scene)
    views = [v for v in scene.view_names if {RED_BOX, BLUE_BOX} <= frames.frame(v).mask_areas.keys()]
    assert len(views) >= 2
    same_view = MaskPair(MaskKey(views[0], RED_BOX), MaskKey(views[0], RED_BOX))
    turned = MaskPair(MaskKey(views[0], RED_BOX), MaskKey(views[1], RED_BOX))
    other = MaskPair(MaskKey(views[0], RED_BOX), MaskKey(views[1], BLUE_BOX))
    facts = collect_facts(frames, [same_view, turned, other], mesh=scene.mesh)
    assert facts[0].view_angle_deg == pytest.approx(0, abs=1e-3)
    assert 1 < (facts[1].view_angle_deg or 0) < 180
    for fact, pair in zip(facts, (same_view, turned, other), strict=True):
        assert fact.crop_px == min(frames.frame(k.view).mask_areas[k.mask] for k in (pair.a, pair.b))
        assert fact.visible_share is not None
        assert 0 < fact.visible_share <= 1
    without_mesh = collect_facts(frames, [turned])
    assert without_mesh[0].visible_share is None
    write_facts(tmp_path / "facts.json", [turned], facts[1:2])
    (kept,) = read_facts(tmp_path / "facts.json").values()
    assert kept.visible_share == pytest.approx(facts[1].visible_share, abs=1e-3)
    assert read_facts(tmp_path / "missing.json") == {}


def test_facts_are_found_beside_a_broken_view(tmp_path: Path) -> None:
    folder = write_tiny_room(tmp_path / "scenes")
    photo = folder / "color" / "2.png"
    photo.write_bytes(photo.read_bytes()[:-30])
    frames = FrameSource(find_scene(str(folder), SCENES_DIR))
    whole = MaskPair(MaskKey("0", RED_BOX), MaskKey("10", RED_BOX))
    broken = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", RED_BOX))
    first, second = collect_facts(frames, [whole, broken], mesh=frames.scene.mesh)
    assert first.crop_px > 0
    assert first.visible_share is not None
    assert (second.crop_px, second.visible_share, second.view_angle_deg) == (0, 0, None)


def test_changed_masks_ignore_the_numbers_of_groups() -> None:
    keys = [MaskKey("1", i) for i in range(6)]
    a = np.array([0, 0, 0, 1, 1, 2], np.int32)
    renamed = np.array([5, 5, 5, 3, 3, 9], np.int32)
    moved = np.array([5, 5, 3, 3, 3, 9], np.int32)
    assert agree(a, renamed).all()
    assert find_changes(keys, a, renamed) == []
    assert [(c.key.mask, c.change) for c in find_changes(keys, a, moved)] == [(2, "moved")]
    truth = np.array([7, 7, 8, 8, 8, 9], np.int32)
    assert [(c.key.mask, c.change) for c in find_changes(keys, a, moved, truth)] == [(2, "fixed")]
    assert [(c.key.mask, c.change) for c in find_changes(keys, moved, a, truth)] == [(2, "broken")]
