"""Photos of a bent lens become those of a pinhole camera, and so do masks and the places of points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.photos.undistort import is_bent, straighten_masks, straighten_photo, straighten_places
from tests.photo_rooms import CAMERA, placed_views

K1 = 0.2


def test_a_bent_line_becomes_straight_again() -> None:
    rays = CAMERA.rays[..., :2].astype(np.float64)
    # The picture's value is the column that a pinhole camera shows there, bent by the lens.
    straight = rays.copy()
    for _ in range(20):
        straight = rays / (1 + K1 * (straight**2).sum(axis=-1, keepdims=True))
    columns = straight[..., 0] * CAMERA.fx + CAMERA.cx
    bent = np.repeat(np.clip(columns / 2, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    fixed = straighten_photo(bent, CAMERA, K1)
    inside = fixed[40:-40, 40:-40, 0].astype(float)
    expected = np.arange(CAMERA.width)[40:-40] / 2
    assert float(np.abs(inside - expected).max()) < 1.5
    ids = straighten_masks((columns > 160).astype(np.int32) + 1, CAMERA, K1)
    assert (ids[40:-40, 163:280] == 2).all()
    assert (ids[40:-40, 40:157] == 1).all()


def test_places_move_as_the_photo_does() -> None:
    placed = placed_views()
    lenses = placed.lenses.copy()
    lenses[:, 3] = K1
    bent = replace(placed, lenses=lenses)
    straight = straighten_places(bent)
    assert is_bent(bent, 0)
    assert not is_bent(straight, 0)
    x = (straight.seen_at - lenses[0, 1:3]) / lenses[0, 0]
    again = x * (1 + K1 * (x**2).sum(axis=1))[:, None] * lenses[0, 0] + lenses[0, 1:3]
    assert float(np.abs(again - placed.seen_at).max()) < 0.05
    assert straight.matched_at.shape == placed.matched_at.shape
