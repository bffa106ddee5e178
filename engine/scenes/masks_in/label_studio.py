"""Masks in Label Studio's JSON export: polygons and brush strokes. Knows no scene format.

A brush is packed bit by bit; how much it unpacks to is checked against the picture's size before it is unpacked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import SceneError
from engine.scenes.class_names import clean_name
from engine.scenes.files import MAX_SIDE_PX, read_json_value
from engine.scenes.masks_in.base import MasksOfOneFile
from engine.scenes.masks_in.shapes import AGAIN, Canvas, number_in_classes, require_few_masks
from engine.scenes.names import fault_of, normal_form, printable
from engine.scenes.pictures import MAX_PIXELS, PHOTOS
from engine.types import BoolArray, Int32Array, UInt8Array

WHAT = "Label Studio's JSON export: a list of tasks, each with data and annotations"
MAX_JSON_BYTES = 256 * 2**20
MAX_TASKS, MAX_RESULTS, MAX_LABELS = 200_000, 2_000_000, 100_000
MAX_PACKED_BYTES = 4 * 2**20
KINDS = ("polygonlabels", "brushlabels", "polygon", "brush")
CHANNELS = 4
"""A brush is a picture of red, green, blue and opacity; the mask is where it is not transparent."""
_PREFIX = re.compile("[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight digits before the names of files that were uploaded."""


@dataclass
class _Picture:
    width: int
    height: int
    results: list[tuple[int | None, dict[str, Any]]] = field(default_factory=list[tuple[int | None, dict[str, Any]]])


class LabelStudioMasks(MasksOfOneFile["_Picture"]):
    """The masks of one export, by view. A view is called as its picture's file is, without folder and ending.

    The eight digits before an uploaded file's name are left out, unless a photo has them too. Of several annotations of a task the
    first that was not cancelled counts.

    Args:
        path: The JSON file, which must lie inside the scene.
        photos: Names of photos that are known, without ending.

    Raises:
        SceneError: If it is missing, too large, or no such file.
    """

    def __init__(self, path: Path, photos: Collection[str] = ()) -> None:
        self._path, self._photos = path, photos
        tasks = read_json_value(path, WHAT, limit=MAX_JSON_BYTES)
        if not isinstance(tasks, list) or len(cast("list[Any]", tasks)) > MAX_TASKS:
            raise SceneError(f"{path}: found no list of at most {MAX_TASKS:,} tasks, expected {WHAT}; {AGAIN}")
        self._views: dict[str, _Picture] = {}
        self.faults: dict[str, str] = {}
        self._labels: dict[str, int] = {}
        self._n_unused = self._n_unread = self._n_results = 0
        for task in cast("list[Any]", tasks):
            self._file(cast("dict[str, Any]", task) if isinstance(task, dict) else {})
        for view in self.faults:
            self._views.pop(view, None)
        self.views = frozenset(self._views)
        self.classes: Mapping[int, str] = {number: name for name, number in self._labels.items()}

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none; see `overlaps` for where masks overlap.

        An id is label * 1000 + the mask's number in its label, labels numbered from 1 in the order in which the file has them.

        Raises:
            SceneError: If a mask of the view is broken.
        """
        own = self._views[view]
        where = f"{self._path}: {printable(view)}"
        require_few_masks(len(own.results), where)
        canvas = Canvas(own.width, own.height, where)
        ids = number_in_classes([label for label, _ in own.results])
        for mask_id, (_, value) in zip(ids, own.results, strict=True):
            if "rle" in value:
                canvas.add_picture(mask_id, _unpack_brush(value["rle"], own.width, own.height, where))
            else:
                canvas.add_polygons(mask_id, [list(_corners(value.get("points"), own, where))], where)
        return canvas.flatten()

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what is not used."""
        said: list[str] = []
        if self._n_unused:
            said.append(f"{self._n_unused} results of {self._path.name} are neither polygons nor brushes, and are not used.")
        if self._n_unread:
            said.append(f"{self._n_unread} tasks of {self._path.name} have no picture or no finished annotation, and are not used.")
        return tuple(said)

    def _file(self, task: dict[str, Any]) -> None:
        view, results = self._view_of(task.get("data")), _results_of(task)
        if view is None or results is None:
            self._n_unread += 1
            return
        fault = "it comes twice, expected one task for a picture" if view in self._views else fault_of(view)
        if fault is not None:
            self.faults[view] = f"{self._path.name} lists {printable(view)}: {fault}; rename the picture, or remove the task"
            return
        self._n_results += len(results)
        if self._n_results > MAX_RESULTS:
            raise SceneError(
                f"{self._path}: found more than {MAX_RESULTS:,} results, expected those of a scene; leave out the others."
            )
        picture: _Picture | None = None
        for result in results:
            kind, value = result.get("type"), result.get("value")
            if kind not in KINDS or not isinstance(value, dict):
                self._n_unused += 1
                continue
            found = _size_of(result)
            if found is None or (picture is not None and (picture.width, picture.height) != found):
                self.faults[view] = (
                    f"{self._path.name} gives {printable(view)} no one size, expected original_width and original_height of a "
                    "picture that is not rotated; export it again"
                )
                return
            picture = picture or _Picture(*found)
            shape = cast("dict[str, Any]", value)
            picture.results.append((self._label(shape, cast("str", kind)), shape))
        if picture is not None:
            self._views[view] = picture

    def _view_of(self, data: object) -> str | None:
        """Return what the view of a task's picture is called: the first of its data that is a picture's path or address."""
        for value in cast("dict[str, Any]", data).values() if isinstance(data, dict) else ():
            if not isinstance(value, str) or len(value) > 10_000:
                continue
            # A file on the server's own disk is written /data/local-files/?d=photos/0.jpg.
            path = value.partition("?d=")[2] or re.split("[?#]", value)[0]
            name = path.replace("\\", "/").rpartition("/")[2]
            stem, dot, ending = name.rpartition(".")
            if stem and f"{dot}{ending.lower()}" in PHOTOS:
                view = normal_form(stem)
                return view if view in self._photos else _PREFIX.sub("", view, count=1)
        return None

    def _label(self, value: dict[str, Any], kind: str) -> int | None:
        given = value.get(kind)
        first: Any = cast("list[Any]", given)[0] if isinstance(given, list) and given else None
        name = clean_name(first)
        if name is None or (name not in self._labels and len(self._labels) >= MAX_LABELS):
            return None
        return self._labels.setdefault(name, len(self._labels) + 1)


