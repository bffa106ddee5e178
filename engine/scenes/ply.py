"""Reads a mesh from PLY and checks that it is whole. Knows no scene format.

plyfile reads it. Many ascii files have rows of one length; NumPy reads those, a hundred times faster.
"""

from __future__ import annotations

import logging
import struct
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from plyfile import PlyData, PlyParseError

from engine.errors import SceneError
from engine.scenes import ply_header
from engine.scenes.ply_header import BYTES, CORNERS, FACES, FLOATS, STRIPS, Header
from engine.scenes.regular_files import require_file
from engine.types import NOTHING, Float32Array, SceneMesh, UInt8Array

logger = logging.getLogger(__name__)

GREY = 128
"""Colour of vertices in a file without colours."""
MAX_BYTES = 2 * 2**30
MAX_ASCII_BYTES = 256 * 2**20
MAX_MIXED_FACES = 200_000
"""Faces of different sizes are read one by one, some hundred thousand a second."""
MAX_CORNERS = 1000
"""Longer first faces are read one by one as well."""
MAX_TRIANGLES = 80_000_000
COLUMNS = frozenset(("x", "y", "z", "red", "green", "blue"))
INSTANCES = ("objectid", "object_id", "instance_id", "instance")
"""Properties of a vertex in which files of other datasets keep the object, e.g. 3RScan's objectId."""

_BROKEN = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    UnboundLocalError,
    SyntaxError,
    StopIteration,
    RuntimeError,
    MemoryError,
    struct.error,
    PlyParseError,
    OSError,
)


@dataclass(frozen=True, eq=False)
class _Parts:
    """vertices (V, 3) float32, triangles (F, 3) int64, colours as the file has them or None, faces of fewer than three corners."""

    vertices: Float32Array
    triangles: np.ndarray
    colors: Any
    skipped: int = 0
    instances: np.ndarray | None = None


def read_ply(path: Path, *, with_instances: bool = False) -> SceneMesh:
    """Read a mesh; polygons and strips become triangles, missing colours become grey.

    Args:
        path: A PLY file, ASCII or binary.
        with_instances: Take each vertex's object from the property objectId, where there is one; otherwise there are no labels.

    Raises:
        SceneError: If the file is missing, no PLY, too large, cut short, has no faces, or refers to vertices it does not have.
    """
    size = require_file(path, "the scene's mesh as PLY", limit=MAX_BYTES)
    header = ply_header.read_header(path)
    n_vertices, n_faces = header.count("vertex"), header.count(FACES) + header.count(STRIPS)
    promised = f"{n_vertices} vertices and {n_faces} faces"
    if n_vertices == 0 or n_faces == 0:
        raise SceneError(f"{path}: found {promised}, expected a mesh with both; a point cloud must be meshed first.")
    _check_size(path, header, size - header.body)
    try:
        parts = _load(path, header)
    except _BROKEN as error:
        raise SceneError(
            f"{path}: the mesh is broken or cut short ({type(error).__name__}: {error}), expected {promised} as its header says; "
            "copy it again."
        ) from error
    vertices, triangles = parts.vertices, parts.triangles
    if len(vertices) != n_vertices or (not header.count(STRIPS) and len(triangles) < n_faces - parts.skipped):
        raise SceneError(
            f"{path}: found {len(vertices)} vertices and {len(triangles)} triangles, expected {promised} as its header says; "
            "the file is cut short, copy it again."
        )
    if parts.skipped:
        logger.warning("%s: %d faces have fewer than three corners and were skipped.", path, parts.skipped)
    if not np.isfinite(vertices).all():
        raise SceneError(f"{path}: found NaN or infinite vertices, expected finite metres; export the mesh again.")
    if len(triangles) == 0:
        raise SceneError(f"{path}: found no face of three corners among {n_faces}, expected a mesh; export it again.")
    for wild in (int(triangles.min()), int(triangles.max())):
        if not 0 <= wild < n_vertices:
            raise SceneError(f"{path}: a face names vertex {wild}, expected 0 to {n_vertices - 1}; export the mesh again.")
    instances = parts.instances if with_instances else None
    return SceneMesh(
        vertices=vertices,
        faces=np.ascontiguousarray(triangles, np.int32),
        colors=_colors(parts.colors, n_vertices),
        vertex_instances=None if instances is None else np.where(instances > 0, instances, NOTHING).astype(np.int32),
    )


