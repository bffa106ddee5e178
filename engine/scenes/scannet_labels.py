"""Reads ScanNet's objects: the segment of each vertex, and the segments of each object."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import SceneError
from engine.scenes.files import read_json
from engine.types import NOTHING, Int32Array

MAX_OBJECT = 2**31 - 2


def read_segments(path: Path, vertices: int) -> Int32Array:
    """Return the segment of each vertex, (V,) int32.

    Raises:
        SceneError: If the file is broken, or does not belong to a mesh of so many vertices.
    """
    listed = _read_list(path, "segIndices")
    if not all(type(number) is int and 0 <= number <= MAX_OBJECT for number in listed):
        raise SceneError(
            f"{path}: found a segment that is no number of 0 or more, expected one for each vertex; download it again."
        )
    if len(listed) != vertices:
        raise SceneError(
            f"{path}: found {len(listed)} segments, expected {vertices}, one for each vertex of the mesh; "
            "use the segments and the mesh of one release."
        )
    return np.asarray(listed, np.int32)


def label_vertices(segment_of: Int32Array, path: Path) -> Int32Array:
    """Return the object of each vertex, (V,) int32, from 1 as 0 means unlabelled in ground truth; -1 where there is none.

    Raises:
        SceneError: If the file of objects is broken.
    """
    # Segment numbers may be any, so places are made per segment, not per number.
    known, place = np.unique(segment_of, return_inverse=True)
    object_of = np.full(len(known), NOTHING, np.int32)
    for entry in _read_list(path, "segGroups"):
        found = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if "objectId" not in found or not isinstance(found.get("segments"), list):
            raise SceneError(f"{path}: found an object without objectId or segments, expected both; download it again.")
        number, segments = found["objectId"], cast("list[Any]", found["segments"])
        if type(number) is not int or not 0 <= number <= MAX_OBJECT:
            raise SceneError(f"{path}: found the object {number!r:.80}, expected a number of 0 or more; download it again.")
        if not all(type(segment) is int and 0 <= segment <= MAX_OBJECT for segment in segments):
            raise SceneError(f"{path}: the object {number} has a segment that is no number of 0 or more; download it again.")
        object_of[np.isin(known, np.asarray(segments, np.int64))] = number + 1
    return object_of[place.reshape(segment_of.shape)]


def _read_list(path: Path, key: str) -> list[Any]:
    listed = read_json(path, f"an object with {key!r}").get(key)
    if not isinstance(listed, list):
        raise SceneError(f"{path}: found no list {key!r}, expected one as ScanNet writes it; download it again.")
    return cast("list[Any]", listed)
