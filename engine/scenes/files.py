"""Reads the small files that scene formats are made of, and refuses what is broken with one clear sentence.

Every function takes a path that `SceneFolder.file` has checked to lie inside the scene. This module knows no scene format.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import SceneError
from engine.types import NOTHING, Float64Array, Int32Array, UInt8Array

ROTATION_TOLERANCE = 1e-2
"""How far R Rᵀ may be from the identity: pose files are often written with few digits."""

MAX_ID = 2**31 - 1

_IMAGE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def numeric_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 2 before 10: runs of digits compare as numbers, everything else as text."""
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", name))


class SceneFolder:
    """A scene's folder, out of which no path may lead.

    Args:
        folder: The folder; symbolic links in its own path are followed, links inside it must stay inside.

    Raises:
        SceneError: If it is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            kind = "a file" if folder.exists() else "nothing"
            raise SceneError(f"{folder}: found {kind}, expected a scene folder; give the path of a folder that exists.")
        self.path = folder.resolve()

    def file(self, *parts: str) -> Path:
        """Return the path of a file inside the folder; it need not exist.

        Raises:
            SceneError: If the path, or a symbolic link on it, leaves the folder.
        """
        return inside(self.path, *parts)

    def stems(self, subfolder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
        """Return the file names of a subfolder by stem, for the suffixes given; empty where there is no such subfolder."""
        folder = self.file(subfolder)
        if not folder.is_dir():
            return {}
        names = (entry.name for entry in folder.iterdir())
        return {Path(name).stem: name for name in sorted(names) if Path(name).suffix.lower() in suffixes and name[0] != "."}


def inside(root: Path, *parts: str) -> Path:
    """Return `root` joined with `parts`, links resolved.

    Raises:
        SceneError: If the result lies outside `root`.
    """
    path = root.joinpath(*parts)
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise SceneError(f"{path}: the path cannot be followed ({error}), expected a file of the scene; remove it.") from error
    if not resolved.is_relative_to(root):
        raise SceneError(f"{path}: leads to {resolved}, expected a path inside {root}; copy the file into the scene's folder.")
    return resolved


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise SceneError(f"{path}: found {found}, expected {what}; add the file or remove what refers to it.")


def _read_text(path: Path, what: str) -> str:
    _require_file(path, what)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: cannot be read as text ({error}), expected {what}; write it again.") from error


def read_matrix(path: Path, what: str, shapes: tuple[tuple[int, int], ...]) -> Float64Array:
    """Read a text file of numbers, (rows, columns) float64, all finite and of one of `shapes`.

    Raises:
        SceneError: If the file is missing, is not a table of numbers, has another shape, or holds NaN or infinity.
    """
    expected = f"{what} of " + " or ".join(f"{rows}x{columns}" for rows, columns in shapes) + " finite numbers"
    rows = [line.replace(",", " ").split() for line in _read_text(path, expected).splitlines() if line.strip()]
    try:
        values = [[float(word) for word in row] for row in rows]
    except ValueError as error:
        raise SceneError(f"{path}: found text that is no number ({error}), expected {expected}; correct the file.") from error
    widths = sorted({len(row) for row in values})
    if len(widths) != 1 or (len(values), widths[0]) not in shapes:
        columns = " or ".join(str(w) for w in widths) or "0"
        raise SceneError(f"{path}: found {len(values)} rows of {columns} columns, expected {expected}; correct the file.")
    matrix = np.array(values, np.float64)
    if not np.isfinite(matrix).all():
        raise SceneError(f"{path}: found NaN or infinity, expected {expected}; correct the file or remove this view.")
    return matrix


def read_pose(path: Path) -> Float64Array:
    """Read a camera-to-world pose, (4, 4) float64: a rotation and a translation in metres.

    Raises:
        SceneError: If the matrix is missing, malformed, or no rigid motion.
    """
    pose = read_matrix(path, "a camera-to-world pose", ((4, 4),))
    rotation = pose[:3, :3]
    determinant = float(np.linalg.det(rotation))
    if abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE or determinant < 0:
        raise SceneError(
            f"{path}: its 3x3 part is no rotation (determinant {determinant:.3g}), expected a camera-to-world pose "
            "with OpenCV axes and no scale; correct the file or remove this view."
        )
    if abs(pose[3] - (0, 0, 0, 1)).max() > ROTATION_TOLERANCE:
        raise SceneError(f"{path}: found the last row {pose[3].tolist()}, expected 0 0 0 1; is the matrix transposed?")
    return pose


def read_intrinsics(path: Path) -> Float64Array:
    """Read a pinhole matrix, 3x3 or 4x4 in the file, as (3, 3) float64 in pixels.

    Raises:
        SceneError: If it is missing, malformed, or its focal lengths are not positive.
    """
    matrix = read_matrix(path, "an intrinsics matrix", ((3, 3), (4, 4)))[:3, :3]
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise SceneError(f"{path}: found focal lengths {matrix[0, 0]:g} and {matrix[1, 1]:g}, expected both positive, in pixels.")
    return matrix


def read_depth_scale(path: Path) -> float:
    """Read the units of a depth image in one metre, e.g. 1000 for millimetres.

    Raises:
        SceneError: If it is not one positive number.
    """
    scale = float(read_matrix(path, "a depth scale", ((1, 1),))[0, 0])
    if scale <= 0:
        raise SceneError(f"{path}: found {scale:g}, expected a positive depth scale such as 1000 for millimetres.")
    return scale


def image_size(path: Path) -> tuple[int, int]:
    """Return an image's (width, height) in pixels from its header.

    Raises:
        SceneError: If it is missing or no image.
    """
    _require_file(path, "an image")
    try:
        with Image.open(path) as image:
            return image.size
    except _IMAGE_ERRORS as error:
        raise SceneError(f"{path}: found no readable image ({error}), expected a PNG or JPEG; copy it again.") from error


def _read_image(path: Path, modes: tuple[str, ...] | None) -> NDArray[np.generic]:
    _require_file(path, "an image")
    try:
        with Image.open(path) as image:
            if modes is None:
                return np.asarray(image.convert("RGB"))
            mode = image.mode
            values = np.asarray(image)
    except _IMAGE_ERRORS as error:
        raise SceneError(
            f"{path}: the image is broken or cut short ({error}), expected a complete PNG or JPEG; copy it again."
        ) from error
    if mode not in modes:
        raise SceneError(f"{path}: found an image of mode {mode}, expected a 16-bit grey PNG; export it as 16-bit grey again.")
    return values


def read_rgb(path: Path) -> UInt8Array:
    """Read a photo as (H, W, 3) uint8 RGB.

    Raises:
        SceneError: If it is missing or broken.
    """
    return _read_image(path, None).astype(np.uint8, copy=False)


def read_uint16(path: Path) -> Int32Array:
    """Read a 16-bit grey PNG (depth or mask ids) as (H, W) int32.

    Raises:
        SceneError: If it is missing, broken, or no 16-bit grey image.
    """
    return _read_image(path, ("I;16", "I;16B", "I")).astype(np.int32)


def _load_integers(path: Path, what: str) -> NDArray[np.int64]:
    _require_file(path, what)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise SceneError(f"{path}: cannot be read as .npy ({error}), expected {what}; write it again with numpy.save.") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
        found = str(values.dtype) if isinstance(values, np.ndarray) else "an archive"
        raise SceneError(f"{path}: found {found}, expected {what}; write it again with numpy.save.")
    if values.size and int(values.max()) > MAX_ID:
        raise SceneError(f"{path}: found the id {int(values.max())}, expected {what} below 2^31.")
    return values.astype(np.int64)


def read_id_map(path: Path) -> Int32Array:
    """Read an instance map from .npy, (H, W) int32; ids of 0 and below become -1.

    Raises:
        SceneError: If it is missing, pickled, or no two-dimensional array of integers.
    """
    values = _load_integers(path, "a two-dimensional array of integers")
    if values.ndim != 2:
        raise SceneError(f"{path}: found an array of shape {values.shape}, expected (height, width); write the file again.")
    return np.where(values > 0, values, NOTHING).astype(np.int32)


def read_id_list(path: Path) -> Int32Array:
    """Read a list of ids from .npy, (N,) int32.

    Raises:
        SceneError: If it is missing, pickled, or no array of integers.
    """
    return _load_integers(path, "a one-dimensional array of integers").ravel().astype(np.int32)


def read_vertex_labels(path: Path, n_vertices: int) -> Int32Array:
    """Read one ground-truth id per vertex, (V,) int32; raw ids of 0 and below become -1.

    Raises:
        SceneError: If a line is no integer or there are not exactly `n_vertices` of them.
    """
    words = _read_text(path, f"one integer for each of {n_vertices} vertices").split()
    if len(words) != n_vertices:
        raise SceneError(
            f"{path}: found {len(words)} labels, expected {n_vertices}, one for each vertex of the mesh; "
            "use the labels and the mesh of one release."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            labels = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError, Warning) as error:
        raise SceneError(f"{path}: found a label that is no integer ({error}), expected class * 1000 + instance.") from error
    if len(labels) and int(labels.max()) > MAX_ID:
        raise SceneError(f"{path}: found the label {int(labels.max())}, expected class * 1000 + instance, below 2^31.")
    return np.where(labels > 0, labels, NOTHING).astype(np.int32)
