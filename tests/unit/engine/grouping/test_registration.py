"""Pose error is measured from depth alone, and repaired only where that helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.grouping.geometry import tabulate_masks
from engine.grouping.registration import register_views
from tests.grouping_rooms import dining_room, shake, without_geometry


def relative_errors(poses: dict[int, np.ndarray], truth: list[np.ndarray]) -> list[float]:
    """Distances between camera centres of neighbouring views, against the truth: free of the common frame."""
    errors = []
    for k in range(len(truth) - 1):
        found = np.linalg.inv(poses[k]) @ poses[k + 1]
        right = np.linalg.inv(truth[k]) @ truth[k + 1]
        errors.append(float(np.linalg.norm(found[:3, 3] - right[:3, 3])))
    return errors


def test_right_poses_are_left_alone() -> None:
    _, frames = dining_room()
    found = register_views(tabulate_masks(frames))
    assert not found.accepted
    assert found.error_before_m < 0.01


def test_shaken_poses_are_noticed_and_repaired() -> None:
    _, frames = dining_room()
    shaken = shake(frames, sigma_m=0.05, sigma_deg=1.4)
    found = register_views(tabulate_masks(shaken))
    assert found.error_before_m > 0.03
    assert found.accepted
    assert found.error_after_m < 0.01
    truth = [frame.pose for frame in frames if frame.pose is not None]
    assert np.median(relative_errors(found.poses, truth)) < 0.015


def test_the_estimate_grows_with_the_error() -> None:
    _, frames = dining_room()
    estimates = [
        register_views(tabulate_masks(shake(frames, sigma_m=s, sigma_deg=20 * s)), repair=False).error_before_m
        for s in (0.0, 0.01, 0.03)
    ]
    assert estimates == sorted(estimates)
    assert estimates[1] > 2 * estimates[0]


def test_what_cannot_be_explained_by_poses_is_not_accepted() -> None:
    _, frames = dining_room()
    rng = np.random.default_rng(0)
    noise = [replace(f, depth=rng.uniform(0.5, 6, f.depth.shape).astype(np.float32)) for f in frames if f.depth is not None]
    assert not register_views(tabulate_masks(noise)).accepted


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_views(count: int) -> None:
    found = register_views(tabulate_masks(dining_room()[1][:count]))
    assert (found.accepted, found.pairs) == (False, 0)


def test_views_without_depth() -> None:
    assert register_views(tabulate_masks(without_geometry(dining_room()[1]))).pairs == 0
