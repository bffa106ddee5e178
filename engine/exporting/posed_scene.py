"""Groups as a scene of its own: posed masks that `maskgroup` and nerfstudio open, with the groups as mask ids."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.exporting.groups_json import groups_document
from engine.exporting.source import GroupedScene
from engine.exporting.views_2d import save_numbers
from engine.scenes.pictures import PHOTOS, image_size
from engine.strict_json import to_json_text
from engine.types import Camera, Float64Array, Frame, HasPhotoFiles, Int32Array, MaskKey

DEPTH_UNITS_A_METRE = 1000
MAX_DEPTH_UNITS = 65_535
HALF_PIXEL = 0.5
"""nerfstudio and COLMAP count pixels from their corners, maskgroup from their centres."""
SAME_PIXELS = 0.01
"""Focal lengths and principal points that differ by less are one camera's."""
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns OpenCV's axes of a camera (y down, z forward) into OpenGL's (y up, z backward), as nerfstudio has them."""
SETTINGS_TEXT = '{"ignore_ids": []}\n'
"""No id of an exported mask means "nothing here"; 255, for instance, is a group like others."""


class PosedSceneFolder:
    """Writes `color/`, `masks/`, and `depth/`, `poses/`, `intrinsics.txt`, `transforms.json` where the scene knows them.

    Photos are copied where they have the size of the frames, and written anew otherwise. Poses are those that the grouping used.
    `groups.json` holds the groups of these very masks, so that `maskgroup export` reads the folder back with all corrections.
    """

    def __init__(self, grouped: GroupedScene, folder: Path) -> None:
        self._grouped, self._folder = grouped, folder
        self._poses = {view.name: view.pose for view in grouped.table.views}
        self._cameras: dict[str, Camera] = {}
        self._posed: dict[str, Float64Array] = {}
        self._frames: list[dict[str, Any]] = []
        self._numbers: dict[MaskKey, int] = {}
        self._size = (0, 0)
        for name in ("color", "masks"):
            (folder / name).mkdir(parents=True)

    def add(self, frame: Frame, numbers: Int32Array) -> None:
        """Write a view."""
        view = frame.view
        save_numbers(numbers, self._folder / "masks" / f"{view}.png")
        self._numbers |= {MaskKey(view, int(number)): int(number) for number in np.unique(numbers) if number}
        self._size = (max(self._size[0], numbers.shape[1]), max(self._size[1], numbers.shape[0]))
        described: dict[str, Any] = {"file_path": self._write_photo(frame)}
        if frame.depth is not None:
            (self._folder / "depth").mkdir(exist_ok=True)
            units = np.rint(np.nan_to_num(frame.depth.astype(np.float64), nan=0, posinf=0, neginf=0) * DEPTH_UNITS_A_METRE)
            units[(units < 0) | (units > MAX_DEPTH_UNITS)] = 0
            Image.fromarray(units.astype(np.uint16)).save(self._folder / "depth" / f"{view}.png")
            described["depth_file_path"] = f"depth/{view}.png"
        pose = self._poses.get(view, frame.pose)
        if pose is not None:
            self._posed[view] = pose
            described["transform_matrix"] = (pose @ OPENGL).tolist()
        if frame.camera is not None:
            self._cameras[view] = frame.camera
        if pose is not None and frame.camera is not None:
            self._frames.append({**described, **_nerfstudio_camera(frame.camera)})

    def close(self) -> None:
        """Write what the views share."""
        folder = self._folder
        (folder / "depth_scale.txt").write_text(f"{DEPTH_UNITS_A_METRE}\n", encoding="utf-8")
        (folder / "maskgroup.json").write_text(SETTINGS_TEXT, encoding="utf-8")
        if self._is_one_camera():
            self._write_shared_camera()
        if self._frames:
            document = {"camera_model": "OPENCV", "depth_unit_scale_factor": 1 / DEPTH_UNITS_A_METRE, "frames": self._frames}
            (folder / "transforms.json").write_text(to_json_text(document, indent=1), encoding="utf-8")
        kept = groups_document(self._grouped, scene_folder=".", number_of=self._numbers, size=self._size)
        (folder / "groups.json").write_text(to_json_text(kept, indent=1), encoding="utf-8")

    def _is_one_camera(self) -> bool:
        """Return whether one camera took all views, whatever their size. Otherwise only transforms.json says what took which."""
        cameras = list(self._cameras.values())
        return all(_is_close(cameras[0].resized(other.width, other.height), other) for other in cameras[1:])

    def _write_shared_camera(self) -> None:
        for camera in list(self._cameras.values())[:1]:
            np.savetxt(self._folder / "intrinsics.txt", _matrix(camera))
        for view, pose in self._posed.items():
            (self._folder / "poses").mkdir(exist_ok=True)
            np.savetxt(self._folder / "poses" / f"{view}.txt", pose)

    def _write_photo(self, frame: Frame) -> str:
        height, width = frame.rgb.shape[:2]
        reader = self._grouped.scene.reader
        path = reader.photo_file(frame.view) if isinstance(reader, HasPhotoFiles) else None
        if path is not None and path.suffix.lower() in PHOTOS and image_size(path) == (width, height):
            name = f"color/{frame.view}{path.suffix.lower()}"
            shutil.copyfile(path, self._folder / name)
            return name
        name = f"color/{frame.view}.png"
        Image.fromarray(frame.rgb).save(self._folder / name, compress_level=1)
        return name


def _is_close(camera: Camera, other: Camera) -> bool:
    return bool(np.allclose(_matrix(camera), _matrix(other), rtol=0, atol=SAME_PIXELS))


def _matrix(camera: Camera) -> Float64Array:
    return np.asarray([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64)


def _nerfstudio_camera(camera: Camera) -> dict[str, float]:
    return {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx + HALF_PIXEL,
        "cy": camera.cy + HALF_PIXEL,
    }
