"""Reliability: what a set of probabilities is worth, and that calibrating on some scenes helps on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import ModelError
from engine.evaluation.calibration_run import calibrate
from engine.evaluation.predictions import Prediction
from engine.evaluation.reliability import measure_reliability
from engine.types import MaskKey, MaskPair
from ui.commands.reliability_plot import draw_reliability, write_reliability_picture

PAIR = MaskPair(MaskKey("0", 1), MaskKey("1", 1))


def test_bins_and_error_of_a_small_example() -> None:
    found = measure_reliability(np.array([0.1, 0.3, 0.9, 1.0]), np.array([False, True, True, True]), bins=2)
    assert [(one.pairs, one.mean_p, one.share_same) for one in found.bins] == [
        (2, pytest.approx(0.2), 0.5),
        (2, pytest.approx(0.95), 1.0),
    ]
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.05) / 4)
    assert found.accuracy == 0.75
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.3, 0.9, 1.0]).mean())


def overconfident(seed: int, count: int = 1500) -> list[Prediction]:
    """Predictions of a judge whose margins are three times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logits))
    p_same = 1 / (1 + np.exp(-3 * logits))
    return [Prediction(i, PAIR, bool(same), p >= 0.5, float(p)) for i, (same, p) in enumerate(zip(truth, p_same, strict=True))]


def test_calibration_on_some_scenes_helps_on_others() -> None:
    run = calibrate([overconfident(seed) for seed in range(4)], prompt="original@1", source="rooms")
    assert run.calibration.temperature == pytest.approx(3, rel=0.15)
    assert (run.calibration.pairs, run.checked) == (3000, 3000)
    assert run.after.ece < 0.5 * run.before.ece
    assert run.after.log_loss < run.before.log_loss
    figure = draw_reliability({"before": run.before, "after": run.after}, title="both")
    assert [trace.name for trace in figure.data][1:] == [f"before: ECE {run.before.ece:.3f}", f"after: ECE {run.after.ece:.3f}"]


def test_a_calibration_that_changes_nothing_for_the_better_does_not_help() -> None:
    # It is fitted on the scenes of an overconfident judge, and the others are judged soberly: what it learns hurts there.
    sober = [[replace(p, p_same=1 / (1 + (1 / (p.p_same or 1) - 1) ** (1 / 3))) for p in overconfident(seed)] for seed in (1, 3)]
    run = calibrate([overconfident(0), sober[0], overconfident(2), sober[1]], prompt="original@1", source="rooms")
    assert not run.helps
    assert run.after.log_loss > run.before.log_loss
    assert calibrate([overconfident(seed) for seed in range(4)], prompt="original@1", source="rooms").helps


def test_the_picture_shows_both_curves(tmp_path: Path) -> None:
    run = calibrate([overconfident(seed) for seed in range(2)], prompt="original@1", source="rooms")
    write_reliability_picture({"before": run.before, "after": run.after}, tmp_path / "both.png", title="both")
    write_reliability_picture({"before": run.before}, tmp_path / "one.png", title="one")
    both, one = (Image.open(tmp_path / name).convert("RGB") for name in ("both.png", "one.png"))
    assert both.width > one.width
    left, right = (np.asarray(both.crop((half, 0, half + both.width // 2, both.height))) for half in (0, both.width // 2))
    assert (left != right).any(axis=-1).sum() > 500, "the curves differ"


def test_a_single_scene_is_refused() -> None:
    with pytest.raises(ModelError, match="got 1, expected 2 or more"):
        calibrate([overconfident(0)], prompt="original@1", source="a room")
