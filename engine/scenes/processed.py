"""The processed format (the original's output, and ours): pictures and masks of every view, no geometry.

``<scene>/<view>/{rgb.png, instance_mask.npy, unique_instances.npy}``. See docs/scene-formats.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from engine.errors import MaskError, SceneError
from engine.scenes import files
from engine.types import NOTHING, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "processed"
RGB, MASK, UNIQUE = "rgb.png", "instance_mask.npy", "unique_instances.npy"


def matches(folder: Path) -> bool:
    """Whether any subfolder holds a picture or a mask array of this format."""
    return any(_is_view(entry) for entry in os.scandir(folder))


def count_views(folder: Path) -> int:
    """Number of views, from directory listings only."""
    return sum(_is_view(entry) for entry in os.scandir(folder))


def open_folder(folder: Path) -> Scene:
    """Open the scene; reads directory listings only.

    Raises:
        SceneError: If there is no view.
    """
    root = files.SceneFolder(folder)
    names = tuple(sorted((entry.name for entry in os.scandir(root.path) if _is_view(entry)), key=files.numeric_order))
    if not names:
        raise SceneError(f"{root.path}: found no view, expected folders with {RGB} and {MASK}; render the scene again.")
    return Scene(name=root.path.name, folder=root.path, format=NAME, view_names=names, reader=ProcessedReader(root, names))


def _is_view(entry: os.DirEntry[str]) -> bool:
    # Names that start with a dot are views still being written.
    return entry.is_dir() and entry.name[0] != "." and any((Path(entry.path) / part).exists() for part in (RGB, MASK))


class ProcessedReader:
    """Reads one view's files at a time and keeps nothing; safe to call from several threads."""

    def __init__(self, root: files.SceneFolder, names: tuple[str, ...]) -> None:
        self._root = root
        self._names = frozenset(names)

    def read_view(self, name: str) -> View:
        """Return the view without camera and pose: the format has none."""
        self._require(name)
        return View(name=name, camera=None, pose=None)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the picture, (H, W, 3) uint8."""
        self._require(name)
        return files.read_rgb(self._root.file(name, RGB))

    def read_depth(self, name: str) -> Float32Array | None:
        """Return None: the format has no depth."""
        self._require(name)
        return None

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return the masks, (H, W) int32, -1 = nothing; ids missing from unique_instances.npy, where it exists, are nothing.

        Raises:
            SceneError: If the array is broken or its size is not the picture's.
        """
        self._require(name)
        path = self._root.file(name, MASK)
        ids = files.read_id_map(path)
        width, height = files.image_size(self._root.file(name, RGB))
        if ids.shape != (height, width):
            raise SceneError(
                f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {width}x{height} as {RGB} beside it; "
                "render the view again."
            )
        unique = self._root.file(name, UNIQUE)
        if not unique.exists():
            return ids
        return np.where(np.isin(ids, files.read_id_list(unique)), ids, NOTHING).astype(np.int32)

    def read_mesh(self) -> SceneMesh | None:
        """Return None: the format has no mesh."""
        return None

    def _require(self, name: str) -> None:
        if name not in self._names:
            raise MaskError(
                f"The scene {self._root.path.name!r} has no view {name!r}; it has {len(self._names)} views, list them first."
            )
