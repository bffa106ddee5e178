"""The arkitscenes format: a scan of Apple's ARKitScenes, frames at 256x192 with the poses of ARKit.

``<scene>/{lowres_wide/, lowres_depth/, lowres_wide_intrinsics/, lowres_wide.traj}`` or the same in ``<scene>/<scene>_frames/``, and
``<scene>/<scene>_3dod_mesh.ply``; masks as in the posed-masks format. See docs/scene-formats.md.
"""

from __future__ import annotations

import bisect
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import SceneError
from engine.scenes import files, pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.layouts import DEPTHS
from engine.scenes.listed.frames import ListedFrame, open_listed
from engine.scenes.names import numeric_order, printable
from engine.scenes.posed_views import GivenView
from engine.scenes.text import read_matrix, read_text
from engine.types import Float64Array, Scene

NAME = "arkitscenes"
PHOTOS, DEPTH, CAMERAS, POSES = "lowres_wide", "lowres_depth", "lowres_wide_intrinsics", "lowres_wide.traj"
FRAMES_ENDING = "_frames"
MESH_ENDING = "_3dod_mesh.ply"
MAX_POSES_BYTES = 32 * 2**20
POSE = "time, three numbers of a rotation and three of a translation a line, world-to-camera"
CAMERA = "width, height, fx, fy, cx, cy"
SAME_TIME_S = 0.005
"""How far a photo's time may be from a pose's: both are rounded to milliseconds, and poses come ten times a second."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: lowres_wide/ and its poses."""
    return _place(root) is not None


def count_views(root: SceneFolder) -> int:
    """Number of photos, from directory listings only; those between two poses are among them."""
    return len(root.list_files(_join(_place(root), PHOTOS), pictures.PHOTOS).files)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads poses, cameras and the headers of photos. Photos that no pose belongs to are not views.

    Raises:
        SceneError: If the poses are broken, or none of the views can be used.
    """
    place = _place(root)
    poses = _Poses(root.file(*_parts(place, POSES)))
    photos = root.list_files(_join(place, PHOTOS), pictures.PHOTOS)
    depths = root.list_files(_join(place, DEPTH), DEPTHS)
    cameras = root.list_files(_join(place, CAMERAS), (".pincam",))
    frames: list[ListedFrame] = []
    n_between = 0
    for name in sorted(photos.files, key=numeric_order):
        pose = poses.at(_time_of(name))
        if pose is None:
            n_between += 1
            continue
        given = _read_view(root, name, poses.path, pose, cameras)
        frames.append(ListedFrame(photos.files[name], given, depths.files.get(name)))
    if not frames:
        raise SceneError(
            f"{poses.path}: found no pose for any photo of {PHOTOS}/, expected photos called by scan and time as "
            "ARKitScenes has them; download them again."
        )
    notes = (f"{n_between} photos of {PHOTOS}/ were taken between two poses of {POSES}, and are not used.",) if n_between else ()
    meshes = tuple(root.ending(MESH_ENDING))
    return open_listed(root, NAME, frames, mesh_names=("mesh.ply", *meshes), notes=notes)


def _place(root: SceneFolder) -> str | None:
    """Return the subfolder that holds the frames, "" for the scene's own, None if there is none."""
    inner = [name for name in root.names if name.endswith(FRAMES_ENDING) and root.has_folder(name)]
    for place in ("", *inner):
        names = root.names_in(*_parts(place)) if place else root.names
        if PHOTOS in names and POSES in names:
            return place
    return None


def _parts(place: str | None, *rest: str) -> tuple[str, ...]:
    return (*((place,) if place else ()), *rest)


def _join(place: str | None, name: str) -> str:
    return "/".join(_parts(place, name))


def _time_of(name: str) -> float | None:
    """Return the seconds that a photo is called by, after the scan's number: 42444949_3025.432."""
    words = name.rpartition("_")[2]
    whole, dot, rest = words.partition(".")
    is_time = whole.isascii() and whole.isdigit() and len(whole) < 12 and (not dot or (rest.isascii() and rest.isdigit()))
    return float(words) if is_time and len(rest) < 12 else None


class _Poses:
    """The poses of a scan by time.

    Args:
        path: lowres_wide.traj.

    Raises:
        SceneError: If a line is broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        rows: list[tuple[float, ...]] = []
        for number, line in enumerate(read_text(path, POSE, limit=MAX_POSES_BYTES).splitlines(), start=1):
            words = line.split()
            if not words:
                continue
            try:
                row = tuple(float(word) for word in words)
            except ValueError:
                row = ()
            if len(row) != 7 or not np.isfinite(row).all():
                raise SceneError(f"{path}: line {number}: found {printable(line[:80])}, expected {POSE}; download it again.")
            rows.append(row)
        rows.sort()
        self._rows = rows
        self._times = [row[0] for row in rows]

    def at(self, time_s: float | None) -> Float64Array | None:
        """Return the camera-to-world pose of a time, (4, 4) float64; None where there is none."""
        if time_s is None:
            return None
        place = bisect.bisect_left(self._times, time_s)
        near = [at for at in (place - 1, place) if 0 <= at < len(self._times)]
        best = min(near, key=lambda at: abs(self._times[at] - time_s), default=None)
        if best is None or abs(self._times[best] - time_s) > SAME_TIME_S + 1e-9:
            return None
        row = self._rows[best]
        rotation = Rotation.from_rotvec(np.asarray(row[1:4])).as_matrix().T
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, -rotation @ np.asarray(row[4:7])
        return pose


def _read_view(root: SceneFolder, name: str, place: Path, pose: Float64Array, cameras: Listing) -> GivenView:
    """Return a view's pose and camera, or why it has none. Some cameras are called by a time a millisecond off."""
    try:
        scan, _, _ = name.rpartition("_")
        time_s = _time_of(name) or 0.0
        near = (name, *(f"{scan}_{time_s + step:.3f}" for step in (-0.001, 0.001)))
        found = next((cameras.files[one] for one in near if one in cameras.files), None)
        if found is None:
            raise SceneError(f"{place.parent / CAMERAS / name}.pincam: found no file, expected {CAMERA}; download it again.")
        path = root.file(*found)
        width, height, fx, fy, cx, cy = (float(value) for value in read_matrix(path, CAMERA, ((1, 6),))[0])
        if not (1 <= width <= files.MAX_SIDE_PX and 1 <= height <= files.MAX_SIDE_PX):
            raise SceneError(f"{path}: found pictures of {width:g}x{height:g}, expected {CAMERA}; download it again.")
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        return GivenView(place, files.check_pose(pose, place), matrix, (round(width), round(height)))
    except SceneError as error:
        return GivenView(place, fault=str(error))
