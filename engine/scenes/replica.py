"""The replica format (layout of OpenYOLO3D): photos, depth, poses, intrinsics, a mesh, and labels beside the folder.

``<scene>/{color/*.jpg, depth/*.png, poses/*.txt, intrinsics.txt, <scene>_mesh.ply}`` and ``ground_truth/<scene>.txt`` beside it.
See docs/scene-formats.md. Knows nothing about the app or models.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.errors import MaskError, SceneError
from engine.scenes import depth_scale, files
from engine.scenes.ply import read_ply
from engine.types import Camera, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "replica"
PHOTOS = (".jpg", ".jpeg", ".png")


def matches(folder: Path) -> bool:
    """Whether the folder looks like this format: poses, and a mesh or photos."""
    return (folder / "poses").is_dir() and ((folder / "color").is_dir() or any(folder.glob("*_mesh.ply")))


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
        raise SceneError(f"{root.path}: found no view, expected color/*.jpg and poses/*.txt; add at least one view.")
    reader = ReplicaReader(root, names)
    return Scene(name=root.path.name, folder=root.path, format=NAME, view_names=names, reader=reader)


def _view_names(root: files.SceneFolder) -> tuple[str, ...]:
    names = {*root.stems("color", PHOTOS), *root.stems("poses", (".txt",))}
    return tuple(sorted(names, key=files.numeric_order))


class ReplicaReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads."""

    def __init__(self, root: files.SceneFolder, names: tuple[str, ...]) -> None:
        self._root = root
        self._names = frozenset(names)
        self._colors = root.stems("color", PHOTOS)
        self._depths = root.stems("depth", (".png",))
        self._poses = root.stems("poses", (".txt",))
        self._lock = threading.RLock()
        self._mesh: SceneMesh | None = None
        self._has_mesh: bool | None = None
        self._depth_scale: float | None = None

    def read_view(self, name: str) -> View:
        """Return camera and pose.

        Raises:
            MaskError: If the scene has no such view.
            SceneError: If its pose or the intrinsics are missing or broken.
        """
        self._require(name)
        if name not in self._poses:
            raise SceneError(
                f"{self._root.path / 'poses' / (name + '.txt')}: found no pose for view {name!r}, expected a 4x4 camera-to-world "
                "matrix; add it or remove the view's photo."
            )
        pose = files.read_pose(self._root.file("poses", self._poses[name]))
        return View(name=name, camera=self.camera, pose=pose)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None where the view has none."""
        self._require(name)
        if name not in self._colors:
            return None
        path = self._root.file("color", self._colors[name])
        photo = files.read_rgb(path)
        if photo.shape[:2] != (self.camera.height, self.camera.width):
            raise SceneError(
                f"{path}: found {photo.shape[1]}x{photo.shape[0]} pixels, expected {self.camera.width}x{self.camera.height} as the "
                "scene's first photo, to which the intrinsics belong; resize it."
            )
        return photo

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None where the view has none."""
        raw = self.read_raw_depth(name)
        return None if raw is None else (raw / self.depth_scale).astype(np.float32)

    def read_raw_depth(self, name: str) -> Int32Array | None:
        """Return the depth image as stored, (H, W) int32 units, or None where the view has none."""
        self._require(name)
        return files.read_uint16(self._root.file("depth", self._depths[name])) if name in self._depths else None

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return None: this format keeps its masks on the mesh."""
        self._require(name)
        return None

    def read_mesh(self) -> SceneMesh | None:
        """Return the mesh with its labels, read once, or None where the scene has none."""
        with self._lock:
            if self._has_mesh is None:
                self._mesh = self._load_mesh()
                self._has_mesh = self._mesh is not None
            return self._mesh

    @cached_property
    def camera(self) -> Camera:
        """The scene's camera at the size of its colour images."""
        matrix = files.read_intrinsics(self._root.file("intrinsics.txt"))
        if self._colors:
            first = min(self._colors, key=files.numeric_order)
            width, height = files.image_size(self._root.file("color", self._colors[first]))
        else:  # without photos only the principal point tells the size: these datasets put it in the middle
            width, height = round(2 * matrix[0, 2] + 1), round(2 * matrix[1, 2] + 1)
        return Camera(width=width, height=height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])

    @property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre: from depth_scale.txt, else measured against the mesh, else 1000."""
        with self._lock:
            if self._depth_scale is None:
                path = self._root.file("depth_scale.txt")
                self._depth_scale = files.read_depth_scale(path) if path.exists() else self._estimate_depth_scale()
            return self._depth_scale

    def _estimate_depth_scale(self) -> float:
        mesh = self.read_mesh()
        if mesh is None:
            return depth_scale.DEFAULT
        names = sorted(self._depths.keys() & self._poses.keys(), key=files.numeric_order)
        samples: list[depth_scale.DepthSample] = []
        for name in names[:: max(len(names) // 2, 1)][:2]:
            raw = self.read_raw_depth(name)
            pose = self.read_view(name).pose
            if raw is not None and pose is not None:
                samples.append(depth_scale.DepthSample(raw=raw, camera=self.camera, pose=pose))
        return depth_scale.estimate(mesh, samples)

    def _load_mesh(self) -> SceneMesh | None:
        names = sorted(path.name for path in self._root.path.glob("*_mesh.ply"))
        if not names:
            return None
        own = f"{self._root.path.name}_mesh.ply"
        if own not in names and len(names) > 1:
            raise SceneError(f"{self._root.path}: found the meshes {', '.join(names)}, expected one, {own}; remove the others.")
        mesh = read_ply(self._root.file(own if own in names else names[0]))
        labels = self._ground_truth()
        if labels is None:
            return mesh
        return replace(mesh, vertex_instances=files.read_vertex_labels(labels, len(mesh.vertices)))

    def _ground_truth(self) -> Path | None:
        """The one file outside the folder that belongs to the format; links out of ground_truth/ are refused."""
        folder = self._root.path.parent / "ground_truth"
        path = folder / f"{self._root.path.name}.txt"
        return files.inside(folder, path.name) if path.is_symlink() or path.exists() else None

    def _require(self, name: str) -> None:
        if name not in self._names:
            raise MaskError(
                f"The scene {self._root.path.name!r} has no view {name!r}; it has {len(self._names)} views, list them first."
            )