def _check_size(path: Path, header: Header, body: int) -> None:
    """Refuse what the file cannot hold, before reading it."""
    if header.order == "ascii":
        rows = sum(element.count for element in header.elements)
        if body > MAX_ASCII_BYTES:
            raise SceneError(
                f"{path}: found {body:,} bytes of text, expected at most {MAX_ASCII_BYTES:,}; save the mesh as binary."
            )
        least = 2 * rows - 1
    else:
        least = sum(element.count * element.least_bytes for element in header.elements)
        faces = header.element(FACES)
        if (
            faces is not None
            and body < least
            and body >= least - faces.count * faces.least_bytes // 2
            and faces.count <= MAX_MIXED_FACES
        ):
            return  # some faces may have two corners only: reading finds out
    if body < least:
        raise SceneError(
            f"{path}: found {body:,} bytes of data, expected at least {least:,} for what its header says; "
            "the file is cut short or most faces are empty, export it again."
        )


def _load(path: Path, header: Header) -> _Parts:
    if header.order == "ascii":
        table = _read_even_rows(path, header)
        if table is not None:
            return _parts_of(table, path)
        rows = sum(element.count for element in header.elements)
        if rows > MAX_MIXED_FACES:
            raise SceneError(
                f"{path}: found {rows:,} rows of different lengths or with text in them, expected numbers, and at most "
                f"{MAX_MIXED_FACES:,} such rows; save the mesh as binary triangles."
            )
    return _load_with_plyfile(path, header)


Table = dict[str, dict[str, np.ndarray]]
"""The columns of each element; a list of fixed length is (N, K), one of any length (N,) of arrays."""


def _read_even_rows(path: Path, header: Header) -> Table | None:
    """Read an ascii body in which all rows of an element have one length; None if they have not, or hold text."""
    body = path.read_bytes()[header.body :]
    if body.translate(None, b"0123456789+-.eE \t\r\n"):
        return None
    values = np.fromstring(body, sep=" ")
    del body
    table: Table = {}
    at = 0
    for element in header.elements:
        if element.count == 0:
            continue
        width = 0
        columns = list[tuple[str, int, int | None]]()
        for own in element.properties:
            if own.count_type is None:
                columns.append((own.name, width, None))
                width += 1
                continue
            length = values[at + width] if at + width < len(values) else -1.0
            if not 0 <= length <= MAX_CORNERS or length != int(length):
                return None
            columns.append((own.name, width, int(length)))
            width += 1 + int(length)
        rows = values[at : at + element.count * width]
        if len(rows) < element.count * width:
            return None
        at += len(rows)
        rows = rows.reshape(element.count, width)
        found: dict[str, np.ndarray] = {}
        for name, start, length in columns:
            if length is None:
                found[name] = rows[:, start]
            elif (rows[:, start] != length).any():
                return None
            else:
                found[name] = rows[:, start + 1 : start + 1 + length]
        table[element.name] = found
    return table if at == len(values) else None


def _load_with_plyfile(path: Path, header: Header) -> _Parts:
    with _plain_stream(path, header) as (stream, known):
        try:
            data = PlyData.read(stream, known_list_len=known)
        except PlyParseError as error:
            faces = header.element(FACES)
            if _counts_in_floats(header) and header.order != "ascii":
                raise SceneError(
                    f"{path}: its faces are of different sizes, counted in floating point, or the file is cut short "
                    f"({error}), expected whole numbers; export the mesh again."
                ) from error
            if not known or faces is None:
                raise
            if faces.count > MAX_MIXED_FACES:
                raise SceneError(
                    f"{path}: found {faces.count:,} faces of different sizes, or a file cut short ({error}), expected at most "
                    f"{MAX_MIXED_FACES:,} of such; copy the file again, or split all faces into triangles."
                ) from error
            stream.seek(0)
            data = PlyData.read(stream)
        return _parts_of(_table_of(data), path)


def _table_of(data: PlyData) -> Table:
    return {element.name: {name: element.data[name] for name in element.data.dtype.names or ()} for element in data.elements}


