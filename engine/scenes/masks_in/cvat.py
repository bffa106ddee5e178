"""Masks in CVAT's XML ("CVAT for images 1.1" and "CVAT for video 1.1"): polygons, masks and tracks. Knows no scene format.

The file is read piece by piece and never as a tree. A document type is refused before anything in it is read, so no entity is ever
expanded. Each view's masks are drawn when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from engine.errors import SceneError
from engine.scenes.class_names import clean_name
from engine.scenes.files import MAX_SIDE_PX, require_file
from engine.scenes.masks_in.base import MasksOfOneFile
from engine.scenes.masks_in.shapes import AGAIN, IN_CLASS, MAX_CLASSES, Canvas, number_in_classes, require_few_masks
from engine.scenes.names import fault_of, normal_form, printable
from engine.scenes.pictures import MAX_PIXELS
from engine.types import Int32Array

WHAT = 'CVAT\'s XML: "CVAT for images 1.1" or "CVAT for video 1.1"'
MAX_XML_BYTES = 64 * 2**20
MAX_IMAGES, MAX_SHAPES, MAX_LABELS = 200_000, 2_000_000, 100_000
CHUNK_BYTES = 2**16
FRAME = "frame_{:06d}"
"""How CVAT names the pictures of a video when it exports them."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class _Shape:
    """A polygon or a mask, as written: the label's number, the track's number in its label (None outside tracks)."""

    kind: str
    label: int
    track: int | None
    fields: Mapping[str, str]
    z_order: int


@dataclass
class _Picture:
    width: int
    height: int
    shapes: list[_Shape] = field(default_factory=list[_Shape])


