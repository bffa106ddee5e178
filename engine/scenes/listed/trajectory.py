"""The trajectory format: traj.txt with one pose a line, as NICE-SLAM lays out Replica.

``<scene>/{traj.txt, results/frame000000.jpg, results/depth000000.png}``, with ``cam_params.json`` or ``intrinsics.txt``; masks as
in the posed-masks format. Its poses are camera-to-world with OpenCV axes. See docs/scene-formats.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import SceneError
from engine.scenes import files, layouts, pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.listed.frames import ListedFrame, has_pose_folder, open_listed
from engine.scenes.names import numeric_order, printable
from engine.scenes.posed_views import MAX_VIEWS, CameraFile, GivenView
from engine.scenes.text import read_text
from engine.types import Float64Array, Scene

NAME = "trajectory"
LIST, FRAMES, CAMERA = "traj.txt", "results", "cam_params.json"
PHOTO, DEPTH = "frame", "depth"
MAX_LIST_BYTES = 32 * 2**20
POSE = "16 numbers a line, a 4x4 camera-to-world pose"
CAMERA_WHAT = '{"camera": {"w", "h", "fx", "fy", "cx", "cy", "scale"}}'
DEPTH_SCALE = 6553.5
"""Units a metre in NICE-SLAM's Replica."""
REPLICA_SIZE = (1200, 680)
REPLICA_CAMERA = np.array([[600.0, 0, 599.5], [0, 600.0, 339.5], [0, 0, 1]])
"""The camera of NICE-SLAM's Replica, whose file lies outside the scenes' folders."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: traj.txt and results/, and no poses in files of their own."""
    return root.actual(LIST) in root.names and root.has_folder(FRAMES) and not has_pose_folder(root)


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only."""
    photos = _numbered(_list_files(root)[0], PHOTO)
    return len(photos)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads the poses, the camera, and the headers of photos.

    Raises:
        SceneError: If there is no photo, no camera, or none of the views can be used.
    """
    place = root.file(root.actual(LIST))
    lines = [line for line in read_text(place, POSE, limit=MAX_LIST_BYTES).splitlines() if line.strip()]
    listing, folder = _list_files(root)
    photos, depths = _numbered(listing, PHOTO), _numbered(listing, DEPTH)
    if not photos:
        raise SceneError(f"{root.path / folder}: found no photo, expected {PHOTO}000000.jpg and so on; add the photos.")
    if len(photos) > MAX_VIEWS:
        raise SceneError(f"{root.path}: found {len(photos):,} views, expected at most {MAX_VIEWS:,}; keep every n-th view.")
    camera, scale, notes = _read_camera(root, next(iter(photos.values())))
    frames = [ListedFrame(parts, _read_pose(place, lines, number, camera), depths.get(number)) for number, parts in photos.items()]
    for name, fault in listing.faults.items():
        if re.match(PHOTO, name, re.IGNORECASE):
            frames.append(ListedFrame((folder, name), GivenView(place, fault=f"{root.path}: {fault}.")))
    ahead = len(lines) - len(photos)
    if ahead > 0:
        notes += (f"{LIST} has {len(lines)} poses and there are {len(photos)} photos: each photo takes the line of its number.",)
    return open_listed(root, NAME, frames, depth_scale=scale, mesh_names=("mesh.ply", f"{root.path.name}_mesh.ply"), notes=notes)


def _list_files(root: SceneFolder) -> tuple[Listing, str]:
    folder = root.actual(FRAMES)
    return root.list_files(folder, pictures.PHOTOS), folder


def _numbered(listing: Listing, role: str) -> dict[int, tuple[str, ...]]:
    """Return the files called by a role and a number, by number."""
    found: dict[int, tuple[str, ...]] = {}
    for name in sorted(listing.files, key=numeric_order):
        match = re.fullmatch(rf"{role}_?([0-9]{{1,9}})", name, re.IGNORECASE)
        if match is not None:
            found.setdefault(int(match[1]), listing.files[name])
    return found


def _read_pose(place: Path, lines: list[str], number: int, camera: CameraFile) -> GivenView:
    """Return a frame's pose and camera; its pose is in the line of its number, counted from 0."""
    where = f"{place}: line {number + 1}"
    if number >= len(lines):
        return GivenView(place, fault=f"{where}: found only {len(lines)} lines, expected {POSE}, for every photo; add it.")
    words = lines[number].replace(",", " ").split()
    odd = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if len(words) != 16 or odd is not None:
        found = f"{len(words)} words" if odd is None else printable(odd)
        return GivenView(place, fault=f"{where}: found {found}, expected {POSE}; correct it.")
    pose = np.array(words, np.float64).reshape(4, 4)
    if not np.isfinite(pose).all():
        return GivenView(place, fault=f"{where}: found infinite numbers, expected {POSE}; correct it.")
    try:
        return GivenView(place, files.check_pose(pose, place), camera.matrix, camera.size)
    except SceneError as error:
        return GivenView(place, fault=str(error))


def _read_camera(root: SceneFolder, photo: tuple[str, ...]) -> tuple[CameraFile, float, tuple[str, ...]]:
    """Return the camera, the units of depth in a metre, and a sentence if the camera is a guess.

    Raises:
        SceneError: If a file is broken, or there is none and the photos are not NICE-SLAM's Replica.
    """
    if root.actual(CAMERA) in root.names:
        path = root.file(root.actual(CAMERA))
        content: Any = files.read_json(path, CAMERA_WHAT)
        given: Any = content.get("camera", content)
        fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        values = [fields.get(key) for key in ("fx", "fy", "cx", "cy", "w", "h", "scale")]
        if not all(type(value) in (int, float) and 0 < cast("float", value) < 1e9 for value in values):
            raise SceneError(f"{path}: found no camera, expected {CAMERA_WHAT} with positive numbers; correct the file.")
        fx, fy, cx, cy, width, height, scale = (float(cast("float", value)) for value in values)
        matrix: Float64Array = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return CameraFile(matrix, (CAMERA,), (max(round(width), 1), max(round(height), 1))), scale, ()
    own = layouts.read_matrix_of(root, layouts.COLOR_INTRINSICS)
    if own is not None:
        return own, DEPTH_SCALE, ()
    try:
        size = pictures.image_size(root.file(*photo))
    except SceneError:
        size = None
    if size != REPLICA_SIZE:
        raise SceneError(
            f"{root.path / CAMERA}: found no file, expected {CAMERA_WHAT}; copy it from the folder above the scene, or add "
            "intrinsics.txt and depth_scale.txt."
        )
    note = f"There is no {CAMERA}: the photos have the size of NICE-SLAM's Replica, so its camera was taken."
    return CameraFile(REPLICA_CAMERA, (CAMERA,), REPLICA_SIZE), DEPTH_SCALE, (note,)
