"""Groups as 3D files: PLY for point and mesh programs, GLB for scene editors and the web, ScanNet's predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MaskgroupError
from engine.exporting.source import GroupedScene
from engine.grouping.instances import InstanceCloud, write_instances_ply
from engine.grouping.palette import group_colors
from engine.types import NOTHING, Int32Array, UInt8Array

GREY = (128, 128, 128)
NO_GROUP = "no group"
ROOT = "scene"
Z_UP_TO_Y_UP = np.asarray([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
"""GLB has y up; programs with z up, such as Blender, turn it back, so that their coordinates are those of the scene."""
CLASS_AGNOSTIC = 1
"""ScanNet's predictions have a class each; evaluations without classes give all of them one."""
SCANNET_MASKS = "predicted_masks"


def need_cloud(grouped: GroupedScene) -> InstanceCloud:
    """Return the groups in 3D.

    Raises:
        MaskgroupError: If the scene has no geometry.
    """
    cloud = grouped.cloud
    if cloud is None:
        raise MaskgroupError(
            f"Scene {grouped.scene.name!r} has no depth and poses, so its groups have no place in 3D; choose masks, coco or json."
        )
    return cloud


def write_ply(grouped: GroupedScene, path: Path) -> None:
    """Write points coloured by group, and faces where there is a mesh; the property `instance` is the group's number, 0 = none.

    Raises:
        MaskgroupError: If the scene has no geometry.
        OSError: If it cannot be written.
    """
    cloud = need_cloud(grouped)
    numbers = np.asarray([*grouped.numbers, 0], np.int32)
    write_instances_ply(replace(cloud, labels=numbers[cloud.labels]), path, colors=color_points(grouped, cloud))


def write_glb(grouped: GroupedScene, path: Path) -> None:
    """Write one node a group, named and coloured, and one for what belongs to none.

    Raises:
        MaskgroupError: If the scene has no geometry.
        OSError: If it cannot be written.
    """
    import trimesh

    cloud = need_cloud(grouped)
    colors = color_points(grouped, cloud)
    has_faces = len(cloud.faces) > 0
    labels = face_labels(cloud) if has_faces else cloud.labels
    # trimesh's types are partial.
    model: Any = trimesh.Scene(base_frame="world")
    model.graph.update(frame_from="world", frame_to=ROOT, matrix=Z_UP_TO_Y_UP)
    for group in (*range(len(grouped.numbers)), NOTHING):
        rows = np.flatnonzero(labels == group)
        if len(rows) == 0:
            continue
        name = NO_GROUP if group == NOTHING else grouped.title(group)
        part: Any
        if has_faces:
            # Vertices at a border belong to two groups; each piece has its own copy, in its own colour.
            used, corners = np.unique(cloud.faces[rows], return_inverse=True)
            color = np.tile(GREY if group == NOTHING else colors_of(grouped)[group], (len(used), 1)).astype(np.uint8)
            part = trimesh.Trimesh(cloud.points[used], corners.reshape(-1, 3), vertex_colors=color, process=False)
        else:
            part = trimesh.PointCloud(cloud.points[rows], colors=colors[rows])
        model.add_geometry(part, node_name=name, geom_name=name, parent_node_name=ROOT)
    path.write_bytes(model.export(file_type="glb"))


def write_scannet(grouped: GroupedScene, folder: Path, *, tick: Callable[[float], None] = lambda _: None) -> None:
    """Write `<scene>.txt` (mask file, class, confidence a line) and a file for each group, one line of 0 or 1 a vertex of the mesh.

    Groups without a vertex are left out. Every class is 1.

    Raises:
        MaskgroupError: If the scene has no mesh: the benchmark counts its vertices.
        OSError: If it cannot be written.
    """
    cloud = need_cloud(grouped)
    mesh = grouped.scene.mesh
    if mesh is None or len(mesh.vertices) != len(cloud.points):
        raise MaskgroupError(
            f"Scene {grouped.scene.name!r} has no mesh, whose vertices ScanNet's predictions are about; choose ply or glb."
        )
    (folder / SCANNET_MASKS).mkdir(parents=True)
    # The benchmark's reader splits lines at spaces.
    scene = "_".join(grouped.scene.name.split())
    lines: list[str] = []
    for group, number in enumerate(grouped.numbers):
        tick(group / len(grouped.numbers))
        inside = cloud.labels == group
        if not inside.any():
            continue
        name = f"{SCANNET_MASKS}/{scene}_{number:03d}.txt"
        (folder / name).write_bytes(np.stack([inside + np.uint8(48), np.full(len(inside), 10)], axis=1).astype(np.uint8).tobytes())
        lines.append(f"{name} {CLASS_AGNOSTIC} {grouped.group_confidences[group]:.4f}\n")
    (folder / f"{grouped.scene.name}.txt").write_text("".join(lines), encoding="utf-8")


def colors_of(grouped: GroupedScene) -> UInt8Array:
    """Return the colour of each group, (G, 3) uint8: the one that the 3D grouping page gives its number."""
    numbers = np.asarray(grouped.numbers, np.int64)
    return group_colors(int(numbers.max(initial=0)))[numbers - 1].reshape(-1, 3)


def color_points(grouped: GroupedScene, cloud: InstanceCloud) -> UInt8Array:
    """Return the colour of each point's group, (P, 3) uint8, grey where it has none."""
    return np.concatenate([colors_of(grouped), [GREY]]).astype(np.uint8)[cloud.labels]


def face_labels(cloud: InstanceCloud) -> Int32Array:
    """Return the group that at least two of a triangle's corners have, (F,) int32, -1 where there is none."""
    a, b, c = cloud.labels[cloud.faces].T
    return np.where((a == b) | (a == c), a, np.where(b == c, b, NOTHING)).astype(np.int32)
