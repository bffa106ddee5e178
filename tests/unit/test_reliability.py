"""Reliability: what a set of probabilities is worth, and that calibrating on some scenes helps on others."""

from __future__ import annotations

import numpy as np
import pytest

from engine.calibration_run import calibrate
from engine.errors import ModelError
from engine.predictions import Prediction
from engine.reliability import measure_reliability
from engine.types import MaskKey, MaskPair
from ui.reliability_plot import draw_reliability

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


def test_a_single_scene_is_refused() -> None:
    with pytest.raises(ModelError, match="got 1, expected 2 or more"):
        calibrate([overconfident(0)], prompt="original@1", source="a room")
