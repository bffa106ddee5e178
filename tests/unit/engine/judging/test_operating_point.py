"""Thresholds: what they give on judged pairs, and that they are kept with their model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import ModelError
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints, PointPlace, rates_at


def test_rates_follow_their_definitions() -> None:
    p_same, is_same = np.array([0.9, 0.7, 0.4, 0.2]), np.array([True, False, True, False])
    low, high = rates_at(p_same, is_same, 0.3), rates_at(p_same, is_same, 0.8)
    assert (low.precision, low.recall, low.accuracy, low.said_same) == (2 / 3, 1, 0.75, 3)
    assert (high.precision, high.recall, high.accuracy, high.said_same) == (1, 0.5, 0.75, 1)
    assert rates_at(p_same, is_same, 0.7).said_same == 2, "the threshold itself is 'same', as in a verdict"


def test_rates_that_nothing_determines_are_none() -> None:
    rates = rates_at(np.array([0.2]), np.array([False]), 0.5)
    assert (rates.precision, rates.recall, rates.accuracy) == (None, None, 1)


def test_points_of_runs_lie_with_the_run_and_the_others_together(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    asked: list[str] = []

    def place(name: str) -> PointPlace:
        asked.append(name)
        return PointPlace(run if name == "mine" else None, f"key of {name}")

    points = OperatingPoints(tmp_path / "data", place=place)
    assert points.get("base") is None
    points.save("base", OperatingPoint(0.4, precision=0.9, recall=0.8, chosen_on="a room"))
    points.save("tuned", OperatingPoint(0.6))
    points.save("mine", OperatingPoint(0.7))
    assert (run / "operating_point.json").is_file()
    assert asked == ["base", "base", "tuned", "mine"], "once for each"
    again = OperatingPoints(tmp_path / "data", place=place)
    assert again.get("base") == OperatingPoint(0.4, 0.9, 0.8, "a room")
    assert [point.threshold for name in ("tuned", "mine") if (point := again.get(name))] == [0.6, 0.7]
    again.save("base", None)
    assert again.get("base") is None
    assert again.get("tuned") is not None


@pytest.mark.parametrize("content", ["{", "[]", '{"base": 3}', '{"base": {"threshold": 7}}', '{"base": {"threshold": "x"}}'])
def test_a_broken_file_chooses_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "operating_point.json").write_text(content)
    assert OperatingPoints(tmp_path).get("base") is None


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan"), -2.0])
def test_no_threshold_outside_of_probabilities(threshold: float) -> None:
    with pytest.raises(ModelError, match="between 0 and 1"):
        OperatingPoint(threshold)
