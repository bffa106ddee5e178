"""Makes a scene of plain photos or a video: their cameras are found, and photos, masks and a COLMAP model written, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import SceneError
from engine.grouping.photo_stage import PLACED_FILE
from engine.importing.kinds import Step
from engine.importing.names import check_scene_name
from engine.importing.run import ImportCancelled, ImportedScene, check_copy, require_free, working_aside
from engine.photos.folder import LEAST, list_photos, read_upright
from engine.photos.model_text import write_model
from engine.photos.place import Photo, PlacingStopped, place_photos, require_pycolmap
from engine.photos.placed import PlacedPhotos, save_placed, say_placed
from engine.photos.undistort import is_bent, straighten_masks, straighten_photo, straighten_places
from engine.photos.video import DEFAULT_COUNT, is_video, read_video
from engine.scenes import detect_format
from engine.scenes.folders import SceneFolder, inside, is_folder
from engine.scenes.names import printable
from engine.scenes.pictures import read_ids
from engine.types import Int32Array, UInt8Array

QUALITY = 95
MASKS = "masks"
NO_MASKS = (
    "The scene has no masks yet: press Make masks in its details on the Scenes page, use maskgroup segment, or put "
    "masks/<photo>.png into its folder."
)
MODEL = ("sparse", "0")


def is_photos(source: Path) -> bool:
    """Whether a source is a video, or a folder of photos that is no scene yet.

    Raises:
        SceneError: If the folder cannot be listed.
    """
    if "\0" in str(source):
        return False
    if not is_folder(source):
        return is_video(source)
    return len(list_photos(source)) >= LEAST and detect_format(SceneFolder(source)) is None


def import_photos(
    source: Path,
    folder: Path,
    *,
    name: str | None = None,
    rename: Callable[[str], str] = lambda found: found,
    count: int = DEFAULT_COUNT,
    on_progress: Callable[[Step, int, int], None] = lambda step, done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> tuple[ImportedScene, tuple[str, ...]]:
    """Make a scene of photos in a folder of scenes. Until it is whole, nothing of it is to be seen there.

    Args:
        source: A folder of photos, with masks/<photo>.png where there are masks, or a video. It is not changed.
        folder: Where the scene's folder is made.
        name: What the scene is called; None = as its source.
        rename: Gives the name that is taken instead of its source's, where `name` is None.
        count: Pictures at most that are taken of a video.
        on_progress: Called with what is being done, how much of it is done, and how much there is.
        is_cancelled: Asked often; True stops.

    Returns:
        The scene, and sentences about photos that could not be placed.

    Raises:
        ImportCancelled: If it was stopped; nothing is left.
        SceneError: If a photo is broken, none can be placed and there are no masks either, or the scene cannot be written.
        MaskgroupError: If what it needs is not installed.
    """

    def tick() -> None:
        if is_cancelled():
            raise ImportCancelled("The import was stopped; nothing was kept.")

    require_pycolmap()
    chosen = check_scene_name(name or rename(source.resolve().name if is_folder(source) else source.stem))
    require_free(folder / chosen)
    try:
        with working_aside(folder) as aside:
            target = aside.parent / chosen
            staged = aside / "scenes" / chosen
            (staged / "color").mkdir(parents=True)
            names, masks = _copy(source, staged, count, lambda done, total: on_progress("copying", done, total), tick)
            photos = [Photo(view, lambda path=staged / "color" / f"{view}.jpg": read_upright(path)) for view in names]
            placed = place_photos(photos, on_progress=on_progress, is_cancelled=is_cancelled)
            told = (*say_placed(placed), *(() if masks else (NO_MASKS,)))
            if not placed.is_placed.any() and not masks:
                raise SceneError(f"{source}: {say_placed(placed)[0]}")
            _write(placed, staged, masks)
            report = check_copy(staged, source, target, lambda done, total: on_progress("checking", done, total), tick)
            files = [path for path in staged.rglob("*") if path.is_file()]
            n_files, n_bytes = len(files), sum(path.stat().st_size for path in files)
            require_free(target)
            os.rename(staged, target)
    except PlacingStopped as error:
        raise ImportCancelled("The import was stopped; nothing was kept.") from error
    except OSError as error:
        raise SceneError(
            f"{folder}: cannot be written ({error.strerror or error}), expected a folder with space for the scene; check its "
            "permissions, free some space, or import it to another place."
        ) from error
    return ImportedScene(chosen, target, report.format, n_files, n_bytes, 0, report), told


def _copy(
    source: Path, staged: Path, count: int, on_progress: Callable[[int, int], None], tick: Callable[[], None]
) -> tuple[list[str], dict[str, Int32Array]]:
    """Write all photos upright; returns their names, and the masks of those that have some, (H, W) int32, 0 = none."""
    names: list[str] = []
    masks: dict[str, Int32Array] = {}
    if not is_folder(source):

        def looked(done: int, total: int) -> None:
            tick()
            on_progress(done, max(total, done))

        for picture in read_video(source, count=count, tick=looked):
            names.append(f"{picture.number:06d}")
            _save(picture.rgb, staged, names[-1])
        return names, masks
    photos = list_photos(source)
    for done, photo in enumerate(photos):
        tick()
        on_progress(done, len(photos))
        rgb = read_upright(photo.path)
        _save(rgb, staged, photo.name)
        names.append(photo.name)
        mask = inside(source.resolve(), MASKS, f"{photo.name}.png")
        if mask.is_file():
            ids = read_ids(mask)
            if ids.shape != rgb.shape[:2]:
                raise SceneError(
                    f"{mask}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {rgb.shape[1]}x{rgb.shape[0]} as the photo "
                    f"{printable(photo.name)} has when it is upright; resize the masks with nearest-neighbour sampling."
                )
            masks[photo.name] = ids
    return names, masks


def _save(rgb: UInt8Array, staged: Path, name: str) -> None:
    Image.fromarray(rgb).save(staged / "color" / f"{name}.jpg", quality=QUALITY)


def _write(placed: PlacedPhotos, staged: Path, masks: dict[str, Int32Array]) -> None:
    """Write the model and the masks; photos of bent lenses are straightened, and so are their masks."""
    for row, name in enumerate(placed.names):
        if not placed.is_placed[row]:
            continue
        if is_bent(placed, row):
            camera, k1 = placed.camera(row), float(placed.lenses[row, 3])
            path = staged / "color" / f"{name}.jpg"
            _save(straighten_photo(read_upright(path), camera, k1), staged, name)
            if name in masks:
                masks[name] = straighten_masks(masks[name], camera, k1)
    straight = straighten_places(placed)
    if placed.is_placed.any():
        model = staged.joinpath(*MODEL)
        model.mkdir(parents=True)
        write_model(straight, tuple(f"{name}.jpg" for name in placed.names), model)
        save_placed(straight, staged / PLACED_FILE)
    if masks:
        (staged / MASKS).mkdir()
        for name, ids in masks.items():
            Image.fromarray(np.clip(ids, 0, 65535).astype(np.uint16)).save(staged / MASKS / f"{name}.png")
