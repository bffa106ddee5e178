"""The room in 3D as plain arrays: a light mesh or a thinned cloud, where masks lie in it, cameras. Knows nothing about Plotly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial import KDTree

from engine.types import NOTHING, Camera, Float32Array, Float64Array, Frame, Int32Array, Scene, SceneMesh, UInt8Array
from engine.views.frames import FrameSource
from ui.view3d.decimate import LightMesh, decimate, thin

MAX_POINTS = 50_000
MAX_MASK_POINTS = 4_000
FUSED_VIEWS = 16
PER_POINT = 6
"""So many pixels are lifted for each point that is kept of them."""
MAX_EYES = 64
CEILING_BAND = 0.12
"""The top share of a room's height is hidden at first, so that one can look in from above."""


@dataclass(frozen=True, eq=False)
class RoomCloud:
    """A light picture of a room: points, or the faces of a mesh, each with its middle as its point.

    Attributes:
        points: (N, 3) float32 metres, world frame.
        colors: (N, 3) uint8 RGB.
        instances: (N,) int32 ground-truth instance ids, -1 where there are none.
        up: (3,) float64 unit vector that points up in the world frame.
        mesh: What has N faces, None where there are only points.
        of_faces: Faces of the scene's own mesh, 0 without one.
    """

    points: Float32Array
    colors: UInt8Array
    instances: Int32Array
    up: Float64Array
    mesh: LightMesh | None = None
    of_faces: int = 0


def estimate_up(poses: Iterable[Float64Array]) -> Float64Array:
    """Return the direction that cameras agree is up, (3,) float64: the mean of their -y axes, +z where they cancel out."""
    axes = [-pose[:3, 1] for pose in poses]
    mean = np.mean(axes, axis=0) if axes else np.zeros(3)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 0.1 else np.array([0.0, 0.0, 1.0])


def mesh_room(mesh: SceneMesh, up: Float64Array, eyes: Float64Array | None = None) -> RoomCloud:
    """Return the room of a mesh, decimated; the same mesh gives the same room.

    Args:
        mesh: The scene's mesh.
        up: (3,) float64 unit vector that points up.
        eyes: (K, 3) float64 places of cameras; faces look towards them, so that a page can leave out what is seen from behind.
    """
    thinned = thin(mesh)
    light = decimate(thinned if eyes is None else face_eyes(thinned, eyes))
    return RoomCloud(
        points=light.vertices[light.faces].mean(axis=1).astype(np.float32),
        colors=light.colors[light.faces].mean(axis=1).astype(np.uint8),
        instances=light.instances,
        up=up,
        mesh=light,
        of_faces=len(mesh.faces),
    )


def face_eyes(mesh: SceneMesh, eyes: Float64Array) -> SceneMesh:
    """Return a mesh whose faces all look towards at least one of (K, 3) places: others are turned over."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    offsets = np.einsum("nk,nk->n", normals, corners[:, 0])
    is_seen = np.zeros(len(normals), bool)
    for eye in eyes[:: max(1, len(eyes) // MAX_EYES)].astype(np.float32):
        is_seen |= normals @ eye > offsets
    faces = np.where(is_seen[:, None], mesh.faces, mesh.faces[:, ::-1]).astype(np.int32)
    return SceneMesh(mesh.vertices, faces, mesh.colors, mesh.vertex_instances)


def height_of_ceiling(points: Float32Array, up: Float64Array) -> tuple[float, float, float]:
    """Return a room's lowest and highest height along `up`, metres, and the one above which its ceiling is."""
    heights = points @ up.astype(np.float32)
    low, high = (float(value) for value in np.percentile(heights, [0.5, 99.5]))
    return float(heights.min()), float(heights.max()), high - CEILING_BAND * (high - low)


def thin_evenly(points: Float32Array, colors: UInt8Array, *, most: int = MAX_POINTS) -> tuple[Float32Array, UInt8Array]:
    """Return at most one point, (n, 3), and its colour for each cell of a grid that is just wide enough to leave `most`."""
    if len(points) == 0:
        return points, colors
    low = points.min(axis=0)
    cell = 0.01
    while True:
        cells = np.floor((points - low) / cell).astype(np.int64)
        spans = cells.max(axis=0) + 1
        _, first = np.unique((cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2], return_index=True)
        if len(first) <= most:
            first.sort()
            return points[first], colors[first]
        cell *= 1.2


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
    """Build an even cloud from the depth of evenly spaced views; None where a scene has no depth or no poses."""
    names = scene.view_names[:: max(1, len(scene.view_names) // FUSED_VIEWS)]
    points: list[Float32Array] = []
    colors: list[UInt8Array] = []
    poses: list[Float64Array] = []
    for frame in frames.usable(names):
        world, pixels = back_project(frame, None, max_points=PER_POINT * MAX_POINTS // len(names))
        if frame.pose is not None and len(world):
            points.append(world)
            colors.append(frame.rgb.reshape(-1, 3)[pixels])
            poses.append(frame.pose)
    if not points:
        return None
    # Evenly over the room: where a sensor looked closely, or twice, there would be nothing but that.
    cloud, tints = thin_evenly(np.concatenate(points), np.concatenate(colors))
    return RoomCloud(cloud, tints, np.full(len(cloud), NOTHING, np.int32), estimate_up(poses))


def build_room(scene: Scene, frames: FrameSource) -> RoomCloud | None:
    """Return a scene's room from its mesh, else from its depth, else None."""
    mesh = scene.mesh
    if mesh is None:
        return fuse_depth(scene, frames)
    poses = [pose for name in scene.view_names[:200] if (pose := scene.view(name).pose) is not None]
    eyes = np.array([pose[:3, 3] for pose in poses]) if poses else None
    return mesh_room(mesh, estimate_up(poses), eyes)


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
