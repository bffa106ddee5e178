"""Rasterisation with PyTorch3D: the default where CUDA works, and the reference for Embree at small sizes.

This is the only place where our convention (OpenCV axes, integer coordinates are pixel centres) becomes PyTorch3D's (x left, y up,
the shorter side of the image spans [-1, 1], pixel centres at half integers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import RenderError
from engine.rendering.base import Fragments
from engine.types import Camera, Float64Array, SceneMesh

NEAR_M = 0.01
"""Faces are clipped at this depth, metres; a face that crosses it keeps the part in front. Nearer loses digits of float32."""

CPU_TILE_PX = 16
"""Side of the squares that the CPU draws one at a time: its rasteriser tries every face at every pixel."""


@dataclass(frozen=True)
class _Tile:
    """A rectangle of the image: its left column, its top row, and the camera that sees just it."""

    x0: int
    y0: int
    camera: Camera


class PyTorch3DRenderer:
    """Rasterises on the GPU where there is one, else on the CPU (thousands of times slower than Embree).

    Args:
        mesh: What to draw; it is moved to the device once, here.
        cull: Leave out faces outside the picture, and on the CPU draw tile by tile; False is for measuring what that gains.

    Raises:
        RenderError: If PyTorch3D cannot be imported or the mesh has no faces.
    """

    name = "pytorch3d"

    def __init__(self, mesh: SceneMesh, *, cull: bool = True) -> None:
        try:
            import torch
            from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
            from pytorch3d.structures import Meshes
        except (ImportError, OSError) as error:
            raise RenderError(
                f"The PyTorch3D backend cannot be loaded ({error}): install it with pip install 'maskgroup[pytorch3d]' and a CUDA "
                "build of torch, or choose --backend embree."
            ) from error
        if len(mesh.faces) == 0:
            raise RenderError("The mesh has no faces, at least one was expected; point the scene at a mesh with triangles.")
        self._torch: Any = torch
        self._rasterize_meshes: Any = rasterize_meshes
        self._meshes: Any = Meshes
        self._cull = cull
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._vertices = torch.from_numpy(mesh.vertices).to(self.device, torch.float64)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        self._faces = torch.from_numpy(mesh.faces).to(self.device, torch.int64)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial

    def rasterize(self, camera: Camera, pose: Float64Array) -> Fragments:
        """Return what each pixel's ray hits; `pose` is camera-to-world (4, 4)."""
        torch = self._torch
        rotation = torch.from_numpy(np.ascontiguousarray(pose[:3, :3])).to(self._vertices)
        center = torch.from_numpy(np.ascontiguousarray(pose[:3, 3])).to(self._vertices)
        vertices, faces = (self._vertices - center) @ rotation, self._faces
        visible = torch.arange(len(faces), device=self.device)
        if self._cull:  # from here on only what the picture shows: its faces and their vertices, renumbered
            visible = self._inside(camera, vertices, faces)
            used, faces = torch.unique(faces[visible], return_inverse=True)
            vertices = vertices[used]

        face_ids = np.full((camera.height, camera.width), -1, np.int32)
        depth = np.zeros((camera.height, camera.width), np.float32)
        barycentrics = np.zeros((camera.height, camera.width, 3), np.float32)
        side = CPU_TILE_PX if self._cull and self.device == "cpu" else max(camera.width, camera.height)
        for tile in _tiles(camera, side):
            chosen = (
                self._inside(tile.camera, vertices, faces)
                if tile.camera != camera
                else torch.arange(len(faces), device=self.device)
            )
            if len(chosen) == 0:
                continue
            local, z, weights = self._draw(tile.camera, vertices, faces[chosen])
            ids = np.where(local >= 0, visible[chosen].cpu().numpy()[local], -1)
            window = np.s_[tile.y0 : tile.y0 + tile.camera.height, tile.x0 : tile.x0 + tile.camera.width]
            hit = ids >= 0
            face_ids[window] = ids
            depth[window] = np.where(hit, z, 0)
            barycentrics[window] = np.where(hit[..., None], weights, 0)
        return Fragments(face_ids=face_ids, depth=depth, barycentrics=barycentrics)

    def _inside(self, camera: Camera, vertices: Any, faces: Any) -> Any:
        """Return the indices of `faces` (F, 3) that are not wholly on the outer side of one plane of the camera's frustum."""
        x, y, z = vertices.unbind(1)
        outside = (
            z < NEAR_M,
            camera.fx * x + (camera.cx + 0.5) * z < 0,
            camera.fx * x + (camera.cx + 0.5 - camera.width) * z > 0,
            camera.fy * y + (camera.cy + 0.5) * z < 0,
            camera.fy * y + (camera.cy + 0.5 - camera.height) * z > 0,
        )
        codes: Any = sum(plane.to(self._torch.uint8) << bit for bit, plane in enumerate(outside))
        a, b, c = codes[faces].unbind(1)
        return ((a & b & c) == 0).nonzero()[:, 0]

    def _draw(self, camera: Camera, vertices: Any, faces: Any) -> tuple[Any, Any, Any]:
        """Return rows of `faces` (H, W), depth (H, W) and barycentrics (H, W, 3) as arrays; `vertices` are in camera axes."""
        torch = self._torch
        used, corners = torch.unique(faces, return_inverse=True)
        x, y, z = vertices[used].unbind(1)
        safe_z = torch.where(z.abs() < 1e-9, 1e-9, z)  # clipped away below; only the division must not fail
        u, v = camera.fx * x / safe_z + camera.cx, camera.fy * y / safe_z + camera.cy
        half = min(camera.width, camera.height)
        ndc = torch.stack([(camera.width - 2 * (u + 0.5)) / half, (camera.height - 2 * (v + 0.5)) / half, safe_z], dim=1)
        ids, zbuf, weights, _ = self._rasterize_meshes(
            self._meshes(verts=[ndc.float()], faces=[corners]),
            image_size=(camera.height, camera.width),
            blur_radius=0.0,
            faces_per_pixel=1,
            bin_size=0 if self.device == "cpu" else None,
            max_faces_per_bin=len(faces),  # a full bin would drop faces without an error
            perspective_correct=True,
            cull_backfaces=False,
            z_clip_value=NEAR_M,
            cull_to_frustum=False,
        )
        return ids[0, :, :, 0].cpu().numpy(), zbuf[0, :, :, 0].cpu().numpy(), weights[0, :, :, 0].cpu().numpy()


def _tiles(camera: Camera, side: int) -> Iterator[_Tile]:
    """Cut the image into squares of at most `side` pixels, each with the camera that sees just it."""
    for y0 in range(0, camera.height, side):
        for x0 in range(0, camera.width, side):
            width, height = min(side, camera.width - x0), min(side, camera.height - y0)
            yield _Tile(x0, y0, replace(camera, width=width, height=height, cx=camera.cx - x0, cy=camera.cy - y0))
