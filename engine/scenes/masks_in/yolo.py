"""Masks in YOLO's text files for segmentation: a line a mask, its class and its outline in shares of the picture. Knows no scene
format.

``labels/<view>.txt``, or in ``labels/train`` and so on; class names from ``data.yaml``, ``dataset.yaml`` or ``classes.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.errors import SceneError
from engine.scenes.class_names import clean_name
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.masks_in.shapes import AGAIN, MAX_CLASSES, Canvas, number_in_classes, require_few_masks
from engine.scenes.names import printable
from engine.scenes.text import read_text
from engine.types import Int32Array

WHAT = "YOLO's segmentation labels: class x1 y1 x2 y2 x3 y3 … on a line for each mask, in shares of the picture"
FOLDER = "labels"
SUBSETS = ("", "train", "val", "valid", "test")
NAMES_YAML = ("data.yaml", "dataset.yaml", "data.yml")
NAMES_TEXT = ("classes.txt", "obj.names")
MAX_TEXT_BYTES = 32 * 2**20
MAX_NAMES_BYTES = 2**20
BOX = 4
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


class YoloMasks:
    """One text file of masks a view. Their size is that of the view's photo, whatever that is.

    Args:
        root: The scene's folder.
        listing: The text file of each view.

    Raises:
        SceneError: If a path leads out of the scene.
    """

    def __init__(self, root: SceneFolder, listing: Listing) -> None:
        self._root, self._listing = root, listing
        self.views = frozenset(listing.files)
        self.faults: Mapping[str, str] = listing.faults
        self._boxes: dict[str, int] = {}
        self._note = ""
        try:
            self.classes: Mapping[int, str] = _read_names(root)
        except SceneError as error:
            self.classes, self._note = {}, f"Names of classes are not shown: {error}"

    def __contains__(self, view: str) -> bool:
        """Whether there is a file for the view, readable or not."""
        return view in self._listing

    def place(self, view: str) -> Path:
        """Return a view's file, for messages; its links are not followed."""
        return self._root.path.joinpath(*self._listing.files[view])

    def size(self, view: str) -> None:
        """Return None: outlines are written in shares of the picture and fit a photo of any size."""

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none; see `overlaps` for where masks overlap.

        An id is (class + 1) * 1000 + the mask's number in its class.

        Args:
            view: The view.
            size: (width, height) of its photo.

        Raises:
            SceneError: If the file is broken, or the photo's size is not given.
        """
        place = self.place(view)
        if size is None:
            raise SceneError(f"{place}: found outlines in shares of a picture, expected a photo that tells its size; add it.")
        lines = read_text(self._root.file(*self._listing.files[view]), WHAT, limit=MAX_TEXT_BYTES).splitlines()
        shapes = [self._read_line(words, f"{place}: line {at}") for at, line in enumerate(lines, 1) if (words := line.split())]
        outlined = [shape for shape in shapes if shape is not None]
        self._boxes[view] = len(shapes) - len(outlined)
        require_few_masks(len(outlined), str(place))
        canvas = Canvas(*size, str(place))
        ids = number_in_classes([number + 1 if number < MAX_CLASSES else None for number, _ in outlined])
        for mask_id, (_, shares) in zip(ids, outlined, strict=True):
            # A share of 0 is the left edge of the first pixel, of 1 the right edge of the last.
            canvas.add_polygons(mask_id, [[share * size[at % 2] for at, share in enumerate(shares)]], str(place))
        return canvas.flatten()

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what is not used, as far as files were read."""
        count = sum(self._boxes.values())
        boxes = (f"{count} lines of {FOLDER}/ are boxes without an outline, and are not used.",) if count else ()
        return (*boxes, *((self._note,) if self._note else ()))

    def _read_line(self, words: list[str], where: str) -> tuple[int, list[float]] | None:
        """Return a mask's class and outline, None for a box."""
        odd = next((word for word in words if _NUMBER.fullmatch(word) is None), None)
        if odd is not None or re.fullmatch("[0-9]{1,9}", words[0]) is None:
            found = words[0] if odd is None else odd
            raise SceneError(f"{where}: found {printable(found)}, expected {WHAT}; {AGAIN}")
        shares = [float(word) for word in words[1:]]
        if len(shares) == BOX:
            return None
        return int(words[0]), shares


def list_yolo(root: SceneFolder) -> Listing:
    """Return the text files of labels/, or of its subfolders train, val and test, by view; empty if there are none."""
    return list_subsets(root, FOLDER, (".txt",))


def list_subsets(root: SceneFolder, folder: str, suffixes: tuple[str, ...]) -> Listing:
    """Return the files of a folder and of its subfolders train, val and test, by view; empty if there are none."""
    if not root.has_folder(folder):
        return Listing({}, {})
    files: dict[str, tuple[str, ...]] = {}
    faults: dict[str, str] = {}
    for subset in SUBSETS:
        found = root.list_files("/".join((root.actual(folder), *((subset,) if subset else ()))), suffixes)
        for view, parts in found.files.items():
            if view in files:
                both = f"{'/'.join(files[view])} and {'/'.join(parts)}"
                faults[view] = f"{folder} holds {both}, expected one file for a view; remove one"
            files[view] = parts
        faults |= found.faults
    return Listing({view: parts for view, parts in files.items() if view not in faults}, faults)


def _read_names(root: SceneFolder) -> dict[int, str]:
    """Return what classes are called, by their number + 1."""
    for name in NAMES_YAML:
        if (path := root.find(name)) is not None:
            return _parse_yaml(read_text(path, "YOLO's data.yaml with names", limit=MAX_NAMES_BYTES), path)
    for name in NAMES_TEXT:
        if (path := root.find(name)) is not None:
            lines = read_text(path, "a class name a line", limit=MAX_NAMES_BYTES).splitlines()
            return _by_number(dict(enumerate(lines)))
    return {}


def _parse_yaml(text: str, path: Path) -> dict[int, str]:
    """Return the names of a data.yaml: `names:` with a list in brackets, a list of dashes, or numbers and names, nothing more."""
    lines = [line.split(" #")[0].rstrip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    start = next((at for at, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        return {}
    rest = lines[start].partition(":")[2].strip()
    names: dict[int, str] = {}
    if rest.startswith(("[", "{")):
        whole, closing = " ".join([rest, *(line.strip() for line in lines[start + 1 :])]), "]" if rest[0] == "[" else "}"
        end = whole.find(closing)
        if end < 0:
            raise SceneError(f"{path}: found names without {closing!r} at their end, expected a list; correct the file.")
        for at, item in enumerate(re.findall(r"""\s*((?:"[^"]*"|'[^']*'|[^,"'])+),?""", whole[1:end])):
            key, colon, value = item.partition(":") if closing == "}" else ("", "", item)
            number = key.strip()
            names[int(number) if colon and re.fullmatch("[0-9]{1,7}", number) else at] = _unquoted(value)
        return _by_number(names)
    for line in lines[start + 1 :]:
        item = re.fullmatch(r"\s*-\s+(.*)", line)
        pair = re.fullmatch(r"\s+[\"']?([0-9]{1,7})[\"']?\s*:\s*(.*)", line)
        if item is not None:
            names[len(names)] = _unquoted(item[1])
        elif pair is not None:
            names[int(pair[1])] = _unquoted(pair[2])
        elif line.strip():
            break
    return _by_number(names)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _by_number(names: Mapping[int, str]) -> dict[int, str]:
    cleaned = {number + 1: clean_name(name) for number, name in names.items()}
    return {number: name for number, name in cleaned.items() if name is not None}
