"""Reads a folder of photos as people have it: upright, 2 before 10, HEIC too (by pillow-heif, which only this module imports)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import SceneError
from engine.photos.place import INSTALL
from engine.scenes.folders import inside, list_names
from engine.scenes.names import fault_of, is_foreign, normal_form, numeric_order, printable
from engine.scenes.pictures import MAX_BYTES, MAX_PIXELS, read_photo
from engine.scenes.regular_files import require_file
from engine.types import UInt8Array

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
HEIC = (".heic", ".heif", ".hif")
MAX_PHOTOS = 2000
LEAST = 2
"""Photos from which on a folder without a scene's layout is one of photos."""


@dataclass(frozen=True)
class PhotoFile:
    """A photo of a folder: the name of its view, and its file."""

    name: str
    path: Path


def list_photos(folder: Path) -> list[PhotoFile]:
    """Return the photos in a folder, 2 before 10.

    Raises:
        SceneError: If it cannot be listed, two photos have one name, a name cannot be used, or there are too many.
    """
    found: list[PhotoFile] = []
    for name in sorted(list_names(folder), key=numeric_order):
        stem, suffix = os.path.splitext(name)
        if is_foreign(name) or suffix.lower() not in (*PHOTOS, *HEIC) or not stem:
            continue
        fault = fault_of(name)
        if fault is not None:
            raise SceneError(f"{folder}: {printable(name)}: {fault}, expected a name that can be shown; rename the photo.")
        found.append(PhotoFile(normal_form(stem), inside(folder.resolve(), name)))
    if len(found) > MAX_PHOTOS:
        raise SceneError(f"{folder}: found {len(found):,} photos, expected at most {MAX_PHOTOS:,}; keep every n-th.")
    names = {photo.name for photo in found}
    if len(names) < len(found):
        twice = next(a.name for a, b in pairwise(found) if a.name == b.name)
        raise SceneError(f"{folder}: found two photos called {printable(twice)}, expected one; remove one of them.")
    return found


def read_upright(path: Path) -> UInt8Array:
    """Return a photo, (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        SceneError: If it is missing, broken or too large, or is HEIC and pillow-heif is not installed.
    """
    return _read_heic(path) if path.suffix.lower() in HEIC else read_photo(path)


def _read_heic(path: Path) -> UInt8Array:
    if find_spec("pillow_heif") is None:
        raise SceneError(f"{path}: reading HEIC needs pillow-heif, which is not installed here; {INSTALL}, or save it as JPEG.")
    require_file(path, "a photo", limit=MAX_BYTES)
    heif: Any = import_module("pillow_heif")  # its types are partly unknown
    try:
        opened = heif.open_heif(path, convert_hdr_to_8bit=True)
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise SceneError(
                f"{path}: found {width}x{height} pixels, expected at most {MAX_PIXELS // 1_000_000} million; make it smaller."
            )
        return np.array(opened.to_pillow().convert("RGB"), np.uint8)
    except (OSError, ValueError, RuntimeError, EOFError, MemoryError, IndexError, SyntaxError) as error:
        raise SceneError(f"{path}: the photo is broken or cut short ({error}), expected HEIC; copy it again.") from error
