"""Reads a mesh from PLY (ascii or binary, triangles or polygons) and checks that it is whole. Knows no scene format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from trimesh.exchange.ply import load_ply

from engine.errors import SceneError
from engine.scenes.ply_mixed import read_mixed_polygons
from engine.types import Float32Array, Int32Array, SceneMesh, UInt8Array

GREY = 128
"""Colour of vertices in a file without colours."""

_BROKEN = (ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError, OverflowError, UnboundLocalError, struct.error)


def read_ply(path: Path) -> SceneMesh:
    """Read a mesh without labels; polygons become fans of triangles, missing colours become grey.

    Raises:
        SceneError: If the file is missing, no PLY, cut short, has no faces, or refers to vertices it does not have.
    """
    if not path.is_file():
        raise SceneError(f"{path}: found no file, expected the scene's mesh as PLY; add it.")
    declared_vertices, declared_faces = _declared_counts(path)
    if declared_vertices == 0 or declared_faces == 0:
        raise SceneError(
            f"{path}: found {declared_vertices} vertices and {declared_faces} faces, expected a mesh with both; "
            "a point cloud must be meshed first."
        )
    try:
        vertices, faces, colors = _load(path)
    except (*_BROKEN, OSError) as error:
        raise SceneError(
            f"{path}: the mesh is broken or cut short ({type(error).__name__}: {error}), expected {declared_vertices} vertices "
            f"and {declared_faces} faces as its header says; copy it again."
        ) from error
    if len(vertices) != declared_vertices or len(faces) < declared_faces:
        raise SceneError(
            f"{path}: found {len(vertices)} vertices and {len(faces)} triangles, expected {declared_vertices} and at least "
            f"{declared_faces} as its header says; the file is cut short, copy it again."
        )
    if not np.isfinite(vertices).all():
        raise SceneError(f"{path}: found NaN or infinite vertices, expected finite metres; export the mesh again.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise SceneError(
            f"{path}: a face names vertex {int(faces.max())}, expected 0 to {len(vertices) - 1}; export the mesh again."
        )
    return SceneMesh(vertices=vertices, faces=faces, colors=_colors(colors, len(vertices)), vertex_instances=None)


def _load(path: Path) -> tuple[Float32Array, Int32Array, Any]:
    """Return vertices (V, 3) float32, triangles (F, 3) int32, and colours as the file has them, or None."""
    try:
        with path.open("rb") as file:
            parts: dict[str, Any] = load_ply(file, fix_texture=False, skip_materials=True)
        vertices, faces, colors = parts["vertices"], _triangles(np.asarray(parts["faces"])), parts.get("vertex_colors")
    except ValueError as error:
        try:
            vertices, faces, colors = read_mixed_polygons(path)
        except (ValueError, KeyError, IndexError):
            raise error from None
    return np.ascontiguousarray(vertices, np.float32), faces, colors


def _declared_counts(path: Path) -> tuple[int, int]:
    """Return the numbers of vertices and faces that the header declares."""
    counts: dict[str, int] = {"vertex": 0, "face": 0}
    with path.open("rb") as file:
        if file.readline(16).strip() != b"ply":
            raise SceneError(f"{path}: the first line is not 'ply', expected a mesh as PLY; export it as PLY.")
        for _ in range(1000):
            words = file.readline(4096).split()
            if words[:1] == [b"end_header"]:
                return counts["vertex"], counts["face"]
            if len(words) == 3 and words[0] == b"element" and words[2].isdigit():
                counts[words[1].decode("ascii", "replace")] = int(words[2])
    raise SceneError(f"{path}: the header has no 'end_header', expected a complete PLY; the file is cut short, copy it again.")


def _triangles(faces: Any) -> Int32Array:
    """Return (F, 3) int32 triangles of (N, K) polygons."""
    if faces.ndim != 2 or faces.shape[1] < 3:
        raise ValueError(f"faces of shape {faces.shape}")
    fans = [faces[:, [0, k, k + 1]] for k in range(1, faces.shape[1] - 1)]
    return np.ascontiguousarray(np.concatenate(fans), np.int32)


def _colors(colors: Any, n_vertices: int) -> UInt8Array:
    """Return (V, 3) uint8 RGB of the file's colours, grey where it has none."""
    if colors is None or np.shape(colors)[0] != n_vertices:
        return np.full((n_vertices, 3), GREY, np.uint8)
    rgb = np.asarray(colors)[:, :3]
    if rgb.dtype.kind == "f" and rgb.size and float(rgb.max()) <= 1.0:
        rgb = rgb * 255
    return np.ascontiguousarray(np.clip(np.rint(rgb), 0, 255), np.uint8)
