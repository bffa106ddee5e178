"""Groups of masks to 3D instances: on the mesh's vertices, or on a cloud fused from depth. Knows nothing about judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.grouping.geometry import MaskTable, depth_tolerance, project
from engine.grouping.palette import group_colors
from engine.grouping.voxels import lift_grid, thin_to_voxels
from engine.types import NOTHING, Float32Array, Int32Array, SceneMesh, UInt8Array

CLOUD_VOXEL_M = 0.02
MIN_FRAGMENT_SHARE = 0.02
MIN_FRAGMENT_POINTS = 20
"""A loose piece of an instance smaller than both is noise at a rim: its points become unlabelled."""
BOX_TRIM = 0.005
"""Share of points left out at each end of a box's axis: stray points would stretch it."""


@dataclass(frozen=True)
class InstanceBox:
    """Axis-aligned box of an instance, world frame, metres, and the points in it."""

    group: int
    minimum: tuple[float, float, float]
    maximum: tuple[float, float, float]
    points: int


@dataclass(frozen=True, eq=False)
class InstanceCloud:
    """Points with their groups.

    Attributes:
        points: (P, 3) float32 metres, world frame.
        colors: (P, 3) uint8.
        labels: (P,) int32 group, -1 = none.
        faces: (F, 3) int32 where the points are a mesh's vertices, else (0, 3).
        boxes: One for each group that has points.
    """

    points: Float32Array
    colors: UInt8Array
    labels: Int32Array
    faces: Int32Array
    boxes: tuple[InstanceBox, ...]


def label_mesh(mesh: SceneMesh, table: MaskTable, labels: Int32Array, *, pose_error_m: float = 0.0) -> InstanceCloud:
    """Give each vertex the group that most views show there; fragments are cleaned along the mesh's edges.

    Args:
        mesh: The scene's mesh, in the frame of the poses.
        table: Masks with depth and poses.
        labels: (N,) int32 group of each mask.
        pose_error_m: Widens the depth test.
    """
    count = len(mesh.vertices)
    voted = vote_on_points(mesh.vertices, table, labels, pose_error_m=pose_error_m)
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    same = (voted[edges[:, 0]] == voted[edges[:, 1]]) & (voted[edges[:, 0]] != NOTHING)
    # Vertices that several faces repeat at one place belong together.
    _, welded = np.unique(np.round(mesh.vertices / 1e-3).astype(np.int64) @ np.asarray([1, 1 << 20, 1 << 40]), return_inverse=True)
    graph = coo_matrix((np.ones(int(same.sum())), (edges[same, 0], edges[same, 1])), shape=(count, count))
    cleaned = _drop_fragments(voted, graph, welded.astype(np.int32))
    return InstanceCloud(mesh.vertices, mesh.colors, cleaned, mesh.faces, make_boxes(mesh.vertices, cleaned))


