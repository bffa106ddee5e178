"""The transforms format: transforms.json as nerfstudio and instant-ngp write and read it, also Polycam's and Record3D's exports.

``<scene>/{transforms.json, photos where it says}``; depth and masks where it says, or as in the posed-masks format. Its poses are
camera-to-world with OpenGL axes (x right, y up, z backward), and its pixels' centres lie at one half. See docs/scene-formats.md.
"""

from __future__ import annotations

import math
import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import SceneError
from engine.scenes import files, pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.layouts import DEPTHS
from engine.scenes.listed.frames import ListedFrame, has_pose_folder, name_views, open_listed, path_parts
from engine.scenes.listed.lenses import Lens, corner_shift, say_distortion
from engine.scenes.masks_in.source import MaskFiles
from engine.scenes.names import printable
from engine.scenes.posed_views import MAX_VIEWS, GivenView
from engine.types import Float64Array, Scene

NAME = "transforms"
LIST = "transforms.json"
WHAT = 'an object with a list "frames", each with file_path and transform_matrix'
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
"""Camera models that are a pinhole but for their distortion."""
DEPTH_SCALE = 1000.0
SAMPLED_MASKS = 3
Fields = dict[str, Any]


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: transforms.json, and no poses in files of their own."""
    return root.actual(LIST) in root.names and not has_pose_folder(root)


def count_views(root: SceneFolder) -> int:
    """Number of views that the list names."""
    return len(_read_list(root)[1])


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads the list, the headers of photos, and a few masks if the list names some.

    Raises:
        SceneError: If the list is broken, or none of its views can be used.
    """
    shared, listed = _read_list(root)
    place = root.path / root.actual(LIST)
    scale = _number(shared, "applied_scale")
    if scale is not None and not 1e-6 <= scale <= 1e6:
        raise SceneError(f"{place}: found applied_scale {scale:g}, expected the positive number that positions were multiplied by.")
    shifts: list[float] = []
    frames: list[ListedFrame] = []
    for number, fields in enumerate(listed):
        try:
            frames.append(_read_frame(root, place, number, shared, fields, scale or 1.0, shifts))
        except SceneError as error:
            frames.append(ListedFrame(path_parts(fields.get("file_path")) or (), GivenView(place, fault=str(error))))
    masks, notes = _own_masks(root, frames)
    if any(frame.depth is not None and not frame.depth[-1].lower().endswith(DEPTHS) for frame in frames):
        notes += (f"Depth images of {LIST} that are no 16-bit PNG are not used; convert them.",)
    if scale is not None and scale != 1:
        notes += (f"Poses were divided by applied_scale, {scale:g}, so that they are in metres as depth is.",)
    return open_listed(
        root,
        NAME,
        [_with_readable_depth(frame) for frame in frames],
        own_masks=masks,
        depth_scale=_depth_scale(shared),
        notes=(*say_distortion(shifts, "undistort the photos, and export again"), *notes),
    )


def _read_list(root: SceneFolder) -> tuple[Fields, list[Fields]]:
    """Return what all frames share, and the frames; one that is no object is an empty one."""
    path = root.file(root.actual(LIST))
    shared = files.read_json(path, WHAT)
    frames = shared.get("frames")
    if not isinstance(frames, list) or not frames:
        raise SceneError(f"{path}: found no list of frames, expected {WHAT}; export the scene again.")
    if len(cast("list[Any]", frames)) > MAX_VIEWS:
        raise SceneError(f"{path}: found more than {MAX_VIEWS:,} frames, expected at most that; keep every n-th.")
    return shared, [cast("Fields", one) if isinstance(one, dict) else {} for one in cast("list[Any]", frames)]


def _read_frame(
    root: SceneFolder, place: Path, number: int, shared: Fields, own: Fields, scale: float, shifts: list[float]
) -> ListedFrame:
    where = f"{place}: frame {number}"
    color = path_parts(own.get("file_path"))
    if color is None:
        raise SceneError(
            f"{where}: found the file_path {printable(str(own.get('file_path')))}, expected a path from the folder of {LIST}; "
            "correct it."
        )
    color = _find_photo(root, color)
    both: Fields = {**shared, **own}
    model = both.get("camera_model", PINHOLES[0])
    if model not in PINHOLES or both.get("is_fisheye"):
        raise SceneError(
            f"{where}: found a camera of the model {printable(str(model))}, expected a pinhole, with or without distortion; "
            "undistort the photos, and export again."
        )
    pose = _read_pose(where, own.get("transform_matrix"), place, scale)
    matrix, size = _read_camera(root, where, both, color)
    shifts.append(corner_shift(_read_lens(where, both), matrix, *size))
    depth = path_parts(own.get("depth_file_path", own.get("depth_path")))
    return ListedFrame(color, GivenView(place, pose, matrix, size), depth, path_parts(own.get("mask_path")))


