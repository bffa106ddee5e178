"""What every rendering backend gives, and how its fragments become images.

A backend makes one pass per view (face id, depth, barycentrics); RGB, instance map and normals all come from that one pass,
so they cannot disagree. Backends know nothing about scenes on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.types import NOTHING, Camera, Float32Array, Float64Array, Int32Array, SceneMesh, UInt8Array

BACKGROUND = 0
"""Colour of pixels where nothing was hit."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """What one ray per pixel hit.

    Attributes:
        face_ids: (H, W) int32, -1 where nothing was hit.
        depth: (H, W) float32, metres along the camera's z axis, 0 where nothing was hit.
        barycentrics: (H, W, 3) float32 weights of the face's vertices, 0 where nothing was hit.
    """

    face_ids: Int32Array
    depth: Float32Array
    barycentrics: Float32Array


@dataclass(frozen=True, eq=False)
class RenderedView:
    """Images of one view.

    Attributes:
        rgb: (H, W, 3) uint8, black where nothing was hit.
        instance_map: (H, W) int32, -1 = nothing.
        depth: (H, W) float32 metres along z, 0 = nothing.
        normals: (H, W, 3) float32 unit face normals, world frame, turned to the camera; 0 = nothing. None if not asked for.
    """

    rgb: UInt8Array
    instance_map: Int32Array
    depth: Float32Array
    normals: Float32Array | None


class Renderer(Protocol):
    """Draws one mesh from any camera."""

    name: str

    def rasterize(self, camera: Camera, pose: Float64Array) -> Fragments:
        """Return what each pixel's ray hits; `pose` is camera-to-world (4, 4)."""
        ...


def shade(fragments: Fragments, mesh: SceneMesh, camera: Camera, pose: Float64Array, *, with_normals: bool = False) -> RenderedView:
    """Turn fragments into colour (vertex colours, interpolated), instance map, depth and, if asked for, normals."""
    hit = fragments.face_ids >= 0
    faces = fragments.face_ids[hit]

    rgb = np.full((*hit.shape, 3), BACKGROUND, np.uint8)
    weights = fragments.barycentrics[hit][:, :, None]
    corners = mesh.faces[faces]
    colors = sum(weights[:, k] * mesh.colors[corners[:, k]] for k in range(3))
    rgb[hit] = np.clip(colors + np.float32(0.5), 0, 255).astype(np.uint8)

    instances = np.full(hit.shape, NOTHING, np.int32)
    instances[hit] = mesh.face_instances[faces]
    normals = _normals(fragments, mesh, camera, pose) if with_normals else None
    return RenderedView(rgb=rgb, instance_map=instances, depth=fragments.depth, normals=normals)


def _normals(fragments: Fragments, mesh: SceneMesh, camera: Camera, pose: Float64Array) -> Float32Array:
    """Return (H, W, 3) float32 unit face normals in the world frame, turned to the camera, 0 where nothing was hit."""
    hit = fragments.face_ids >= 0
    corners = mesh.faces[fragments.face_ids[hit]]
    a, b, c = (mesh.vertices[corners[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    rays = camera.rays[hit] @ pose[:3, :3].T.astype(np.float32)
    away = np.einsum("nk,nk->n", normal, rays) > 0
    normals = np.zeros((*hit.shape, 3), np.float32)
    normals[hit] = np.where(away[:, None], -normal, normal)
    return normals
