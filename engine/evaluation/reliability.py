"""How far probabilities can be trusted: bins, expected calibration error, log loss. Knows nothing about models or files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.evaluation.metrics import ECE_BINS
from engine.types import BoolArray, Float64Array


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose P(same) lies in [low, high): their mean P(same), and the share that really is the same (None if empty)."""

    low: float
    high: float
    pairs: int
    mean_p: float | None
    share_same: float | None


@dataclass(frozen=True)
class Reliability:
    """What a set of probabilities is worth.

    Attributes:
        bins: Equal bins of P(same), ascending.
        ece: Expected calibration error: mean over pairs of the distance between a bin's mean P(same) and its share of same.
        log_loss: Mean negative log-likelihood of the truth, nats.
        accuracy: Share of right answers at the threshold 0.5.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    log_loss: float
    accuracy: float


def measure_reliability(p_same: Float64Array, is_same: BoolArray, *, bins: int = ECE_BINS) -> Reliability:
    """Compare probabilities with the truth.

    Args:
        p_same: (N,) float64 in [0, 1].
        is_same: (N,) bool.
        bins: Number of equal bins.
    """
    rows = np.minimum((p_same * bins).astype(int), bins - 1)
    found: list[ReliabilityBin] = []
    distance = 0.0
    for row in range(bins):
        inside = rows == row
        count = int(inside.sum())
        mean, share = (float(p_same[inside].mean()), float(is_same[inside].mean())) if count else (None, None)
        distance += 0.0 if mean is None or share is None else count * abs(mean - share)
        found.append(ReliabilityBin(row / bins, (row + 1) / bins, count, mean, share))
    truth = np.clip(np.where(is_same, p_same, 1 - p_same), 1e-12, 1)
    return Reliability(
        bins=tuple(found),
        ece=distance / len(p_same),
        log_loss=float(-np.log(truth).mean()),
        accuracy=float(((p_same >= 0.5) == is_same).mean()),
    )
