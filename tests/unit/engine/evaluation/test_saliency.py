"""Heat maps move with the evidence: a judge that looks at one corner is shown looking there, and the bundled one at the object."""

from __future__ import annotations

import numpy as np
import pytest

from engine.assets import BUNDLED_MODEL
from engine.evaluation.saliency import BATCH, cover, explain_pair, list_patches
from engine.judging.base import CropPair
from engine.judging.registry import load_judge
from engine.types import UInt8Array
from tests.stub_judge import StubJudge
from ui.pages.judge.heat import FOR_DIFFERENT, FOR_SAME, draw_heat


def red_seeker() -> StubJudge:
    """Says "same" the more red pixels crop A has, and the fewer crop B has."""
    return StubJudge(lambda pair: 0.5 + 0.4 * float((pair.a[..., 0] == 255).mean() - (pair.b[..., 0] == 255).mean()))


def with_red(corner: tuple[slice, slice]) -> UInt8Array:
    crop = np.full((70, 50, 3), 100, np.uint8)
    crop[corner] = (255, 0, 0)
    return crop


UPPER, LOWER = (slice(0, 20), slice(0, 20)), (slice(50, 70), slice(30, 50))


@pytest.mark.parametrize(("corner", "other"), [(UPPER, LOWER), (LOWER, UPPER)])
def test_heat_lies_where_the_evidence_is_and_moves_with_it(corner: tuple[slice, slice], other: tuple[slice, slice]) -> None:
    judge = red_seeker()
    maps = explain_pair(judge, CropPair(with_red(corner), with_red(other)))
    assert maps.a.shape == maps.b.shape == (70, 50)
    assert maps.a[corner].mean() > 5 * abs(maps.a[other].mean()), "red in A speaks for same"
    assert maps.b[other].mean() < -5 * abs(maps.b[corner].mean()), "red in B speaks for different"
    assert max(judge.batches) == BATCH


def test_patches_cover_everything_and_background_is_not_asked() -> None:
    crop = np.zeros((33, 90, 3), np.uint8)
    covered = np.zeros((33, 90), int)
    for box in list_patches(crop, 7):
        covered[box] += 1
    assert covered.min() >= 1
    asked: list[int] = []
    black = np.zeros((70, 50, 3), np.uint8)
    black[5:15, 5:15] = (255, 10, 10)
    maps = explain_pair(red_seeker(), CropPair(black, black), on_progress=lambda done, total: asked.append(total))
    assert asked[0] < len(list_patches(black, 7)), "of twice as many patches"
    assert (maps.a[40:] == 0).all()


def test_stopping_stops() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_pair(red_seeker(), CropPair(with_red(UPPER), with_red(LOWER)), on_progress=stop)


def test_covering_leaves_the_crop_alone() -> None:
    crop = with_red(UPPER)
    assert (cover(crop, UPPER, on_black=True)[UPPER] == 0).all()
    assert (cover(crop, UPPER, on_black=False)[LOWER] == crop[LOWER]).all()
    assert (crop[UPPER] == (255, 0, 0)).all()


def test_drawn_heat_is_coloured_by_its_sign() -> None:
    crop = np.full((20, 20, 3), 120, np.uint8)
    heat = np.zeros((20, 20), np.float32)
    heat[:5], heat[15:] = 2.0, -2.0
    drawn = draw_heat(crop, heat, 2.0, size=20).astype(int)
    middle = drawn[10, 10]
    assert middle.max() == middle.min(), "no heat, no colour"
    for row, color in ((1, FOR_SAME), (18, FOR_DIFFERENT)):
        assert np.argmax(drawn[row, 10]) == np.argmax(color)
    assert (draw_heat(crop, np.zeros_like(heat), 0.0, size=20) == middle).all()


@pytest.mark.skipif(not (BUNDLED_MODEL / "config.json").is_file(), reason="the bundled model is not in this checkout")
def test_the_bundled_judge_looks_at_what_the_crops_show() -> None:
    rng = np.random.default_rng(2)
    crop = np.zeros((64, 64, 3), np.uint8)
    crop[8:32, 8:32] = rng.integers(60, 255, (24, 24, 3))
    maps = explain_pair(load_judge("base"), CropPair(crop, crop), across=4)
    assert maps.strongest > 0
    assert np.abs(maps.a[8:32, 8:32]).mean() > np.abs(maps.a[40:, 40:]).mean()
