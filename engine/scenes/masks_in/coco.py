"""Masks in COCO instance JSON: polygons and run-length encoding, plain or packed. Knows no scene format.

The file is read and its pictures are listed when the scene is opened; a picture's masks are drawn when they are asked for. What is
drawn is checked first: pycocotools trusts coordinates, and its decoder trusts run lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from engine.errors import SceneError
from engine.scenes.files import MAX_ID, MAX_SIDE_PX, read_json
from engine.scenes.masks_in.base import MasksOfOneFile
from engine.scenes.masks_in.shapes import AGAIN, MAX_RUNS, Canvas, require_few_masks, unpack_runs
from engine.scenes.names import fault_of, normal_form, printable
from engine.scenes.pictures import MAX_PIXELS
from engine.types import Int32Array

WHAT = 'COCO instance JSON: an object with "images" and "annotations"'
MAX_COCO_BYTES = 64 * 2**20
MAX_IMAGES, MAX_ANNOTATIONS = 200_000, 2_000_000


class CocoMasks(MasksOfOneFile["_Picture"]):
    """The masks of one COCO file, by view. A view is called as its picture's file is, without folder and ending.

    Where two pictures have the same name in different folders, the folder is part of the view's name: left/0.jpg is left_0.

    Args:
        path: The JSON file, which must lie inside the scene.

    Raises:
        SceneError: If it is missing, too large, or no COCO file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        content = read_json(path, WHAT, limit=MAX_COCO_BYTES)
        images, annotations = content.get("images"), content.get("annotations")
        if not isinstance(images, list) or not isinstance(annotations, list):
            raise SceneError(f"{path}: found no lists of images and annotations, expected {WHAT}; {AGAIN}")
        listed, masks = len(cast("list[Any]", images)), len(cast("list[Any]", annotations))
        if listed > MAX_IMAGES or masks > MAX_ANNOTATIONS:
            raise SceneError(
                f"{path}: found {listed:,} images and {masks:,} annotations, expected at most {MAX_IMAGES:,} and "
                f"{MAX_ANNOTATIONS:,}; keep those of the scene."
            )
        self._views: dict[str, _Picture] = {}
        self.faults: dict[str, str] = {}
        self.classes: Mapping[int, str] = {}
        self._crowds = self._outlined = self._lost = self._unread = 0
        by_id = self._list_pictures(cast("list[Any]", images))
        for annotation in cast("list[Any]", annotations):
            self._file(annotation, by_id)
        self.views = frozenset(self._views)

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none; see `overlaps` for where masks overlap.

        A mask's id is its annotation's, if that is a number of its own from 1; otherwise masks are numbered from 1 in each view.

        Raises:
            SceneError: If an annotation of the view is broken.
        """
        own = self._views[view]
        require_few_masks(len(own.annotations), f"{self._path}: {printable(view)}")
        given = [annotation.get("id") for annotation in own.annotations]
        is_numbered = all(type(one) is int and 1 <= one <= MAX_ID for one in given) and len(set(given)) == len(given)
        canvas = Canvas(own.width, own.height, str(self._path))
        for number, annotation in enumerate(own.annotations, start=1):
            where = f"{self._path}: annotation {number} of {printable(view)}"
            shape: Any = annotation["segmentation"]
            mask_id = cast("int", given[number - 1]) if is_numbered else number
            if isinstance(shape, list):
                listed = cast("list[Any]", shape)
                canvas.add_polygons(mask_id, [listed] if listed and not isinstance(listed[0], list) else listed, where)
            else:
                canvas.add_columns(mask_id, _read_runs(where, shape, own))
        return canvas.flatten()

    def notes(self) -> tuple[str, ...]:
        """Return sentences about annotations that are not used."""
        said: list[str] = []
        if self._crowds:
            said.append(f"{self._crowds} annotations of crowds (iscrowd) are not used: they cover several objects.")
        if self._outlined:
            said.append(f"{self._outlined} annotations have a box but no mask, and are not used.")
        if self._lost:
            said.append(f"{self._lost} annotations belong to no image that {self._path.name} lists, and are not used.")
        if self._unread:
            said.append(
                f"{self._unread} images of {self._path.name} have no id, no file_name, or no width and height of at most "
                f"{MAX_SIDE_PX:,} pixels, and are not used."
            )
        return tuple(said)

    def _list_pictures(self, images: list[Any]) -> dict[int | str, _Picture]:
        by_id: dict[int | str, _Picture] = {}
        named: dict[str, list[_Picture]] = {}
        for image in images:
            picture = _Picture.read(image)
            if picture is None:
                self._unread += 1
                continue
            if picture.id in by_id:
                raise SceneError(f"{self._path}: found two images of the id {picture.id!r}, expected one; {AGAIN}")
            by_id[picture.id] = picture
            named.setdefault(picture.parts[-1], []).append(picture)
        for name, alike in named.items():
            for picture in alike:
                view = name if len(alike) == 1 else "_".join(picture.parts)
                fault = fault_of(view)
                if fault is not None:
                    self.faults[view] = f"{self._path.name} lists {printable(view)}: {fault}; rename the picture"
                elif view in self._views:
                    self.faults[view] = f"{self._path.name} lists {printable(view)} twice, expected one entry; remove the other"
                else:
                    self._views[view] = picture
        for view in self.faults:
            self._views.pop(view, None)
        return by_id

    def _file(self, annotation: Any, by_id: dict[int | str, _Picture]) -> None:
        """Put an annotation beside its picture; what is wrong inside is found when the picture's masks are read."""
        fields = cast("dict[str, Any]", annotation) if isinstance(annotation, dict) else {}
        image = fields.get("image_id")
        picture = by_id.get(image) if isinstance(image, (int, str)) else None
        if picture is None:
            self._lost += 1
        elif fields.get("iscrowd"):
            self._crowds += 1
        elif not fields.get("segmentation"):
            self._outlined += 1
        else:
            picture.annotations.append(fields)


