"""Makes a scene of plain photos or a video: finds them in what was brought, finds their cameras, and writes all that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import SceneError
from engine.grouping.photo_stage import PLACED_FILE
from engine.importing.locate import levels_of
from engine.importing.work import ImportCancelled, Work
from engine.photos.folder import HEIC, LEAST, PHOTOS, PhotoFile, list_photos, read_upright
from engine.photos.model_text import write_model
from engine.photos.place import Photo, PlacingStopped, place_photos, require_pycolmap
from engine.photos.placed import PlacedPhotos, save_placed, say_placed
from engine.photos.undistort import is_bent, straighten_masks, straighten_photo, straighten_places
from engine.photos.video import is_video, read_video
from engine.scenes.folders import SceneFolder, inside, is_folder
from engine.scenes.names import is_foreign, printable
from engine.scenes.pictures import read_ids
from engine.types import Int32Array, UInt8Array

QUALITY = 95
MASKS = "masks"
NO_MASKS = (
    "The scene has no masks yet: press Make masks in its details on the Scenes page, use maskgroup segment, or put "
    "masks/<photo>.png into its folder."
)
MODEL = ("sparse", "0")
MAX_SAID = 3


@dataclass(frozen=True)
class FoundPhotos:
    """Photos that were brought.

    Attributes:
        folder: Where they lie, links resolved.
        depth: How many folders below what was brought; 0 = right in it.
        photos: The photos, 2 before 10.
        masks: The file of each photo's masks, for those that have one.
        n_beside: Other files in their folder.
    """

    folder: Path
    depth: int
    photos: Sequence[PhotoFile]
    masks: Mapping[str, Path]
    n_beside: int


def find_photos(folder: Path, *, shown: Path) -> FoundPhotos | None:
    """Find the one folder of photos in a folder that holds no scene; None if there is none.

    Masks are those of `masks/PHOTO.png` in it or beside it. A video of a photo's name is taken for what phones record with a photo.

    Args:
        folder: What was brought, links resolved.
        shown: What the person named, for messages.

    Raises:
        SceneError: If there are several, a video of another name is among the photos, or one of the photos cannot be taken.
    """
    for depth, level in enumerate(levels_of(folder)):
        found = [root for root in level if len(_pictures(root)) >= LEAST and not (depth and root.path.name == MASKS)]
        if len(found) > 1:
            said = ", ".join(printable(root.path.name) for root in found[:MAX_SAID])
            more = f" and {len(found) - MAX_SAID} more" if len(found) > MAX_SAID else ""
            raise SceneError(
                f"{shown}: found {len(found)} folders of photos, {said}{more}, expected one; import one after the other, or put "
                "all photos of one place into one folder."
            )
        if found:
            root = found[0]
            photos = list_photos(root.path)
            stems = {Path(name).stem.casefold() for name in _pictures(root)}
            videos = [name for name in root.names if _is_own_video(name) and Path(name).stem.casefold() not in stems]
            if videos:
                raise SceneError(
                    f"{shown}: found {len(photos):,} photos and the video {printable(videos[0])}, expected one of "
                    "both; import one after the other."
                )
            masks = _find_masks(folder, root, photos)
            others = [name for name in root.names if not is_folder(root.path / name)]
            return FoundPhotos(root.path, depth, photos, masks, len(others) - len(photos))
    return None


def find_video(place: Path, *, shown: Path) -> Path | None:
    """Return the one video that was brought: the file itself, or one in a folder; None if there is none.

    Raises:
        SceneError: If there are several.
    """
    if not is_folder(place):
        return place if is_video(place) else None
    for level in levels_of(place.resolve()):
        found = [(root, name) for root in level for name in root.names if _is_own_video(name)]
        if len(found) > 1:
            said = ", ".join(printable(name) for _, name in found[:MAX_SAID])
            more = f" and {len(found) - MAX_SAID} more" if len(found) > MAX_SAID else ""
            raise SceneError(f"{shown}: found {len(found)} videos, {said}{more}, expected one; import one after the other.")
        if found:
            root, name = found[0]
            return inside(root.path, name)
    return None


def _is_own_video(name: str) -> bool:
    return not is_foreign(name) and is_video(Path(name))


def _pictures(root: SceneFolder) -> list[str]:
    return [name for name in root.names if not is_foreign(name) and Path(name).suffix.lower() in (*PHOTOS, *HEIC)]


def _find_masks(folder: Path, root: SceneFolder, photos: Sequence[PhotoFile]) -> dict[str, Path]:
    places = (place for place in (root.path, root.path.parent) if place.is_relative_to(folder))
    place = next((place for place in places if is_folder(place / MASKS)), None)
    if place is None:
        return {}
    paths = {photo.name: inside(place, MASKS, f"{photo.name}.png") for photo in photos}
    return {name: path for name, path in paths.items() if path.is_file()}


def make_photo_scene(found: FoundPhotos, staged: Path, work: Work) -> tuple[str, ...]:
    """Make a scene of photos in a new folder.

    Returns:
        Sentences about photos that could not be placed, and about masks.

    Raises:
        ImportCancelled: If it was stopped.
        SceneError: If a photo is broken, or none can be placed and there are no masks either.
        MaskgroupError: If what it needs is not installed.
        OSError: If it cannot be written.
    """
    require_pycolmap()
    _make_folder(staged)
    masks: dict[str, Int32Array] = {}
    for done, photo in enumerate(found.photos):
        work.tick()
        work.report("photos", done, len(found.photos))
        rgb = read_upright(photo.path)
        _save(rgb, staged, photo.name)
        if photo.name in found.masks:
            masks[photo.name] = _read_masks(found.masks[photo.name], rgb, photo.name)
    return _place(found.folder, [photo.name for photo in found.photos], masks, staged, work)


def make_video_scene(path: Path, staged: Path, work: Work) -> tuple[str, ...]:
    """Make a scene of pictures of a video in a new folder; returns and raises as `make_photo_scene` does."""
    require_pycolmap()
    _make_folder(staged)

    def looked(done: int, total: int) -> None:
        work.tick()
        work.report("photos", done, max(total, done))

    names: list[str] = []
    for picture in read_video(path, count=work.count, tick=looked):
        names.append(f"{picture.number:06d}")
        _save(picture.rgb, staged, names[-1])
    return _place(path, names, {}, staged, work)


def _make_folder(staged: Path) -> None:
    (staged / "color").mkdir(parents=True)


def _read_masks(path: Path, rgb: UInt8Array, photo: str) -> Int32Array:
    """Return a photo's masks, (H, W) int32, 0 = none."""
    ids = read_ids(path)
    if ids.shape != rgb.shape[:2]:
        raise SceneError(
            f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected {rgb.shape[1]}x{rgb.shape[0]} as the photo "
            f"{printable(photo)} has when it is upright; resize the masks with nearest-neighbour sampling."
        )
    return ids


def _place(source: Path, names: Sequence[str], masks: dict[str, Int32Array], staged: Path, work: Work) -> tuple[str, ...]:
    """Find the cameras of photos that were written, and write them too."""
    photos = [Photo(view, lambda path=staged / "color" / f"{view}.jpg": read_upright(path)) for view in names]
    try:
        placed = place_photos(photos, on_progress=work.report, is_cancelled=work.is_cancelled)
    except PlacingStopped as error:
        raise ImportCancelled("The import was stopped; nothing was kept.") from error
    told = say_placed(placed)
    if not placed.is_placed.any() and not masks:
        raise SceneError(f"{source}: {told[0]}")
    _write(placed, staged, masks)
    return (*told, *(() if masks else (NO_MASKS,)))


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
