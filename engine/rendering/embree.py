"""CPU ray casting with Embree (`embreex`): the default where there is no GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import RenderError
from engine.rendering.base import Fragments
from engine.types import Camera, Float64Array, SceneMesh


class EmbreeRenderer:
    """Casts one ray through each pixel centre.

    Args:
        mesh: What to draw; its acceleration structure is built once, here.

    Raises:
        RenderError: If `embreex` is not installed or the mesh has no faces.
    """

    name = "embree"

    def __init__(self, mesh: SceneMesh) -> None:
        try:
            from embreex import rtcore_scene
            from embreex.mesh_construction import TriangleMesh
        except ImportError as error:
            raise RenderError("The Embree backend needs the package 'embreex': install it with pip install embreex.") from error
        if len(mesh.faces) == 0:
            raise RenderError("The mesh has no faces, at least one was expected; point the scene at a mesh with triangles.")
        self._scene: Any = rtcore_scene.EmbreeScene()
        # Embree keeps pointers: the triangle soup must live as long as the scene.
        self._triangles = np.ascontiguousarray(mesh.vertices[mesh.faces], np.float32)
        self._geometry = TriangleMesh(self._scene, self._triangles)

    def rasterize(self, camera: Camera, pose: Float64Array) -> Fragments:
        """Return what each pixel's ray hits; `pose` is camera-to-world (4, 4)."""
        shape = (camera.height, camera.width)
        # Directions keep z = 1 in camera axes, so Embree's ray parameter is the depth along z.
        directions = np.ascontiguousarray(camera.rays.reshape(-1, 3) @ pose[:3, :3].T.astype(np.float32))
        origins = np.ascontiguousarray(np.broadcast_to(pose[:3, 3].astype(np.float32), directions.shape))
        hits = self._scene.run(origins, directions, output=True)
        face_ids = hits["primID"].astype(np.int32).reshape(shape)
        hit = face_ids >= 0
        u, v = hits["u"].reshape(shape), hits["v"].reshape(shape)
        barycentrics = np.stack([1 - u - v, u, v], axis=-1).astype(np.float32)
        barycentrics[~hit] = 0
        depth = np.where(hit, hits["tfar"].reshape(shape), 0).astype(np.float32)
        return Fragments(face_ids=face_ids, depth=depth, barycentrics=barycentrics)
