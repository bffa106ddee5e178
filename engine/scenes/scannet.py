"""The scannet format: a mesh whose segments carry the objects, and frames as its exporter writes them.

``<scene>/{<scene>_vh_clean_2.ply, <scene>_vh_clean_2*.segs.json, <scene>.aggregation.json, color/, depth/, pose/, intrinsic/}``.
See docs/scene-formats.md. Knows nothing about the app or models.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import MaskError, SceneError
from engine.scenes import files
from engine.scenes.ply import read_ply
from engine.types import NOTHING, Camera, Float32Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "scannet"
PHOTOS = (".jpg", ".jpeg", ".png")
MESH = "_vh_clean_2.ply"
SEGMENTS = ".segs.json"
OBJECTS = ".aggregation.json"
DEPTH_SCALE = 1000.0
"""Units of the depth images in a metre, unless depth_scale.txt says otherwise."""
MAX_OBJECT = 2**31 - 2


def matches(folder: Path) -> bool:
    """Whether the folder looks like this format: its mesh, or frames with pose/ and intrinsic/."""
    return any(folder.glob("*" + MESH)) or ((folder / "pose").is_dir() and (folder / "intrinsic").is_dir())


def count_views(folder: Path) -> int:
    """Number of views, from directory listings only; views that lost their pose are among them."""
    return len(_listed(files.SceneFolder(folder)))


def open_folder(folder: Path) -> Scene:
    """Open the scene; reads directory listings and the poses, as views whose pose was lost are left out.

    Raises:
        SceneError: If there is no view, a pose is malformed, or a path leaves the folder.
    """
    root = files.SceneFolder(folder)
    listed = _listed(root)
    names = tuple(name for name in listed if not _is_lost(root.file("pose", f"{name}.txt")))
    if not names:
        lost = f"{len(listed)} views without a usable pose" if listed else "no view"
        raise SceneError(f"{root.path}: found {lost}, expected pose/<view>.txt with color/<view>.jpg; export the frames again.")
    return Scene(name=root.path.name, folder=root.path, format=NAME, view_names=names, reader=ScanNetReader(root, names))


def _listed(root: files.SceneFolder) -> tuple[str, ...]:
    return tuple(sorted(root.stems("pose", (".txt",)), key=files.numeric_order))


def _is_lost(path: Path) -> bool:
    """Whether a pose is written as infinite: the camera was not tracked there. What is malformed is found when it is read."""
    try:
        return "inf" in path.read_text(encoding="utf-8").lower()
    except (OSError, UnicodeDecodeError):
        return False


class ScanNetReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads."""

    def __init__(self, root: files.SceneFolder, names: tuple[str, ...]) -> None:
        self._root = root
        self._names = frozenset(names)
        self._colors = root.stems("color", PHOTOS)
        self._depths = root.stems("depth", (".png",))
        self._lock = threading.RLock()
        self._mesh: SceneMesh | None = None
        self._has_mesh: bool | None = None

    def read_view(self, name: str) -> View:
        """Return camera and pose."""
        self._require(name)
        return View(name=name, camera=self.camera, pose=files.read_pose(self._root.file("pose", f"{name}.txt")))

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None where the view has none."""
        self._require(name)
        return files.read_rgb(self._root.file("color", self._colors[name])) if name in self._colors else None

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None where the view has none.

        The depth camera sees a little more or less than the colour camera, from the same place: the image is resampled to the
        colour camera's field of view, at its own size.
        """
        self._require(name)
        if name not in self._depths:
            return None
        raw = files.read_uint16(self._root.file("depth", self._depths[name]))
        metres = (raw / self.depth_scale).astype(np.float32)
        height, width = raw.shape
        own, wanted = self._depth_camera(width, height), self.camera.resized(width, height)
        if own is None:
            return metres
        columns = np.rint((np.arange(width) - wanted.cx) / wanted.fx * own.fx + own.cx).astype(np.int64)
        rows = np.rint((np.arange(height) - wanted.cy) / wanted.fy * own.fy + own.cy).astype(np.int64)
        seen = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
        taken = metres[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None]]
        return np.where(seen, taken, 0).astype(np.float32)

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return None: this format keeps its masks on the mesh."""
        self._require(name)
        return None

    def read_mesh(self) -> SceneMesh | None:
        """Return the mesh with its objects, read once, or None where the scene has none."""
        with self._lock:
            if self._has_mesh is None:
                self._mesh = self._load_mesh()
                self._has_mesh = self._mesh is not None
            return self._mesh

    @cached_property
    def camera(self) -> Camera:
        """The colour camera at the size of the photos."""
        path = self._root.file("intrinsic", "intrinsic_color.txt")
        matrix = files.read_intrinsics(path)
        if self._colors:
            first = min(self._colors, key=files.numeric_order)
            width, height = files.image_size(self._root.file("color", self._colors[first]))
        else:
            width, height = round(2 * matrix[0, 2] + 1), round(2 * matrix[1, 2] + 1)
        return Camera(width=width, height=height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])

    @cached_property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre."""
        path = self._root.file("depth_scale.txt")
        return files.read_depth_scale(path) if path.exists() else DEPTH_SCALE

    def _depth_camera(self, width: int, height: int) -> Camera | None:
        path = self._root.file("intrinsic", "intrinsic_depth.txt")
        if not path.exists():
            return None
        matrix = files.read_intrinsics(path)
        return Camera(width=width, height=height, fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])

    def _load_mesh(self) -> SceneMesh | None:
        meshes = sorted(path.name for path in self._root.path.glob("*" + MESH))
        if not meshes:
            return None
        mesh = read_ply(self._root.file(self._one(meshes, MESH)))
        # The same scene comes with segments of a finer mesh, which have other vertices; the coarse one's begin with its name.
        segments = sorted(path.name for path in self._root.path.glob(f"*_vh_clean_2*{SEGMENTS}"))
        objects = sorted(path.name for path in self._root.path.glob("*" + OBJECTS) if not path.name.endswith("_vh_clean" + OBJECTS))
        if not segments or not objects:
            return mesh
        segment_of = _read_segments(self._root.file(self._one(segments, SEGMENTS)), len(mesh.vertices))
        path = self._root.file(self._one(objects, OBJECTS))
        return replace(mesh, vertex_instances=_label_vertices(segment_of, path))

    def _one(self, names: list[str], ending: str) -> str:
        own = [name for name in names if name.startswith(self._root.path.name)] or names
        if len(own) > 1:
            raise SceneError(f"{self._root.path}: found {', '.join(own)}, expected one file *{ending}; remove the others.")
        return own[0]

    def _require(self, name: str) -> None:
        if name not in self._names:
            raise MaskError(
                f"The scene {self._root.path.name!r} has no view {name!r}; it has {len(self._names)} views, list them first."
            )


