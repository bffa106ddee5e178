"""What makes a pair easy or hard: how large the masks are, how much of the objects they show, how far the views turn.

Facts need frames, which take seconds to render; they are kept as a file of JSON for each scene.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.files import write_text_atomically
from engine.strict_json import to_json_text
from engine.types import Float32Array, Float64Array, Frame, MaskKey, MaskPair, SceneMesh
from engine.views.frames import FrameSource

POINTS_AN_INSTANCE = 200
DEPTH_TOLERANCE_M = 0.05


@dataclass(frozen=True)
class PairFacts:
    """What is known of a pair besides the answers.

    Attributes:
        crop_px: Pixels of the smaller mask; 0 where a mask is not there any more, or its view is broken.
        visible_share: Of the object's surface that any view of the scene sees, the share that this view sees; the smaller one of
            the two masks, [0, 1]. None without mesh, poses or ground truth.
        view_angle_deg: Angle between the directions from which the two masks are seen, degrees; None without depth or poses.
    """

    crop_px: int
    visible_share: float | None
    view_angle_deg: float | None


def collect_facts(
    frames: FrameSource,
    pairs: Sequence[MaskPair],
    *,
    mesh: SceneMesh | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[PairFacts]:
    """Return the facts of pairs, in order.

    Args:
        frames: Gives the scene's frames; views with a broken file are passed over.
        pairs: Masks of this scene; the facts come in their order.
        mesh: The scene's mesh with instances on its vertices, where there is one: without it, nothing is known of visibility.
        on_progress: Told "looking at views" after every view.
    """
    names = frames.scene.view_names
    surface = sample_surface(mesh) if mesh is not None and mesh.vertex_instances is not None else None
    needed = {key for pair in pairs for key in (pair.a, pair.b)}
    areas: dict[MaskKey, int] = {}
    directions: dict[MaskKey, Float64Array | None] = {}
    seen: dict[str, dict[int, int]] = {}
    ever = np.zeros(0 if surface is None else len(surface[0]), bool)
    for done, frame in enumerate(frames.usable(names), start=1):
        name = frame.view
        for key in (key for key in needed if key.view == name):
            areas[key] = frame.mask_areas.get(key.mask, 0)
            directions[key] = view_direction(frame, key.mask)
        if surface is not None:
            visible = visible_points(frame, *surface)
            ever |= visible
            ids, counts = np.unique(surface[1][visible], return_counts=True)
            seen[name] = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        on_progress("looking at views", done, len(names))
    totals: dict[int, int] = {}
    if surface is not None:
        ids, counts = np.unique(surface[1][ever], return_counts=True)
        totals = dict(zip(ids.tolist(), counts.tolist(), strict=True))

    def share(key: MaskKey) -> float | None:
        total = totals.get(key.mask, 0)
        return seen.get(key.view, {}).get(key.mask, 0) / total if total else None

    return [
        PairFacts(
            crop_px=min(areas.get(pair.a, 0), areas.get(pair.b, 0)),
            visible_share=_least(share(pair.a), share(pair.b)),
            view_angle_deg=angle_deg(directions.get(pair.a), directions.get(pair.b)),
        )
        for pair in pairs
    ]


def sample_surface(mesh: SceneMesh) -> tuple[Float32Array, np.ndarray]:
    """Return points spread evenly over each instance's surface, (N, 3) float32 metres, and their instances, (N,) int32."""
    rng = np.random.default_rng(0)
    instances = mesh.face_instances
    points: list[Float32Array] = []
    labels: list[np.ndarray] = []
    for instance in np.unique(instances[instances >= 0]):
        corners = mesh.vertices[mesh.faces[instances == instance]]
        sides = corners[:, 1:] - corners[:, :1]
        area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).astype(np.float64)
        if area.sum() <= 0:
            continue
        chosen = rng.choice(len(corners), POINTS_AN_INSTANCE, p=area / area.sum())
        # Uniform in a triangle: reflect the half of the square that lies outside (Turk 1990).
        inside = rng.random((2, POINTS_AN_INSTANCE, 1), np.float32)
        inside = np.where(inside.sum(axis=0) > 1, 1 - inside, inside)
        points.append(corners[chosen, 0] + inside[0] * sides[chosen, 0] + inside[1] * sides[chosen, 1])
        labels.append(np.full(POINTS_AN_INSTANCE, instance, np.int32))
    if not points:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.int32)
    return np.concatenate(points), np.concatenate(labels)


def visible_points(frame: Frame, points: Float32Array, instances: np.ndarray) -> np.ndarray:
    """Return which points a frame sees, (N,) bool: those on their own instance's mask, at its depth where that is known."""
    if frame.camera is None or frame.pose is None or len(points) == 0:
        return np.zeros(len(points), bool)
    local = (points - frame.pose[:3, 3]) @ frame.pose[:3, :3]
    z = local[:, 2]
    camera = frame.camera
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.rint(camera.fx * local[:, 0] / z + camera.cx)
        v = np.rint(camera.fy * local[:, 1] / z + camera.cy)
    inside = (z > 1e-3) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    visible = np.zeros(len(points), bool)
    columns, rows = u[inside].astype(np.int64), v[inside].astype(np.int64)
    on_own_mask = frame.instance_map[rows, columns] == instances[inside]
    if frame.depth is not None:
        depth = frame.depth[rows, columns]
        on_own_mask &= (depth == 0) | (np.abs(depth - z[inside]) < DEPTH_TOLERANCE_M)
    visible[inside] = on_own_mask
    return visible


def view_direction(frame: Frame, mask: int) -> Float64Array | None:
    """Return the unit direction from the camera to a mask's middle point, (3,) float64 in the world; None without depth or pose."""
    if frame.depth is None or frame.camera is None or frame.pose is None:
        return None
    chosen = (frame.instance_map == mask) & (frame.depth > 0)
    if not chosen.any():
        return None
    middle = np.median(frame.camera.rays[chosen] * frame.depth[chosen][:, None], axis=0).astype(np.float64)
    direction = frame.pose[:3, :3] @ middle
    return direction / np.linalg.norm(direction)


def angle_deg(a: Float64Array | None, b: Float64Array | None) -> float | None:
    """Return the angle between two unit vectors in degrees, None if one is unknown."""
    if a is None or b is None:
        return None
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def write_facts(path: Path, pairs: Sequence[MaskPair], facts: Sequence[PairFacts]) -> None:
    """Write facts as JSON, a pair a line."""
    lines = [
        to_json_text([str(p.a), str(p.b), f.crop_px, _rounded(f.visible_share, 3), _rounded(f.view_angle_deg, 1)])
        for p, f in zip(pairs, facts, strict=True)
    ]
    write_text_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")


def read_facts(path: Path) -> dict[tuple[str, str], PairFacts]:
    """Return the facts in a file by the two masks' names; nothing where it is missing or no such file."""
    try:
        rows = cast("list[list[Any]]", json.loads(path.read_text(encoding="utf-8")))
        return {(str(a), str(b)): PairFacts(int(px), visible, angle) for a, b, px, visible, angle in rows}
    except (OSError, ValueError, TypeError):
        return {}


def _least(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