def _results_of(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return what the first annotation of a task says that was not cancelled, None if there is none."""
    given = task.get("annotations", task.get("completions"))
    for one in cast("list[Any]", given) if isinstance(given, list) else []:
        annotation = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        results = annotation.get("result")
        if isinstance(results, list) and not annotation.get("was_cancelled"):
            return [cast("dict[str, Any]", result) for result in cast("list[Any]", results) if isinstance(result, dict)]
    return None


def _size_of(result: dict[str, Any]) -> tuple[int, int] | None:
    width, height = result.get("original_width"), result.get("original_height")
    if type(width) is not int or type(height) is not int or result.get("image_rotation", 0) != 0:
        return None
    return (
        (width, height) if min(width, height) >= 1 and max(width, height) <= MAX_SIDE_PX and width * height <= MAX_PIXELS else None
    )


def _corners(points: object, own: _Picture, where: str) -> Iterator[float]:
    """Yield x1, y1, x2, y2, … in pixels; the file has per cent of the picture's sides."""
    for point in cast("list[Any]", points) if isinstance(points, list) else []:
        pair = cast("list[Any]", point) if isinstance(point, list) else []
        if len(pair) != 2 or not all(type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e6 for value in pair):
            raise SceneError(f"{where}: found the corner {printable(str(pair))}, expected [x, y] in per cent; {AGAIN}")
        yield pair[0] * own.width / 100
        yield pair[1] * own.height / 100


class _Bits:
    """The bits of a packed brush, read from the front.

    Raises:
        ValueError: If more bits are asked for than there are.
    """

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._text = self._bits.astype("S1").tobytes().decode("ascii")
        self._at = 0

    def number(self, bits: int) -> int:
        """Return the next number of so many bits."""
        return int(self._take(bits), 2)

    def values(self, count: int, bits: int) -> UInt8Array:
        """Return the lowest eight bits of each of the next numbers, (count,) uint8."""
        begin = self._at
        self._take(count * bits)
        return np.packbits(self._bits[begin : self._at].reshape(count, bits)[:, -8:], axis=1)[:, 0]

    def _take(self, bits: int) -> str:
        found = self._text[self._at : self._at + bits]
        if len(found) < bits:
            raise ValueError("it is cut short")
        self._at += bits
        return found


def _unpack_brush(packed: object, width: int, height: int, where: str) -> BoolArray:
    """Return a brush as a mask, (height, width) bool.

    The bits are: how many values there are (32), bits a value - 1 (5), and four lengths - 1 (4 each). Then come runs: whether one
    value is repeated (1), which of the four lengths its count - 1 is written in (2), the count - 1, and the value or values.
    (label-studio-converter, brush.py, decode_rle.)
    """
    numbers = cast("list[Any]", packed) if isinstance(packed, list) else []
    again = f"expected the rle of a brush on a picture of {width}x{height}; {AGAIN}"
    if len(numbers) > MAX_PACKED_BYTES or not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise SceneError(f"{where}: found a brush that is no list of at most {MAX_PACKED_BYTES:,} bytes, {again}")
    total = width * height * CHANNELS
    try:
        bits = _Bits(bytes(numbers))
        if (said := bits.number(32)) != total:
            raise SceneError(f"{where}: found a brush of {said:,} values, {again}")
        word = bits.number(5) + 1
        lengths = [bits.number(4) + 1 for _ in range(4)]
        values = np.zeros(total, np.uint8)
        at = 0
        while at < total:
            is_repeated = bits.number(1)
            count = bits.number(lengths[bits.number(2)]) + 1
            if at + count > total:
                raise ValueError("it is too long")
            if is_repeated:
                values[at : at + count] = bits.number(word) & 255
            else:
                if word < 8:
                    raise ValueError(f"it has {word} bits a value")
                values[at : at + count] = bits.values(count, word)
            at += count
    except ValueError as error:
        raise SceneError(f"{where}: found a brush that cannot be unpacked ({error}), {again}") from error
    return values.reshape(height, width, CHANNELS)[..., CHANNELS - 1] != 0
