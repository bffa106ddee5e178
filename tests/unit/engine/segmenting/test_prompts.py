"""Masks from clicks and boxes: regions of the built-in segmenter, and promptable models with random weights (the wiring only)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import ModelError
from engine.segmenting.edits import EditError
from engine.segmenting.prompts import RegionPicture, RegionPrompter, open_prompter
from engine.types import View
from tests.unit.engine.segmenting.test_generators import write_mask2former, write_sam, write_sam2

NOWHERE = View("0", None, None)


def test_a_click_gives_the_region_under_it() -> None:
    regions = np.full((10, 12), -1, np.int32)
    regions[2:8, 2:6], regions[2:8, 6:10] = 1, 2
    picture = RegionPicture(regions)
    assert np.array_equal(picture.at((5.4, 2)), regions == 1)
    assert np.array_equal(picture.at((5.6, 2)), regions == 2)
    for point in ((0, 0), (-3, 5), (50, 5)):
        with pytest.raises(EditError, match="nothing at this point"):
            picture.at(point)


def test_a_box_gives_the_largest_region_that_lies_mostly_in_it() -> None:
    regions = np.ones((20, 20), np.int32)
    regions[5:9, 5:9], regions[10:12, 10:12] = 2, 3
    picture = RegionPicture(regions)
    # Most of the box is background, most of which lies outside.
    assert np.array_equal(picture.within((14, 14, 3, 3)), regions == 2)
    cut = picture.within((0, 0, 19, 3))
    assert np.array_equal(np.argwhere(cut), np.argwhere(np.indices(cut.shape)[0] <= 3)), "what lies outside is cut off"
    with pytest.raises(EditError, match="nothing in this box"):
        picture.within((-9, -9, -2, -2))


def test_the_built_in_one_finds_a_red_square() -> None:
    rgb = np.full((60, 80, 3), 200, np.uint8)
    rgb[20:40, 30:60] = (200, 20, 20)
    picture = RegionPrompter().prepare(rgb, None, NOWHERE)
    square = (rgb[..., 1] == 20).astype(bool)
    for mask in (picture.at((45, 30)), picture.within((26, 16, 64, 44))):
        assert (mask & square).sum() / (mask | square).sum() > 0.8


@pytest.mark.parametrize("write", [write_sam, write_sam2], ids=["SAM", "SAM 2"])
def test_a_promptable_model_is_asked_by_click_and_box(write: Callable[[Path], None], tmp_path: Path) -> None:
    torch.manual_seed(0)
    write(tmp_path / "model")
    prompter = open_prompter(str(tmp_path / "model"), device="cpu")
    assert prompter.name == "model"
    rgb = np.random.default_rng(0).integers(0, 256, (48, 72, 3)).astype(np.uint8)
    picture = prompter.prepare(rgb, None, NOWHERE)
    found = 0
    for ask in (lambda: picture.at((20, 30)), lambda: picture.within((5, 5, 40, 30)), lambda: picture.at((60, 10))):
        # With random weights a mask may be empty.
        with contextlib.suppress(EditError):
            mask = ask()
            assert mask.shape == (48, 72)
            assert mask.dtype == bool
            found += 1
    assert found


def test_a_model_that_takes_no_clicks_or_is_not_there_is_refused(tmp_path: Path) -> None:
    write_mask2former(tmp_path / "model")
    for model in (str(tmp_path / "model"), str(tmp_path / "none")):
        with pytest.raises(ModelError, match="takes no clicks, or could not be loaded"):
            open_prompter(model, device="cpu")
