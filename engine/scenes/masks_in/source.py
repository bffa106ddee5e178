"""Where a scene's masks are: a folder of pictures and arrays, one file of another tool, or a folder of text files.

Knows no scene format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.errors import SceneError
from engine.scenes import pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.layouts import find_parts
from engine.scenes.masks_in.base import MaskSource
from engine.scenes.masks_in.coco import CocoMasks
from engine.scenes.masks_in.cvat import CvatMasks
from engine.scenes.masks_in.label_studio import LabelStudioMasks
from engine.scenes.masks_in.mask_arrays import masks_size, read_masks
from engine.scenes.masks_in.yolo import YoloMasks, list_subsets, list_yolo
from engine.types import NOTHING, Int32Array

FOLDER = "masks"
ARRAYS = (".npz",)
COCO_NAMES = ("masks.json", "annotations.json", "instances.json", "instances_default.json", "coco.json", "_annotations.coco.json")
COCO_PLACES = tuple((*folder, name) for folder in ((), ("annotations",), (FOLDER,)) for name in COCO_NAMES)
"""Path parts of a COCO file, in the order in which they are tried."""
CVAT_PLACES = (("annotations.xml",), ("annotations", "annotations.xml"), (FOLDER, "annotations.xml"))
LABEL_STUDIO_PLACES = (("label_studio.json",), ("annotations", "label_studio.json"), (FOLDER, "label_studio.json"))
_EXPORTED = re.compile(r"project-[0-9]+-at-[0-9-]+(?:-[0-9a-f]+)?\.json")
"""What Label Studio calls its exports; of several the latest counts."""
PHOTO_FOLDER, OTHER_PHOTO_FOLDER = "color", "images"
MAX_ID = 65535


class MaskFiles:
    """One file of masks a view: a picture of ids (.png), or masks or ids in an .npz.

    Args:
        root: The scene's folder.
        listing: The file of each view.
    """

    def __init__(self, root: SceneFolder, listing: Listing) -> None:
        self._root, self._listing = root, listing
        self.views = frozenset(listing.files)
        self.faults = listing.faults
        self.classes: Mapping[int, str] = {}

    def __contains__(self, view: str) -> bool:
        """Whether there is a file for the view, readable or not."""
        return view in self._listing

    def place(self, view: str) -> Path:
        """Return a view's file, for messages; its links are not followed."""
        return self._root.path.joinpath(*self._listing.files[view])

    def size(self, view: str) -> tuple[int, int]:
        """Return (width, height) of a view's masks, pixels, from the file's header.

        Raises:
            SceneError: If the file is broken or leads out of the scene.
        """
        path = self._root.file(*self._listing.files[view])
        return masks_size(path) if self._is_array(view) else pictures.image_size(path)

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none.

        Raises:
            SceneError: If the file is broken, a colour picture, or holds ids above 65535.
        """
        path = self._root.file(*self._listing.files[view])
        return read_masks(path) if self._is_array(view) else read_id_picture(path)

    def notes(self) -> tuple[str, ...]:
        """Return nothing: all files are used."""
        return ()

    def _is_array(self, view: str) -> bool:
        return self._listing.files[view][-1].lower().endswith(ARRAYS)


def read_id_picture(path: Path) -> Int32Array:
    """Read a picture of ids, (H, W) int32, -1 = none.

    Raises:
        SceneError: If it is broken, a colour picture, or holds ids above 65535.
    """
    ids = pictures.read_ids(path)
    if int(ids.max(initial=0)) > MAX_ID or int(ids.min(initial=0)) < 0:
        raise SceneError(f"{path}: found the id {int(ids.max())}, expected ids of 0 to {MAX_ID}; number each view's masks from 1.")
    ids[ids == 0] = NOTHING
    return ids


def list_mask_files(root: SceneFolder) -> Listing:
    """Return the files of masks/ by view."""
    return root.list_files(FOLDER, (*pictures.MAPS, *ARRAYS))


def has_other_masks(root: SceneFolder) -> bool:
    """Whether the scene has masks of another tool: a COCO, CVAT or Label Studio file, or YOLO's labels/."""
    return _find_file(root) is not None or bool(list_yolo(root).files)


def find_masks(root: SceneFolder) -> MaskSource | None:
    """Return the scene's masks: those in masks/, else those of another tool's file or folder; None if there are none.

    Raises:
        SceneError: If the file is broken, or a path leads out of the scene.
    """
    listing = list_mask_files(root)
    if listing.files or listing.faults:
        return MaskFiles(root, listing)
    found = _find_file(root)
    if found is not None:
        parts, read = found
        return read(root, root.file(*parts))
    texts = list_yolo(root)
    return YoloMasks(root, texts) if texts.files or texts.faults else None


def list_photos(root: SceneFolder) -> Listing:
    """Return the photos of color/, or else of images/ and its subfolders train, val and test, by view."""
    colors = root.list_files(PHOTO_FOLDER, pictures.PHOTOS)
    if root.has_folder(PHOTO_FOLDER):
        return colors
    return list_subsets(root, OTHER_PHOTO_FOLDER, pictures.PHOTOS)


def _find_file(root: SceneFolder) -> tuple[tuple[str, ...], Callable[[SceneFolder, Path], MaskSource]] | None:
    """Return the path parts of the first file of masks that exists, and its reader."""
    for candidates, read in READERS:
        parts = find_parts(root, candidates)
        if parts is not None:
            return parts, read
    exported = sorted(name for name in root.names if _EXPORTED.fullmatch(name))
    return ((exported[-1],), _read_label_studio) if exported else None


def _read_label_studio(root: SceneFolder, path: Path) -> MaskSource:
    return LabelStudioMasks(path, list_photos(root).files)


READERS: tuple[tuple[tuple[tuple[str, ...], ...], Callable[[SceneFolder, Path], MaskSource]], ...] = (
    (COCO_PLACES, lambda _, path: CocoMasks(path)),
    (CVAT_PLACES, lambda _, path: CvatMasks(path)),
    (LABEL_STUDIO_PLACES, _read_label_studio),
)
"""Where each kind of file may be, in the order in which they are tried, and what reads it."""
