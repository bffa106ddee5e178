"""Pose error: estimates it from how badly depths disagree between views, and repairs it where depth allows.

Every view's points are laid on the other views' surfaces (projective association, point-to-plane distance: Chen & Medioni 1992),
and all poses are adjusted together by robust Gauss-Newton on the graph of neighbouring views (Pulli 1999). One joint solve
spreads the error over all views, where pairwise registration would pile it up. Knows nothing about masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from engine.grouping.geometry import MaskTable, PosedView, find_neighbours, project, to_world
from engine.types import BoolArray, Camera, Float32Array, Float64Array, Int32Array

POINTS_PER_VIEW = 1200
NEIGHBOURS = 16
GATE_M = 0.35
"""Points farther than this from a surface are taken for occlusion, not for error: four sigma of two poses 6 cm off each."""
FINE_GATE_M = 0.06
ROUNDS = 18
MIN_PAIR_POINTS = 60
MIN_SHRUNK_PX = 480
ESTIMATE_PAIRS = 160
"""Pairs of views from which the error is estimated."""
MIN_DROP = 0.7
"""A repair is kept when the misfit of points it was not fitted to falls below this share of what it was."""
UNEXPLAINED_M = 0.03
UNEXPLAINED_SHARE = 0.5
"""If more than both is left, it is depth that is bent or out of scale, and poses fitted to it are worse than they were."""
ACCURATE_M = 0.004
"""Misfit that depth quantisation alone explains; there is nothing to repair below it."""
SETTLED_M = 2e-4
SETTLED_SHARE = 0.05
"""Poses have settled when none moves by more than the first, or by more than this share of the error they came with."""
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, eq=False)
class Registration:
    """What was found about the poses.

    Attributes:
        error_before_m: Estimated error of one view's surface, standard deviation along a normal, metres, as the poses came.
        error_after_m: The same with `poses`; equal to `error_before_m` where nothing was accepted.
        accepted: Whether repaired poses are in use.
        poses: (4, 4) float64 camera-to-world by index of the view; empty where nothing was accepted.
        pairs: Pairs of views that were compared.
    """

    error_before_m: float
    error_after_m: float
    accepted: bool
    poses: dict[int, Float64Array]
    pairs: int


@dataclass(frozen=True, eq=False)
class _Surface:
    """Points of one view with normals, camera axes; `pixels` are their flat positions, `normals` cover the whole image."""

    points: Float32Array
    pixels: Int32Array
    normals: Float32Array


def estimate_normals(view: PosedView) -> Float32Array:
    """Return normals (H, W, 3) float32 in camera axes, pointing at the camera; 0 where depth is missing or jumps."""
    assert view.depth is not None
    assert view.camera is not None
    depth = view.depth
    points = view.camera.rays * depth[..., None]
    normals = np.zeros_like(points)
    step = 2
    right, left = points[step:-step, 2 * step :], points[step:-step, : -2 * step]
    down, up = points[2 * step :, step:-step], points[: -2 * step, step:-step]
    centre = depth[step:-step, step:-step]
    cross = np.cross(right - left, down - up)
    length = np.linalg.norm(cross, axis=-1)
    sides = [
        depth[step:-step, 2 * step :],
        depth[step:-step, : -2 * step],
        depth[2 * step :, step:-step],
        depth[: -2 * step, step:-step],
    ]
    good = (centre > 0) & (length > 1e-12)
    for side in sides:
        good &= (side > 0) & (np.abs(side - centre) < 0.05 + 0.03 * centre)
    unit = cross / np.maximum(length, 1e-12)[..., None]
    unit *= -np.sign(np.einsum("hwk,hwk->hw", unit, points[step:-step, step:-step]))[..., None]
    # A surface seen edge-on has neither a safe depth nor a safe normal.
    facing = -np.einsum("hwk,hwk->hw", unit, points[step:-step, step:-step]) / np.maximum(
        np.linalg.norm(points[step:-step, step:-step], axis=-1), 1e-6
    )
    normals[step:-step, step:-step] = np.where((good & (facing > 0.15))[..., None], unit, 0)
    return normals


def _sample_surface(view: PosedView, rng: np.random.Generator) -> _Surface:
    """Pick points evenly over the directions of their normals, so that walls do not drown what fixes the other axes."""
    assert view.depth is not None
    assert view.camera is not None
    normals = estimate_normals(view)
    flat_normals = normals.reshape(-1, 3)
    valid = np.flatnonzero(np.abs(flat_normals).sum(axis=1) > 0)
    if len(valid) > POINTS_PER_VIEW:
        sectors = np.rint(flat_normals[valid] * 1.5).astype(np.int64) @ np.asarray([25, 5, 1])
        _, inverse, counts = np.unique(sectors, return_inverse=True, return_counts=True)
        odds = 1 / np.sqrt(counts[inverse])
        valid = rng.choice(valid, POINTS_PER_VIEW, replace=False, p=odds / odds.sum())
    points = view.camera.rays.reshape(-1, 3)[valid] * view.depth.ravel()[valid, None]
    return _Surface(points.astype(np.float32), valid.astype(np.int32), flat_normals)


@dataclass(frozen=True, eq=False)
class _Match:
    """Points of several views on one view's surface.

    Attributes:
        sources: (P,) int32 index of the view that each point comes from, ascending.
        residuals: (P,) float32 signed distance along the normal, metres.
        points: (P, 3) float32 world points.
        normals: (P, 3) float32 world normals of the surface.
    """

    sources: Int32Array
    residuals: Float32Array
    points: Float32Array
    normals: Float32Array


@dataclass(frozen=True, eq=False)
class _Cloud:
    """One view's points in the world as its pose is guessed now, (P, 3) float32, and their normals, (P, 3) float32."""

    points: Float32Array
    normals: Float32Array


