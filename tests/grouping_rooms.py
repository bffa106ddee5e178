"""Rooms for the grouping tests: rendered from boxes, with ground truth, and spoiled on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from engine.grouping.graph import MaskGraph
from engine.rendering import make_renderer, shade
from engine.scenes.procedural import look_at
from engine.types import Camera, Frame, MaskKey, MaskPair, SceneMesh

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
CAMERA = Camera(width=160, height=90, fx=80.0, fy=80.0, cx=79.5, cy=44.5)


def boxes_mesh(boxes: Sequence[tuple[tuple[float, float, float], tuple[float, float, float]]]) -> SceneMesh:
    """Boxes (low corner, size; metres) as one mesh; box k is object k + 1."""
    vertices = np.concatenate([CORNERS * size + low for low, size in boxes]).astype(np.float32)
    faces = np.array([[8 * k + q[0], 8 * k + q[i], 8 * k + q[i + 1]] for k in range(len(boxes)) for q in QUADS for i in (1, 2)])
    labels = np.repeat(np.arange(1, len(boxes) + 1), 8).astype(np.int32)
    colors = np.random.default_rng(1).integers(40, 255, (len(boxes), 3)).repeat(8, axis=0).astype(np.uint8)
    return SceneMesh(vertices, faces.astype(np.int32), colors, labels)


@lru_cache(maxsize=4)
def dining_room(view_count: int = 12) -> tuple[SceneMesh, tuple[Frame, ...]]:
    """Six identical chairs around a table in a walled room: the hard case for appearance."""
    boxes = [
        ((-2.6, -2.1, -0.1), (5.2, 4.2, 0.1)),
        ((-2.7, -2.1, 0.0), (0.1, 4.2, 2.5)),
        ((2.6, -2.1, 0.0), (0.1, 4.2, 2.5)),
        ((-2.6, -2.2, 0.0), (5.2, 0.1, 2.5)),
        ((-2.6, 2.1, 0.0), (5.2, 0.1, 2.5)),
        ((-0.9, -0.45, 0.68), (1.8, 0.9, 0.06)),
        ((-0.2, -0.2, 0.74), (0.25, 0.25, 0.3)),
        ((-2.5, 1.2, 0.0), (0.5, 0.8, 1.8)),
    ]
    boxes += [((x - 0.2, y - 0.2, 0.0), (0.4, 0.4, 0.45)) for x in (-0.7, 0.0, 0.7) for y in (-0.9, 0.9)]
    mesh = boxes_mesh(boxes)
    renderer = make_renderer(mesh, "embree")
    frames: list[Frame] = []
    for k in range(view_count):
        angle = 2 * np.pi * k / view_count
        eye = np.array([2.1 * np.cos(angle), 1.7 * np.sin(angle), 1.5 + 0.3 * np.sin(3 * angle)])
        pose = look_at(eye, np.array([0.2 * np.sin(5 * angle), 0.1, 0.4]))
        fragments = renderer.rasterize(CAMERA, pose)
        image = shade(fragments, mesh, CAMERA, pose)
        frames.append(Frame(str(k), image.rgb, image.instance_map, image.depth, CAMERA, pose))
    return mesh, tuple(frames)


def truth_of(frames: Sequence[Frame]) -> np.ndarray:
    """Object of each mask in table order, where masks still carry the object's id."""
    return np.array([mask % 1000 for frame in frames for mask in sorted(frame.mask_areas)], np.int32)


def shake(frames: Sequence[Frame], *, sigma_m: float, sigma_deg: float, seed: int = 0) -> list[Frame]:
    """Add Gaussian noise to every pose; depth and masks stay."""
    rng = np.random.default_rng(seed)
    shaken: list[Frame] = []
    for frame in frames:
        assert frame.pose is not None
        pose = frame.pose.copy()
        pose[:3, 3] += rng.normal(0, sigma_m, 3)
        pose[:3, :3] = Rotation.from_rotvec(np.deg2rad(rng.normal(0, sigma_deg, 3))).as_matrix() @ pose[:3, :3]
        shaken.append(replace(frame, pose=pose))
    return shaken


def split(frames: Sequence[Frame], *, rate: float, seed: int = 0) -> list[Frame]:
    """Cut some masks in two; the second piece of object k has the id 1000 + k."""
    rng = np.random.default_rng(seed)
    pieces: list[Frame] = []
    for frame in frames:
        ids = frame.instance_map.copy()
        for mask, area in sorted(frame.mask_areas.items()):
            if area >= 40 and rng.random() < rate:
                rows, columns = np.nonzero(frame.instance_map == mask)
                angle = rng.uniform(0, np.pi)
                along = np.cos(angle) * columns + np.sin(angle) * rows
                beyond = along > np.quantile(along, rng.uniform(0.35, 0.65))
                ids[rows[beyond], columns[beyond]] = 1000 + mask
        pieces.append(replace(frame, instance_map=ids))
    return pieces


def without_geometry(frames: Sequence[Frame]) -> list[Frame]:
    """Leave pictures and masks only."""
    return [replace(frame, depth=None, camera=None, pose=None) for frame in frames]


def components(graph: MaskGraph) -> np.ndarray:
    """Threshold at even odds, then connected components, the baseline: (N,) int32 group of each mask."""
    count, attracting = len(graph.keys), graph.evidence.pairs[graph.weights > 0]
    links = coo_matrix((np.ones(len(attracting)), tuple(attracting.T)), shape=(count, count))
    return connected_components(links, directed=False)[1]


class SimulatedJudge:
    """Not a model: knows the truth and errs at the stated rates, independently for each pair.

    Args:
        frames: The frames.
        truth: (N,) object of each mask in table order.
        sensitivity: Share of same-object pairs it calls the same.
        specificity: Share of different-object pairs it calls different.
        seed: Of its errors.
    """

    def __init__(
        self, frames: Sequence[Frame], truth: np.ndarray, *, sensitivity: float = 0.94, specificity: float = 0.91, seed: int = 0
    ) -> None:
        self._object = dict(zip((MaskKey(f.view, m) for f in frames for m in sorted(f.mask_areas)), truth.tolist(), strict=True))
        self._rates = (sensitivity, specificity)
        self._rng = np.random.default_rng(seed)
        self.asked: list[MaskPair] = []

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        """Return the probability of "same" for each pair."""
        self.asked.extend(pairs)
        answers: list[float] = []
        for pair in pairs:
            same = self._object[pair.a] == self._object[pair.b]
            is_right = self._rng.random() < (self._rates[0] if same else self._rates[1])
            sure = float(self._rng.uniform(0.6, 0.98))
            answers.append(sure if same == is_right else 1 - sure)
        return answers