def fuse_cloud(table: MaskTable, labels: Int32Array, *, colors: list[UInt8Array] | None = None) -> InstanceCloud | None:
    """Fuse depth into one cloud, a point a voxel, each with the group most of its pixels have; None without depth or poses.

    Args:
        table: Masks with depth and poses.
        labels: (N,) int32 group of each mask.
        colors: The views' pictures, (H, W, 3) uint8 each; None = grey.
    """
    points: list[Float32Array] = []
    groups: list[Int32Array] = []
    tints: list[UInt8Array] = []
    for index, view in enumerate(table.views):
        if view.depth is None or view.camera is None or view.pose is None:
            continue
        step = max(1, view.camera.width // 320)
        depth, rows = view.depth[::step, ::step], view.index_map[::step, ::step]
        valid = depth > 0
        points.append(lift_grid(view, valid, step=step))
        groups.append(np.where(rows[valid] >= 0, labels[np.maximum(rows[valid], 0)] if len(labels) else NOTHING, NOTHING))
        tints.append(colors[index][::step, ::step][valid] if colors else np.full((int(valid.sum()), 3), 160, np.uint8))
    if not points or sum(len(p) for p in points) == 0:
        return None
    world, group, tint = np.concatenate(points), np.concatenate(groups).astype(np.int64), np.concatenate(tints)
    first, voxel = thin_to_voxels(world, CLOUD_VOXEL_M)
    winner = name_majority(voxel, group, len(first))
    kept = world[first]
    boxes = make_boxes(kept, winner)
    return InstanceCloud(kept, tint[first], winner, np.zeros((0, 3), np.int32), boxes)


def make_boxes(points: Float32Array, labels: Int32Array) -> tuple[InstanceBox, ...]:
    """Return the box of each group that has points."""
    order = np.argsort(labels, kind="stable")
    ids, starts = np.unique(labels[order], return_index=True)
    boxes: list[InstanceBox] = []
    for group, rows in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
        if group == NOTHING:
            continue
        low, high = np.quantile(points[rows], [BOX_TRIM, 1 - BOX_TRIM], axis=0).tolist()
        boxes.append(InstanceBox(group, (low[0], low[1], low[2]), (high[0], high[1], high[2]), len(rows)))
    return tuple(boxes)


def vote_on_points(points: Float32Array, table: MaskTable, labels: Int32Array, *, pose_error_m: float = 0.0) -> Int32Array:
    """Return the group that most views which see a point show there, (P,) int32, -1 where none sees it.

    Args:
        points: (P, 3) float32 metres, world frame.
        table: Masks with depth and poses.
        labels: (N,) int32 group of each mask.
        pose_error_m: Widens the depth test.
    """
    groups = int(labels.max(initial=-1)) + 1
    points_seen: list[Int32Array] = []
    groups_seen: list[Int32Array] = []
    for view in table.views:
        if view.depth is None or view.camera is None or view.pose is None:
            continue
        kept, pixel, z = project(points, view)
        surface = view.depth.ravel()[pixel]
        rows = view.index_map.ravel()[pixel]
        ok = (surface > 0) & (np.abs(surface - z) < depth_tolerance(z, pose_error_m)) & (rows >= 0)
        points_seen.append(kept[ok])
        groups_seen.append(labels[rows[ok]])
    if not points_seen or groups == 0:
        return np.full(len(points), NOTHING, np.int32)
    return name_majority(np.concatenate(points_seen), np.concatenate(groups_seen), len(points))


def name_majority(places: NDArray[np.integer[Any]], groups: NDArray[np.integer[Any]], count: int) -> Int32Array:
    """Return the group named most often at each of `count` places, -1 where none was."""
    named = groups != NOTHING
    codes, counts = np.unique(places[named].astype(np.int64) << 32 | groups[named].astype(np.int64), return_counts=True)
    order = np.argsort(counts, kind="stable")
    result = np.full(count, NOTHING, np.int32)
    result[codes[order] >> 32] = codes[order] & 0xFFFFFFFF  # the last write, the largest count, stays
    return result


def _drop_fragments(labels: Int32Array, graph: coo_matrix, welded: Int32Array) -> Int32Array:
    """Unlabel small loose pieces; each group's largest piece stays."""
    parts = int(welded.max(initial=-1)) + 1
    row, column = welded[graph.row], welded[graph.col]
    _, piece_of = connected_components(coo_matrix((np.ones(len(row)), (row, column)), shape=(parts, parts)), directed=False)
    # Two groups may meet in one welded vertex, so a piece is (component, group).
    valid = np.flatnonzero(labels != NOTHING)
    code = piece_of[welded[valid]].astype(np.int64) << 32 | labels[valid]
    pieces, piece, sizes = np.unique(code, return_inverse=True, return_counts=True)
    group_of_piece = (pieces & 0xFFFFFFFF).astype(np.int64)
    totals = np.bincount(group_of_piece, weights=sizes)
    largest = np.zeros(len(totals))
    np.maximum.at(largest, group_of_piece, sizes)
    small = (
        (sizes < MIN_FRAGMENT_POINTS) & (sizes < MIN_FRAGMENT_SHARE * totals[group_of_piece]) & (sizes < largest[group_of_piece])
    )
    cleaned = labels.copy()
    cleaned[valid[small[piece]]] = NOTHING
    return cleaned


def write_instances_ply(cloud: InstanceCloud, path: Path, *, colors: UInt8Array | None = None) -> None:
    """Write a binary PLY: points, colours by group (grey where there is none), an int property `instance`, and faces if any.

    Args:
        cloud: The points; their labels are written as `instance`.
        path: The file.
        colors: (P, 3) uint8; None = a colour for each label.
    """
    if colors is None:
        palette = np.concatenate([group_colors(int(cloud.labels.max(initial=-1)) + 1), [[128, 128, 128]]]).astype(np.uint8)
        colors = palette[cloud.labels]
    vertex = np.zeros(
        len(cloud.points),
        [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("instance", "<i4")],
    )
    vertex["x"], vertex["y"], vertex["z"] = cloud.points.T
    vertex["red"], vertex["green"], vertex["blue"] = colors.T
    vertex["instance"] = cloud.labels
    face = np.zeros(len(cloud.faces), [("n", "u1"), ("v", "<i4", (3,))])
    face["n"], face["v"] = 3, cloud.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertex)}"]
    header += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    header += ["property int instance"]
    if len(face):
        header += [f"element face {len(face)}", "property list uchar int vertex_indices"]
    with path.open("wb") as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
        file.write(vertex.tobytes())
        file.write(face.tobytes())
