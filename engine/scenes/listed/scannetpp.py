"""The scannet++ format: a scan of ScanNet++ with its iPhone frames, the mesh, and its objects.

``<scene>/{iphone/rgb/, iphone/depth/, iphone/pose_intrinsic_imu.json, scans/mesh_aligned_0.05.ply, scans/segments.json,
scans/segments_anno.json}``. Poses are camera-to-world with OpenCV axes. See docs/scene-formats.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import SceneError
from engine.scenes import files, pictures
from engine.scenes.class_names import read_object_names
from engine.scenes.folders import SceneFolder, is_entry
from engine.scenes.layouts import DEPTHS
from engine.scenes.listed.frames import ListedFrame, make_views, open_listed
from engine.scenes.names import numeric_order
from engine.scenes.ply import read_ply
from engine.scenes.posed_views import GivenView
from engine.scenes.scannet import ScanNetReader
from engine.scenes.scannet_labels import label_vertices, read_segments
from engine.scenes.scene_settings import read_settings
from engine.types import Float64Array, Scene, SceneMesh

NAME = "scannet++"
PHONE, PHOTOS, DEPTH, LIST = "iphone", "rgb", "depth", "pose_intrinsic_imu.json"
WHAT = 'an object with {"aligned_pose": 4x4, "intrinsic": 3x3} for each frame'
MESH = ("scans", "mesh_aligned_0.05.ply")
SEGMENTS = ("scans", "segments.json")
OBJECTS = ("scans", "segments_anno.json")
MAX_LIST_BYTES = 256 * 2**20
PHOTO_SIZE = (1920, 1440)
"""Intrinsics belong to photos of this size."""
POSES = ("aligned_pose", "pose")
"""Keys of a pose, the mesh's own world first."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: iphone/ with its list of poses."""
    return root.has_folder(PHONE) and is_entry(root.path / root.actual(PHONE) / LIST)


def count_views(root: SceneFolder) -> int:
    """Number of photos, from directory listings only."""
    return len(root.list_files(f"{PHONE}/{PHOTOS}", pictures.PHOTOS).files)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads the list of poses and the headers of photos. With objects on the mesh, masks are rendered from it.

    Raises:
        SceneError: If the list is broken, there are no photos, or none of the views can be used.
    """
    place = root.file(root.actual(PHONE), LIST)
    listed = files.read_json(place, WHAT, limit=MAX_LIST_BYTES)
    photos = root.list_files(f"{PHONE}/{PHOTOS}", pictures.PHOTOS)
    depths = root.list_files(f"{PHONE}/{DEPTH}", DEPTHS)
    if not photos.files:
        raise SceneError(
            f"{root.path / PHONE / PHOTOS}: found no photo, expected frame_000000.jpg and so on; unpack "
            "rgb.mkv with ScanNet++'s tools."
        )
    frames: list[ListedFrame] = []
    n_unaligned = 0
    for name in sorted(photos.files, key=numeric_order):
        fields = listed.get(name)
        own = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
        n_unaligned += int(POSES[0] not in own and POSES[1] in own)
        frames.append(ListedFrame(photos.files[name], _read_view(place, name, own), depths.files.get(name)))
    notes: tuple[str, ...] = ()
    if n_unaligned:
        notes = (f"{n_unaligned} frames of {LIST} have no aligned_pose: theirs is not in the mesh's frame.",)
    if not all(is_entry(root.path.joinpath(*parts)) for parts in (MESH, SEGMENTS, OBJECTS)):
        return open_listed(root, NAME, frames, mesh_names=("mesh.ply", "/".join(MESH)), notes=notes)
    views = make_views(root, frames, None)
    reader = ScanNetReader(
        root,
        views,
        read_settings(root),
        load_mesh=lambda: _load_mesh(root),
        depth_matrix=None,
        instances=None,
        notes=notes,
        load_names=lambda: _load_names(root),
    )
    return views.make_scene(NAME, reader, mask_ids_are_instances=True)


def _read_view(place: Path, name: str, own: Mapping[str, Any]) -> GivenView:
    where = f"{place}: {name}"
    given = next((own[key] for key in POSES if key in own), None)
    pose, matrix = _matrix(given, 4), _matrix(own.get("intrinsic"), 3)
    if pose is None or matrix is None:
        return GivenView(
            place, fault=f"{where}: found no pose or no intrinsics of finite numbers, expected {WHAT}; download it again."
        )
    try:
        return GivenView(place, files.check_pose(pose, place), matrix, PHOTO_SIZE)
    except SceneError as error:
        return GivenView(place, fault=str(error))


def _matrix(given: object, side: int) -> Float64Array | None:
    """Return nested lists, or one list, as (side, side) float64; None if they are no finite numbers of that shape."""
    rows = cast("list[Any]", given) if isinstance(given, list) else []
    flat = [value for row in rows for value in (cast("list[Any]", row) if isinstance(row, list) else [row])]
    if len(flat) != side * side or not all(type(value) in (int, float) and abs(value) < 1e300 for value in flat):
        return None
    return np.array(flat, np.float64).reshape(side, side)


def _load_mesh(root: SceneFolder) -> SceneMesh:
    mesh = read_ply(root.file(*MESH))
    segment_of = read_segments(root.file(*SEGMENTS), len(mesh.vertices))
    return replace(mesh, vertex_instances=label_vertices(segment_of, root.file(*OBJECTS)))


def _load_names(root: SceneFolder) -> Mapping[int, str]:
    # As in `label_vertices`: raw id 0 means unlabelled, so objects count from 1.
    return read_object_names(root.file(*OBJECTS), offset=1)
