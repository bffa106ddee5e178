"""The colmap format: a COLMAP model, text or binary, and the photos that it was made from.

``<scene>/{images/…, sparse/0/{cameras, images, points3D}.{bin, txt}}``; depth and masks as in the posed-masks format. Its poses are
world-to-camera with OpenCV axes, and its pixels' centres lie at one half; its unit of length is arbitrary.
See docs/scene-formats.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.scenes.folders import SceneFolder
from engine.scenes.listed.colmap_model import ModelCamera, ModelImage, count_images, read_cameras, read_images, read_points
from engine.scenes.listed.frames import ListedFrame, has_pose_folder, open_listed, path_parts
from engine.scenes.listed.lenses import Lens, corner_shift, say_distortion
from engine.scenes.posed_masks import PosedMasksReader
from engine.scenes.posed_views import GivenView
from engine.types import Float32Array, Float64Array, Scene

NAME = "colmap"
MODEL_PLACES = (
    ("sparse", "0"), ("sparse",), ("colmap", "sparse", "0"), ("colmap", "sparse"), ("dense", "0", "sparse"), ("dense", "sparse"),
    (),
)  # fmt: skip
"""Folders that may hold the model, in the order in which they are tried."""
PHOTO_FOLDERS = ("images", "color", "photos", "image", "rgb")
ENDINGS = (".bin", ".txt")


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: a model, and no poses in files of their own."""
    return _find_model(root) is not None and not has_pose_folder(root)


def count_views(root: SceneFolder) -> int:
    """Number of views that the model lists."""
    model = _find_model(root)
    return 0 if model is None else count_images(_model_file(root, model, "images"))


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads the model's cameras and images, and the headers of photos.

    Raises:
        SceneError: If the model is broken, or none of its images can be used.
    """
    model = _find_model(root)
    assert model is not None
    cameras = read_cameras(_model_file(root, model, "cameras"))
    place = _model_file(root, model, "images")
    photos = _photo_folder(root, model)
    shifts: list[float] = []
    frames = [_to_frame(image, cameras, place, photos, shifts) for image in read_images(place)]
    if not frames:
        raise SceneError(f"{place}: found no image, expected a model with at least one; reconstruct the scene again.")
    notes = say_distortion(shifts, "run COLMAP's image_undistorter, and use its output")
    others = _other_models(root, model)
    if others:
        notes += (f"{'/'.join(model)} is used; the photos of {', '.join(others)} are not placed beside its own.",)
    return open_listed(root, NAME, frames, mesh_names=("mesh.ply", "meshed-poisson.ply"), notes=notes)


def read_sparse_points(scene: Scene) -> Float32Array | None:
    """Return the model's points, (P, 3) float32 in its unit, world frame; None for a scene of another format, or without any.

    Raises:
        SceneError: If the file is broken.
    """
    if scene.format != NAME or not isinstance(scene.reader, PosedMasksReader):
        return None
    root = SceneFolder(scene.folder)
    model = _find_model(root)
    names = [] if model is None else [(*model, f"points3D{ending}") for ending in ENDINGS]
    found = next((parts for parts in names if root.path.joinpath(*parts).exists()), None)
    return None if found is None else read_points(root.file(*found))


def _find_model(root: SceneFolder) -> tuple[str, ...] | None:
    for parts in MODEL_PLACES:
        folder = root.path.joinpath(*parts)
        if any((folder / f"images{e}").exists() and (folder / f"cameras{e}").exists() for e in ENDINGS):
            return parts
    return None


def _model_file(root: SceneFolder, model: tuple[str, ...], name: str) -> Path:
    """Return the model's file: binary if both of the files that are needed are there in binary."""
    ending = next(e for e in ENDINGS if all((root.path.joinpath(*model) / f"{n}{e}").exists() for n in ("images", "cameras")))
    return root.file(*model, f"{name}{ending}")


def _other_models(root: SceneFolder, model: tuple[str, ...]) -> list[str]:
    if model[-1:] != ("0",):
        return []
    beside = root.path.joinpath(*model[:-1])
    return [
        "/".join((*model[:-1], str(k))) for k in range(1, 100) if any((beside / str(k) / f"images{e}").exists() for e in ENDINGS)
    ]


def _photo_folder(root: SceneFolder, model: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folder of the photos: beside the model if there is one, as undistorted photos have their own model."""
    above = model[: model.index("sparse")] if "sparse" in model else model
    for base in (above, ()):
        for name in PHOTO_FOLDERS:
            if root.path.joinpath(*base, name).is_dir():
                return (*base, name)
    return ("images",)


def _to_frame(
    image: ModelImage, cameras: dict[int, ModelCamera], place: Path, photos: tuple[str, ...], shifts: list[float]
) -> ListedFrame:
    color = path_parts(image.name, photos)
    if color is None:
        fault = f"{place}: found the image {image.name[:80]!r}, expected a path below {'/'.join(photos)}; reconstruct it again."
        return ListedFrame((), GivenView(place, fault=fault))
    if image.fault is not None:
        return ListedFrame(color, GivenView(place, fault=image.fault))
    camera = cameras.get(image.camera)
    if camera is None:
        fault = f"{place}: found the camera {image.camera} of {color[-1]}, expected one that the model has; export it again."
        return ListedFrame(color, GivenView(place, fault=fault))
    lens = _lens_of(camera)
    if lens is None:
        fault = (
            f"{place}: found a camera of the model {camera.model}, expected a pinhole, with or without distortion; "
            "run COLMAP's image_undistorter, and use its output."
        )
        return ListedFrame(color, GivenView(place, fault=fault))
    matrix = _matrix_of(camera)
    shifts.append(corner_shift(lens, matrix, *camera.size) if matrix[0, 0] > 0 and matrix[1, 1] > 0 else 0.0)
    return ListedFrame(color, GivenView(place, image.pose, matrix, camera.size))


def _has_one_focal(camera: ModelCamera) -> bool:
    return camera.model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


def _matrix_of(camera: ModelCamera) -> Float64Array:
    """Return intrinsics, (3, 3) float64, for integer pixel centres; the model's lie at one half."""
    fx, fy, cx, cy = (camera.params[0], *camera.params[:3]) if _has_one_focal(camera) else camera.params[:4]
    return np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]], np.float64)


def _lens_of(camera: ModelCamera) -> Lens | None:
    """Return the camera's distortion, None for a fisheye's."""
    rest = camera.params[3:] if _has_one_focal(camera) else camera.params[4:]
    if camera.model in ("SIMPLE_PINHOLE", "PINHOLE"):
        return Lens()
    if camera.model in ("SIMPLE_RADIAL", "RADIAL"):
        return Lens(radial=rest)
    if camera.model in ("OPENCV", "FULL_OPENCV"):
        k1, k2, p1, p2, *more = rest
        return Lens(radial=(k1, k2, *more[:1]), tangential=(p1, p2), denominator=tuple(more[1:]))
    return None
