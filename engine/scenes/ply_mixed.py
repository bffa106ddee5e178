"""Reads binary PLY whose faces have different numbers of corners, which trimesh does not; slower, so only used for those."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.types import Float64Array, Int32Array

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


def read_mixed_polygons(path: Path) -> tuple[Float64Array, Int32Array, Float64Array | None]:
    """Read vertices (V, 3), triangles (F, 3) and colours (V, 3) in [0, 255], None without; vertices must come before faces.

    Raises:
        ValueError: If the file is ascii, cut short, or its faces hold anything but one list of vertices.
        KeyError: If a property's type is unknown or there are no x, y, z.
    """
    data = path.read_bytes()
    end = data.index(b"end_header")
    body = data.index(b"\n", end) + 1
    order, counts, properties = "<", dict[str, int](), dict[str, list[list[str]]]()
    for words in (line.split() for line in data[:end].decode("ascii", "replace").splitlines()):
        if words[:1] == ["format"]:
            if words[1] == "ascii":
                raise ValueError("an ascii file")
            order = ">" if "big" in words[1] else "<"
        elif words[:1] == ["element"]:
            counts[words[1]], properties[words[1]] = int(words[2]), []
        elif words[:1] == ["property"]:
            properties[list(properties)[-1]].append(words[1:])
    if list(counts)[:2] != ["vertex", "face"] or len(properties["face"]) != 1 or properties["face"][0][0] != "list":
        raise ValueError("faces with more than a list of vertices")

    row = np.dtype([(name, order + _TYPES[kind]) for kind, name in properties["vertex"]])
    vertices = np.frombuffer(data, row, counts["vertex"], body)
    triangles = _fans(data, body + vertices.nbytes, counts["face"], properties["face"][0], order)
    colors = None
    if {"red", "green", "blue"} <= set(row.names or ()):
        colors = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=1).astype(np.float64)
    return np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float64), triangles, colors


def _fans(data: bytes, offset: int, count: int, property_words: list[str], order: str) -> Int32Array:
    """Return (F, 3) int32 triangles of `count` polygons that start at `offset`."""
    size_type, index_type = (np.dtype(order + _TYPES[kind]) for kind in property_words[1:3])
    triangles: list[list[int]] = []
    for _ in range(count):
        corners = int(np.frombuffer(data, size_type, 1, offset)[0])
        polygon = np.frombuffer(data, index_type, corners, offset + size_type.itemsize).tolist()
        offset += size_type.itemsize + corners * index_type.itemsize
        triangles.extend([polygon[0], polygon[k], polygon[k + 1]] for k in range(1, corners - 1))
    return np.array(triangles, np.int32).reshape(-1, 3)
