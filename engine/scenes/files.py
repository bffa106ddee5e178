"""Reads the small files of scene formats, and refuses broken ones with one clear sentence.

Every function takes a path that `SceneFolder.file` has checked to lie inside the scene. This module knows no scene format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine.errors import SceneError
from engine.scenes import npy
from engine.scenes.folders import SceneFolder
from engine.scenes.pictures import MAX_PIXELS, image_size
from engine.scenes.regular_files import require_file
from engine.scenes.text import read_integers, read_matrix, read_text
from engine.types import NOTHING, Camera, Float64Array, Int32Array

ROTATION_TOLERANCE = 1e-2
"""How far R Rᵀ may be from the identity: pose files are often written with few digits."""
MAX_DISTANCE_M = 100_000.0
"""How far from the origin a camera may be: beyond it, float32 no longer holds centimetres."""
MAX_ID = 2**31 - 1
MAX_SIDE_PX = 16_384
FOCAL_RANGE = (0.1, 100.0)
"""Focal lengths in widths of the picture: from a fisheye's to a telescope's."""
MAX_JSON_BYTES = 32 * 2**20
MAX_JSON_LISTS = 6_000_000
"""Lists and objects in a JSON file: two characters of text become 70 bytes of memory."""
DEPTH_SCALE_FILE = "depth_scale.txt"
"""Units of the depth images in a metre, in the folder of a scene of any format with depth."""
LABEL_BYTES = 32
"""Bytes that a label may take in its file, with its line end: numpy.savetxt writes 25."""

__all__ = [
    "MAX_ID",
    "check_pose",
    "find_depth_scale",
    "image_size",
    "plain_camera",
    "read_depth_scale",
    "read_id_list",
    "read_id_map",
    "read_intrinsics",
    "read_json",
    "read_json_value",
    "read_pose",
    "read_vertex_labels",
    "require_file",
    "size_from_center",
]


def read_pose(path: Path) -> Float64Array:
    """Read a camera-to-world pose, (4, 4) float64: a rotation and a translation in metres.

    Raises:
        SceneError: If the matrix is missing, malformed, no rigid motion, transposed, or absurdly far away.
    """
    return check_pose(read_matrix(path, "a camera-to-world pose", ((4, 4),)), path)


def check_pose(pose: Float64Array, path: Path) -> Float64Array:
    """Return a camera-to-world pose, (4, 4) float64, as it is, after checking that it is one.

    Args:
        pose: Finite numbers.
        path: Where it was read, for messages.

    Raises:
        SceneError: If it is no rigid motion, transposed, or absurdly far away.
    """
    rotation = pose[:3, :3]
    if abs(pose[3] - (0, 0, 0, 1)).max() > ROTATION_TOLERANCE:
        transposed = abs(pose[:, 3] - (0, 0, 0, 1)).max() <= ROTATION_TOLERANCE
        hint = "is the matrix transposed?" if transposed else "is it a camera-to-world matrix?"
        raise SceneError(f"{path}: found the last row {pose[3].tolist()}, expected 0 0 0 1; {hint}")
    with np.errstate(all="ignore"):
        determinant = float(np.linalg.det(rotation))
        error = float(abs(rotation @ rotation.T - np.eye(3)).max())
    if not error <= ROTATION_TOLERANCE or determinant < 0:
        raise SceneError(
            f"{path}: its 3x3 part is no rotation (determinant {determinant:.3g}), expected a camera-to-world pose "
            "with OpenCV axes and no scale; correct the file or remove this view."
        )
    if abs(pose[:3, 3]).max() > MAX_DISTANCE_M:
        raise SceneError(
            f"{path}: found a camera {abs(pose[:3, 3]).max():.3g} m from the origin, expected less than {MAX_DISTANCE_M:,.0f} m; "
            "are the units metres? Subtract a common offset from poses and mesh."
        )
    return pose


def read_intrinsics(path: Path) -> Float64Array:
    """Read a pinhole matrix, 3x3 or 4x4 in the file, as (3, 3) float64 in pixels.

    Raises:
        SceneError: If it is missing, malformed, transposed, or no pinhole camera's.
    """
    whole = read_matrix(path, "an intrinsics matrix", ((3, 3), (4, 4)))
    matrix = whole[:3, :3]
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise SceneError(f"{path}: found focal lengths {matrix[0, 0]:g} and {matrix[1, 1]:g}, expected both positive, in pixels.")
    if (matrix[2, :2] != 0).any() and (matrix[:2, 2] == 0).all():
        raise SceneError(
            f"{path}: found the principal point in the last row, expected it in the last column; is the matrix transposed?"
        )
    if abs(matrix[2] - (0, 0, 1)).max() > 1e-6 or abs(matrix[1, 0]) > 1e-6 * matrix[0, 0]:
        raise SceneError(f"{path}: found the last row {matrix[2].tolist()}, expected fx 0 cx, 0 fy cy, 0 0 1; correct the file.")
    if abs(matrix[0, 1]) > 1e-2 * matrix[0, 0]:
        raise SceneError(f"{path}: found a skew of {matrix[0, 1]:g}, expected 0; undistort the pictures.")
    if not 0.25 <= matrix[0, 0] / matrix[1, 1] <= 4:
        raise SceneError(
            f"{path}: found focal lengths {matrix[0, 0]:g} and {matrix[1, 1]:g}, expected nearly the same; correct the file."
        )
    return matrix


def plain_camera(matrix: Float64Array, width: int, height: int, path: Path) -> Camera:
    """Return the camera of a pinhole matrix for pictures of a size, after checking that they can belong together.

    Raises:
        SceneError: If the principal point lies outside the picture, or a focal length is absurd for it.
    """
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    least, most = FOCAL_RANGE
    side = max(width, height)
    for focal in (fx, fy):
        if not least * side <= focal <= most * side:
            hint = "is it normalised? Multiply by the picture's size" if focal < 10 < side else "correct the file"
            raise SceneError(
                f"{path}: found a focal length of {focal:g} pixels, expected {least * side:g} to {most * side:g} for pictures of "
                f"{width}x{height}; {hint}."
            )
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        raise SceneError(
            f"{path}: found the principal point ({cx:g}, {cy:g}), expected one inside pictures of {width}x{height}; "
            "do the intrinsics belong to pictures of another size?"
        )
    # NumPy scalars, not floats, because they decide the precision in which rays are computed.
    return Camera(width=width, height=height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])


def size_from_center(matrix: Float64Array, path: Path) -> tuple[int, int]:
    """Return the (width, height) that puts the principal point in the middle, where no picture tells the size.

    Raises:
        SceneError: If it is not a size of a picture.
    """
    width, height = (2 * float(matrix[row, 2]) + 1 for row in (0, 1))
    if not (2 <= width <= MAX_SIDE_PX and 2 <= height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
        raise SceneError(
            f"{path}: found the principal point ({matrix[0, 2]:g}, {matrix[1, 2]:g}), expected the middle of a picture, "
            "as there are no photos to tell its size; correct the file."
        )
    return round(width), round(height)


def read_depth_scale(path: Path) -> float:
    """Read the units of a depth image in one metre, e.g. 1000 for millimetres.

    Raises:
        SceneError: If it is not one positive number.
    """
    scale = float(read_matrix(path, "a depth scale", ((1, 1),))[0, 0])
    if not 1e-3 <= scale <= 1e9:
        raise SceneError(f"{path}: found {scale:g}, expected a positive depth scale such as 1000 for millimetres.")
    return scale


def find_depth_scale(root: SceneFolder) -> float | None:
    """Return what depth_scale.txt says, or None if the scene has none.

    Raises:
        SceneError: If the file is broken.
    """
    path = root.find(DEPTH_SCALE_FILE)
    return None if path is None else read_depth_scale(path)


def _load_integers(path: Path, what: str) -> NDArray[np.integer[Any]]:
    """Load an array of whole numbers whose header was checked before anything else was read."""
    size = require_file(path, what)
    again = f"expected {what}; write it again with numpy.save."
    try:
        with path.open("rb") as file:
            shape, _, dtype = npy.read_header(file)
            if dtype.kind not in "iu":
                raise SceneError(f"{path}: found {dtype}, {again}")
            count = 1
            for side in shape:
                count *= side
            if min(shape, default=1) < 0 or count > MAX_PIXELS:
                raise SceneError(f"{path}: found an array of shape {shape}, expected {what} of at most {MAX_PIXELS:,} values.")
            if size < file.tell() + count * dtype.itemsize:
                raise SceneError(f"{path}: cannot be read as .npy (it is cut short), {again}")
            file.seek(0)
            values: NDArray[np.integer[Any]] = np.load(file, allow_pickle=False)
    except npy.BROKEN as error:
        raise SceneError(f"{path}: cannot be read as .npy ({error}), {again}") from error
    if values.size and int(values.max()) > MAX_ID:
        raise SceneError(f"{path}: found the id {int(values.max())}, expected {what} below 2^31.")
    return values


def _to_ids(values: NDArray[np.integer[Any]]) -> Int32Array:
    """Return int32 ids; what is 0 or below becomes -1."""
    ids = np.maximum(values, 0).astype(np.int32)
    ids[ids == 0] = NOTHING
    return ids


def read_id_map(path: Path) -> Int32Array:
    """Read an instance map from .npy, (H, W) int32; ids of 0 and below become -1.

    Raises:
        SceneError: If it is missing, pickled, or no two-dimensional array of integers.
    """
    values = _load_integers(path, "a two-dimensional array of integers")
    if values.ndim != 2:
        raise SceneError(f"{path}: found an array of shape {values.shape}, expected (height, width); write the file again.")
    return _to_ids(values)


def read_id_list(path: Path) -> Int32Array:
    """Read a list of ids from .npy, (N,) int32.

    Raises:
        SceneError: If it is missing, pickled, or no array of integers.
    """
    values = _load_integers(path, "a one-dimensional array of integers").ravel()
    return np.clip(values, NOTHING, MAX_ID).astype(np.int32) if values.dtype.kind == "i" else values.astype(np.int32)


def read_vertex_labels(path: Path, n_vertices: int) -> Int32Array:
    """Read one ground-truth id per vertex, (V,) int32; raw ids of 0 and below become -1.

    Raises:
        SceneError: If a line is not an integer or there are not exactly `n_vertices` of them.
    """
    what = f"one integer for each of {n_vertices} vertices, class * 1000 + instance"
    labels = read_integers(path, what, limit=n_vertices * LABEL_BYTES + 2**20)
    if len(labels) != n_vertices:
        raise SceneError(
            f"{path}: found {len(labels)} labels, expected {n_vertices}, one for each vertex of the mesh; "
            "use the labels and the mesh of one release."
        )
    if len(labels) and int(labels.max()) > MAX_ID:
        raise SceneError(f"{path}: found the label {int(labels.max())}, expected class * 1000 + instance, below 2^31.")
    return _to_ids(labels)


def read_json(path: Path, what: str, *, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        SceneError: If the file is missing, too large, no JSON, or holds anything but an object.
    """
    content = read_json_value(path, what, limit=limit)
    if not isinstance(content, dict):
        raise SceneError(f"{path}: found no JSON object, expected {what}; write it again.")
    return cast("dict[str, Any]", content)


def read_json_value(path: Path, what: str, *, limit: int = MAX_JSON_BYTES) -> Any:
    """Read any JSON value.

    Raises:
        SceneError: If the file is missing, too large, or no JSON.
    """
    text = read_text(path, what, limit=limit)
    lists = text.count("{") + text.count("[")
    if lists > MAX_JSON_LISTS:
        raise SceneError(f"{path}: found {lists:,} lists and objects, expected {what}, with at most {MAX_JSON_LISTS:,}; split it.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SceneError(f"{path}: cannot be read as JSON ({error}), expected {what}; write it again.") from error