def _to_clouds(surfaces: dict[int, _Surface], poses: dict[int, Float64Array], subset: slice) -> dict[int, _Cloud]:
    clouds: dict[int, _Cloud] = {}
    for i, surface in surfaces.items():
        normals = surface.normals[surface.pixels[subset]] @ poses[i][:3, :3].T.astype(np.float32)
        clouds[i] = _Cloud(to_world(surface.points[subset], poses[i]), normals)
    return clouds


def _match(clouds: dict[int, _Cloud], sources: Sequence[int], target: _Surface, view: PosedView, gate: float) -> _Match:
    """Associate the points of some views with the pixels they fall on in `view`; its pose is the current guess."""
    assert view.depth is not None
    assert view.camera is not None
    assert view.pose is not None
    world = np.concatenate([clouds[i].points for i in sources])
    own = np.concatenate([clouds[i].normals for i in sources])
    source = np.repeat(np.asarray(sources, np.int32), [len(clouds[i].points) for i in sources])
    kept, pixel, _ = project(world, view)
    depth = view.depth.ravel()[pixel]
    rotation = view.pose[:3, :3].astype(np.float32)
    normal = target.normals[pixel] @ rotation.T
    surface = to_world((view.camera.rays.reshape(-1, 3)[pixel] * depth[:, None]).astype(np.float32), view.pose)
    gap = world[kept] - surface
    residual = np.einsum("pk,pk->p", normal, gap)
    ok: BoolArray = (depth > 0) & (np.einsum("pk,pk->p", normal, own[kept]) > 0.8)
    ok &= (np.abs(residual) < gate) & (np.einsum("pk,pk->p", gap, gap) < (2 * gate) ** 2)
    return _Match(source[kept[ok]], residual[ok], world[kept[ok]], normal[ok])


