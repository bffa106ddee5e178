"""Reads COLMAP's models, text or binary: cameras, images and points. Counts and lengths are checked before anything is read.

Layouts as in COLMAP's documentation ("Output Format"). Feature points of images are skipped. Knows no scene format.
"""

from __future__ import annotations

import math
import os
import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from engine.errors import SceneError
from engine.scenes.files import MAX_SIDE_PX, check_pose
from engine.scenes.names import printable
from engine.scenes.posed_views import MAX_VIEWS
from engine.scenes.regular_files import require_file
from engine.types import Float32Array, Float64Array

MODELS = (
    ("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8), ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4), ("RADIAL_FISHEYE", 5), ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16), ("SIMPLE_DIVISION", 4), ("DIVISION", 5), ("SIMPLE_FISHEYE", 3), ("FISHEYE", 4), ("EUCM", 6),
    ("EQUIRECTANGULAR", 2),
)  # fmt: skip
"""Camera models by their number in binary files, with the number of their parameters."""
MAX_BYTES = 8 * 2**30
"""A binary file; the feature points that make it long are skipped."""
MAX_TEXT_BYTES = 2**30
MAX_LINE_BYTES = 64 * 2**20
MAX_CAMERAS = MAX_VIEWS
MAX_NAME_BYTES = 4096
MAX_POINTS = 5_000_000
AGAIN = "export the model from COLMAP again."
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


@dataclass(frozen=True)
class ModelCamera:
    """A camera: the name of its model, the (width, height) of its pictures, and its parameters in COLMAP's order."""

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ModelImage:
    """An image of a model.

    Attributes:
        name: Its path below the folder of photos, as written.
        camera: Number of its camera.
        pose: Camera-to-world, (4, 4) float64; None if what is written is no pose.
        fault: Why there is no pose, as one sentence.
    """

    name: str
    camera: int
    pose: Float64Array | None
    fault: str | None = None


def read_cameras(path: Path) -> dict[int, ModelCamera]:
    """Read cameras.bin or cameras.txt; cameras by number.

    Raises:
        SceneError: If it is missing, broken, or holds a camera that is none.
    """
    found = _cameras_from_text(path) if path.suffix == ".txt" else _cameras_from_binary(path)
    cameras: dict[int, ModelCamera] = {}
    for number, camera in found:
        if len(cameras) == MAX_CAMERAS:
            raise SceneError(f"{path}: found more than {MAX_CAMERAS:,} cameras, expected fewer; {AGAIN}")
        width, height = camera.size
        if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX and all(map(math.isfinite, camera.params))):
            raise SceneError(f"{path}: found the camera {number} of {width}x{height} pixels, expected a picture's size; {AGAIN}")
        cameras[number] = camera
    return cameras


def count_images(path: Path) -> int:
    """Return how many images images.bin promises, or images.txt holds."""
    if path.suffix != ".txt":
        with _open(path, MAX_BYTES) as file:
            return _unpack(path, file, "<Q")[0]
    return sum(1 for _ in read_images(path))


def read_images(path: Path) -> Iterator[ModelImage]:
    """Yield the images of images.bin or images.txt. One whose pose is broken has a fault instead.

    Raises:
        SceneError: If the file is missing, cut short, or no such file.
    """
    images = _images_from_text(path) if path.suffix == ".txt" else _images_from_binary(path)
    for count, image in enumerate(images):
        if count == MAX_VIEWS:
            raise SceneError(f"{path}: found more than {MAX_VIEWS:,} images, expected at most that; keep every n-th.")
        yield image


def read_points(path: Path) -> Float32Array:
    """Read the positions of points3D.bin or points3D.txt, (P, 3) float32 in the model's unit, world frame.

    Raises:
        SceneError: If the file is missing, broken or too large.
    """
    numbers = array("d")
    for count, point in enumerate(_points_from_text(path) if path.suffix == ".txt" else _points_from_binary(path)):
        if count == MAX_POINTS:
            raise SceneError(f"{path}: found more than {MAX_POINTS:,} points, expected at most that; filter the model.")
        numbers.extend(point)
    found = np.frombuffer(numbers, np.float64).reshape(-1, 3)
    return found[np.isfinite(found).all(axis=1) & (abs(found) < 1e9).all(axis=1)].astype(np.float32)


def _to_image(path: Path, name: str, numbers: tuple[float, ...], camera: int) -> ModelImage:
    """Turn world-to-camera, a quaternion (w, x, y, z) and a translation, round."""
    quaternion, translation = np.array(numbers[:4]), np.array(numbers[4:])
    length = math.hypot(*numbers[:4])
    if not 1e-3 < length < 1e3 or not np.isfinite(translation).all():
        fault = f"{path}: found the pose {' '.join(f'{n:g}' for n in numbers)}, expected a quaternion and a translation; {AGAIN}"
        return ModelImage(name, camera, None, fault)
    w, x, y, z = (float(part) for part in quaternion / length)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.T, -rotation.T @ translation
    try:
        return ModelImage(name, camera, check_pose(pose, path))
    except SceneError as error:
        return ModelImage(name, camera, None, str(error))


def _open(path: Path, limit: int) -> IO[bytes]:
    require_file(path, "a file of a COLMAP model", limit=limit)
    try:
        return path.open("rb")
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror}), expected a COLMAP model; check its permissions.") from error


def _cut_short(path: Path) -> SceneError:
    return SceneError(f"{path}: the file is cut short or no model, expected a COLMAP model; {AGAIN}")


