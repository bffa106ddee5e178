"""Groups' colours differ, for colour-blind eyes too, and never change with how many there are."""

from __future__ import annotations

import numpy as np
import pytest

from engine.grouping.palette import EYES, PALETTE, group_colors

LEAST = {20: 15.0, 60: 6.0}
"""Distance in CIE L*a*b* between the closest two of so many colours; about 2 is the least that can be seen at all."""


def lab(colors: np.ndarray, eye: np.ndarray) -> np.ndarray:
    part = colors / 255
    linear = np.clip(np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ eye.T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    root = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


@pytest.mark.parametrize("count", LEAST)
@pytest.mark.parametrize("eye", EYES)
def test_colours_are_far_apart_for_all_eyes(count: int, eye: tuple[tuple[float, ...], ...]) -> None:
    seen = lab(group_colors(count).astype(np.float64), np.array(eye))
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert apart[~np.eye(count, dtype=bool)].min() > LEAST[count]


def test_a_number_keeps_its_colour_and_they_repeat() -> None:
    many = group_colors(2 * PALETTE)
    np.testing.assert_array_equal(group_colors(7), many[:7])
    np.testing.assert_array_equal(many[PALETTE:], many[:PALETTE])
    assert len(np.unique(many, axis=0)) == PALETTE
    assert group_colors(0).shape == (0, 3)