def _read_segments(path: Path, vertices: int) -> Int32Array:
    """Return the segment of each vertex, (V,) int32."""
    listed = _read_json(path, "segIndices")
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


def _label_vertices(segment_of: Int32Array, path: Path) -> Int32Array:
    """Return the object of each vertex, (V,) int32, from 1 as 0 means unlabelled in ground truth; -1 where there is none."""
    object_of = np.full(int(segment_of.max(initial=0)) + 1, NOTHING, np.int32)
    for entry in _read_json(path, "segGroups"):
        try:
            number, segments = entry["objectId"], np.asarray(entry["segments"], np.int64)
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise SceneError(f"{path}: found an object without objectId or segments ({error!r}); download it again.") from error
        if type(number) is not int or not 0 <= number <= MAX_OBJECT or segments.ndim != 1:
            raise SceneError(f"{path}: found the object {number!r}, expected a number of 0 or more with its list of segments.")
        object_of[segments[(segments >= 0) & (segments < len(object_of))]] = number + 1
    return object_of[segment_of]


def _read_json(path: Path, key: str) -> list[Any]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SceneError(
            f"{path}: cannot be read as JSON ({error}), expected an object with {key!r}; download it again."
        ) from error
    listed = cast("dict[str, Any]", content).get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise SceneError(f"{path}: found no list {key!r}, expected one as ScanNet writes it; download it again.")
    return cast("list[Any]", listed)