class _Picture:
    """An image of the file: its id, the parts of its name without ending, its size, and its annotations."""

    def __init__(self, image_id: int | str, parts: tuple[str, ...], width: int, height: int) -> None:
        self.id, self.parts, self.width, self.height = image_id, parts, width, height
        self.annotations: list[dict[str, Any]] = []

    @classmethod
    def read(cls, image: Any) -> _Picture | None:
        """Return the image, None if it is malformed."""
        if not isinstance(image, dict):
            return None
        fields = cast("dict[str, Any]", image)
        image_id, name, width, height = (fields.get(key) for key in ("id", "file_name", "width", "height"))
        if not isinstance(image_id, (int, str)) or not isinstance(name, str):
            return None
        if type(width) is not int or type(height) is not int or min(width, height) < 1 or max(width, height) > MAX_SIDE_PX:
            return None
        if width * height > MAX_PIXELS:
            return None
        *folders, last = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")] or [""]
        stem = last.rpartition(".")[0] or last
        return cls(image_id, tuple(normal_form(part) for part in (*folders, stem)), width, height) if stem else None


def _read_runs(where: str, shape: Any, own: _Picture) -> list[int]:
    """Return run lengths, which go down the columns and begin outside the mask; they must fill the picture exactly."""
    fields = cast("dict[str, Any]", shape) if isinstance(shape, dict) else {}
    counts, size = fields.get("counts"), fields.get("size")
    if size != [own.height, own.width]:
        raise SceneError(
            f"{where}: found a mask of size {printable(str(size))}, expected [{own.height}, {own.width}] as its image has; {AGAIN}"
        )
    runs = unpack_runs(counts) if isinstance(counts, str) else cast("list[Any]", counts) if isinstance(counts, list) else None
    if runs is None or len(runs) > MAX_RUNS or not all(type(run) is int and 0 <= run <= MAX_PIXELS for run in runs):
        raise SceneError(f"{where}: found run lengths that are none, expected COCO's counts; {AGAIN}")
    if sum(runs) != own.width * own.height:
        raise SceneError(f"{where}: found runs of {sum(runs):,} pixels, expected {own.width * own.height:,}; {AGAIN}")
    return runs
