"""Fits a judge's calibration on half of the judged scenes, and decides on the other half whether it helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import ModelError
from engine.evaluation.predictions import Prediction
from engine.evaluation.reliability import Reliability, measure_reliability
from engine.judging.calibration.fit import Calibration, fit_calibration, margin_of
from engine.types import BoolArray, Float64Array


@dataclass(frozen=True)
class CalibrationRun:
    """What a calibration found.

    Attributes:
        calibration: Fitted on the scenes at even places.
        before: Reliability of the raw probabilities, on the scenes at odd places.
        after: Reliability of the calibrated ones, on the same pairs.
        checked: Pairs in `before` and `after`.
    """

    calibration: Calibration
    before: Reliability
    after: Reliability
    checked: int

    @property
    def helps(self) -> bool:
        """Whether calibrated probabilities are better on scenes that they were not fitted on: lower log loss, no larger ECE.

        The log loss is a proper score: only better probabilities lower it. The ECE alone can fall by chance, through its bins.
        """
        return self.after.log_loss < self.before.log_loss and self.after.ece <= self.before.ece


def calibrate(scenes: Sequence[Sequence[Prediction]], *, prompt: str, source: str) -> CalibrationRun:
    """Fit on every other scene and measure on the rest, so that no object is on both sides.

    Args:
        scenes: Predictions of each scene, both orders asked.
        prompt: Reference of the prompt.
        source: Which scenes these are, in words.

    Raises:
        ModelError: If there are fewer than two scenes, or nothing can be fitted on them.
    """
    check_scene_count(len(scenes))
    fitted, checked = (_margins([p for scene in half for p in scene]) for half in (scenes[::2], scenes[1::2]))
    calibration = fit_calibration(*fitted, prompt=prompt, source=source)
    margins, is_same = checked
    before, after = (measure_reliability(1 / (1 + np.exp(-logit)), is_same) for logit in (margins, calibration.apply(margins)))
    return CalibrationRun(calibration, before, after, len(margins))


def check_scene_count(count: int) -> None:
    """Refuse fewer scenes than a calibration needs.

    Raises:
        ModelError: If there are fewer than two.
    """
    if count < 2:
        raise ModelError(f"A calibration is fitted on some scenes and checked on others; got {count}, expected 2 or more.")


def _margins(predictions: Sequence[Prediction]) -> tuple[Float64Array, BoolArray]:
    """Return raw margins (N,) float64 and the truth (N,) bool of the predictions that have a probability."""
    raw = [(p.p_same if p.uncalibrated is None else p.uncalibrated, p.is_same) for p in predictions]
    known = [(margin_of(p), is_same) for p, is_same in raw if p is not None]
    return np.array([margin for margin, _ in known]), np.array([is_same for _, is_same in known], bool)