class CvatMasks(MasksOfOneFile["_Picture"]):
    """The masks of one CVAT file, by view. A view is called as its picture's file is, without folder and ending.

    Frames of a video have no names in the file; they are called as CVAT's own export of the pictures calls them: frame_000000.

    Args:
        path: The XML file, which must lie inside the scene.

    Raises:
        SceneError: If it is missing, too large, has a document type, or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        found = _Reader(path)
        found.read()
        self._views = found.views
        self.faults = found.faults
        self._unread = found.n_unread
        self._unused = found.n_unused
        self.views = frozenset(self._views)
        self.classes: Mapping[int, str] = {number: name for name, number in found.labels.items()}

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none; see `overlaps` for where masks overlap.

        An id is label * 1000 + the mask's number in its label: in the view, or, for a track, among the label's tracks in the whole
        file, so that it has one id in all views.

        Raises:
            SceneError: If a shape of the view is broken.
        """
        own = self._views[view]
        where = f"{self._path}: {printable(view)}"
        require_few_masks(len(own.shapes), where)
        canvas = Canvas(own.width, own.height, where)
        for mask_id, shape in zip(_number(own.shapes), own.shapes, strict=True):
            if shape.kind == "polygon":
                canvas.add_polygons(mask_id, [_corners(shape.fields.get("points", ""), where)], where)
            else:
                _add_mask(canvas, mask_id, shape.fields, where)
        return canvas.flatten()

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what is not used."""
        said: list[str] = []
        if self._unused:
            said.append(f"{self._unused} shapes of {self._path.name} are boxes, lines or points, and are not used.")
        if self._unread:
            said.append(
                f"{self._unread} images of {self._path.name} have no name, or no width and height of at most {MAX_SIDE_PX:,} "
                "pixels, and are not used."
            )
        return tuple(said)


class _Reader:
    """Reads a file once, from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.labels: dict[str, int] = {}
        self.views: dict[str, _Picture] = {}
        self.faults: dict[str, str] = {}
        self.n_unread = self.n_unused = 0
        self._n_shapes = 0
        self._image: _Picture | None = None
        self._track: tuple[int, int] | None = None
        self._tracks: dict[int, int] = {}
        self._size: dict[str, str] = {}
        self._way: list[str] = []
        self._text = ""

    def read(self) -> None:
        require_file(self._path, WHAT, limit=MAX_XML_BYTES)
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    parser.Parse(chunk, False)
                parser.Parse(b"", True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise SceneError(f"{self._path}: cannot be read as XML ({error}), expected {WHAT}; {AGAIN}") from error

    def _refuse(self, *_: object) -> None:
        raise SceneError(f"{self._path}: found a document type, expected {WHAT}, which has none; remove it.")

    def _begin(self, tag: str, fields: dict[str, str]) -> None:
        if not self._way and tag != "annotations":
            raise SceneError(f"{self._path}: found the element {printable(tag)}, expected {WHAT}; {AGAIN}")
        if len(self._way) > 20:
            raise SceneError(f"{self._path}: found elements in more than 20 others, expected {WHAT}; {AGAIN}")
        self._way.append(tag)
        self._text = ""
        if tag == "image":
            self._begin_image(fields)
        elif tag == "track":
            label = self._label(fields.get("label", ""))
            self._tracks[label] = self._tracks.get(label, 0) + 1
            self._track = label, self._tracks[label]
        elif tag in ("polygon", "mask"):
            self._begin_shape(tag, fields)
        elif tag in ("box", "polyline", "points", "ellipse", "cuboid", "skeleton") and self._way[-2:-1] in (["image"], ["track"]):
            self.n_unused += 1

    def _end(self, tag: str) -> None:
        if tag == "image":
            self._image = None
        elif tag == "track":
            self._track = None
        elif self._way[-3:-1] == ["labels", "label"] and tag == "name":
            self._label(self._text)
        elif (
            self._way[-2:-1] == ["original_size"] and tag in ("width", "height") and re.fullmatch("[0-9]{1,6}", self._text.strip())
        ):
            self._size[tag] = self._text.strip()
        self._way.pop()

    def _add_text(self, text: str) -> None:
        if self._way[-1] in ("name", "width", "height"):
            self._text = (self._text + text)[:1000]

    def _label(self, written: str) -> int:
        """Return a label's number, from 1: in the order of the file's own list, then as they come."""
        name = clean_name(written) or "unnamed"
        number = self.labels.setdefault(name, len(self.labels) + 1)
        if number > MAX_LABELS:
            raise SceneError(f"{self._path}: found more than {MAX_LABELS:,} labels, expected at most that; {AGAIN}")
        return number

    def _begin_image(self, fields: dict[str, str]) -> None:
        name = fields.get("name", "").replace("\\", "/").rpartition("/")[2]
        picture = _picture_of(fields.get("width", ""), fields.get("height", ""))
        view = normal_form(name.rpartition(".")[0] or name)
        if picture is None or not view:
            self.n_unread += 1
        elif view in self.views or view in self.faults:
            self.views.pop(view, None)
            self.faults[view] = f"{self._path.name} lists {printable(view)} twice, expected one entry; rename one of the pictures"
        elif (fault := fault_of(view)) is not None:
            self.faults[view] = f"{self._path.name} lists {printable(view)}: {fault}; rename the picture"
        else:
            self._require_few()
            self.views[view] = self._image = picture

    def _begin_shape(self, kind: str, fields: dict[str, str]) -> None:
        self._n_shapes += 1
        if self._n_shapes > MAX_SHAPES:
            raise SceneError(
                f"{self._path}: found more than {MAX_SHAPES:,} shapes, expected those of a scene; leave out the others."
            )
        z_order = fields.get("z_order", "0")
        z_order = int(z_order) if re.fullmatch("-?[0-9]{1,9}", z_order) else 0
        if self._track is not None:
            frame = fields.get("frame", "")
            if fields.get("outside") == "1":
                return
            if re.fullmatch("[0-9]{1,6}", frame) is None:
                raise SceneError(
                    f"{self._path}: found a shape of a track in the frame {printable(frame)}, expected a number; {AGAIN}"
                )
            label, number = self._track
            self._frame(int(frame)).shapes.append(_Shape(kind, label, number, fields, z_order))
        elif self._image is not None:
            self._image.shapes.append(_Shape(kind, self._label(fields.get("label", "")), None, fields, z_order))

    def _frame(self, number: int) -> _Picture:
        view = FRAME.format(number)
        if view not in self.views:
            picture = _picture_of(self._size.get("width", ""), self._size.get("height", ""))
            if picture is None:
                raise SceneError(f"{self._path}: found tracks but no original_size of their pictures, expected {WHAT}; {AGAIN}")
            self._require_few()
            self.views[view] = picture
        return self.views[view]

    def _require_few(self) -> None:
        if len(self.views) >= MAX_IMAGES:
            raise SceneError(
                f"{self._path}: found more than {MAX_IMAGES:,} images, expected those of a scene; leave out the others."
            )


def _picture_of(width: str, height: str) -> _Picture | None:
    """Return an empty picture of a size, None if it is none."""
    if not re.fullmatch("[0-9]{1,6}", width) or not re.fullmatch("[0-9]{1,6}", height):
        return None
    w, h = int(width), int(height)
    return _Picture(w, h) if min(w, h) >= 1 and max(w, h) <= MAX_SIDE_PX and w * h <= MAX_PIXELS else None


def _number(shapes: list[_Shape]) -> list[int]:
    """Return the id of each shape of a view."""
    if any(shape.track is not None for shape in shapes):
        ids = [shape.label * IN_CLASS + (shape.track or 0) for shape in shapes]
        if all((shape.track or 0) < IN_CLASS and shape.label <= MAX_CLASSES for shape in shapes):
            return ids
    return number_in_classes([shape.label for shape in shapes])


def _corners(written: str, where: str) -> list[float]:
    """Return x1, y1, x2, y2, … of "x,y;x,y;…"."""
    words = written.replace(";", ",").split(",")
    odd = next((word for word in words if _NUMBER.fullmatch(word.strip()) is None), None)
    if odd is not None:
        raise SceneError(f"{where}: found the coordinate {printable(odd)}, expected x,y;x,y;… in pixels; {AGAIN}")
    return [float(word) for word in words]


def _add_mask(canvas: Canvas, mask_id: int, fields: Mapping[str, str], where: str) -> None:
    """Lay a mask out. Its runs go along the rows of its box and begin outside the mask."""
    left, top, width, height = (
        int(fields[key]) if re.fullmatch("[0-9]{1,6}", fields.get(key, "")) else -1 for key in ("left", "top", "width", "height")
    )
    if min(left, top) < 0 or min(width, height) < 1 or left + width > canvas.width or top + height > canvas.height:
        raise SceneError(f"{where}: found a mask outside its picture of {canvas.width}x{canvas.height}, expected its box; {AGAIN}")
    words = fields.get("rle", "").split(",")
    runs = [int(word) if re.fullmatch(" *[0-9]{1,9} *", word) else -1 for word in words]
    if min(runs) < 0 or sum(runs) != width * height:
        raise SceneError(f"{where}: found runs that do not fill a box of {width}x{height}, expected CVAT's rle; {AGAIN}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    canvas.add_picture(mask_id, flat.reshape(height, width), row=top, column=left)
