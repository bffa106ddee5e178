"""The posed-masks format: a person's own pictures and masks, with depth and poses where there are any.

``<scene>/{color/*.jpg, masks/<view>.png}`` (uint16 ids local to the view, 0 = none), optionally ``depth/<view>.png``,
``poses/<view>.txt``, ``intrinsics.txt``, ``depth_scale.txt`` (default 1000), ``mesh.ply`` and ``gt_masks/<view>.png`` (uint16
ids of objects, for scores). See docs/scene-formats.md.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.errors import MaskError, SceneError
from engine.scenes import files
from engine.scenes.ply import read_ply
from engine.types import NOTHING, Camera, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "posed masks"
PHOTOS = (".jpg", ".jpeg", ".png")
DEFAULT_DEPTH_SCALE = 1000.0
MAX_ID = 65535


def matches(folder: Path) -> bool:
    """Whether the folder looks like this format: masks beside photos."""
    return (folder / "masks").is_dir() and (folder / "color").is_dir()


def count_views(folder: Path) -> int:
    """Number of views, from directory listings only."""
    return len(_view_names(files.SceneFolder(folder)))


def open_folder(folder: Path) -> Scene:
    """Open the scene; reads directory listings only.

    Raises:
        SceneError: If there is no view or a path leaves the folder.
    """
    root = files.SceneFolder(folder)
    names = _view_names(root)
    if not names:
        raise SceneError(f"{root.path}: found no view, expected color/<view>.jpg with masks/<view>.png; add at least one of both.")
    return Scene(name=root.path.name, folder=root.path, format=NAME, view_names=names, reader=PosedMasksReader(root, names))


def _view_names(root: files.SceneFolder) -> tuple[str, ...]:
    return tuple(sorted(root.stems("masks", (".png",)), key=files.numeric_order))


class PosedMasksReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads."""

    def __init__(self, root: files.SceneFolder, names: tuple[str, ...]) -> None:
        self._root = root
        self._names = frozenset(names)
        self._colors = root.stems("color", PHOTOS)
        self._depths = root.stems("depth", (".png",))
        self._poses = root.stems("poses", (".txt",))
        self._truths = root.stems("gt_masks", (".png",))
        self._lock = threading.RLock()
        self._mesh: SceneMesh | None = None

    def read_view(self, name: str) -> View:
        """Return camera and pose; either is None where the scene has none."""
        self._require(name)
        pose = files.read_pose(self._root.file("poses", self._poses[name])) if name in self._poses else None
        return View(name=name, camera=self.camera, pose=pose)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None where the view has none."""
        self._require(name)
        return files.read_rgb(self._root.file("color", self._colors[name])) if name in self._colors else None

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None where the view has none."""
        self._require(name)
        if name not in self._depths:
            return None
        raw = files.read_uint16(self._root.file("depth", self._depths[name]))
        return (raw / self.depth_scale).astype(np.float32)

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return the masks, (H, W) int32, -1 = none.

        Raises:
            SceneError: If the file is broken or of another size than its photo.
        """
        self._require(name)
        return self._read_ids("masks", f"{name}.png", name)

    def read_ground_truth_map(self, name: str) -> Int32Array | None:
        """Return the object of each pixel, (H, W) int32, -1 = unlabelled, or None where the view has none."""
        self._require(name)
        return self._read_ids("gt_masks", self._truths[name], name) if name in self._truths else None

    def read_mesh(self) -> SceneMesh | None:
        """Return mesh.ply, read once, or None where the scene has none."""
        with self._lock:
            path = self._root.file("mesh.ply")
            if self._mesh is None and path.exists():
                self._mesh = read_ply(path)
            return self._mesh

    @cached_property
    def camera(self) -> Camera | None:
        """The scene's camera at the size of its first photo, or None without intrinsics.txt."""
        path = self._root.file("intrinsics.txt")
        if not path.exists() or not self._colors:
            return None
        matrix = files.read_intrinsics(path)
        first = min(self._colors, key=files.numeric_order)
        width, height = files.image_size(self._root.file("color", self._colors[first]))
        return Camera(width=width, height=height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])

    @cached_property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre."""
        path = self._root.file("depth_scale.txt")
        return files.read_depth_scale(path) if path.exists() else DEFAULT_DEPTH_SCALE

    def _read_ids(self, folder: str, file: str, name: str) -> Int32Array:
        path = self._root.file(folder, file)
        ids = files.read_uint16(path)
        if name not in self._colors:
            raise SceneError(f"{path}: found masks but no photo color/{name}.jpg or .png for them; add it or remove the masks.")
        width, height = files.image_size(self._root.file("color", self._colors[name]))
        if ids.shape != (height, width):
            raise SceneError(
                f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {width}x{height} as its photo has; "
                "resize the masks with nearest-neighbour sampling."
            )
        if int(ids.max(initial=0)) > MAX_ID or int(ids.min(initial=0)) < 0:
            raise SceneError(
                f"{path}: found the id {int(ids.max())}, expected ids of 0 to {MAX_ID}; number each view's masks from 1."
            )
        return np.where(ids > 0, ids, NOTHING).astype(np.int32)

    def _require(self, name: str) -> None:
        if name not in self._names:
            raise MaskError(
                f"The scene {self._root.path.name!r} has no view {name!r}; it has {len(self._names)} views, list them first."
            )
