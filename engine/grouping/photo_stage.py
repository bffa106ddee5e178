"""The stage "photos": finds the cameras of a scene that has none, or reads what was found earlier. Knows nothing about masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from engine.errors import MaskgroupError, SceneError
from engine.photos.place import INSTALL, Photo, Step, can_place, place_photos
from engine.photos.placed import PlacedPhotos, load_placed, save_placed
from engine.types import Scene, UInt8Array

PLACED_FILE = "photos.npz"
"""Where placed photos are kept: in the folder of a scene that was imported from photos, or of a result."""
STEPS: tuple[Step, ...] = ("features", "matches", "cameras")
HELPS = f"With pycolmap ({INSTALL}) the photos' cameras could be found, which tells look-alikes apart by where they are."


def place_scene(
    scene: Scene,
    views: tuple[str, ...],
    *,
    keep_in: Path | None = None,
    tick: Callable[[float], None] = lambda share: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> PlacedPhotos | None:
    """Find where the photos of a scene's views were taken.

    What lies in the scene's folder or in `keep_in`, for these views, is used instead of looking again.

    Args:
        scene: The scene.
        views: Its views that are used, in order.
        keep_in: Folder in which the result is kept; None = nowhere.
        tick: Called with the share that is done, [0, 1]; may raise to stop.
        is_cancelled: Asked often; True stops.

    Returns:
        The placed photos in the order of the views, or None where pycolmap is not installed.

    Raises:
        PlacingStopped: If it was stopped.
        MaskgroupError: If pycolmap fails, or the result cannot be kept.
    """
    sizes = {view: _size_of(scene, view) for view in views}
    for folder in (scene.folder, keep_in):
        found = None if folder is None or not (folder / PLACED_FILE).is_file() else _load(folder / PLACED_FILE, views)
        if found is not None and [tuple(size) for size in found.sizes.tolist()] == [sizes[view] for view in views]:
            return found
    if not can_place():
        return None

    def on_progress(step: Step, done: int, total: int) -> None:
        tick((STEPS.index(step) + done / max(1, total)) / len(STEPS))

    def photo(view: str) -> Photo:
        return Photo(view, lambda: _read(scene, view))

    placed = place_photos([photo(view) for view in views], on_progress=on_progress, is_cancelled=is_cancelled)
    if keep_in is not None:
        try:
            keep_in.mkdir(parents=True, exist_ok=True)
            save_placed(placed, keep_in / PLACED_FILE)
        except OSError as error:
            raise MaskgroupError(
                f"{keep_in} cannot be written ({error}), expected a folder for results; choose another --out."
            ) from error
    return placed


def has_placed(scene: Scene) -> bool:
    """Whether an import has found where the photos of a scene were taken, so that nobody need look for long."""
    return (scene.folder / PLACED_FILE).is_file()


def keep_placed(scene: Scene, folder: Path) -> None:
    """Copy what an import found of where the photos were taken into a copy of the scene, so that nobody looks again.

    Raises:
        OSError: If it cannot be written.
    """
    if has_placed(scene):
        shutil.copyfile(scene.folder / PLACED_FILE, folder / PLACED_FILE)


def _load(path: Path, views: tuple[str, ...]) -> PlacedPhotos | None:
    """Return what was kept, or None where it is broken or of other photos."""
    try:
        return load_placed(path).select(views)
    except SceneError:
        return None


def _read(scene: Scene, view: str) -> UInt8Array:
    rgb = scene.color(view)
    if rgb is None:
        raise SceneError(f"{scene.folder}: view {view!r} has no photo, which is needed to find its camera; add it.")
    return rgb


def _size_of(scene: Scene, view: str) -> tuple[int, int]:
    rgb = _read(scene, view)
    return rgb.shape[1], rgb.shape[0]
