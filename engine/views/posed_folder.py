"""Writes views as a scene of posed masks, which `maskgroup` and nerfstudio open: photos, masks, depth, poses, cameras.

What the masks are is the caller's business: new ones of a segmenter, groups, or those that the scene has.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.scenes.pictures import PHOTOS, image_size
from engine.strict_json import to_json_text
from engine.types import Camera, Float32Array, Float64Array, HasPhotoFiles, Int32Array, Scene, SceneMesh, UInt8Array

DEPTH_UNITS_A_METRE = 1000
MAX_UNITS = 65_535
"""Largest depth and id: pictures of both have 16 bits."""
HALF_PIXEL = 0.5
"""nerfstudio and COLMAP count pixels from their corners, maskgroup from their centres."""
SAME_PIXELS = 0.01
"""Focal lengths and principal points that differ by less are one camera's."""
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns OpenCV's axes of a camera (y down, z forward) into OpenGL's (y up, z backward), as nerfstudio has them."""


@dataclass(frozen=True, eq=False)
class PosedView:
    """What is written of one view; all of one size, but for depth.

    Attributes:
        name: The view's name.
        rgb: (H, W, 3) uint8; written where the scene's own photo is not of this size.
        ids: (H, W) masks, 0 = none, at most 65535.
        depth: (h, w) float32 metres along z, 0 = unknown; None without depth.
        camera: Intrinsics at the picture's size, None if unknown.
        pose: Camera-to-world (4, 4) float64, None if unknown.
        truth: (H, W) objects, 0 = unlabelled, at most 65535; None if unknown.
    """

    name: str
    rgb: UInt8Array
    ids: Int32Array
    depth: Float32Array | None
    camera: Camera | None
    pose: Float64Array | None
    truth: Int32Array | None = None


class PosedFolder:
    """Writes `color/`, `masks/`, and `depth/`, `gt_masks/`, `poses/`, `intrinsics.txt`, `transforms.json` where they are known.

    Args:
        folder: Where; it exists.
        scene: Whose views they are; its photos are copied as they are where they have the views' size.
        photos: Name of the photos' folder.

    Attributes:
        folder: Where.
        cameras: The camera of each view that has one, so far.
        poses: The camera-to-world pose of each view that has one, (4, 4) float64, so far.
        photos: The path of each view's photo in the folder, so far.
    """

    def __init__(self, folder: Path, scene: Scene, *, photos: str = "color") -> None:
        self.folder, self._scene, self._place = folder, scene, photos
        self.cameras: dict[str, Camera] = {}
        self.poses: dict[str, Float64Array] = {}
        self.photos: dict[str, str] = {}
        self._frames: list[dict[str, Any]] = []
        for name in (photos, "masks"):
            (folder / name).mkdir(parents=True)

    def takes(self, view: PosedView) -> bool:
        """Whether the layout has a place for a view."""
        return True

    def add(self, view: PosedView) -> None:
        """Write a view.

        Raises:
            OSError: If it cannot be written.
        """
        save_ids(view.ids, self.folder / "masks" / f"{view.name}.png")
        self.photos[view.name] = self._write_photo(view)
        described: dict[str, Any] = {"file_path": self.photos[view.name]}
        if view.truth is not None:
            (self.folder / "gt_masks").mkdir(exist_ok=True)
            save_ids(view.truth, self.folder / "gt_masks" / f"{view.name}.png")
        if view.depth is not None:
            (self.folder / "depth").mkdir(exist_ok=True)
            units = np.rint(np.nan_to_num(view.depth.astype(np.float64), nan=0, posinf=0, neginf=0) * DEPTH_UNITS_A_METRE)
            units[(units < 0) | (units > MAX_UNITS)] = 0
            Image.fromarray(units.astype(np.uint16)).save(self.folder / "depth" / f"{view.name}.png")
            described["depth_file_path"] = f"depth/{view.name}.png"
        if view.pose is not None:
            self.poses[view.name] = view.pose
            described["transform_matrix"] = (view.pose @ OPENGL).tolist()
        if view.camera is not None:
            self.cameras[view.name] = view.camera
        if view.pose is not None and view.camera is not None:
            self._frames.append({**described, **_nerfstudio_camera(view.camera)})

    def close(self, settings: dict[str, Any] | None = None) -> None:
        """Write what the views share.

        Args:
            settings: What maskgroup.json says beside that no id means "nothing here".

        Raises:
            OSError: If it cannot be written.
        """
        (self.folder / "depth_scale.txt").write_text(f"{DEPTH_UNITS_A_METRE}\n", encoding="utf-8")
        # No id of these masks means "nothing here"; 255, for instance, is one like others.
        text = to_json_text({"ignore_ids": [], **(settings or {})}) + "\n"
        (self.folder / "maskgroup.json").write_text(text, encoding="utf-8")
        self.write_cameras()

    def write_cameras(self) -> None:
        """Write cameras and poses; another kind of folder has them in other files.

        Raises:
            OSError: If it cannot be written.
        """
        if self._is_one_camera():
            self._write_shared_camera()
        if self._frames:
            document = {"camera_model": "OPENCV", "depth_unit_scale_factor": 1 / DEPTH_UNITS_A_METRE, "frames": self._frames}
            (self.folder / "transforms.json").write_text(to_json_text(document, indent=1), encoding="utf-8")

    def write_mesh(self, mesh: SceneMesh) -> None:
        """Write the scene's mesh, without labels, as mesh.ply."""
        vertices = np.empty(len(mesh.vertices), [("position", "<f4", 3), ("color", "u1", 3)])
        vertices["position"], vertices["color"] = mesh.vertices, mesh.colors
        faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
        faces["count"], faces["corners"] = 3, mesh.faces
        header = [
            "ply",
            "format binary_little_endian 1.0",
            f"element vertex {len(vertices)}",
            *(f"property float {axis}" for axis in "xyz"),
            *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices",
            "end_header\n",
        ]
        (self.folder / "mesh.ply").write_bytes("\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes())

    def _is_one_camera(self) -> bool:
        """Return whether one camera took all views, whatever their size. Otherwise only transforms.json says what took which."""
        cameras = list(self.cameras.values())
        return all(_is_close(cameras[0].resized(other.width, other.height), other) for other in cameras[1:])

    def _write_shared_camera(self) -> None:
        for camera in list(self.cameras.values())[:1]:
            np.savetxt(self.folder / "intrinsics.txt", matrix_of(camera))
        for view, pose in self.poses.items():
            (self.folder / "poses").mkdir(exist_ok=True)
            np.savetxt(self.folder / "poses" / f"{view}.txt", pose)

    def _write_photo(self, view: PosedView) -> str:
        height, width = view.rgb.shape[:2]
        reader = self._scene.reader
        path = reader.photo_file(view.name) if isinstance(reader, HasPhotoFiles) else None
        if path is not None and path.suffix.lower() in PHOTOS and image_size(path) == (width, height):
            name = f"{self._place}/{view.name}{path.suffix.lower()}"
            shutil.copyfile(path, self.folder / name)
            return name
        name = f"{self._place}/{view.name}.png"
        Image.fromarray(view.rgb).save(self.folder / name, compress_level=1)
        return name


def save_ids(ids: Int32Array, path: Path, *, kind: str | None = None) -> None:
    """Write ids of at most 65535, (H, W), as a grey PNG with 16 bits; `kind` says that it is one where the file's name does not.

    Raises:
        OSError: If it cannot be written.
    """
    Image.fromarray(ids.astype(np.uint16)).save(path, format=kind, compress_level=6)


def matrix_of(camera: Camera) -> Float64Array:
    """Return a camera's (3, 3) float64 matrix."""
    return np.asarray([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64)


def _is_close(camera: Camera, other: Camera) -> bool:
    return bool(np.allclose(matrix_of(camera), matrix_of(other), rtol=0, atol=SAME_PIXELS))


def _nerfstudio_camera(camera: Camera) -> dict[str, float]:
    return {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx + HALF_PIXEL,
        "cy": camera.cy + HALF_PIXEL,
    }
