"""Finds out whether poses follow another convention than ours: OpenGL axes, or world-to-camera instead of camera-to-world.

With the right convention the depth of one view, moved into another, lies on what that one sees; with a wrong one it hardly does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.grouping.depth_units import NEIGHBOURS, count_agreeing, some_points, spread_views
from engine.grouping.geometry import MaskTable
from engine.types import Float64Array

Convention = Literal["as given", "OpenGL axes", "world-to-camera", "world-to-camera with OpenGL axes"]

TURN = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenGL's camera axes (x right, y up, z backward) to ours (x right, y down, z forward), and back."""
READINGS: dict[Convention, Callable[[Float64Array], Float64Array]] = {
    "as given": lambda pose: pose,
    "OpenGL axes": lambda pose: pose @ TURN,
    "world-to-camera": lambda pose: _inverse(pose),
    "world-to-camera with OpenGL axes": lambda pose: _inverse(pose) @ TURN,
}
"""How a pose of each convention becomes camera-to-world with OpenCV axes."""
CHANGES: dict[Convention, str] = {
    "OpenGL axes": "if each camera's y and z axes are turned round, as between OpenGL's axes and OpenCV's",
    "world-to-camera": "if they are inverted, as between world-to-camera and camera-to-world",
    "world-to-camera with OpenGL axes": "if they are inverted and each camera's y and z axes are turned round, as OpenGL needs it",
}
REMEDIES: dict[Convention, str] = {
    "OpenGL axes": "multiply each pose by diag(1, -1, -1, 1) from the right",
    "world-to-camera": "invert each pose",
    "world-to-camera with OpenGL axes": "invert each pose, and multiply it by diag(1, -1, -1, 1) from the right",
}
MIN_SHARE = 0.2
CLEARLY = 2.0
"""Another convention is believed if it makes at least `MIN_SHARE` of the points agree, and this many times as many as ours."""
EVIDENCE = 0.2
"""And as many agreeing points as this share of all that are followed: views that hardly overlap may agree by accident."""
LEAST_POINTS = 100
SEEN_SHARE = 0.1
"""A convention by which views hardly see each other's points says little: its share is taken of this much of the most seen."""


def _inverse(pose: Float64Array) -> Float64Array:
    """Return the inverse of a rigid motion, (4, 4) float64."""
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = pose[:3, :3].T, -pose[:3, :3].T @ pose[:3, 3]
    return turned


@dataclass(frozen=True)
class AxesFinding:
    """What depth says about the poses' convention.

    Attributes:
        best: The convention by which depths of different views agree best; "as given" where none is clearly better.
        shares: Share of points that lie on what another view sees, in [0, 1], by convention.
    """

    best: Convention
    shares: dict[Convention, float]

    @property
    def agreeing(self) -> float:
        """The share with the poses as given."""
        return self.shares["as given"]

    @property
    def doubt(self) -> str | None:
        """What is wrong and how to mend it, in a sentence; None where the poses as given are as good as any."""
        if self.best == "as given":
            return None
        turned = CHANGES[self.best]
        return (
            f"Poses fit the depth {turned}: then {self.shares[self.best]:.0%} of the points agree between views, and as they are "
            f"{self.agreeing:.0%}; {REMEDIES[self.best]}."
        )


def find_axes(table: MaskTable, factor: float = 1.0) -> AxesFinding | None:
    """Compare the conventions, None if there are too few views with depth and poses to tell.

    Args:
        table: Views with depth and poses; a few evenly spaced ones are compared.
        factor: What all depths are divided by first.
    """
    posed = spread_views(table)
    if len(posed) < 2:
        return None
    local = [some_points(view) for view in posed]
    possible = NEIGHBOURS * sum(len(points) for points in local)
    counts: dict[Convention, tuple[int, int]] = {}
    for convention, read in READINGS.items():
        views = [replace(view, pose=read(view.pose)) for view in posed if view.pose is not None]
        counts[convention] = agreeing, seen = count_agreeing(views, local, factor)
        if seen >= max(LEAST_POINTS, SEEN_SHARE * possible) and agreeing * CLEARLY >= seen:
            break  # no other can be clearly better
    most = max(seen for _, seen in counts.values())
    if most < LEAST_POINTS:
        return None
    least = max(LEAST_POINTS, SEEN_SHARE * most)
    shares: dict[Convention, float] = {name: agreeing / max(seen, least) for name, (agreeing, seen) in counts.items()}
    best = max(shares, key=lambda name: shares[name])
    is_proven = counts[best][0] >= EVIDENCE * sum(len(points) for points in local)
    if not is_proven or shares[best] < MIN_SHARE or shares[best] < CLEARLY * shares["as given"]:
        best = "as given"
    return AxesFinding(best, shares)