def _parts_of(table: Table, path: Path) -> _Parts:
    vertex = table["vertex"]
    names = {name.lower(): name for name in vertex}
    if not {"x", "y", "z"} <= set(names):
        raise SceneError(f"{path}: its vertices have no x, y, z, expected a mesh; export it again.")
    if any(vertex[names[axis]].dtype == object or vertex[names[axis]].ndim != 1 for axis in names.keys() & COLUMNS):
        raise SceneError(f"{path}: a vertex has lists for coordinates or colours, expected numbers; export it again.")
    with np.errstate(all="ignore"):
        vertices = np.stack([np.asarray(vertex[names[axis]], np.float32) for axis in "xyz"], axis=1)
    colors = None
    if {"red", "green", "blue"} <= set(names):
        colors = np.stack([np.asarray(vertex[names[channel]]) for channel in ("red", "green", "blue")], axis=1)
    own = next((names[name] for name in INSTANCES if name in names), None)
    instances = None if own is None else _whole(np.asarray(vertex[own]))
    triangles, skipped = _triangles_of(table, path)
    return _Parts(vertices, triangles, colors, skipped, instances)


@contextmanager
def _plain_stream(path: Path, header: Header) -> Generator[tuple[BinaryIO, dict[str, dict[str, int]]]]:
    """Give the file with a header that plyfile reads, and the lengths of its lists as the first row has them."""
    counted_in_floats = _counts_in_floats(header)
    if header.is_plain and not counted_in_floats:
        with path.open("rb") as file:
            yield file, _first_lengths(path, header)
        return
    lengths = _first_lengths(path, header)
    with path.open("rb") as file, tempfile.TemporaryFile() as copy:
        copy.write(_without_float_counts(path, header, lengths).to_bytes())
        file.seek(header.body)
        while part := file.read(2**20):
            # Single carriage returns end lines in text of old Macs; in binary data they are data.
            copy.write(part.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if header.order == "ascii" else part)
        copy.seek(0)
        yield copy, {} if counted_in_floats and header.order != "ascii" else lengths


def _counts_in_floats(header: Header) -> bool:
    return any(own.count_type in FLOATS for element in header.elements for own in element.properties)


def _without_float_counts(path: Path, header: Header, lengths: dict[str, dict[str, int]]) -> Header:
    """Return a header whose lists are counted in whole numbers; binary lists counted in floats become single columns."""
    elements = list[ply_header.Element]()
    for element in header.elements:
        properties = list[ply_header.Property]()
        for own in element.properties:
            if own.count_type is None or own.count_type not in FLOATS:
                properties.append(own)
            elif header.order == "ascii":
                properties.append(replace(own, count_type="int"))
            elif own.name in lengths.get(element.name, {}):
                properties.append(ply_header.Property(f"{own.name}~count", own.count_type))
                count = lengths[element.name][own.name]
                properties += [ply_header.Property(f"{own.name}~{k}", own.type) for k in range(count)]
            else:
                raise SceneError(
                    f"{path}: {element.name!r} counts list values in {own.count_type}, expected whole numbers; export it again."
                )
        elements.append(replace(element, properties=tuple(properties)))
    return replace(header, elements=tuple(elements))


def _first_lengths(path: Path, header: Header) -> dict[str, dict[str, int]]:
    """Return the lengths of the lists in the first row of each element, as long as rows before it have known sizes."""
    if header.order == "ascii":
        return {}
    order = ">" if header.order == "binary_big_endian" else "<"
    found: dict[str, dict[str, int]] = {}
    with path.open("rb") as file:
        offset = header.body
        for element in header.elements:
            at = offset
            for own in element.properties:
                if own.count_type is None:
                    at += BYTES[own.type]
                    continue
                file.seek(at)
                raw = file.read(BYTES[own.count_type]) if element.count else b""
                if len(raw) < BYTES[own.count_type]:
                    return found
                kind = {"1": "u1", "2": "u2", "4": "u4", "8": "f8"}[str(BYTES[own.count_type])]
                kind = "f4" if own.count_type in ("float", "float32") else kind
                length = float(np.frombuffer(raw, order + kind)[0])
                if not 0 <= length <= MAX_CORNERS or length != int(length):
                    return found
                found.setdefault(element.name, {})[own.name] = int(length)
                at += BYTES[own.count_type] + int(length) * BYTES[own.type]
            offset += element.count * (at - offset)
    return found


