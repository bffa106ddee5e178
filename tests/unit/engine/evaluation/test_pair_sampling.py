"""Samples are uniform over instances and repeatable; a negative never shows one instance; copies are told from look-alikes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assets import SCENES_DIR
from engine.errors import MaskError
from engine.evaluation.pair_sampling import SamplingSettings, SeenMask, class_of, sample_pairs
from engine.scenes import find_scene
from engine.types import MaskKey, SceneMesh
from engine.views.identical_copies import find_identical_copies

INSTANCES = (20001, 20002, 20003, 30001, 40001, 7)
MASKS = st.tuples(st.integers(0, 6), st.sampled_from(INSTANCES), st.integers(1, 300))
"""View, instance, pixels."""


def seen(instances: tuple[int, ...] = INSTANCES, views: int = 12, area_px: int = 500) -> list[SeenMask]:
    return [SeenMask(MaskKey(str(view), i), i, area_px) for view in range(views) for i in instances]


@settings(max_examples=60, deadline=None)
@given(
    masks=st.lists(MASKS, min_size=1, unique_by=lambda m: m[:2]),
    pairs=st.integers(1, 40),
    mode=st.sampled_from(["random", "hard"]),
    cap=st.integers(1, 5),
    seed=st.integers(0, 5),
)
def test_every_sample_keeps_the_rules(masks: list[tuple[int, int, int]], pairs: int, mode: str, cap: int, seed: int) -> None:
    all_masks = [SeenMask(MaskKey(str(view), i), i, area) for view, i, area in masks]
    asked = SamplingSettings(pairs=pairs, negatives=mode, seed=seed, max_per_instance=cap)  # pyright: ignore[reportArgumentType]
    try:
        sampled = sample_pairs(all_masks, asked)
    except MaskError:
        views = Counter(m.instance for m in all_masks if m.area_px >= 100)
        assert max(views.values(), default=0) < 2
        return
    area = {m.key: m.area_px for m in all_masks}
    assert 1 <= len(sampled) <= pairs
    assert len({s.pair.canonical() for s in sampled}) == len(sampled)
    for s in sampled:
        assert s.pair.a.view != s.pair.b.view
        assert (s.instance_a, s.instance_b) == (s.pair.a.mask, s.pair.b.mask)
        assert s.is_same == (s.negative_kind is None)
        assert min(area[s.pair.a], area[s.pair.b]) >= 100
    assert max(Counter(s.instance_a for s in sampled if s.is_same).values()) <= cap
    for negative in (s for s in sampled if not s.is_same):
        (positive,) = [s for s in sampled if s.is_same and s.twin == negative.twin]
        assert positive.pair.a == negative.pair.a
    assert sample_pairs(list(reversed(all_masks)), asked) == sampled


def test_positives_are_uniform_over_instances_and_half_of_the_sample() -> None:
    crowded = seen() + [SeenMask(MaskKey(str(view), 50001), 50001, 900) for view in range(12, 90)]
    sampled = sample_pairs(crowded, SamplingSettings(pairs=140))
    assert sum(s.is_same for s in sampled) == 70
    assert set(Counter(s.instance_a for s in sampled if s.is_same).values()) == {10}


def test_seeds_give_different_samples() -> None:
    assert sample_pairs(seen(), SamplingSettings(seed=0)) != sample_pairs(seen(), SamplingSettings(seed=1))


def test_hard_negatives_are_of_the_same_class_where_one_is_seen() -> None:
    sampled = sample_pairs(seen(), SamplingSettings(pairs=60, negatives="hard"))
    for s in sampled:
        if s.negative_kind is not None and s.instance_a in (20001, 20002, 20003):
            assert (s.negative_kind, class_of(s.instance_b)) == ("same_class", 20)
        elif s.negative_kind is not None:
            assert s.negative_kind == "random"  # no class of its own kind is seen, and nothing says how masks look
    assert {s.negative_kind for s in sampled} == {None, "same_class", "random"}


def test_without_a_class_the_nearest_in_appearance_is_taken() -> None:
    looks = dict(zip(INSTANCES, np.eye(6, dtype=np.float32), strict=True))
    looks[7] = looks[40001] * 3 + looks[20001]
    sampled = sample_pairs(seen(), SamplingSettings(pairs=60, negatives="hard"), embed=lambda key: looks[key.mask])
    negatives = {s.instance_b for s in sampled if s.instance_a == 7 and not s.is_same}
    assert negatives == {40001}
    assert {s.negative_kind for s in sampled if s.instance_a == 7 and not s.is_same} == {"nearest"}


@pytest.mark.parametrize("mode", ["random", "hard"])
def test_copies_are_counted_apart_from_look_alikes(mode: str) -> None:
    asked = SamplingSettings(pairs=200, negatives=mode)  # pyright: ignore[reportArgumentType]
    sampled = sample_pairs(seen(), asked, copies={20001: 20001, 20002: 20001})
    kinds = {(s.instance_a, s.instance_b): s.negative_kind for s in sampled if not s.is_same}
    assert kinds[20001, 20002] == kinds[20002, 20001] == "copy"
    assert kinds[20001, 20003] == ("same_class" if mode == "hard" else "random")


def test_small_masks_and_unknown_settings_are_refused_in_a_sentence() -> None:
    with pytest.raises(MaskError, match="at least 100 pixels"):
        sample_pairs(seen(area_px=99), SamplingSettings())
    with pytest.raises(MaskError, match="random or hard"):
        SamplingSettings(negatives="easy")  # pyright: ignore[reportArgumentType]
    with pytest.raises(MaskError, match="pairs is 0"):
        SamplingSettings(pairs=0)


def turned(vertices: np.ndarray, angle: float, shift: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + shift


def test_copies_are_found_by_geometry_and_colour() -> None:
    """One shape turned and moved is a copy; stretched by 5 %, or painted another colour, it is not; shade does not matter."""
    rng = np.random.default_rng(3)
    shape, faces = rng.normal(size=(60, 3)), rng.integers(0, 60, (90, 3))
    parts = [shape, turned(shape, 1.1, (4, 0, 1)), shape * [1, 1, 1.05] + 9, turned(shape, 2, (0, 8, 0))]
    colors = [(200, 100, 50), (100, 50, 25), (200, 100, 50), (50, 100, 200)]
    mesh = SceneMesh(
        np.concatenate(parts).astype(np.float32),
        np.concatenate([faces + 60 * i for i in range(4)]).astype(np.int32),
        np.repeat(np.array(colors, np.uint8), 60, axis=0),
        np.repeat(np.array([5001, 5002, 5003, 5004], np.int32), 60),
    )
    assert find_identical_copies(mesh) == {5001: 5001, 5002: 5001}


def test_the_six_dining_chairs_of_the_bundled_room_are_copies() -> None:
    mesh = find_scene("sh3d_living", SCENES_DIR).mesh
    assert mesh is not None
    copies = find_identical_copies(mesh)
    assert [i for i, group in copies.items() if group == 20008] == [20008, 20009, 20010, 20011, 20012, 20013]
    assert not {80007, 80026, 18038, 18040} & copies.keys()  # same class, other models
