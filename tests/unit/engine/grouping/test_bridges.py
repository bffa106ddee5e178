"""Masks that would glue two objects are found, and poses are not bent to fit bent depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.grouping.geometry import tabulate_masks
from engine.grouping.registration import register_views
from engine.grouping.undersegmented import find_glue
from tests.bench.sensors.depth import smooth_field
from tests.grouping_rooms import dining_room


def glue_of(third_pull: float) -> np.ndarray:
    """Masks 0-2 are one object, 3-5 another; 6 is a suspect between them, 7 a suspect of the first only."""
    labels = np.zeros(8, np.int32)
    without = np.array([0, 0, 0, 1, 1, 1, 2, 3], np.int32)
    suspects = np.array([False] * 6 + [True] * 2)
    pairs = np.array([(0, 6), (1, 6), (3, 6), (0, 7), (1, 7)], np.int32)
    return find_glue(labels, without, suspects, pairs, np.array([2.0, 2.0, third_pull, 2.0, 2.0]))


def test_glue_is_a_suspect_that_two_parts_pull_at() -> None:
    assert np.flatnonzero(glue_of(1.5)).tolist() == [6]
    assert not glue_of(0.5).any(), "hardly a pull from the second part"


def test_parts_of_too_few_masks_prove_nothing() -> None:
    labels, suspects = np.zeros(4, np.int32), np.array([False, False, False, True])
    without = np.array([0, 0, 1, 2], np.int32)
    pairs = np.array([(0, 3), (1, 3), (2, 3)], np.int32)
    assert not find_glue(labels, without, suspects, pairs, np.full(3, 3.0)).any()


def test_right_poses_are_not_changed_to_fit_bent_depth() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        frames = [
            replace(f, depth=(f.depth * (1 + 0.08 * smooth_field(rng, f.depth.shape, 40))).astype(np.float32))
            for f in dining_room(24)[1]
            if f.depth is not None
        ]
        found = register_views(tabulate_masks(frames))
        assert found.error_before_m > 0.03
        assert not found.accepted
        assert found.poses == {}
