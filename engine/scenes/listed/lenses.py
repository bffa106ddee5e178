"""What a camera's distortion would move, for lists whose cameras have one. Knows no list's own format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.types import Float64Array

TELLING_PX = 1.0
"""A distortion that moves no corner farther than this needs no word."""


@dataclass(frozen=True)
class Lens:
    """Coefficients of OpenCV's distortion: radial ones of the numerator and the denominator, and tangential ones."""

    radial: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)
    denominator: tuple[float, ...] = ()


def corner_shift(lens: Lens, matrix: Float64Array, width: int, height: int) -> float:
    """Return how far the distortion moves the corner of a picture that it moves most, pixels; infinite if it is absurd."""
    if not any((*lens.radial, *lens.tangential, *lens.denominator)):
        return 0.0
    u, v = np.array([0.0, width, 0.0, width]), np.array([0.0, 0.0, height, height])
    x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    with np.errstate(all="ignore"):
        r2 = x * x + y * y
        scale = _series(lens.radial, r2) / _series(lens.denominator, r2)
        p1, p2 = lens.tangential
        dx = x * (scale - 1) + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        dy = y * (scale - 1) + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        shift = np.hypot(dx * matrix[0, 0], dy * matrix[1, 1])
    return float(shift.max()) if np.isfinite(shift).all() else float("inf")


def say_distortion(shifts: Sequence[float], remedy: str) -> tuple[str, ...]:
    """Return a sentence if the cameras of some views have a distortion that matters, none otherwise.

    Args:
        shifts: How far each view's corners are moved, pixels.
        remedy: What to do about it.
    """
    moved = [shift for shift in shifts if shift > TELLING_PX]
    if not moved:
        return ()
    most = max(moved)
    words = f"by up to {most:.0f} pixels" if np.isfinite(most) else "without bounds"
    return (f"The lenses of {len(moved)} views bend the pictures' corners {words}, which is not corrected here; {remedy}.",)


def _series(factors: tuple[float, ...], r2: Float64Array) -> Float64Array:
    value = np.ones_like(r2)
    for power, factor in enumerate(factors, start=1):
        value = value + factor * r2**power
    return value
