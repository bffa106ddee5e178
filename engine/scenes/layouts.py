"""Where datasets keep cameras and poses: the names that similar layouts use for the same file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.scenes import files, pictures
from engine.scenes.folders import Listing, SceneFolder, is_entry
from engine.scenes.posed_views import CameraFile
from engine.scenes.text import read_text
from engine.types import Float64Array

COLOR_INTRINSICS = (
    ("intrinsics.txt",),
    ("intrinsic", "intrinsic_color.txt"),
    ("intrinsic", "intrinsics_color.txt"),
    ("intrinsics", "intrinsic_color.txt"),
    ("intrinsics_color.txt",),
    ("intrinsic_color.txt",),
    ("camera-intrinsics.txt",),
    ("intrinsic.txt",),
)
"""Path parts of the colour camera's matrix, in the order in which they are tried."""
DEPTH_INTRINSICS = (
    ("intrinsic", "intrinsic_depth.txt"),
    ("intrinsic", "intrinsics_depth.txt"),
    ("intrinsics", "intrinsic_depth.txt"),
    ("intrinsics_depth.txt",),
    ("intrinsic_depth.txt",),
)
POSE_FOLDERS = ("poses", "pose")
DEPTHS = (".png", ".pgm")
SEQUENCE_INFO = "_info.txt"
"""3RScan's file of both cameras."""
MAX_INFO_BYTES = 2**20


def find_parts(root: SceneFolder, candidates: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    """Return the path parts of the first candidate that exists, as they are written in the folder, or None."""
    for first, *rest in candidates:
        parts = (root.actual(first), *rest)
        if is_entry(root.path.joinpath(*parts)):
            return parts
    return None


def read_matrix_of(root: SceneFolder, candidates: tuple[tuple[str, ...], ...]) -> CameraFile | None:
    """Return the first of the candidates' cameras, or None if none exists.

    Raises:
        SceneError: If the file is broken, or leads out of the scene.
    """
    parts = find_parts(root, candidates)
    return None if parts is None else CameraFile(files.read_intrinsics(root.file(*parts)), parts)


def list_poses(root: SceneFolder) -> Listing:
    """Return the pose files of poses/ or, if there is no such folder, of pose/."""
    folder = next((name for name in POSE_FOLDERS if root.has_folder(name)), POSE_FOLDERS[0])
    return root.list_files(folder, (".txt",))


def color_camera(root: SceneFolder, depths: Listing) -> tuple[CameraFile | None, str | None]:
    """Return the photos' camera. If the depth camera is used instead, a sentence says so.

    Raises:
        SceneError: If a file is broken.
    """
    found = read_matrix_of(root, COLOR_INTRINSICS)
    if found is not None:
        return found, None
    info = read_sequence_info(root)
    if info is not None:
        return info[0], None
    own = read_matrix_of(root, DEPTH_INTRINSICS)
    if own is None:
        return None, None
    for parts in list(depths.files.values())[:5]:
        try:
            size = pictures.image_size(root.file(*parts))
        except SceneError:
            continue
        note = (
            f"There is no {COLOR_INTRINSICS[1][-1]}: {'/'.join(own.parts)} was taken for the photos too, "
            f"scaled from {size[0]}x{size[1]} pixels."
        )
        return CameraFile(own.matrix, own.parts, size), note
    return own, f"There is no {COLOR_INTRINSICS[1][-1]}: {'/'.join(own.parts)} was taken for the photos too."


def read_sequence_info(root: SceneFolder) -> tuple[CameraFile, Float64Array | None] | None:
    """Return 3RScan's colour camera with its size, and its depth camera's (3, 3) matrix; None without `_info.txt`.

    Raises:
        SceneError: If the file holds no colour camera.
    """
    parts = find_parts(root, ((SEQUENCE_INFO,), ("sequence", SEQUENCE_INFO)))
    if parts is None:
        return None
    path = root.file(*parts)
    what = "3RScan's description of both cameras"
    values: dict[str, str] = {}
    for line in read_text(path, what, limit=MAX_INFO_BYTES).splitlines():
        key, separator, value = line.partition("=")
        if separator:
            values[key.strip()] = value.strip()
    color = _matrix(path, values.get("m_calibrationColorIntrinsic"))
    if color is None:
        raise SceneError(f"{path}: found no m_calibrationColorIntrinsic, expected {what}; add intrinsics.txt instead.")
    sides = [values.get(key, "") for key in ("m_colorWidth", "m_colorHeight")]
    size = (int(sides[0]), int(sides[1])) if all(re.fullmatch(r"[1-9][0-9]{0,4}", side) for side in sides) else None
    return CameraFile(color, parts, size), _matrix(path, values.get("m_calibrationDepthIntrinsic"))


def _matrix(path: Path, text: str | None) -> Float64Array | None:
    if text is None:
        return None
    words = text.split()
    if len(words) not in (9, 16) or not all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", word) for word in words):
        raise SceneError(f"{path}: found the camera {text[:80]!r}, expected 9 or 16 numbers; copy the file again.")
    side = 3 if len(words) == 9 else 4
    matrix = np.array(words, np.float64).reshape(side, side)[:3, :3]
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise SceneError(f"{path}: found the camera {text[:80]!r}, expected positive focal lengths; copy the file again.")
    return matrix
