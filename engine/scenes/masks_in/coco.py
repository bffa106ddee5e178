"""Masks in COCO instance JSON: polygons and run-length encoding, plain or packed. Knows no scene format.

The file is read and its pictures are listed when the scene is opened; a picture's masks are drawn when they are asked for. What is
drawn is checked first: pycocotools trusts coordinates, and its decoder trusts run lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from pycocotools import mask as drawing

from engine.errors import SceneError
from engine.scenes.files import MAX_ID, MAX_SIDE_PX, read_json
from engine.scenes.masks_in.overlaps import Layers
from engine.scenes.names import fault_of, normal_form, printable
from engine.scenes.pictures import MAX_PIXELS
from engine.types import Int32Array

WHAT = 'COCO instance JSON: an object with "images" and "annotations"'
AGAIN = "export the annotations again."
MAX_COCO_BYTES = 64 * 2**20
MAX_IMAGES, MAX_ANNOTATIONS = 200_000, 2_000_000
MAX_MASKS_A_VIEW = 10_000
MAX_CORNERS_A_VIEW = 1_000_000
MAX_EDGES_A_VIEW_PX = 5_000_000
MAX_OUTSIDE = 2.0
"""How far outside the picture a corner may lie, in its widths and heights: drawing takes memory for each pixel of an edge."""
MAX_RUNS = 4_000_000


class CocoMasks:
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
        self._crowds = self._outlined = self._lost = self._unread = 0
        by_id = self._list_pictures(cast("list[Any]", images))
        for annotation in cast("list[Any]", annotations):
            self._file(annotation, by_id)
        self.views = frozenset(self._views)

    def __contains__(self, view: str) -> bool:
        """Whether the file lists the view."""
        return view in self._views or view in self.faults

    def place(self, view: str) -> Path:
        """Return the file, for messages."""
        return self._path

    def size(self, view: str) -> tuple[int, int]:
        """Return (width, height) of the view's picture as the file says."""
        own = self._views[view]
        return own.width, own.height

    def read(self, view: str) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none; see `overlaps` for where masks overlap.

        A mask's id is its annotation's, if that is a number of its own from 1; otherwise masks are numbered from 1 in each view.

        Raises:
            SceneError: If an annotation of the view is broken.
        """
        own = self._views[view]
        if len(own.annotations) > MAX_MASKS_A_VIEW:
            raise SceneError(
                f"{self._path}: found {len(own.annotations):,} masks of {printable(view)}, expected at most {MAX_MASKS_A_VIEW:,}; "
                "keep fewer."
            )
        given = [annotation.get("id") for annotation in own.annotations]
        is_numbered = all(type(one) is int and 1 <= one <= MAX_ID for one in given) and len(set(given)) == len(given)
        layers, corners, edges = Layers(own.width, own.height, str(self._path)), 0, 0.0
        for number, annotation in enumerate(own.annotations, start=1):
            where = f"{self._path}: annotation {number} of {printable(view)}"
            shape: Any = annotation["segmentation"]
            if isinstance(shape, list):
                polygons = list(_polygons(where, cast("list[Any]", shape), own))
                corners += sum(len(polygon) // 2 for polygon in polygons)
                edges += sum(_length(polygon) for polygon in polygons)
                if corners > MAX_CORNERS_A_VIEW or edges > MAX_EDGES_A_VIEW_PX:
                    raise SceneError(
                        f"{where}: found more than {MAX_CORNERS_A_VIEW:,} corners or {MAX_EDGES_A_VIEW_PX:,} pixels of edges in a "
                        "view, expected outlines of objects; simplify them."
                    )
                runs = _draw(polygons, own)
            else:
                runs = _read_runs(where, shape, own)
            _add(layers, cast("int", given[number - 1]) if is_numbered else number, runs, own)
        return layers.flatten()

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


def _polygons(where: str, shape: list[Any], own: _Picture) -> Iterator[list[float]]:
    """Yield the polygons of an annotation, checked: at least three finite corners in or near the picture."""
    listed = [shape] if shape and not isinstance(shape[0], list) else shape
    for polygon in listed:
        if not isinstance(polygon, list) or len(cast("list[Any]", polygon)) < 6 or len(cast("list[Any]", polygon)) % 2:
            raise SceneError(f"{where}: found a polygon without three corners, expected x1, y1, x2, y2, x3, y3 …; {AGAIN}")
        numbers = cast("list[Any]", polygon)
        for at, number in enumerate(numbers):
            side = own.height if at % 2 else own.width
            if type(number) not in (int, float) or not math.isfinite(number) or abs(number) > (1 + MAX_OUTSIDE) * side:
                raise SceneError(
                    f"{where}: found the coordinate {printable(str(number))}, expected pixels inside a picture of "
                    f"{own.width}x{own.height}; {AGAIN}"
                )
        yield [float(number) for number in numbers]


def _length(polygon: list[float]) -> float:
    """Return the length of a polygon's edges, pixels, as the larger of both directions: what drawing it takes."""
    points = np.array(polygon).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


def _draw(polygons: list[list[float]], own: _Picture) -> list[int]:
    """Return the run lengths of all polygons together."""
    drawn = drawing.merge(drawing.frPyObjects(polygons, own.height, own.width))
    return unpack_runs(drawn["counts"].decode("ascii")) or []


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


def _add(layers: Layers, mask_id: int, runs: list[int], own: _Picture) -> None:
    """Lay runs out, only the columns between the mask's first and last."""
    stops = np.cumsum(np.array(runs, np.int64))
    lengths, ends = np.array(runs[1::2], np.int64), stops[1::2]
    ends = ends[lengths > 0]
    if not len(ends):
        return
    first = int(ends[0] - lengths[lengths > 0][0]) // own.height
    last = (int(ends[-1]) - 1) // own.height
    begin, end = first * own.height, (last + 1) * own.height
    layers.reserve(end - begin)
    edges = np.clip(np.concatenate([[0], stops]), begin, end)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(edges))
    layers.add(mask_id, flat.reshape(last - first + 1, own.height).T, column=first)


def unpack_runs(text: str) -> list[int] | None:
    """Return the run lengths that COCO packs into text, None if it is no such text.

    Each number is written in digits of five bits, the lowest first, plus 48, with the sixth bit set where more follow. After the
    third run it is the difference to the run before the last. (COCO API, maskApi.c, rleToString.)
    """
    if len(text) > 4 * MAX_RUNS or not text.isascii():
        return None
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        digit = code - 48
        if not 0 <= digit < 64 or shift > 30:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return None if shift else runs
