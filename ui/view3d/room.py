"""The room in 3D as plain arrays: a thinned cloud, where masks lie in it, camera outlines. Knows nothing about Plotly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial import KDTree

from engine.types import NOTHING, Camera, Float32Array, Float64Array, Frame, Int32Array, Scene, SceneMesh, UInt8Array
from engine.views.frames import FrameSource

MAX_POINTS = 50_000
MAX_MASK_POINTS = 4_000
FUSED_VIEWS = 16
CEILING_BAND = 0.12
"""Level surfaces in the top share of a room's height are left out of the picture, so that one can look in from above."""


@dataclass(frozen=True, eq=False)
class RoomCloud:
    """A thinned picture of a room.

    Attributes:
        points: (N, 3) float32 metres, world frame.
        colors: (N, 3) uint8 RGB.
        instances: (N,) int32 ground-truth instance ids, -1 where there are none.
        up: (3,) float64 unit vector that points up in the world frame.
        of_vertices: Vertices of the mesh that the points stand for, 0 where they come from depth.
    """

    points: Float32Array
    colors: UInt8Array
    instances: Int32Array
    up: Float64Array
    of_vertices: int = 0


def estimate_up(poses: Iterable[Float64Array]) -> Float64Array:
    """Return the direction that cameras agree is up, (3,) float64: the mean of their -y axes, +z where they cancel out."""
    axes = [-pose[:3, 1] for pose in poses]
    mean = np.mean(axes, axis=0) if axes else np.zeros(3)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 0.1 else np.array([0.0, 0.0, 1.0])


def sample_mesh(mesh: SceneMesh, up: Float64Array, *, count: int = MAX_POINTS) -> RoomCloud:
    """Sample a mesh evenly by area, without its ceiling; the same mesh gives the same cloud."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    heights = corners.mean(axis=1) @ up.astype(np.float32)
    low, high = np.percentile(heights, [0.5, 99.5])
    level = np.abs(normals @ up.astype(np.float32)) > 0.9 * np.maximum(areas, 1e-12)
    weights = np.where(level & (heights > high - CEILING_BAND * (high - low)), 0.0, areas).astype(np.float64)
    if weights.sum() <= 0:
        weights = np.maximum(areas.astype(np.float64), 1e-12)
    rng = np.random.default_rng(0)
    picked = rng.choice(len(weights), size=min(count, 4 * len(weights)), p=weights / weights.sum())
    bary = rng.dirichlet((1.0, 1.0, 1.0), size=len(picked)).astype(np.float32)
    return RoomCloud(
        points=np.einsum("nk,nkc->nc", bary, corners[picked]).astype(np.float32),
        colors=np.einsum("nk,nkc->nc", bary, mesh.colors[mesh.faces[picked]].astype(np.float32)).astype(np.uint8),
        instances=mesh.face_instances[picked],
        up=up,
        of_vertices=len(mesh.vertices),
    )


def back_project(frame: Frame, mask: int | None, *, max_points: int) -> tuple[Float32Array, Int32Array]:
    """Return world points, (n, 3) float32, and pixel indices, (n,) int32, of a mask (or of all pixels) where depth is known."""
    if frame.depth is None or frame.camera is None or frame.pose is None:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.int32)
    known = frame.depth > 0
    pixels = np.flatnonzero(known if mask is None else known & (frame.instance_map == mask)).astype(np.int32)
    pixels = pixels[:: max(1, len(pixels) // max_points)]
    local = frame.camera.rays.reshape(-1, 3)[pixels] * frame.depth.reshape(-1)[pixels, None]
    world = local @ frame.pose[:3, :3].T + frame.pose[:3, 3]
    return world.astype(np.float32), pixels


def fuse_depth(scene: Scene, frames: FrameSource) -> RoomCloud | None:
    """Build a cloud from the depth of evenly spaced views; None where a scene has no depth or no poses."""
    names = scene.view_names[:: max(1, len(scene.view_names) // FUSED_VIEWS)]
    points: list[Float32Array] = []
    colors: list[UInt8Array] = []
    poses: list[Float64Array] = []
    for frame in frames.usable(names):
        world, pixels = back_project(frame, None, max_points=MAX_POINTS // len(names))
        if frame.pose is not None and len(world):
            points.append(world)
            colors.append(frame.rgb.reshape(-1, 3)[pixels])
            poses.append(frame.pose)
    if not points:
        return None
    cloud = np.concatenate(points)
    return RoomCloud(cloud, np.concatenate(colors), np.full(len(cloud), NOTHING, np.int32), estimate_up(poses))


def build_room(scene: Scene, frames: FrameSource) -> RoomCloud | None:
    """Return a scene's cloud from its mesh, else from its depth, else None."""
    mesh = scene.mesh
    if mesh is None:
        return fuse_depth(scene, frames)
    poses = [pose for name in scene.view_names[:200] if (pose := scene.view(name).pose) is not None]
    return sample_mesh(mesh, estimate_up(poses))


class Posed(Protocol):
    """A view with its camera and its pose, camera-to-world (4, 4) float64."""

    @property
    def camera(self) -> Camera | None: ...

    @property
    def pose(self) -> Float64Array | None: ...


def camera_outline(view: Posed, *, size_m: float = 0.35) -> Float32Array | None:
    """Return a camera's pyramid as one polyline, (n, 3) float32 world points; None where the pose is unknown."""
    if view.camera is None or view.pose is None:
        return None
    rays = view.camera.rays
    corners = [rays[r, c].astype(np.float64) * size_m for r, c in ((0, 0), (0, -1), (-1, -1), (-1, 0))]
    eye = np.zeros(3)
    path = [eye, corners[0], corners[1], eye, corners[2], corners[1], corners[2], corners[3], eye, corners[3], corners[0]]
    return (np.array(path) @ view.pose[:3, :3].T + view.pose[:3, 3]).astype(np.float32)


def nearest_instance(cloud: RoomCloud, point: Float32Array) -> int:
    """Return the instance of the cloud's point nearest to `point` (3,), -1 where it has none."""
    _, index = KDTree(cloud.points).query(point)
    return int(cloud.instances[index])
