"""Masks in .npz files, as mask generators give them: boolean masks that may overlap, or one array of ids.

Headers are checked before anything is unpacked, and pickled objects are refused. Knows no scene format.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from engine.errors import SceneError
from engine.scenes import npy
from engine.scenes.masks_in.overlaps import Layers
from engine.scenes.pictures import MAX_BYTES, MAX_PIXELS
from engine.scenes.regular_files import require_file
from engine.scenes.zip_end import read_end
from engine.types import NOTHING, Int32Array

WHAT = "an .npz with one array of masks, (masks, height, width) bool, or of ids, (height, width) integers"
AGAIN = f"expected {WHAT}; write it again with numpy.savez_compressed(path, masks=masks)."
NAME = "masks"
"""The array that is taken where there are several."""
MAX_ARRAY_BYTES = 400 * 2**20
MAX_MASKS = 10_000
MAX_MEMBERS = 1000
MAX_DIRECTORY_BYTES = 2**20
MAX_ID = 2**31 - 1

_BROKEN = (*npy.BROKEN, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class _Header:
    """What an array's header says: its dimensions without those of length 1 after the first, its type, and its order."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.shape[-1], self.shape[-2]


def masks_size(path: Path) -> tuple[int, int]:
    """Return the (width, height) of the masks in an .npz, from the array's header.

    Raises:
        SceneError: If it is missing or no file of masks.
    """
    with _opened(path) as (_, header):
        return header.size


def read_masks(path: Path) -> Int32Array:
    """Read an .npz as a map of ids, (H, W) int32, -1 = none. Boolean masks are numbered from 1 in the order of the array.

    Raises:
        SceneError: If it is missing, broken, too large, or no file of masks.
    """
    with _opened(path) as (stream, header):
        width, height = header.size
        if len(header.shape) == 2:
            return _to_ids(path, _read_values(stream, header, (height, width)))
        layers = Layers(width, height, str(path))
        if header.is_fortran:
            whole = _read_values(stream, header, header.shape)
            for index in range(header.shape[0]):
                layers.add(index + 1, whole[index] != 0)
        else:
            for index in range(header.shape[0]):
                layers.add(index + 1, _read_values(stream, header, (height, width)) != 0)
        return layers.flatten()


@contextmanager
def _opened(path: Path) -> Generator[tuple[IO[bytes], _Header]]:
    require_file(path, WHAT, limit=MAX_BYTES)
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            member = _choose(path, archive)
            with archive.open(member) as stream:
                yield stream, _read_header(path, stream)
    except _BROKEN as error:
        raise SceneError(f"{path}: cannot be read as .npz ({error}), {AGAIN}") from error


def _check_directory(path: Path) -> None:
    """Refuse an archive whose table of contents is long, before it is read."""
    with path.open("rb") as file:
        end = read_end(file)
    if end is None:
        raise SceneError(f"{path}: cannot be read as .npz (it is no archive, or cut short), {AGAIN}")
    if end.members > MAX_MEMBERS or end.directory_bytes > MAX_DIRECTORY_BYTES or end.is_large:
        raise SceneError(f"{path}: found more than {MAX_MEMBERS:,} arrays, {AGAIN}")


def _choose(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    named = [member for member in members if member.filename == f"{NAME}.npy"]
    chosen = named or members
    if len(chosen) != 1:
        found = f"{len(members)} arrays, none of them or several called {NAME!r}" if members else "no array"
        raise SceneError(f"{path}: found {found}, {AGAIN}")
    if chosen[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SceneError(f"{path}: found an unusual compression, {AGAIN}")
    return chosen[0]


def _read_header(path: Path, stream: IO[bytes]) -> _Header:
    shape, is_fortran, dtype = npy.read_header(stream)
    if len(shape) == 4 and shape[1] == 1:
        shape = (shape[0], *shape[2:])  # segmenters give (masks, 1, height, width)
    what = f"an array of {dtype} and shape {shape}"
    if len(shape) not in (2, 3) or min(shape) < 0 or min(shape[-2:]) < 1:
        raise SceneError(f"{path}: found {what}, {AGAIN}")
    if dtype.kind not in ("biu" if len(shape) == 3 else "iu"):
        raise SceneError(f"{path}: found {what}, {AGAIN}")
    masks, pixels = (shape[0] if len(shape) == 3 else 1), shape[-1] * shape[-2]
    if pixels > MAX_PIXELS or masks > MAX_MASKS or masks * pixels * dtype.itemsize > MAX_ARRAY_BYTES:
        raise SceneError(
            f"{path}: found {what}, expected at most {MAX_MASKS:,} masks of {MAX_PIXELS:,} pixels and {MAX_ARRAY_BYTES:,} bytes in "
            "all; make the masks smaller, or keep fewer."
        )
    return _Header(shape, dtype, is_fortran)


def _read_values(stream: IO[bytes], header: _Header, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[Any]]:
    count = int(np.prod(shape, dtype=np.int64))
    data = stream.read(count * header.dtype.itemsize)
    if len(data) < count * header.dtype.itemsize:
        raise EOFError("it is cut short")
    return np.frombuffer(data, header.dtype).reshape(shape, order="F" if header.is_fortran else "C")


def _to_ids(path: Path, values: np.ndarray[Any, np.dtype[Any]]) -> Int32Array:
    if int(values.max()) > MAX_ID:
        raise SceneError(f"{path}: found the id {int(values.max())}, expected ids below 2^31; number each view's masks from 1.")
    ids = np.maximum(values, 0).astype(np.int32)
    ids[ids == 0] = NOTHING
    return ids
