"""What may differ between two runs that did the same: rounding, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

ROUNDING = 1e-4
"""How far a probability, or a mean over probabilities, may move when its pairs fall into other batches, or are judged by another
processor, process or number of threads: sums are added up in another order then. Measured differences are below 1e-6; whatever
is counted (right answers, flips) moves only where a probability lies this near to the threshold."""


def but_rounding(expected: Any) -> Any:
    """Return what equals `expected`, JSON values nested at will, but for the rounding of its fractions."""
    if isinstance(expected, float):
        return pytest.approx(expected, abs=ROUNDING)
    if isinstance(expected, dict):
        return {name: but_rounding(value) for name, value in expected.items()}
    return [but_rounding(value) for value in expected] if isinstance(expected, list) else expected
