"""Reads the header of a PLY file, so that sizes can be checked before anything large is read. Knows no scene format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import SceneError

MAX_HEADER = 256 * 1024
MAX_VERTICES = 20_000_000
MAX_FACES = 40_000_000

BYTES = {
    **dict.fromkeys(("char", "int8", "uchar", "uint8"), 1),
    **dict.fromkeys(("short", "int16", "ushort", "uint16"), 2),
    **dict.fromkeys(("int", "int32", "uint", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}
"""Bytes of each type in binary files."""
FLOATS = ("float", "float32", "double", "float64")
FACES, STRIPS = "face", "tristrips"
CORNERS = ("vertex_indices", "vertex_index")

Order = Literal["ascii", "binary_little_endian", "binary_big_endian"]


@dataclass(frozen=True)
class Property:
    """A column of an element: its type, and the type that counts its values where it is a list."""

    name: str
    type: str
    count_type: str | None = None

    def __str__(self) -> str:
        """The property as a header line."""
        kind = self.type if self.count_type is None else f"list {self.count_type} {self.type}"
        return f"property {kind} {self.name}"


@dataclass(frozen=True)
class Element:
    """A table of the file: vertices, faces or anything else."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def least_bytes(self) -> int:
        """Bytes that one row takes at least, in a binary file; a face has three corners or is not a face."""
        total = 0
        for own in self.properties:
            if own.count_type is None:
                total += BYTES[own.type]
            else:
                total += BYTES[own.count_type] + (3 * BYTES[own.type] if self.is_faces and own.name in CORNERS else 0)
        return total

    @property
    def is_faces(self) -> bool:
        """Whether the rows are polygons."""
        return self.name == FACES


@dataclass(frozen=True)
class Header:
    """What a PLY file says about itself.

    Attributes:
        order: ascii, or the byte order.
        elements: The tables, in the order of the file.
        body: Offset of the first byte after the header.
        is_plain: Whether every parser understands it unchanged: ASCII, line feeds, and no unusual spaces.
    """

    order: Order
    elements: tuple[Element, ...]
    body: int
    is_plain: bool

    def element(self, name: str) -> Element | None:
        """Return an element by name, or None if there is none."""
        return next((element for element in self.elements if element.name == name), None)

    def count(self, name: str) -> int:
        """Number of rows of an element, 0 if there is none."""
        found = self.element(name)
        return 0 if found is None else found.count

    def to_bytes(self) -> bytes:
        """Return the header in the plain form, without comments."""
        lines = ["ply", f"format {self.order} 1.0"]
        for element in self.elements:
            lines += [f"element {element.name} {element.count}", *map(str, element.properties)]
        return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def read_header(path: Path) -> Header:
    """Read and check the header of a file that exists.

    Raises:
        SceneError: If it is no PLY header, is not complete, or promises more than `MAX_VERTICES` and `MAX_FACES`.
    """
    with path.open("rb") as file:
        start = file.read(MAX_HEADER)
    if re.match(rb"ply[ \t]*[\r\n]", start) is None:
        raise SceneError(f"{path}: the first line is not 'ply', expected a mesh as PLY; export it as PLY.")
    end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\r|\n)", start)
    if end is None:
        raise SceneError(f"{path}: the header has no 'end_header', expected a complete PLY; the file is cut short, copy it again.")
    text = start[: end.start()].decode("latin-1")
    order: Order | None = None
    elements: list[Element] = []
    for line in re.split(r"\r\n|\r|\n", text)[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in ("ascii", "binary_little_endian", "binary_big_endian"):
            order = words[1]  # pyright: ignore[reportAssignmentType]  # one of the literals, as just checked
        elif words[0] == "element" and len(words) == 3:
            elements.append(Element(_name(path, words[1]), _count(path, words[1], words[2]), ()))
        elif words[0] == "property" and elements:
            last = elements[-1]
            elements[-1] = Element(last.name, last.count, (*last.properties, _property(path, line, words)))
        else:
            raise SceneError(f"{path}: found the header line {line[:80]!r}, expected one of the PLY format; export the mesh again.")
    if order is None:
        raise SceneError(f"{path}: the header has no format line, expected ascii or binary; export the mesh again.")
    for element in elements:
        names = [own.name for own in element.properties]
        if len(set(names)) < len(names):
            raise SceneError(f"{path}: {element.name!r} has two properties of one name, expected one each; export the mesh again.")
    if len({element.name for element in elements}) < len(elements):
        raise SceneError(f"{path}: found two elements of one name, expected one each; export the mesh again.")
    # In a file of single carriage returns a line feed may be the first byte of the data.
    body = end.end() if text.find("\r\n") >= 0 or end[1] != b"\r\n" else end.end() - 1
    is_plain = text.isascii() and b"\r" not in start[: end.end()] and start[end.start() + 1 : end.end()] == b"end_header\n"
    return Header(order, tuple(elements), body, is_plain and text.startswith("ply\n"))


def _name(path: Path, name: str) -> str:
    if not name.isascii():
        raise SceneError(f"{path}: found the name {name[:80]!r} in the header, expected ASCII; export the mesh again.")
    return name


def _count(path: Path, name: str, word: str) -> int:
    limit = MAX_VERTICES if name == "vertex" else MAX_FACES
    if not (word.isascii() and word.isdigit()):
        raise SceneError(f"{path}: found {word[:80]!r} of the element {name[:80]!r}, expected their number; export the mesh again.")
    if len(word) > 12 or int(word) > limit:
        raise SceneError(
            f"{path}: the header promises {word[:80]} of the element {name[:80]!r}, expected at most {limit:,}; simplify the mesh."
        )
    return int(word)


def _property(path: Path, line: str, words: list[str]) -> Property:
    if len(words) == 5 and words[1] == "list":
        found = Property(_name(path, words[4]), words[3], words[2])
    elif len(words) == 3:
        found = Property(_name(path, words[2]), words[1])
    else:
        raise SceneError(f"{path}: found the header line {line[:80]!r}, expected a property; export the mesh again.")
    for kind in (found.type, found.count_type):
        if kind is not None and kind not in BYTES:
            raise SceneError(f"{path}: found the type {kind[:80]!r}, expected one of {', '.join(BYTES)}; export the mesh again.")
    return found
