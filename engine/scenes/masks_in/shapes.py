"""Polygons and runs that other tools write, checked and drawn into one view's map of ids. Knows no file format.

What is drawn is checked first: pycocotools trusts coordinates, and takes memory for each pixel of an edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from pycocotools import mask as drawing

from engine.errors import SceneError
from engine.scenes.files import MAX_ID
from engine.scenes.masks_in.overlaps import Layers
from engine.scenes.names import printable
from engine.types import BoolArray, Int32Array

AGAIN = "export the annotations again."
MAX_MASKS_A_VIEW = 10_000
MAX_CORNERS_A_VIEW = 1_000_000
MAX_EDGES_A_VIEW_PX = 5_000_000
MAX_OUTSIDE = 2.0
"""How far outside the picture a corner may lie, in its widths and heights."""
MAX_RUNS = 4_000_000
IN_CLASS = 1000
"""A mask that has a class is called class * 1000 + its number among those of the class in its view, as raw ids of datasets are."""
MAX_CLASSES = MAX_ID // IN_CLASS - 1


class Canvas:
    """The masks of one picture while they are drawn; see `overlaps` for where they overlap.

    Args:
        width: Width of the picture, pixels.
        height: Height of the picture, pixels.
        where: What the masks are read from, for messages.
    """

    def __init__(self, width: int, height: int, where: str) -> None:
        self.width, self.height = width, height
        self._where = where
        self._layers = Layers(width, height, where)
        self._corners, self._edges = 0, 0.0

    def add_polygons(self, mask_id: int, polygons: Sequence[Any], where: str) -> None:
        """Draw polygons as one mask.

        Args:
            mask_id: Its id.
            polygons: x1, y1, x2, y2, … of each, in pixels.
            where: What they are read from, for messages.

        Raises:
            SceneError: If one has fewer than three corners, a corner lies far outside the picture, or they are too many.
        """
        checked = [self._check(polygon, where) for polygon in polygons]
        self._corners += sum(len(polygon) // 2 for polygon in checked)
        self._edges += sum(_length(polygon) for polygon in checked)
        if self._corners > MAX_CORNERS_A_VIEW or self._edges > MAX_EDGES_A_VIEW_PX:
            raise SceneError(
                f"{where}: found more than {MAX_CORNERS_A_VIEW:,} corners or {MAX_EDGES_A_VIEW_PX:,} pixels of edges in a "
                "view, expected outlines of objects; simplify them."
            )
        if checked:
            drawn = drawing.merge(drawing.frPyObjects(checked, self.height, self.width))
            self.add_columns(mask_id, unpack_runs(drawn["counts"].decode("ascii")) or [])

    def add_columns(self, mask_id: int, runs: Sequence[int]) -> None:
        """Add a mask whose runs go down the columns of the whole picture and begin outside the mask."""
        stops = np.cumsum(np.array(runs, np.int64))
        lengths, ends = np.array(runs[1::2], np.int64), stops[1::2]
        ends = ends[lengths > 0]
        if not len(ends):
            return
        first = int(ends[0] - lengths[lengths > 0][0]) // self.height
        last = (int(ends[-1]) - 1) // self.height
        begin, end = first * self.height, (last + 1) * self.height
        self._layers.reserve(end - begin)
        edges = np.clip(np.concatenate([[0], stops]), begin, end)
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(edges))
        self._layers.add(mask_id, flat.reshape(last - first + 1, self.height).T, column=first)

    def add_picture(self, mask_id: int, mask: BoolArray, *, row: int = 0, column: int = 0) -> None:
        """Add a mask, (some rows, some columns) bool, at a place inside the picture."""
        whole = np.zeros((self.height, mask.shape[1]), bool)
        whole[row : row + mask.shape[0]] = mask
        self._layers.reserve(whole.size)
        self._layers.add(mask_id, whole, column=column)

    def flatten(self) -> Int32Array:
        """Return the id of every pixel, (height, width) int32, -1 = none."""
        return self._layers.flatten()

    def _check(self, given: Any, where: str) -> list[float]:
        polygon = cast("list[Any]", given) if isinstance(given, list) else []
        if len(polygon) < 6 or len(polygon) % 2:
            raise SceneError(f"{where}: found a polygon without three corners, expected x1, y1, x2, y2, x3, y3 …; {AGAIN}")
        for at, number in enumerate(polygon):
            side = self.height if at % 2 else self.width
            if type(number) not in (int, float) or not math.isfinite(number) or abs(number) > (1 + MAX_OUTSIDE) * side:
                raise SceneError(
                    f"{where}: found the coordinate {printable(str(number))}, expected pixels inside a picture of "
                    f"{self.width}x{self.height}; {AGAIN}"
                )
        return [float(number) for number in polygon]


def number_in_classes(classes: Sequence[int | None]) -> list[int]:
    """Return an id for each mask of a view: class * 1000 + its number among those of its class, from 1.

    Masks are numbered from 1 instead where a class is unknown or has too many masks in the view.

    Args:
        classes: The number of each mask's class, from 1; None = unknown.
    """
    counts: dict[int, int] = {}
    ids: list[int] = []
    for one in classes:
        if one is None:
            return list(range(1, len(classes) + 1))
        counts[one] = counts.get(one, 0) + 1
        ids.append(one * IN_CLASS + counts[one])
    if max(counts.values(), default=0) >= IN_CLASS or max(counts, default=1) > MAX_CLASSES:
        return list(range(1, len(classes) + 1))
    return ids


def require_few_masks(count: int, where: str) -> None:
    """Refuse a view with too many masks.

    Raises:
        SceneError: If it has.
    """
    if count > MAX_MASKS_A_VIEW:
        raise SceneError(f"{where}: found {count:,} masks, expected at most {MAX_MASKS_A_VIEW:,} in a view; keep fewer.")


def _length(polygon: list[float]) -> float:
    """Return the length of a polygon's edges, pixels, as the larger of both directions: what drawing it takes."""
    points = np.array(polygon).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


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