def _triangles_of(data: Table, path: Path) -> tuple[np.ndarray, int]:
    """Return (F, 3) int64 triangles of all faces and strips, and how many faces have fewer than three corners."""
    parts: list[np.ndarray] = []
    skipped = 0
    if FACES in data:
        table = data[FACES]
        names = list(table)
        own = next((name for name in CORNERS if name in names), None)
        counted = next((name for name in CORNERS if f"{name}~count" in names), None)
        if own is None and counted is not None:
            columns = [name for name in names if name.startswith(f"{counted}~") and not name.endswith("~count")]
            if not columns or (np.asarray(table[f"{counted}~count"]) != len(columns)).any():
                raise ValueError("faces of different sizes, counted in floating point")
            corners = np.stack([table[name] for name in columns], axis=1)
        elif own is None:
            raise ValueError(f"faces without a list {' or '.join(CORNERS)}")
        else:
            corners = table[own]
        found, skipped = _triangulate(corners, path)
        parts.append(found)
    if STRIPS in data:
        rows = data[STRIPS]
        own = next((name for name in CORNERS if name in rows), None)
        if own is None:
            raise ValueError("strips without a list of vertices")
        parts += [_strip_triangles(_whole(np.asarray(row))) for row in rows[own]]
    return (np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)), skipped


def _triangulate(corners: np.ndarray, path: Path) -> tuple[np.ndarray, int]:
    if corners.dtype != object:
        if corners.ndim != 2 or corners.shape[1] < 3:
            return np.zeros((0, 3), np.int64), len(corners)
        return _fans(_whole(corners)), 0
    lengths = np.fromiter((len(row) for row in corners), np.int64, len(corners))
    if int(np.maximum(lengths - 2, 0).sum()) > MAX_TRIANGLES:
        raise SceneError(f"{path}: its faces make more than {MAX_TRIANGLES:,} triangles, expected fewer; simplify the mesh.")
    triangles: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for length in np.unique(lengths[lengths >= 3]).tolist():
        rows = np.flatnonzero(lengths == length)
        fans = _fans(_whole(np.stack([corners[row] for row in rows])))
        triangles.append(fans)
        places.append(np.tile(rows, length - 2))
    if not triangles:
        return np.zeros((0, 3), np.int64), len(corners)
    order = np.argsort(np.concatenate(places), kind="stable")  # in the order of the file again
    return np.concatenate(triangles)[order], int((lengths < 3).sum())


def _whole(indices: np.ndarray) -> np.ndarray:
    """Return indices as int64; those written as floating point must be whole."""
    if indices.dtype.kind == "f":
        is_whole = np.isfinite(indices).all() and (indices == np.rint(indices)).all() and (abs(indices) < 2.0**53).all()
        if not is_whole:
            raise ValueError("a face names a vertex by a number that is not whole")
    return np.asarray(indices).astype(np.int64)


def _fans(faces: np.ndarray) -> np.ndarray:
    """Return (F, 3) triangles of (N, K) polygons."""
    fans = [faces[:, [0, k, k + 1]] for k in range(1, faces.shape[1] - 1)]
    return np.concatenate(fans).astype(np.int64)


def _strip_triangles(strip: np.ndarray) -> np.ndarray:
    """Return (F, 3) triangles of strips of vertices with -1 between them; every second one is turned to face the same way."""
    if len(strip) < 3:
        return np.zeros((0, 3), np.int64)
    breaks = np.flatnonzero(strip < 0)
    begins = np.concatenate([[0], breaks + 1])
    place = np.arange(len(strip))
    within = place - begins[np.searchsorted(begins, place, side="right") - 1]
    a, b, c = strip[:-2], strip[1:-1], strip[2:]
    odd = within[:-2] % 2 == 1
    triangles = np.stack([np.where(odd, b, a), np.where(odd, a, b), c], axis=1)
    whole = (a >= 0) & (b >= 0) & (c >= 0) & (a != b) & (b != c) & (a != c)
    return triangles[whole]


def _colors(colors: Any, n_vertices: int) -> UInt8Array:
    """Return (V, 3) uint8 RGB of the file's colours, grey where it has none."""
    if colors is None or np.shape(colors)[0] != n_vertices:
        return np.full((n_vertices, 3), GREY, np.uint8)
    rgb = np.asarray(colors)[:, :3]
    if rgb.dtype.kind == "f":
        rgb = np.nan_to_num(rgb.astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
        if rgb.size and float(rgb.max()) <= 1.0:
            rgb = rgb * 255
    elif rgb.dtype.itemsize > 1 and rgb.size and int(rgb.max()) > 255:
        rgb = rgb.astype(np.int64) // 257  # 16 bits a channel
    return np.ascontiguousarray(np.clip(np.rint(rgb), 0, 255), np.uint8)
