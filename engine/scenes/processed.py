"""The processed format (the original's output, and ours): pictures and masks of every view, no geometry.

``<scene>/<view>/{rgb.png, instance_mask.npy, unique_instances.npy}`` and, where the program wrote it, ``render.json``.
See docs/scene-formats.md.
"""

from __future__ import annotations

import os

import numpy as np

from engine.errors import LeftOutError, MaskError, SceneError
from engine.scenes import files, pictures
from engine.scenes.folders import SceneFolder
from engine.scenes.names import fault_of, is_foreign, normal_form, numeric_order, printable
from engine.scenes.posed_views import MAX_VIEWS
from engine.scenes.scene_settings import SceneSettings, read_settings
from engine.types import NOTHING, Float32Array, Int32Array, LeftOutView, Scene, SceneMesh, UInt8Array, View

NAME = "processed"
RGB, MASK, UNIQUE = "rgb.png", "instance_mask.npy", "unique_instances.npy"
NOTE = "render.json"
"""File beside the views that says which scene they show."""
IDS_FIELD = "mask_ids_are_instances"
"""What the note says about the ids; without it they are those of objects, as the original's are."""
MAX_NOTE_BYTES = 2**20


def matches(root: SceneFolder) -> bool:
    """Whether any subfolder holds a picture or a mask array of this format."""
    return any(_is_view(root, name) for name in root.names)


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only."""
    return len(_list_views(root))


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; looks at which files its views have.

    Raises:
        SceneError: If there is no usable view.
    """
    listed = sorted(_list_views(root), key=numeric_order)
    if not listed:
        raise SceneError(f"{root.path}: found no view, expected folders with {RGB} and {MASK}; render the scene again.")
    if len(listed) > MAX_VIEWS:
        raise SceneError(f"{root.path}: found {len(listed):,} views, expected at most {MAX_VIEWS:,}; keep every n-th view.")
    left_out: list[LeftOutView] = []
    for name in listed:
        try:
            _check(root, name)
        except SceneError as error:
            left_out.append(LeftOutView(name, str(error)))
    lost = {view.name for view in left_out}
    names = tuple(name for name in listed if name not in lost)
    if not names:
        raise SceneError(
            f"{root.path}: found {len(listed)} views that cannot be used; the first, {printable(left_out[0].name)}: "
            f"{left_out[0].reason}"
        )
    reader = ProcessedReader(root, names, tuple(left_out), read_settings(root))
    return Scene(
        name=normal_form(root.path.name),
        folder=root.path,
        format=NAME,
        view_names=names,
        reader=reader,
        mask_ids_are_instances=_read_ids_are_instances(root),
        left_out=tuple(left_out),
    )


def _read_ids_are_instances(root: SceneFolder) -> bool:
    """Whether mask ids are those of objects: not where masks were written from a scene whose ids are local to a view."""
    path = root.find(NOTE)
    if path is None:
        return True
    told: object = files.read_json(path, "the note of `maskgroup render`", limit=MAX_NOTE_BYTES).get(IDS_FIELD, True)
    if not isinstance(told, bool):
        raise SceneError(f"{path}: found {IDS_FIELD} that is neither true nor false, expected one of them; render the scene again.")
    return told


def _list_views(root: SceneFolder) -> list[str]:
    """Return the names of views, and of folders that may not be entered: they are left out as views, not passed over in silence."""
    return [name for name in root.names if _is_view(root, name) or _is_locked(root, name)]


def _is_view(root: SceneFolder, name: str) -> bool:
    # Names that start with a dot are views still being written.
    return not is_foreign(name) and any(os.path.exists(root.path / name / part) for part in (RGB, MASK))


def _is_locked(root: SceneFolder, name: str) -> bool:
    try:
        (root.path / name / RGB).lstat()
    except PermissionError:
        return not is_foreign(name)
    except OSError:
        return False
    return False


def _check(root: SceneFolder, name: str) -> None:
    """Refuse a view whose name cannot be used or whose picture is missing or broken."""
    fault = fault_of(name)
    if fault is not None:
        raise SceneError(f"{root.path}: {printable(name)}: {fault}, expected a view's folder; rename it.")
    pictures.read_header(root.file(name, RGB))
    files.require_file(root.file(name, MASK), "a two-dimensional array of integers")


class ProcessedReader:
    """Reads one view's files at a time and keeps nothing; safe to call from several threads."""

    def __init__(
        self, root: SceneFolder, names: tuple[str, ...], left_out: tuple[LeftOutView, ...], settings: SceneSettings
    ) -> None:
        self._root = root
        self._names = frozenset(names)
        self._reasons = {view.name: view.reason for view in left_out}
        self._ignored = settings.ignore_ids or ()

    def read_view(self, name: str) -> View:
        """Return the view without camera and pose: the format has none."""
        self._require(name)
        return View(name=name, camera=None, pose=None)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the picture, (H, W, 3) uint8."""
        self._require(name)
        return pictures.read_photo(self._root.file(name, RGB), upright=False)

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
        width, height = pictures.image_size(self._root.file(name, RGB))
        if ids.shape != (height, width):
            raise SceneError(
                f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {width}x{height} as {RGB} beside it; "
                "render the view again."
            )
        ids[np.isin(ids, self._ignored)] = NOTHING
        unique = self._root.file(name, UNIQUE)
        if not unique.exists():
            return ids
        return np.where(np.isin(ids, files.read_id_list(unique)), ids, NOTHING).astype(np.int32)

    def read_mesh(self) -> SceneMesh | None:
        """Return None: the format has no mesh."""
        return None

    def _require(self, name: str) -> None:
        if name in self._reasons:
            raise LeftOutError(f"The scene {self._root.path.name!r} has no view {name!r}; it was left out: {self._reasons[name]}")
        if name not in self._names:
            raise MaskError(
                f"The scene {self._root.path.name!r} has no view {name!r}; it has {len(self._names)} views, list them first."
            )
