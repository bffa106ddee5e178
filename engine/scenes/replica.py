"""The replica format (layout of OpenYOLO3D): photos, depth, poses, intrinsics, a mesh, and labels beside the folder.

``<scene>/{color/*.jpg, depth/*.png, poses/*.txt, intrinsics.txt, <scene>_mesh.ply}`` and ``ground_truth/<scene>.txt`` beside it,
or ``ground_truth.txt`` in it.
See docs/scene-formats.md. Knows nothing about the app or models.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.scenes import depth_scale, files, layouts, pictures
from engine.scenes.class_names import REPLICA_CLASSES, read_class_names
from engine.scenes.folders import SceneFolder, inside, is_entry
from engine.scenes.kept_mesh import KeptMesh
from engine.scenes.ply import read_ply
from engine.scenes.posed_views import CameraFile, PosedViews, ViewFiles, sorted_names, to_metres, union_of
from engine.scenes.scene_settings import SceneSettings, read_settings
from engine.types import NOTHING, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "replica"
MESH = "_mesh.ply"
GROUND_TRUTH = "ground_truth"
"""The folder of labels beside scenes of this format: no scene, and nothing to wonder about."""
OWN_LABELS = "ground_truth.txt"
"""Labels in the scene's folder, where it is to be moved and copied as one; they count more than those beside it."""
DEPTH_SAMPLES = 2
"""Depth images compared with the mesh to find their scale."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: poses, and a mesh or photos."""
    return root.has_folder("poses") and (root.has_folder("color") or bool(root.ending(MESH)))


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only."""
    return len(_list_files(root).names)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads poses, intrinsics and the headers of photos.

    Raises:
        SceneError: If there is no usable view, the intrinsics are broken, or a path leaves the folder.
    """
    listed = _list_files(root)
    if not listed.names:
        raise SceneError(f"{root.path}: found no view, expected color/*.jpg and poses/*.txt; add at least one view.")
    name = root.actual("intrinsics.txt")
    views = PosedViews(root, listed, CameraFile(files.read_intrinsics(root.file(name)), (name,)))
    return views.make_scene(NAME, ReplicaReader(root, views, read_settings(root)), mask_ids_are_instances=True)


def _list_files(root: SceneFolder) -> ViewFiles:
    colors, poses = root.list_files("color", pictures.PHOTOS), root.list_files("poses", (".txt",))
    depths = root.list_files("depth", layouts.DEPTHS)
    return ViewFiles(names=union_of(colors, poses), colors=colors, depths=depths, poses=poses)


def labels_beside(folder: Path) -> Path | None:
    """Return the labels that stand beside a scene's folder, or None: the only file outside of it that belongs to the format.

    Raises:
        SceneError: If a link leads out of the folder of labels.
    """
    labels = folder.parent / GROUND_TRUTH
    path = labels / f"{folder.name}.txt"
    return inside(labels, path.name) if is_entry(path) else None


class ReplicaReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads."""

    def __init__(self, root: SceneFolder, views: PosedViews, settings: SceneSettings) -> None:
        self._root = root
        self._views = views
        self._settings = settings
        self._names = read_class_names(root, settings.classes, otherwise=REPLICA_CLASSES)
        self._kept_mesh = KeptMesh(self._load_mesh)
        self._lock = threading.Lock()
        self._depth_scale: float | None = None

    def read_view(self, name: str) -> View:
        """Return camera and pose.

        Raises:
            MaskError: If the scene has no such view.
            LeftOutError: If the view's pose or photo cannot be used.
        """
        return self._views.read_view(name)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None if the view has none."""
        return self._views.read_color(name)

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None if the view has none."""
        raw = self.read_raw_depth(name)
        return None if raw is None else to_metres(raw, self.depth_scale)

    def read_raw_depth(self, name: str) -> Int32Array | None:
        """Return the depth image as stored, (H, W) int32 units, or None if the view has none."""
        return self._views.read_depth_units(name)

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return None: this format keeps its masks on the mesh."""
        self._views.require(name)
        return None

    def name_of(self, instance: int) -> str | None:
        """Return what an object is called, None where that is unknown."""
        return self._names.of(instance)

    def photo_file(self, name: str) -> Path | None:
        """Return where a view's photo lies, None without one."""
        return self._views.photo_file(name)

    def read_notes(self) -> tuple[str, ...]:
        """Return sentences about what was read so far."""
        return (*self._views.notes(), *([self._names.note] if self._names.note else []))

    def read_mesh(self) -> SceneMesh | None:
        """Return the mesh with its labels, read once, or None if the scene has none."""
        return self._kept_mesh.get()

    @property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre: from depth_scale.txt, else measured against the mesh, else 1000."""
        with self._lock:
            if self._depth_scale is None:
                written = files.find_depth_scale(self._root)
                self._depth_scale = self._estimate_depth_scale() if written is None else written
            return self._depth_scale

    def _estimate_depth_scale(self) -> float:
        mesh = self.read_mesh()
        if mesh is None:
            return depth_scale.DEFAULT
        names = sorted_names(frozenset(self._views.files.depths.files).intersection(self._views.names))
        samples: list[depth_scale.DepthSample] = []
        spread = names[:: max(len(names) // 2, 1)]
        for name in (*spread, *(name for name in names if name not in spread)):
            if len(samples) == DEPTH_SAMPLES:
                break
            try:
                raw = self.read_raw_depth(name)
            except SceneError:
                continue  # other depth images may be good
            view = self.read_view(name)
            if raw is not None and view.pose is not None and view.camera is not None:
                samples.append(depth_scale.DepthSample(raw=raw, camera=view.camera, pose=view.pose))
        return depth_scale.estimate(mesh, samples)

    def _load_mesh(self) -> SceneMesh | None:
        names = self._root.ending(MESH)
        if not names:
            return None
        own = f"{self._root.path.name}{MESH}"
        if own not in names and len(names) > 1:
            raise SceneError(f"{self._root.path}: found the meshes {', '.join(names)}, expected one, {own}; remove the others.")
        mesh = read_ply(self._root.file(own if own in names else names[0]))
        path = self._ground_truth()
        if path is None:
            return mesh
        labels = files.read_vertex_labels(path, len(mesh.vertices))
        labels[np.isin(labels, self._settings.ignore_ids or ())] = NOTHING
        return replace(mesh, vertex_instances=labels)

    def _ground_truth(self) -> Path | None:
        """The labels in the folder, else those beside it."""
        return self._root.find(OWN_LABELS) or labels_beside(self._root.path)
