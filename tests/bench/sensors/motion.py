"""Poses as trackers give them: drift, jumps, a frame in the wrong place; and pictures and masks of a camera that moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from engine.types import Float64Array, Frame
from tests.bench.sensors.segmenter import blur_picture

DEG_PER_M = 28.0
"""Degrees by which a pose turns for each metre that it is off."""


def drift(frames: Sequence[Frame], rng: np.random.Generator, *, step_m: float = 0.005) -> list[Frame]:
    """Let the error of each view be that of the view before plus a random step: what odometry does without loop closure."""
    shift, turn = np.zeros(3), np.zeros(3)
    moved: list[Frame] = []
    for frame in frames:
        shift = shift + rng.normal(0, step_m / np.sqrt(3), 3)
        turn = turn + rng.normal(0, np.deg2rad(DEG_PER_M * step_m) / np.sqrt(3), 3)
        moved.append(_moved(frame, shift, turn))
    return moved


def jump(frames: Sequence[Frame], rng: np.random.Generator, *, jumps: int = 2, size_m: float = 0.08) -> list[Frame]:
    """Let the tracker lose itself: from some views on, all poses are off by one more offset."""
    at = np.sort(rng.choice(np.arange(1, max(2, len(frames))), min(jumps, max(1, len(frames) - 1)), replace=False))
    moved: list[Frame] = []
    shift, turn = np.zeros(3), np.zeros(3)
    for k, frame in enumerate(frames):
        if k in at:
            shift = shift + _of_length(rng, size_m)
            turn = turn + _of_length(rng, np.deg2rad(DEG_PER_M * size_m))
        moved.append(_moved(frame, shift, turn))
    return moved


def misplace(frames: Sequence[Frame], rng: np.random.Generator, *, count: int = 1) -> list[Frame]:
    """Give some views a pose that is wrong altogether: half a metre to a metre off, and turned by 10 to 40 degrees."""
    wrong = set(rng.choice(len(frames), min(count, len(frames)), replace=False).tolist())
    moved: list[Frame] = []
    for k, frame in enumerate(frames):
        shift, turn = _of_length(rng, rng.uniform(0.5, 1.0)), _of_length(rng, np.deg2rad(rng.uniform(10, 40)))
        moved.append(_moved(frame, shift, turn) if k in wrong else frame)
    return moved


def blur(frames: Sequence[Frame], rng: np.random.Generator, *, share: float = 0.3, length_px: int = 12) -> list[Frame]:
    """Smear the pictures of some views; depth and masks are another sensor's and another program's affair."""
    return [replace(f, rgb=blur_picture(f.rgb, rng, length_px)) if rng.random() < share else f for f in frames]


def _of_length(rng: np.random.Generator, length: float) -> Float64Array:
    direction = rng.normal(0, 1, 3)
    return direction / max(1e-9, float(np.linalg.norm(direction))) * length


def _moved(frame: Frame, shift: Float64Array, turn: Float64Array) -> Frame:
    if frame.pose is None:
        return frame
    pose = frame.pose.copy()
    pose[:3, 3] += shift
    pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix() @ pose[:3, :3]
    return replace(frame, pose=pose)
