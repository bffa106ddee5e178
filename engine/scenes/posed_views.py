"""The views of a scene with photos, poses and one camera: which ones can be used, which are left out, and why.

A view with a missing, malformed or impossible pose, or a photo that the scene's camera cannot have taken, is left out and
named; it never stops the others. Knows no scene format: a format says where the files are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import LeftOutError, MaskError, SceneError
from engine.scenes import files, pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.masks_in.base import MaskSource
from engine.scenes.names import normal_form, numeric_order, printable
from engine.types import Camera, Float32Array, Float64Array, Int32Array, LeftOutView, Scene, SceneReader, UInt8Array, View

MAX_VIEWS = 20_000
MAX_FROM_OTHERS_M = 1000.0
"""How far a camera may be from the middle of the others: farther, it is not a view of the same room."""
PHOTO_ASPECT = 0.01
"""Largest relative difference of aspects between photos of one camera."""
DEPTH_ASPECT = 0.02
"""The same between a photo and its depth: ScanNet's differ by half a per cent."""
EMPTY = Listing({}, {})


@dataclass(frozen=True)
class CameraFile:
    """The scene's intrinsics: (3, 3) float64, and the file's path parts, for messages.

    Attributes:
        matrix: In pixels of the photos, or of pictures of `size`.
        parts: Where it was read.
        size: (width, height) of the pictures that it belongs to, if the file says so; None = those of the photos.
    """

    matrix: Float64Array
    parts: tuple[str, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class GivenView:
    """What one list of all views, such as transforms.json, says about a view.

    Attributes:
        place: Where it says so, for messages.
        pose: Camera-to-world, (4, 4) float64, already checked; None if there is a fault.
        matrix: Pinhole intrinsics, (3, 3) float64, in pixels of pictures of `size`; None if there is a fault.
        size: (width, height) of these pictures; None = of the photo.
        fault: Why the view cannot be used, as one sentence.
    """

    place: Path
    pose: Float64Array | None = None
    matrix: Float64Array | None = None
    size: tuple[int, int] | None = None
    fault: str | None = None


@dataclass(frozen=True)
class ViewFiles:
    """Where the files of a scene's views are.

    Attributes:
        names: All views that the folder seems to hold, in any order.
        colors: Photos.
        depths: Depth images.
        poses: Pose files.
        masks: Stored masks that every view must have; None = there are none.
        truths: Ground truth of stored masks.
        needs_poses: Whether every view without a pose is left out; False = only if other views have one.
        needs_photos: Whether a view without a photo is left out.
        pose_place: Where a missing pose is expected, with {view} for the name.
        given: What a list of all views says about each; None = poses and camera are in files of their own.
    """

    names: frozenset[str]
    colors: Listing
    depths: Listing = EMPTY
    poses: Listing = EMPTY
    masks: MaskSource | None = None
    truths: Listing = EMPTY
    needs_poses: bool = True
    needs_photos: bool = False
    pose_place: str = "poses/{view}.txt"
    given: Mapping[str, GivenView] | None = None


@dataclass(frozen=True, eq=False)
class _Usable:
    """What is known of a view: pose, (width, height) of its photo as used, None without one, and whether it is turned upright."""

    pose: Float64Array | None
    size: tuple[int, int] | None
    is_turned: bool = False


class PosedViews:
    """The usable views of one scene, with their poses and cameras; reads photos and depth when asked. Safe for threads.

    Args:
        root: The scene's folder.
        listed: The files of each view, by kind.
        camera: The intrinsics, None if the scene has none.

    Raises:
        SceneError: If no view can be used, or the intrinsics cannot belong to the photos.
    """

    def __init__(self, root: SceneFolder, listed: ViewFiles, camera: CameraFile | None) -> None:
        if len(listed.names) > MAX_VIEWS:
            raise SceneError(
                f"{root.path}: found {len(listed.names):,} views, expected at most {MAX_VIEWS:,}; keep every n-th view."
            )
        self.root, self.files, self._camera_file = root, listed, camera
        self._reasons: dict[str, str] = {}
        self._usable: dict[str, _Usable] = {}
        has_poses = listed.needs_poses or bool(listed.poses.files) or bool(listed.poses.faults)
        for name in sorted(listed.names, key=numeric_order):
            try:
                self._usable[name] = self._look_at(name, has_poses)
            except SceneError as error:
                self._reasons[name] = str(error)
        self._leave_out_far_ones()
        self._reference = self._find_reference() if camera is not None and self._usable else None
        self._cameras: dict[str, Camera] = {}
        self._leave_out_other_cameras()
        self.names = tuple(self._usable)
        self.left_out = tuple(LeftOutView(name, self._reasons[name]) for name in sorted(self._reasons, key=numeric_order))
        if not self.names and self.left_out:
            first = self.left_out[0]
            count = len(self.left_out)
            without = f"{count} views without a usable pose" if has_poses else f"{count} views that cannot be used"
            raise SceneError(f"{root.path}: found {without}; the first, {printable(first.name)}: {first.reason}")

    def make_scene(self, scene_format: str, reader: SceneReader, *, mask_ids_are_instances: bool) -> Scene:
        """Return the scene of these views.

        Args:
            scene_format: Name of its format.
            reader: Reads its parts.
            mask_ids_are_instances: As `Scene` has it.
        """
        return Scene(
            name=normal_form(self.root.path.name),
            folder=self.root.path,
            format=scene_format,
            view_names=self.names,
            reader=reader,
            mask_ids_are_instances=mask_ids_are_instances,
            left_out=self.left_out,
        )

    def read_view(self, name: str) -> View:
        """Return camera and pose; either is None if the scene has none."""
        self.require(name)
        return View(name=name, camera=self._cameras.get(name), pose=self._usable[name].pose)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None if the view has none."""
        self.require(name)
        own = self._usable[name]
        if own.size is None:
            return None
        path = self.root.file(*self.files.colors.files[name])
        photo = pictures.read_photo(path, upright=own.is_turned)
        if (photo.shape[1], photo.shape[0]) != own.size:
            raise SceneError(
                f"{path}: found {photo.shape[1]}x{photo.shape[0]} pixels, expected {own.size[0]}x{own.size[1]} as when the scene "
                "was opened; open it again."
            )
        return photo

    def photo_file(self, name: str) -> Path | None:
        """Return where the photo lies; None without one, and where it is used turned upright."""
        self.require(name)
        own = self._usable[name]
        return None if own.size is None or own.is_turned else self.root.file(*self.files.colors.files[name])

    def read_depth_units(self, name: str, *, any_aspect: bool = False) -> Int32Array | None:
        """Return the depth image as stored, (H, W) int32 units, 0 = unknown, or None if the view has none.

        Args:
            name: Name of one of the views.
            any_aspect: Whether it may have another aspect than the photo, as it has a camera of its own.

        Raises:
            SceneError: If it is broken, or its aspect is not the photo's.
        """
        self.require(name)
        if name not in self.files.depths.files:
            return None
        path = self.root.file(*self.files.depths.files[name])
        size = self.size(name)
        units = pictures.read_depth_units(path)
        height, width = units.shape
        if size is not None and not any_aspect and not same_aspect(size, (width, height), DEPTH_ASPECT):
            raise SceneError(
                f"{path}: found {width}x{height} pixels, expected the aspect of the photo, {size[0]}x{size[1]}; "
                "export depth as the photo's camera sees it."
            )
        return units

    def size(self, name: str) -> tuple[int, int] | None:
        """Return (width, height) of the view's photo, or of its camera where it has none."""
        camera = self._cameras.get(name)
        return self._usable[name].size or (None if camera is None else (camera.width, camera.height))

    def require(self, name: str) -> None:
        """Raise an error if there is no such view.

        Raises:
            LeftOutError: If the view was left out; it says why.
            MaskError: If there is none of that name.
        """
        if name in self._usable:
            return
        if name in self._reasons:
            raise LeftOutError(f"The scene {self.root.path.name!r} has no view {name!r}; it was left out: {self._reasons[name]}")
        raise MaskError(
            f"The scene {self.root.path.name!r} has no view {name!r}; it has {len(self._usable)} views, list them first."
        )

    def notes(self) -> list[str]:
        """Return sentences about what is missing."""
        said: list[str] = []
        without = sum(own.size is None for own in self._usable.values())
        if self.files.colors.files and without:
            said.append(f"{without} of {len(self._usable)} views have no photo: they are shown as rendered from the mesh.")
        turned = sum(own.is_turned for own in self._usable.values())
        if turned:
            said.append(f"{turned} photos were turned upright as their EXIF orientation says.")
        return said

    def _look_at(self, name: str, has_poses: bool) -> _Usable:
        own = self.files
        given = None if own.given is None else own.given[name]
        if given is not None and given.fault is not None:
            raise SceneError(given.fault)
        for listing in (own.colors, own.poses, own.depths, own.masks or EMPTY, own.truths):
            if name in listing.faults:
                raise SceneError(f"{self.root.path}: {listing.faults[name]}.")
        pose = self._read_pose(name) if given is None and has_poses else None if given is None else given.pose
        if given is not None and own.masks is not None and name not in own.masks.views:
            raise SceneError(f"{self.root.path}: found no masks for view {name!r}, expected some as other views have; add them.")
        if name not in own.colors.files:
            if own.needs_photos:
                place = own.masks.place(name) if own.masks else self.root.path / name
                raise SceneError(
                    f"{place}: found masks but no photo color/{name}.jpg or .png for them; add it or remove the masks."
                )
            return _Usable(pose, None)
        header = pictures.read_header(self.root.file(*own.colors.files[name]))
        is_turned = header.orientation != 1 and self._is_upright(name, header)
        size = header.upright_size if is_turned else (header.width, header.height)
        if own.masks is not None:
            self._check_masks(name, own.masks, size)
        return _Usable(pose, size, is_turned)

    def _read_pose(self, name: str) -> Float64Array:
        if name not in self.files.poses.files:
            place = self.root.path / self.files.pose_place.format(view=name)
            raise SceneError(
                f"{place}: found no pose for view {name!r}, expected a 4x4 camera-to-world matrix; "
                "add it or remove the view's photo."
            )
        return files.read_pose(self.root.file(*self.files.poses.files[name]))

    def _is_upright(self, name: str, header: pictures.Header) -> bool:
        """Whether masks, or else the camera, belong to the photo as viewers turn it rather than as it is stored."""
        stored, upright = (header.width, header.height), header.upright_size
        if stored == upright:
            return True
        of_masks = None if self.files.masks is None else self.files.masks.size(name)
        if of_masks is not None:
            return of_masks != stored
        if self.files.given is not None:
            wanted = self.files.given[name].size
            return wanted is not None and not same_aspect(wanted, stored, PHOTO_ASPECT)
        if self._camera_file is not None:
            return _off_center(self._camera_file.matrix, upright) <= _off_center(self._camera_file.matrix, stored)
        return True

    def _check_masks(self, name: str, masks: MaskSource, size: tuple[int, int]) -> None:
        found = masks.size(name)
        if found is not None and found != size:
            hint = (
                "rotate the masks by a quarter turn" if found == size[::-1] else "resize the masks with nearest-neighbour sampling"
            )
            raise SceneError(
                f"{masks.place(name)}: found {found[0]}x{found[1]} pixels, expected {size[0]}x{size[1]} as its photo has; {hint}."
            )

    def _leave_out_far_ones(self) -> None:
        centers = {name: own.pose[:3, 3] for name, own in self._usable.items() if own.pose is not None}
        if len(centers) < 3:
            return
        middle = np.median(np.stack(list(centers.values())), axis=0)
        for name, center in centers.items():
            away = float(np.linalg.norm(center - middle))
            if away > MAX_FROM_OTHERS_M:
                given = self.files.given
                place = self.root.path.joinpath(*self.files.poses.files[name]) if given is None else given[name].place
                reason = (
                    f"{place}: found a camera {away:.4g} m from the other views, expected less than {MAX_FROM_OTHERS_M:,.0f} m; "
                    "correct the file or remove this view."
                )
                self._drop(name, reason)

    def _find_reference(self) -> Camera:
        """Return the camera at the size that the intrinsics belong to: of the photos' sizes, the one they fit best."""
        file = self._camera_file
        assert file is not None
        path = self.root.path.joinpath(*file.parts)
        counts: dict[tuple[int, int], int] = {}
        for own in self._usable.values():
            if own.size is not None:
                counts[own.size] = counts.get(own.size, 0) + 1
        if file.size is not None:
            size = file.size
        elif counts:
            size = min(counts, key=lambda size: (round(_off_center(file.matrix, size), 2), -counts[size]))
        else:  # without photos only the principal point tells the size: these datasets put it in the middle
            size = files.size_from_center(file.matrix, path)
        return files.plain_camera(file.matrix, *size, path)

    def _leave_out_other_cameras(self) -> None:
        if self.files.given is not None:
            self._fit_given_cameras(self.files.given)
            return
        reference = self._reference
        if reference is None:
            return
        base = (reference.width, reference.height)
        for name, own in list(self._usable.items()):
            size = own.size or base
            if same_aspect(base, size, PHOTO_ASPECT):
                self._cameras[name] = reference if size == base else reference.resized(*size)
                continue
            place = self.root.path.joinpath(*self.files.colors.files[name])
            reason = (
                f"{place}: found {size[0]}x{size[1]} pixels, expected {base[0]}x{base[1]} or the same aspect, as the intrinsics "
                "belong to; turn it, resize it or remove this view."
            )
            self._drop(name, reason)
        self._usable = {name: own for name, own in self._usable.items() if name in self._cameras}

    def _fit_given_cameras(self, given: Mapping[str, GivenView]) -> None:
        """Fit each view's own camera to its photo. A view whose camera cannot have taken its photo is left out."""
        for name, own in list(self._usable.items()):
            camera, place = given[name], given[name].place
            base, size = camera.size or own.size, own.size or camera.size
            if camera.matrix is None or base is None or size is None:
                self._drop(name, f"{place}: found no camera for view {name!r}, expected its intrinsics; add them.")
                continue
            if not same_aspect(base, size, PHOTO_ASPECT):
                reason = (
                    f"{self.root.path.joinpath(*self.files.colors.files[name])}: found {size[0]}x{size[1]} pixels, expected "
                    f"{base[0]}x{base[1]} or the same aspect, as its intrinsics belong to; turn it, resize it or remove this view."
                )
                self._drop(name, reason)
                continue
            try:
                fitted = files.plain_camera(camera.matrix, *base, place)
            except SceneError as error:
                self._drop(name, str(error))
                continue
            self._cameras[name] = fitted if size == base else fitted.resized(*size)

    def _drop(self, name: str, reason: str) -> None:
        del self._usable[name]
        self._reasons[name] = str(SceneError(reason))


def same_aspect(a: tuple[int, int], b: tuple[int, int], tolerance: float) -> bool:
    """Whether two sizes have one aspect, up to a tolerance and to rounding by a pixel."""
    product_a, product_b = a[0] * b[1], a[1] * b[0]
    return abs(product_a - product_b) <= max(tolerance * max(product_a, product_b), max(*a, *b))


def _off_center(matrix: Float64Array, size: tuple[int, int]) -> float:
    """How far the principal point lies from the middle of pictures of a size, in their widths and heights."""
    width, height = size
    return float(abs(2 * matrix[0, 2] + 1 - width) / width + abs(2 * matrix[1, 2] + 1 - height) / height)


def to_metres(units: Int32Array, scale: float) -> Float32Array:
    """Return depth in metres, (H, W) float32, 0 = unknown."""
    return (units / scale).astype(np.float32)


def union_of(*listings: Listing) -> frozenset[str]:
    """Return the views that any of the listings names."""
    names: set[str] = set()
    for listing in listings:
        names |= set(listing.files) | set(listing.faults)
    return frozenset(names)


def sorted_names(names: Sequence[str] | frozenset[str]) -> tuple[str, ...]:
    """Return names in numeric order."""
    return tuple(sorted(names, key=numeric_order))
