"""Makes a mesh light enough to travel and to be turned in a browser: corners that are near each other become one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import NOTHING, Float32Array, Float64Array, Int32Array, SceneMesh, UInt8Array

MAX_FACES = 80_000
"""What a page takes at once and turns smoothly, also where the graphics card is a processor's program."""
THINNED_ABOVE = 1_500_000
"""Faces from which on a mesh is thinned first."""
SAMPLED = 16
"""One of so many faces of such a mesh tells how large it is."""
GROWTH = 1.1
LEAST_CELL_M = 0.05
"""No room is told in finer detail; a small one stays small."""
SMALL_SINGULAR = 1e-3
"""Directions of which the planes at a corner say less than this share of the surest one are left to the mean of the corners."""


@dataclass(frozen=True, eq=False)
class LightMesh:
    """A mesh of few faces.

    Attributes:
        vertices: (V, 3) float32 metres, world frame.
        colors: (V, 3) uint8 RGB.
        faces: (F, 3) int32 vertex indices, wound as in the mesh that it stands for.
        instances: (F,) int32 ground-truth instance ids, -1 where there are none.
    """

    vertices: Float32Array
    colors: UInt8Array
    faces: Int32Array
    instances: Int32Array


def decimate(mesh: SceneMesh, *, most: int = MAX_FACES) -> LightMesh:
    """Return a mesh of at most `most` faces; the same mesh gives the same one.

    Corners in one cell of a grid become one, placed where the planes of their faces meet (Lindstrom, "Out-of-core simplification of
    large polygonal models", SIGGRAPH 2000). Faces that are larger than the cells are split before, as colours are given by faces.
    """
    vertices, colors, faces, instances = mesh.vertices, mesh.colors, mesh.faces, mesh.face_instances
    total = float(_areas(vertices, faces).sum())
    cell = max(float(np.sqrt(total / most)), LEAST_CELL_M)
    vertices, colors, faces, instances = _split(vertices, colors, faces, instances, longest=3 * cell, most=4 * most)
    while True:
        found = _cluster(vertices, colors, faces, instances, cell)
        if len(found.faces) <= most:
            return found
        cell *= GROWTH


def thin(mesh: SceneMesh, *, above: int = THINNED_ABOVE) -> SceneMesh:
    """Return a mesh of more than so many faces with corners in cells of half the final size joined; others as they are.

    A scan of millions of faces has many in each final cell, and everything after takes time for each.
    """
    if len(mesh.faces) <= above:
        return mesh
    total = SAMPLED * float(_areas(mesh.vertices, mesh.faces[::SAMPLED]).sum())
    cell = max(float(np.sqrt(total / MAX_FACES)), LEAST_CELL_M) / 2
    where, counts = _cells(mesh.vertices, cell)
    joined = where[mesh.faces].astype(np.int32)
    is_whole = (joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])
    vertices = np.stack([np.bincount(where, mesh.vertices[:, k]) / counts for k in range(3)], axis=1).astype(np.float32)
    colors = np.stack([np.bincount(where, mesh.colors[:, k]) / counts for k in range(3)], axis=1)
    instances = None
    if mesh.vertex_instances is not None:
        # Where objects meet in a cell, its corner is one object's alone, as a face's object is that of most of its corners.
        instances = np.full(len(counts), NOTHING, np.int32)
        instances[where] = mesh.vertex_instances
    return SceneMesh(vertices, joined[is_whole], np.rint(colors).astype(np.uint8), instances)


def _cells(vertices: Float32Array, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each vertex's cell, (V,), and how many vertices each cell has, (C,)."""
    cells = np.floor((vertices - vertices.min(axis=0)) / cell).astype(np.int64)
    spans = cells.max(axis=0) + 1
    flat = (cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2]
    _, where, counts = np.unique(flat, return_inverse=True, return_counts=True)
    return where, counts


def _areas(vertices: Float32Array, faces: Int32Array) -> Float64Array:
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _split(
    vertices: Float32Array, colors: UInt8Array, faces: Int32Array, instances: Int32Array, *, longest: float, most: int
) -> tuple[Float32Array, UInt8Array, Int32Array, Int32Array]:
    """Split faces in four until no edge is longer than `longest` metres, or there are `most` faces."""
    while True:
        corners = vertices[faces]
        lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        is_long = lengths > longest
        if not is_long.any() or len(faces) + 3 * int(is_long.sum()) > most:
            return vertices, colors, faces, instances
        old = faces[is_long]
        pairs = ((0, 1), (1, 2), (2, 0))
        middles = [(vertices[old[:, i]] + vertices[old[:, j]]) / 2 for i, j in pairs]
        tints = [((colors[old[:, i]].astype(np.uint16) + colors[old[:, j]]) // 2).astype(np.uint8) for i, j in pairs]
        first = len(vertices)
        ab, bc, ca = (np.arange(len(old), dtype=np.int32) + first + k * len(old) for k in range(3))
        a, b, c = old.T
        new = [np.stack(corner, axis=1) for corner in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        vertices = np.concatenate([vertices, *middles]).astype(np.float32)
        colors = np.concatenate([colors, *tints])
        instances = np.concatenate([instances[~is_long], *[instances[is_long]] * 4]).astype(np.int32)
        faces = np.concatenate([faces[~is_long], *new]).astype(np.int32)


def _cluster(vertices: Float32Array, colors: UInt8Array, faces: Int32Array, instances: Int32Array, cell: float) -> LightMesh:
    where, counts = _cells(vertices, cell)
    count = len(counts)
    means = np.stack([np.bincount(where, vertices[:, k].astype(np.float64), count) / counts for k in range(3)], axis=1)
    tints = np.stack([np.bincount(where, colors[:, k].astype(np.float64), count) / counts for k in range(3)], axis=1)
    joined = where[faces]
    is_whole = (joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])
    placed = _place(vertices, faces, joined, means, cell)
    kept = joined[is_whole]
    # One of several faces with the same corners is enough; the two sides of a thin board are wound differently, and both stay.
    turned = (np.argmin(kept, axis=1)[:, None] + np.arange(3)) % 3
    _, first = np.unique(np.take_along_axis(kept, turned, axis=1), axis=0, return_index=True)
    first.sort()
    used, numbers = np.unique(kept[first], return_inverse=True)
    return LightMesh(
        placed[used].astype(np.float32),
        np.rint(tints[used]).astype(np.uint8),
        numbers.reshape(-1, 3).astype(np.int32),
        instances[is_whole][first].astype(np.int32),
    )


def _place(vertices: Float32Array, faces: Int32Array, joined: np.ndarray, means: Float64Array, cell: float) -> Float64Array:
    """Return where each cell's corner goes, (C, 3): near the mean, close to the planes of the faces that meet there."""
    count = len(means)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    normals = np.cross(b - a, c - a)
    squares, pulls = np.zeros((count, 3, 3)), np.zeros((count, 3))
    for corner in range(3):
        at = joined[:, corner]
        distance = np.einsum("nk,nk->n", normals, a - means[at])
        for i in range(3):
            pulls[:, i] += np.bincount(at, normals[:, i] * distance, count)
            for j in range(3):
                squares[:, i, j] += np.bincount(at, normals[:, i] * normals[:, j], count)
    moved = np.einsum("nij,nj->ni", np.linalg.pinv(squares, rcond=SMALL_SINGULAR, hermitian=True), pulls)
    return means + np.clip(moved, -cell / 2, cell / 2)
