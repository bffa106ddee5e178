"""A COLMAP model in text beside its photos, masks and depth: what COLMAP's own tools and those that read its models open."""

from __future__ import annotations

from pathlib import Path

from scipy.spatial.transform import Rotation

from engine.errors import MaskgroupError
from engine.exporting.source import GroupedScene
from engine.types import Camera
from engine.views.posed_folder import HALF_PIXEL, PosedFolder, PosedView

PHOTOS = "images"
MODEL = ("sparse", "0")
MAX_POINTS = 100_000
"""Points that are written; of more, evenly many are left out."""


def need_cameras(grouped: GroupedScene) -> None:
    """Make sure that some view has a place in a COLMAP model.

    Raises:
        MaskgroupError: If none has both a camera and a pose.
    """
    if not any(view.camera is not None and view.pose is not None for view in grouped.table.views):
        raise MaskgroupError(
            f"Scene {grouped.scene.name!r} has no view with a camera and a pose, which a COLMAP model consists of; choose "
            "masks, coco or json."
        )


class ColmapFolder(PosedFolder):
    """Writes `images/`, `masks/`, `depth/` and `sparse/0/{cameras,images,points3D}.txt`.

    COLMAP's unit of length is arbitrary; here it is the metre. Points are those of the scene in 3D, with no track: no keypoint of a
    photo belongs to them.

    Args:
        folder: Where; it exists.
        grouped: The groups, whose cloud gives the points.
    """

    def __init__(self, folder: Path, grouped: GroupedScene) -> None:
        super().__init__(folder, grouped.scene, photos=PHOTOS)
        self._grouped = grouped

    def takes(self, view: PosedView) -> bool:
        """Whether a view has a camera and a pose."""
        return view.camera is not None and view.pose is not None

    def write_cameras(self) -> None:
        """Write the model."""
        model = self.folder.joinpath(*MODEL)
        model.mkdir(parents=True)
        numbers: dict[Camera, int] = {}
        lines: list[str] = []
        for image, (view, camera) in enumerate(self.cameras.items(), start=1):
            number = numbers.setdefault(camera, len(numbers) + 1)
            pose = self.poses[view]
            rotation = pose[:3, :3].T
            x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
            written = (w, x, y, z, *(-rotation @ pose[:3, 3]).tolist())
            name = self.photos[view].removeprefix(f"{PHOTOS}/")
            lines += [f"{image} {' '.join(repr(float(value)) for value in written)} {number} {name}", ""]
        cameras = [
            f"{number} PINHOLE {camera.width} {camera.height} {float(camera.fx)!r} {float(camera.fy)!r} "
            f"{float(camera.cx) + HALF_PIXEL!r} {float(camera.cy) + HALF_PIXEL!r}"
            for camera, number in numbers.items()
        ]
        _write(model / "cameras.txt", "CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy", cameras)
        _write(model / "images.txt", "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then an empty line for its keypoints", lines)
        _write(model / "points3D.txt", "POINT3D_ID X Y Z R G B ERROR", self._points())

    def _points(self) -> list[str]:
        cloud = self._grouped.cloud
        if cloud is None:
            return []
        step = max(1, -(-len(cloud.points) // MAX_POINTS))
        rows = zip(cloud.points[::step].tolist(), cloud.colors[::step].tolist(), strict=True)
        return [f"{number} {x:.6g} {y:.6g} {z:.6g} {r} {g} {b} 0" for number, ((x, y, z), (r, g, b)) in enumerate(rows, start=1)]


def _write(path: Path, header: str, lines: list[str]) -> None:
    path.write_text("\n".join([f"# {header}", *lines]) + "\n", encoding="utf-8")