def _find_photo(root: SceneFolder, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts of a photo's path; some lists leave out its ending."""
    if parts[-1].lower().endswith(pictures.PHOTOS) or os.path.isfile(root.file(*parts)):
        return parts
    for ending in (".png", ".jpg", ".jpeg"):
        candidate = (*parts[:-1], parts[-1] + ending)
        if os.path.isfile(root.file(*candidate)):
            return candidate
    return parts


def _read_pose(where: str, given: object, place: Path, scale: float) -> Float64Array:
    matrix = _matrix(given)
    if matrix is None:
        raise SceneError(f"{where}: found no transform_matrix of 4x4 finite numbers, expected a camera-to-world pose; correct it.")
    pose = files.check_pose(matrix, place) @ OPENGL_TO_OPENCV
    pose[:3, 3] /= scale
    return pose


def _matrix(given: object) -> Float64Array | None:
    """Return nested lists as (4, 4) float64, a missing last row added; None if they are no finite numbers of that shape."""
    if not isinstance(given, list):
        return None
    rows = cast("list[Any]", given)
    if len(rows) not in (3, 4) or not all(isinstance(row, list) and len(cast("list[Any]", row)) == 4 for row in rows):
        return None
    if not all(_is_number(value) for row in rows for value in row):
        return None
    return np.array([*rows[:3], rows[3] if len(rows) == 4 else [0, 0, 0, 1]], np.float64)


def _read_camera(root: SceneFolder, where: str, fields: Fields, color: tuple[str, ...]) -> tuple[Float64Array, tuple[int, int]]:
    """Return intrinsics, (3, 3) float64, for integer pixel centres, and the (width, height) that they belong to."""
    sides = [_number(fields, key) for key in ("w", "h")]
    if sides[0] is None or sides[1] is None:
        size = pictures.image_size(root.file(*color))
    else:
        size = (round(sides[0]), round(sides[1]))
        if min(size) < 1 or max(size) > files.MAX_SIDE_PX:
            raise SceneError(f"{where}: found pictures of {size[0]}x{size[1]}, expected w and h of real pictures; correct it.")
    fx, fy = _focal(fields, "fl_x", "camera_angle_x", size[0]), _focal(fields, "fl_y", "camera_angle_y", size[1])
    fx, fy = fx or fy, fy or fx
    if fx is None or fy is None or min(fx, fy) <= 0:
        raise SceneError(f"{where}: found no positive focal length, expected fl_x in pixels or camera_angle_x; add it.")
    cx, cy = _number(fields, "cx"), _number(fields, "cy")
    # Pixel centres lie at one half in these files, and at whole numbers here.
    column = (size[0] / 2 if cx is None else cx) - 0.5
    row = (size[1] / 2 if cy is None else cy) - 0.5
    return np.array([[fx, 0, column], [0, fy, row], [0, 0, 1]], np.float64), size


def _focal(fields: Fields, length: str, angle: str, side: int) -> float | None:
    given, wide = _number(fields, length), _number(fields, angle)
    if given is not None or wide is None or not 0 < wide < math.pi:
        return given
    return side / (2 * math.tan(wide / 2))


def _read_lens(where: str, fields: Fields) -> Lens:
    def value(key: str) -> float:
        if fields.get(key) is not None and _number(fields, key) is None:
            raise SceneError(f"{where}: found the distortion {key} {printable(str(fields[key]))}, expected a number; correct it.")
        return _number(fields, key) or 0.0

    return Lens(radial=(value("k1"), value("k2"), value("k3"), value("k4")), tangential=(value("p1"), value("p2")))


def _depth_scale(shared: Fields) -> float:
    """Return units of depth in a metre: these files write metres a unit."""
    for key in ("integer_depth_scale", "depth_unit_scale_factor"):
        given = _number(shared, key)
        if given is not None and 1e-9 <= given <= 1e3:
            return 1 / given
    return DEPTH_SCALE


def _own_masks(root: SceneFolder, frames: Sequence[ListedFrame]) -> tuple[MaskFiles | None, tuple[str, ...]]:
    """Return the masks that the list names, if they are ids. In most such files they say which pixels count at all."""
    named = {name: frame.masks for name, frame in zip(name_views(frames), frames, strict=True) if frame.masks is not None}
    if not named:
        return None, ()
    some = list(named.values())[:: max(1, len(named) // SAMPLED_MASKS)][:SAMPLED_MASKS]
    if all(_is_region(root, parts) for parts in some):
        return None, (
            f"The pictures that mask_path of {LIST} names say which pixels count, not which object they show, and are not used; "
            "put pictures of ids into masks/.",
        )
    return MaskFiles(root, Listing(named, {})), ()


def _is_region(root: SceneFolder, parts: tuple[str, ...]) -> bool:
    try:
        ids = pictures.read_ids(root.file(*parts))
    except SceneError:
        return True
    return bool(np.isin(ids, (0, 1)).all() or np.isin(ids, (0, 255)).all())


def _with_readable_depth(frame: ListedFrame) -> ListedFrame:
    if frame.depth is None or frame.depth[-1].lower().endswith(DEPTHS):
        return frame
    return ListedFrame(frame.color, frame.given, None, frame.masks)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(cast("float", value)) < 1e300  # NaN compares false


def _number(fields: Fields, key: str) -> float | None:
    value = fields.get(key)
    return float(value) if _is_number(value) and value is not None else None
