"""The posed-masks format: a person's own pictures and masks, with depth and poses where there are any.

``<scene>/{color/*.jpg, masks/<view>.png}`` (8- or 16-bit ids local to the view, 0 = none; or .npz, or one COCO file), optionally
``depth/<view>.png``, ``poses/<view>.txt``, ``intrinsics.txt``, ``depth_scale.txt`` (default 1000), ``mesh.ply``,
``gt_masks/<view>.png`` (ids of objects, for scores) and ``maskgroup.json``. See docs/scene-formats.md.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.scenes import depth_scale as depth_units
from engine.scenes import files, layouts, pictures
from engine.scenes.class_names import read_class_names
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.kept_mesh import KeptMesh
from engine.scenes.masks_in.base import MaskSource
from engine.scenes.masks_in.shapes import IN_CLASS
from engine.scenes.masks_in.source import (
    OTHER_PHOTO_FOLDER,
    PHOTO_FOLDER,
    MaskFiles,
    find_masks,
    has_other_masks,
    list_mask_files,
    list_photos,
    read_id_picture,
)
from engine.scenes.ply import read_ply
from engine.scenes.posed_views import PosedViews, ViewFiles, to_metres, union_of
from engine.scenes.scene_settings import SETTINGS, SceneSettings, read_settings
from engine.scenes.void_ids import guess_void_id
from engine.types import NOTHING, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "posed masks"
LABELLED_MESHES = ("_mesh.ply", "_vh_clean_2.ply")
"""Masks of another tool beside one of these change nothing: replica's and scannet's objects are on the mesh."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: masks beside photos."""
    if root.has_folder("color") and root.has_folder("masks"):
        return True
    if not (root.has_folder(PHOTO_FOLDER) or root.has_folder(OTHER_PHOTO_FOLDER)) or root.ending(*LABELLED_MESHES):
        return False
    return has_other_masks(root)


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only."""
    listing = list_mask_files(root)
    return len(union_of(listing) or union_of(list_photos(root)))


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads poses, intrinsics, the headers of photos and masks, and a COCO file.

    Raises:
        SceneError: If there is no usable view or a path leaves the folder.
    """
    masks = find_masks(root)
    if masks is None or not (masks.views or masks.faults):
        raise SceneError(f"{root.path}: found no view, expected color/<view>.jpg with masks/<view>.png; add at least one of both.")
    listed = ViewFiles(
        names=masks.views | set(masks.faults),
        colors=list_photos(root),
        depths=root.list_files("depth", layouts.DEPTHS),
        poses=layouts.list_poses(root),
        masks=masks,
        truths=list_truths(root),
        needs_poses=False,
        needs_photos=True,
    )
    camera = layouts.read_matrix_of(root, layouts.COLOR_INTRINSICS)
    views = PosedViews(root, listed, camera)
    settings = read_settings(root)
    reader = PosedMasksReader(root, views, settings)
    return views.make_scene(NAME, reader, mask_ids_are_instances=bool(settings.mask_ids_are_instances))


def list_truths(root: SceneFolder) -> Listing:
    """Return the pictures of gt_masks/, ids of objects by view."""
    return root.list_files("gt_masks", pictures.MAPS)


class PosedMasksReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads.

    Args:
        root: The scene's folder.
        views: Its usable views, and where their files are.
        settings: The scene's maskgroup.json.
        depth_scale: Units of depth in a metre, where there is no depth_scale.txt.
        mesh_names: Files that may be its mesh, from the scene's folder, in the order in which they are tried.
        notes: Sentences about how the scene was opened.
    """

    def __init__(
        self,
        root: SceneFolder,
        views: PosedViews,
        settings: SceneSettings,
        *,
        depth_scale: float = depth_units.DEFAULT,
        mesh_names: tuple[str, ...] = ("mesh.ply",),
        notes: tuple[str, ...] = (),
    ) -> None:
        self._root = root
        self._views = views
        self._settings = settings
        self._names = read_class_names(root, settings.classes)
        self._default_scale = depth_scale
        self._mesh_names = mesh_names
        self._lock = threading.Lock()
        self._kept_mesh = KeptMesh(self._load_mesh)
        self._void: tuple[int, ...] | None = settings.ignore_ids
        self._notes = notes

    @property
    def has_masks(self) -> bool:
        """Whether there are masks, in whatever files."""
        return self._views.files.masks is not None

    @property
    def masks_are_own_files(self) -> bool:
        """Whether each view's masks are a file of their own in masks/, or there are none yet."""
        return isinstance(self._views.files.masks, MaskFiles | None)

    def mask_file(self, name: str) -> Path | None:
        """Return where a view's masks lie, links not followed; None where the scene has none.

        Raises:
            SceneError: If there is no such view.
        """
        self._views.require(name)
        masks = self._views.files.masks
        return None if masks is None else masks.place(name)

    @property
    def ignored_ids(self) -> tuple[int, ...]:
        """Ids that mean "nothing here"."""
        return self._ignored() if self.has_masks else self._settings.ignore_ids or ()

    @property
    def guessed_ids(self) -> tuple[int, ...]:
        """Those of them that nothing but the masks themselves suggests."""
        return self.ignored_ids if self._settings.ignore_ids is None else ()

    def read_view(self, name: str) -> View:
        """Return camera and pose; either is None if the scene has none."""
        return self._views.read_view(name)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None if the view has none."""
        return self._views.read_color(name)

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None if the view has none."""
        units = self._views.read_depth_units(name)
        return None if units is None else to_metres(units, self.depth_scale)

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return the masks, (H, W) int32, -1 = none; None if the scene has none.

        Raises:
            SceneError: If the file is broken or of another size than its photo.
        """
        self._views.require(name)
        if self._views.files.masks is None:
            return None
        ids = self._read_masks(self._views.files.masks, name)
        ids[np.isin(ids, self._ignored())] = NOTHING
        return ids

    def read_ground_truth_map(self, name: str) -> Int32Array | None:
        """Return the object of each pixel, (H, W) int32, -1 = unlabelled, or None if the view has none."""
        self._views.require(name)
        truths = self._views.files.truths.files
        if name not in truths:
            return None
        path = self._root.file(*truths[name])
        ids = self._check_size(read_id_picture(path), name, path)
        ids[np.isin(ids, self._settings.ignore_ids or ())] = NOTHING
        return ids

    def read_mesh(self) -> SceneMesh | None:
        """Return the mesh, read once, or None if the scene has none."""
        return self._kept_mesh.get()

    def name_of(self, instance: int) -> str | None:
        """Return what an object is called, None where that is unknown."""
        return self._names.of(instance)

    def mask_name_of(self, mask: int) -> str | None:
        """Return what a mask's class is called, None where its id says nothing about it."""
        masks = self._views.files.masks
        return None if masks is None or mask < IN_CLASS else masks.classes.get(mask // IN_CLASS)

    def photo_file(self, name: str) -> Path | None:
        """Return where a view's photo lies, None without one."""
        return self._views.photo_file(name)

    def read_notes(self) -> tuple[str, ...]:
        """Return sentences about what was read so far."""
        masks = self._views.files.masks
        named = [self._names.note] if self._names.note else []
        return (*self._views.notes(), *(masks.notes() if masks is not None else ()), *self._notes, *named)

    @cached_property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre."""
        written = files.find_depth_scale(self._root)
        return self._default_scale if written is None else written

    def _load_mesh(self) -> SceneMesh | None:
        parts = layouts.find_parts(self._root, tuple(tuple(name.split("/")) for name in self._mesh_names))
        return None if parts is None else read_ply(self._root.file(*parts))

    def _ignored(self) -> tuple[int, ...]:
        """Return the ids that mean "nothing here": as maskgroup.json says, else as the masks suggest."""
        with self._lock:
            if self._void is None:
                void = guess_void_id(self._views.names, self._try_masks)
                self._void = () if void is None else (void,)
                if void is not None:
                    self._notes += (
                        f"The id {void} is in nearly all views and far above the others: it was taken for 'nothing here'. If it is "
                        f'an object, write {{"ignore_ids": []}} into {SETTINGS} in the scene\'s folder.',
                    )
            return self._void

    def _try_masks(self, name: str) -> Int32Array | None:
        assert self._views.files.masks is not None
        try:
            return self._read_masks(self._views.files.masks, name)
        except SceneError:
            return None

    def _read_masks(self, masks: MaskSource, name: str) -> Int32Array:
        return self._check_size(masks.read(name, self._views.size(name)), name, masks.place(name))

    def _check_size(self, ids: Int32Array, name: str, path: Path) -> Int32Array:
        size = self._views.size(name)
        if size is not None and ids.shape != (size[1], size[0]):
            raise SceneError(
                f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {size[0]}x{size[1]} as its photo has; "
                "resize the masks with nearest-neighbour sampling."
            )
        return ids
