"""What PyTorch3D's pictures are compared with: the bundled room's mesh, cameras, and what Embree sees from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.assets import SCENES_DIR
from engine.rendering import make_renderer, shade
from engine.scenes import find_scene
from engine.types import Camera, Float64Array, Int32Array, SceneMesh
from tests.gpu.crops import SCENE
from tests.gpu.step import Setting

FILE = "rendered.npz"
VIEWS = ("0", "17")
SIZES = ((640, 360), (1296, 968))
TINY_SIZES = ((16, 9),)
CAMERA_FIELDS = ("width", "height", "fx", "fy", "cx", "cy")


@dataclass(frozen=True, eq=False)
class Reference:
    """One view as Embree sees it.

    Attributes:
        camera: Its intrinsics.
        pose: (4, 4) float64, camera-to-world.
        instances: (H, W) int32, -1 = nothing.
        depth: (H, W) float32, metres along z, 0 = nothing.
    """

    camera: Camera
    pose: Float64Array
    instances: Int32Array
    depth: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Room:
    """The mesh and its references."""

    mesh: SceneMesh
    references: list[Reference]


def room_for(setting: Setting) -> Room:
    """Return the room from the pack, else drawn here."""
    return read_room(setting.pack / FILE) if setting.pack is not None else draw_room(tiny=setting.tiny)


def draw_room(*, tiny: bool = False) -> Room:
    """Draw the references with Embree; tiny = one small view."""
    scene = find_scene(SCENE, SCENES_DIR)
    mesh = scene.mesh
    assert mesh is not None
    embree = make_renderer(mesh, "embree")
    references: list[Reference] = []
    for width, height in TINY_SIZES if tiny else SIZES:
        for name in VIEWS[:1] if tiny else VIEWS:
            view = scene.view(name)
            assert view.camera is not None
            assert view.pose is not None
            camera = view.camera.resized(width, height)
            seen = shade(embree.rasterize(camera, view.pose), mesh, camera, view.pose)
            references.append(Reference(camera, view.pose, seen.instance_map, seen.depth))
    return Room(mesh, references)


def write_room(path: Path, room: Room) -> None:
    """Write a room as plain arrays."""
    mesh = room.mesh
    assert mesh.vertex_instances is not None
    arrays: dict[str, NDArray[np.generic]] = {
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "colors": mesh.colors,
        "vertex_instances": mesh.vertex_instances,
        "count": np.array(len(room.references)),
    }
    for i, reference in enumerate(room.references):
        values = asdict(reference.camera)
        arrays |= {
            f"camera_{i}": np.array([values[name] for name in CAMERA_FIELDS], np.float64),
            f"pose_{i}": reference.pose,
            f"instances_{i}": reference.instances,
            f"depth_{i}": reference.depth,
        }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_room(path: Path) -> Room:
    """Read what `write_room` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        mesh = SceneMesh(stored["vertices"], stored["faces"], stored["colors"], stored["vertex_instances"])
        references = [
            Reference(_read_camera(stored[f"camera_{i}"]), stored[f"pose_{i}"], stored[f"instances_{i}"], stored[f"depth_{i}"])
            for i in range(int(stored["count"]))
        ]
    return Room(mesh, references)


def _read_camera(values: Float64Array) -> Camera:
    width, height, fx, fy, cx, cy = values.tolist()
    return Camera(int(width), int(height), fx, fy, cx, cy)