def _unpack(path: Path, file: IO[bytes], layout: str) -> tuple[int, ...]:
    size = struct.calcsize(layout)
    data = file.read(size)
    if len(data) < size:
        raise _cut_short(path)
    return struct.unpack(layout, data)


def _skip(path: Path, file: IO[bytes], count: int, size: int, end: int) -> None:
    at = file.tell() + count * size
    if at > end:
        raise _cut_short(path)
    file.seek(at)


def _cameras_from_binary(path: Path) -> Iterator[tuple[int, ModelCamera]]:
    with _open(path, MAX_BYTES) as file:
        for _ in range(_unpack(path, file, "<Q")[0]):
            number, model, width, height = _unpack(path, file, "<iiQQ")
            if not 0 <= model < len(MODELS):
                raise SceneError(f"{path}: found the camera model {model}, expected one of 0 to {len(MODELS) - 1}; {AGAIN}")
            name, count = MODELS[model]
            yield number, ModelCamera(name, (width, height), tuple(map(float, _unpack(path, file, f"<{count}d"))))


def _images_from_binary(path: Path) -> Iterator[ModelImage]:
    with _open(path, MAX_BYTES) as file:
        end = os.fstat(file.fileno()).st_size
        for _ in range(_unpack(path, file, "<Q")[0]):
            _, *numbers = _unpack(path, file, "<i7d")
            camera = _unpack(path, file, "<i")[0]
            name = _read_name(path, file)
            _skip(path, file, _unpack(path, file, "<Q")[0], 24, end)
            yield _to_image(path, name, tuple(map(float, numbers)), camera)


def _read_name(path: Path, file: IO[bytes]) -> str:
    start = file.tell()
    name, zero, _ = file.read(MAX_NAME_BYTES).partition(b"\0")
    if not zero:
        raise _cut_short(path)
    file.seek(start + len(name) + 1)
    return name.decode("utf-8", "surrogateescape")


def _points_from_binary(path: Path) -> Iterator[tuple[float, float, float]]:
    with _open(path, MAX_BYTES) as file:
        end = os.fstat(file.fileno()).st_size
        for _ in range(_unpack(path, file, "<Q")[0]):
            _, x, y, z = _unpack(path, file, "<Q3d")
            _skip(path, file, 1, 11, end)  # colour and error
            _skip(path, file, _unpack(path, file, "<Q")[0], 8, end)
            yield float(x), float(y), float(z)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield all lines with their numbers from 1, without their ends."""
    with _open(path, MAX_TEXT_BYTES) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise SceneError(f"{path}: line {number}: found more than {MAX_LINE_BYTES:,} bytes, expected a model; {AGAIN}")
            yield number, line.removeprefix(b"\xef\xbb\xbf").strip()


def _numbers(path: Path, line: int, words: list[bytes], least: int, what: str) -> tuple[float, ...]:
    if len(words) < least:
        raise SceneError(f"{path}: line {line}: found {len(words)} words, expected {what}; {AGAIN}")
    for word in words:
        if not _NUMBER.fullmatch(word):
            shown = printable(word[:80].decode("utf-8", "surrogateescape"))
            raise SceneError(f"{path}: line {line}: found {shown}, expected a number in {what}; {AGAIN}")
    return tuple(float(word) for word in words)


def _cameras_from_text(path: Path) -> Iterator[tuple[int, ModelCamera]]:
    what = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS"
    counts = dict(MODELS)
    for line, content in _lines(path):
        if not content or content.startswith(b"#"):
            continue
        words = content.split()
        model = words[1].decode("ascii", "replace") if len(words) > 1 else ""
        if model not in counts:
            raise SceneError(f"{path}: line {line}: found the camera model {printable(model)}, expected {what}; {AGAIN}")
        number, width, height, *params = _numbers(path, line, [words[0], *words[2:]], 3 + counts[model], what)
        if max(abs(number), width, height) > 2**31 or not all(map(math.isfinite, params)):
            raise SceneError(f"{path}: line {line}: found numbers out of range, expected {what}; {AGAIN}")
        yield int(number), ModelCamera(model, (int(width), int(height)), tuple(params[: counts[model]]))


def _images_from_text(path: Path) -> Iterator[ModelImage]:
    """Every image has two lines, of which the second, its feature points, may be empty; some programs leave it out."""
    what = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
    is_after_image = False
    for line, content in _lines(path):
        words = content.split(None, 9)
        is_image = len(words) == 10 and not _NUMBER.fullmatch(words[9].split()[0])
        if is_after_image and not is_image:
            is_after_image = False
            continue
        if not content or content.startswith(b"#"):
            continue
        if len(words) < 10:
            raise SceneError(f"{path}: line {line}: found {len(words)} words, expected {what}; {AGAIN}")
        is_after_image = True
        name = words[9].decode("utf-8", "surrogateescape")
        try:
            _, *numbers, camera = _numbers(path, line, words[:9], 9, what)
        except SceneError as error:
            yield ModelImage(name, -1, None, str(error))
            continue
        yield _to_image(path, name, tuple(numbers), int(camera) if abs(camera) < 2**31 else -1)


def _points_from_text(path: Path) -> Iterator[tuple[float, float, float]]:
    what = "POINT3D_ID X Y Z R G B ERROR TRACK"
    for line, content in _lines(path):
        if content and not content.startswith(b"#"):
            _, x, y, z = _numbers(path, line, content.split(None, 4)[:4], 4, what)
            yield x, y, z