def _by_target(pairs: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the views whose points are laid on each view."""
    sources: dict[int, list[int]] = {}
    for i, j in sorted(pairs):
        sources.setdefault(j, []).append(i)
    return sources


def register_views(
    table: MaskTable, *, repair: bool = True, seed: int = 0, tick: Callable[[float], None] = lambda _: None
) -> Registration:
    """Estimate the pose error and, where that helps, repair the poses.

    Args:
        table: Views with depth; views without depth or pose are left as they are.
        repair: False only estimates.
        seed: Picks the points.
        tick: Called with progress in [0, 1]; may raise to cancel.

    Returns:
        What was found. The estimate saturates near 0.12 m: worse poses look like occlusion.
    """
    rng = np.random.default_rng(seed)
    table = replace(table, views=tuple(_shrink(view) for view in table.views))
    posed = [i for i, view in enumerate(table.views) if view.is_posed]
    if len(posed) < 2:
        return Registration(0.0, 0.0, False, {}, 0)
    surfaces = {i: _sample_surface(table.views[i], rng) for i in posed}
    start: dict[int, Float64Array] = {}
    for i in posed:
        pose = table.views[i].pose
        assert pose is not None
        start[i] = pose
    around = find_neighbours([to_world(surfaces[i].points, start[i]) for i in posed], limit=NEIGHBOURS)
    pairs = [(posed[a], posed[int(b)]) for a, others in enumerate(around) for b in others]
    before = _misfit(table, surfaces, start, pairs)
    if not pairs or not repair or before < ACCURATE_M:
        return Registration(before, before, False, {}, len(pairs))
    poses = dict(start)
    gate = GATE_M
    for step in range(ROUNDS):
        poses, largest = _adjust(table, surfaces, poses, pairs, gate)
        tick((step + 1) / ROUNDS)
        gate = max(FINE_GATE_M, gate * 0.85)
        if largest < max(SETTLED_M, SETTLED_SHARE * before) and gate <= FINE_GATE_M:
            break
    poses = _keep_frame(start, poses)
    after = _misfit(table, surfaces, poses, pairs)
    if after > MIN_DROP * before or (after > UNEXPLAINED_M and after > UNEXPLAINED_SHARE * before):
        return Registration(before, before, False, {}, len(pairs))
    return Registration(before, after, True, poses, len(pairs))


def _shrink(view: PosedView) -> PosedView:
    """Keep every second pixel of large images: the surface stays dense enough, and normals cost a quarter."""
    if view.depth is None or view.camera is None or view.camera.width < MIN_SHRUNK_PX:
        return view
    camera, depth = view.camera, np.ascontiguousarray(view.depth[::2, ::2])
    smaller = Camera(depth.shape[1], depth.shape[0], camera.fx / 2, camera.fy / 2, camera.cx / 2, camera.cy / 2)
    return replace(view, depth=depth, camera=smaller, index_map=view.index_map[::2, ::2])


def _at(table: MaskTable, index: int, pose: Float64Array) -> PosedView:
    view = table.views[index]
    return PosedView(view.name, view.index_map, view.depth, view.camera, pose)


FITTED, HELD_OUT = slice(0, None, 2), slice(1, None, 2)


def _misfit(table: MaskTable, surfaces: dict[int, _Surface], poses: dict[int, Float64Array], pairs: list[tuple[int, int]]) -> float:
    """Robust error of one view along normals, metres, from points that the adjustment does not use."""
    pairs = pairs[:: max(1, len(pairs) // ESTIMATE_PAIRS)]
    clouds = _to_clouds(surfaces, poses, HELD_OUT)
    residuals: list[Float32Array] = []
    for j, sources in _by_target(pairs).items():
        match = _match(clouds, sources, surfaces[j], _at(table, j, poses[j]), GATE_M)
        residuals += np.split(match.residuals, np.searchsorted(match.sources, sources[1:]))
    typical = [float(np.median(np.abs(r))) for r in residuals if len(r) >= MIN_PAIR_POINTS // 2]
    # Two views share a pair's error: each carries 1/sqrt(2) of it.
    return MAD_TO_SIGMA * float(np.sqrt(np.mean(np.square(typical)))) / np.sqrt(2) if typical else 0.0


def _adjust(
    table: MaskTable, surfaces: dict[int, _Surface], poses: dict[int, Float64Array], pairs: list[tuple[int, int]], gate: float
) -> tuple[dict[int, Float64Array], float]:
    """One Gauss-Newton step on all poses; returns them and the largest shift, metres."""
    order = {i: k for k, i in enumerate(poses)}
    size = 6 * len(order)
    hessian, gradient = np.zeros((size, size)), np.zeros(size)
    centre = np.mean([pose[:3, 3] for pose in poses.values()], axis=0)
    clouds = _to_clouds(surfaces, poses, FITTED)
    for j, sources in _by_target(pairs).items():
        match = _match(clouds, sources, surfaces[j], _at(table, j, poses[j]), gate)
        points, normals = match.points.astype(np.float64) - centre, match.normals.astype(np.float64)
        jacobian = np.concatenate([np.cross(points, normals), normals], axis=1)
        bounds = np.searchsorted(match.sources, [*sources, sources[-1] + 1])
        for i, start, stop in zip(sources, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if stop - start < MIN_PAIR_POINTS // 2:
                continue
            residual = match.residuals[start:stop].astype(np.float64)
            scale = max(0.006, 2 * MAD_TO_SIGMA * float(np.median(np.abs(residual))))
            weight = 1 / (1 + (residual / scale) ** 2) ** 2  # Geman-McClure
            own = jacobian[start:stop]
            weighted = own * weight[:, None]
            block, slope = own.T @ weighted, weighted.T @ residual
            a, b = slice(6 * order[i], 6 * order[i] + 6), slice(6 * order[j], 6 * order[j] + 6)
            hessian[a, a] += block
            hessian[b, b] += block
            hessian[a, b] -= block
            hessian[b, a] -= block
            gradient[a] += slope
            gradient[b] -= slope
    # Damping holds what no surface fixes (sliding along a bare wall, the common frame) where it is.
    damping = 1e-3 * max(1e-9, float(np.trace(hessian)) / size)
    step = -np.linalg.solve(hessian + damping * np.eye(size), gradient)
    moved: dict[int, Float64Array] = {}
    largest = 0.0
    for i, k in order.items():
        turn, shift = step[6 * k : 6 * k + 3], step[6 * k + 3 : 6 * k + 6]
        rotation = Rotation.from_rotvec(turn).as_matrix()
        pose = poses[i].copy()
        pose[:3, :3] = rotation @ pose[:3, :3]
        pose[:3, 3] = rotation @ (pose[:3, 3] - centre) + centre + shift
        largest = max(largest, float(np.linalg.norm(pose[:3, 3] - poses[i][:3, 3])))
        moved[i] = pose
    return moved, largest


def _keep_frame(start: dict[int, Float64Array], poses: dict[int, Float64Array]) -> dict[int, Float64Array]:
    """Move all repaired poses together so that they stay, on average, in the frame they came in (and so with the mesh)."""

    def anchors(group: dict[int, Float64Array]) -> Float64Array:
        return np.concatenate([np.stack([p[:3, 3], p[:3, 3] + p[:3, 0], p[:3, 3] + p[:3, 1]]) for p in group.values()])

    old, new = anchors(start), anchors(poses)
    # Kabsch: the rotation that brings the new anchors closest to the old ones.
    u, _, vt = np.linalg.svd((new - new.mean(axis=0)).T @ (old - old.mean(axis=0)))
    matrix = vt.T @ np.diag([1.0, 1.0, np.linalg.det(vt.T @ u.T)]) @ u.T
    back = np.eye(4)
    back[:3, :3], back[:3, 3] = matrix, old.mean(axis=0) - matrix @ new.mean(axis=0)
    return {i: back @ pose for i, pose in poses.items()}
