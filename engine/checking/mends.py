"""Mends what a check doubts, as far as the findings say how: in a copy, never in the scene itself.

What can be mended: the convention of poses, the unit of depth, intrinsics of pictures of another size, and ids that mean "nothing
here". One doubt may hide another (with wrong axes nothing can be said of depth), so the mended scene is checked again, until
nothing is left that can be mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.checking.findings import CheckReport, Finding
from engine.checking.masks import LARGE
from engine.checking.run import check_scene
from engine.errors import LeftOutError, MaskgroupError, SceneError
from engine.files import writing_folder
from engine.grouping.axes import CHANGES, READINGS, Convention
from engine.grouping.photo_stage import keep_placed
from engine.scenes.folders import is_entry
from engine.scenes.names import fault_of
from engine.scenes.posed_views import same_aspect
from engine.types import (
    NOTHING,
    Camera,
    Float32Array,
    HasGroundTruth,
    HasPhotoFiles,
    Int32Array,
    LeftOutView,
    Scene,
    SceneMesh,
    SceneReader,
    UInt8Array,
    View,
)
from engine.views.posed_folder import PosedFolder, PosedView
from engine.views.scene_copy import SmallIds, ViewReader

ROUNDS = 4
SAME_ASPECT = 0.03
"""How much the size that a principal point is the middle of may differ in aspect from the pictures."""
LOOKED_AT = 12


class MendingCancelled(MaskgroupError):
    """A person stopped the mending."""


@dataclass(frozen=True)
class Mends:
    """What is changed.

    Attributes:
        conventions: The conventions from which poses are turned to camera-to-world with OpenCV axes, one after the other.
        depth_factor: What depth is divided by.
        camera_size: (width, height) of the pictures that the intrinsics belong to; None = they are right.
        void_ids: Ids of masks that become nothing.
    """

    conventions: tuple[Convention, ...] = ()
    depth_factor: float = 1.0
    camera_size: tuple[int, int] | None = None
    void_ids: tuple[int, ...] = ()

    def tell(self) -> list[str]:
        """Return a sentence for each change."""
        said = [
            f"Poses were read as {convention} and turned to camera-to-world with OpenCV axes." for convention in self.conventions
        ]
        if self.depth_factor != 1:
            said.append(f"Depth was divided by {self.depth_factor:.4g}.")
        if self.camera_size is not None:
            width, height = self.camera_size
            said.append(f"Intrinsics were taken to belong to pictures of {width}x{height}, and scaled to the photos' size.")
        if self.void_ids:
            said.append(f"Masks of the id {', '.join(map(str, self.void_ids))} became nothing.")
        return said

    def offer(self) -> str:
        """Return what a button says that does all this, "" where there is nothing to do."""
        said = ["turn the poses to camera-to-world with OpenCV axes"] if self.conventions else []
        if self.depth_factor != 1:
            said.append(f"divide depth by {self.depth_factor:.4g}")
        if self.camera_size is not None:
            said.append(f"scale the intrinsics from {self.camera_size[0]}x{self.camera_size[1]}")
        if self.void_ids:
            said.append(f"take away masks of the id {', '.join(map(str, self.void_ids))}")
        words = " and ".join(said)
        return words[:1].upper() + words[1:]

    def beside(self, other: Mends) -> Mends:
        """Return both, where each was found in the scene as it is: what both change is changed once, as these say."""
        return Mends(
            self.conventions or other.conventions,
            self.depth_factor if self.depth_factor != 1 else other.depth_factor,
            self.camera_size or other.camera_size,
            self.void_ids or other.void_ids,
        )

    def then(self, more: Mends) -> Mends:
        """Return both, these first."""
        return Mends(
            (*self.conventions, *more.conventions),
            self.depth_factor * more.depth_factor,
            more.camera_size or self.camera_size,
            (*self.void_ids, *more.void_ids),
        )


@dataclass(frozen=True)
class MendedScene:
    """A mended copy.

    Attributes:
        folder: Where it is.
        mends: What was changed.
        left_out: Views that are missing, and why.
        report: What a check finds in the copy.
    """

    folder: Path
    mends: Mends
    left_out: tuple[LeftOutView, ...]
    report: CheckReport


def plan_mends(scene: Scene, report: CheckReport) -> Mends:
    """Return what the doubts of a check call for; nothing where they do not say how to mend.

    Args:
        scene: The scene that was checked.
        report: What was found in it.
    """
    mends = Mends()
    for finding in report.findings:
        mends = mends.beside(plan_mend(scene, finding))
    return mends


def plan_mend(scene: Scene, finding: Finding) -> Mends:
    """Return what one finding calls for; nothing where it is no doubt, or does not say how to mend."""
    if finding.level != "doubt":
        return Mends()
    if finding.topic in ("poses", "depth"):
        convention: Convention | None = next((name for name in CHANGES if name == finding.figures.get("convention")), None)
        factor = finding.figures.get("too_large_by")
        conventions: tuple[Convention, ...] = () if convention is None else (convention,)
        return Mends(conventions, factor if isinstance(factor, float) else 1.0)
    if finding.topic == "camera":
        return Mends(camera_size=_find_camera_size(scene))
    if finding.topic == "masks" and "views_with_large" in finding.figures:
        return Mends(void_ids=_find_background(scene))
    return Mends()


def pack_mends(mends: Mends) -> dict[str, Any]:
    """Return mends as JSON values."""
    return asdict(mends)


def unpack_mends(values: Mapping[str, Any]) -> Mends:
    """Return what `pack_mends` made values of.

    Raises:
        ValueError, LookupError or TypeError: If they are none.
    """
    named: dict[object, Convention] = {name: name for name in CHANGES}
    conventions: tuple[Convention, ...] = tuple(named[one] for one in values["conventions"])
    size = values["camera_size"]
    return Mends(
        conventions,
        float(values["depth_factor"]),
        None if size is None else (int(size[0]), int(size[1])),
        tuple(int(one) for one in values["void_ids"]),
    )


def mend_scene(
    scene: Scene, out: Path, report: CheckReport, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> MendedScene | None:
    """Write a copy of a scene in which what the findings call for is mended, as posed masks. None if they call for nothing.

    Args:
        scene: The scene; it is not touched.
        out: The copy's folder; there must be nothing of that name.
        report: What was found in the scene.
        on_progress: Called with how many views are written, and how many there are.

    Raises:
        SceneError: If the copy cannot be written; nothing is left.
    """
    out = out.expanduser().absolute()
    require_new(out)
    mends, mended = Mends(), scene
    for _ in range(ROUNDS):
        more = plan_mends(mended, report)
        if more == Mends():
            break
        mends = mends.then(more)
        mended = apply_mends(scene, mends)
        report = check_scene(mended)
    if mends == Mends():
        return None
    left_out = write_mended(scene, mends, out, on_progress=on_progress)
    return MendedScene(out, mends, left_out, replace(report, folder=str(out)))


def require_new(out: Path) -> None:
    """Check that a scene may be written somewhere.

    Raises:
        SceneError: If something is there, or it is no name for a scene.
    """
    fault = fault_of(out.name)
    if fault is not None or is_entry(out):
        what = fault or "found something of that name already"
        raise SceneError(f"{out}: {what}, expected a name for a new scene; give another with --fix.")


def write_mended(
    scene: Scene,
    mends: Mends,
    out: Path,
    *,
    own_masks: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> tuple[LeftOutView, ...]:
    """Write a copy of a scene with some mends, as posed masks; returns the views that are missing in it, and why.

    Args:
        scene: The scene; it is not touched.
        mends: What is changed; nothing at all is a plain copy.
        out: The copy's folder; there must be nothing of that name.
        own_masks: Whether masks that are the objects of ground truth become masks of each view's own, numbered from 1, so that they
            can be edited; the objects then lie beside them as ground truth.
        on_progress: Called with how many views are written, and how many there are.
        is_cancelled: Asked before each view; True stops.

    Raises:
        MendingCancelled: If it was stopped; nothing is left.
        SceneError: If the copy cannot be written; nothing is left.
    """
    require_new(out)

    def report(done: int, total: int) -> None:
        if is_cancelled():
            raise MendingCancelled("The copying was stopped; nothing was kept.")
        on_progress(done, total)

    try:
        with writing_folder(out) as unfinished:
            return _write(apply_mends(scene, mends), unfinished, report, own_masks=own_masks)
    except OSError as error:
        raise SceneError(
            f"{out}: cannot be written ({error.strerror or error}), expected a folder with space for the scene; free some, or "
            "give another with --fix."
        ) from error


def apply_mends(scene: Scene, mends: Mends) -> Scene:
    """Return a scene as it is read with some mends; its files stay as they are."""
    return replace(scene, reader=_MendedReader(scene, mends))


class _MendedReader:
    """Reads a scene and mends what it reads; see `SceneReader`."""

    def __init__(self, scene: Scene, mends: Mends) -> None:
        self._reader: SceneReader = scene.reader
        self._scene, self._mends = scene, mends

    def read_view(self, name: str) -> View:
        view = self._reader.read_view(name)
        camera, pose = view.camera, view.pose
        if camera is not None and self._mends.camera_size is not None:
            width, height = self._mends.camera_size
            own = Camera(width=width, height=height, fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy)
            camera = own.resized(camera.width, camera.height)
        if pose is not None:
            for convention in self._mends.conventions:
                pose = READINGS[convention](pose)
        return View(view.name, camera, pose)

    def read_color(self, name: str) -> UInt8Array | None:
        return self._reader.read_color(name)

    def read_depth(self, name: str) -> Float32Array | None:
        depth = self._reader.read_depth(name)
        return None if depth is None else (depth / np.float32(self._mends.depth_factor)).astype(np.float32)

    def read_instance_map(self, name: str) -> Int32Array | None:
        ids = self._reader.read_instance_map(name)
        return None if ids is None else np.where(np.isin(ids, self._mends.void_ids), NOTHING, ids).astype(np.int32)

    def read_mesh(self) -> SceneMesh | None:
        return self._reader.read_mesh()

    def read_ground_truth_map(self, name: str) -> Int32Array | None:
        return self._reader.read_ground_truth_map(name) if isinstance(self._reader, HasGroundTruth) else None

    def photo_file(self, name: str) -> Path | None:
        return self._reader.photo_file(name) if isinstance(self._reader, HasPhotoFiles) else None

    def name_of(self, instance: int) -> str | None:
        return self._scene.name_of(instance)


def _find_camera_size(scene: Scene) -> tuple[int, int] | None:
    """Return the size of pictures whose middle the principal point is, if they have the photos' aspect but another size."""
    camera = next((view.camera for view in map(scene.view, scene.view_names) if view.camera is not None), None)
    if camera is None:
        return None
    size = round(2 * float(camera.cx) + 1), round(2 * float(camera.cy) + 1)
    photo = camera.width, camera.height
    if min(size) < 2 or size == photo or not same_aspect(size, photo, SAME_ASPECT):
        return None
    return None if abs(size[0] / photo[0] - 1) < SAME_ASPECT else size


def _find_background(scene: Scene) -> tuple[int, ...]:
    """Return the ids that cover most of the picture in more than half of some views."""
    counts: dict[int, int] = {}
    names = scene.view_names[:: max(1, len(scene.view_names) // LOOKED_AT)]
    for name in names:
        try:
            ids = scene.stored_instance_map(name)
        except SceneError:
            continue
        if ids is not None:
            found, pixels = np.unique(ids[ids != NOTHING], return_counts=True)
            for one in found[pixels > LARGE * ids.size].tolist():
                counts[int(one)] = counts.get(int(one), 0) + 1
    return tuple(one for one, count in sorted(counts.items()) if count > len(names) / 2)


def _write(
    scene: Scene, folder: Path, on_progress: Callable[[int, int], None], *, own_masks: bool = False
) -> tuple[LeftOutView, ...]:
    posed, views = PosedFolder(folder, scene), ViewReader(scene)
    objects, masks = SmallIds(scene), SmallIds(scene)
    left_out = list(scene.left_out)
    are_objects = scene.mask_ids_are_instances and not own_masks
    for done, name in enumerate(scene.view_names):
        on_progress(done, len(scene.view_names))
        try:
            seen = views.read(name)
            stored = None if scene.mask_ids_are_instances else scene.stored_instance_map(name)
        except SceneError as error:
            left_out.append(LeftOutView(name, str(error)))
            continue
        ids = seen.truth if scene.mask_ids_are_instances else stored
        ids = np.full(seen.rgb.shape[:2], NOTHING, np.int32) if ids is None else ids
        numbers = _number_from_1(ids) if scene.mask_ids_are_instances and own_masks else masks.number(ids)
        assert numbers is not None
        truth = None if are_objects else objects.number(seen.truth)
        posed.add(PosedView(name, seen.rgb, numbers, seen.depth, seen.view.camera, seen.view.pose, truth))
    on_progress(len(scene.view_names), len(scene.view_names))
    if not posed.photos:
        raise LeftOutError(f"None of the views can be written; the first: {left_out[0].reason}")
    if views.mesh is not None:
        posed.write_mesh(views.mesh)
    classes = masks.classes if are_objects else objects.classes
    settings: dict[str, object] = {"mask_ids_are_instances": are_objects}
    posed.close(settings | ({"classes": classes} if classes else {}))
    keep_placed(scene, folder)
    return tuple(left_out)


def _number_from_1(ids: Int32Array) -> Int32Array:
    """Return masks numbered from 1 as they come, (H, W) int32, 0 = none; their own ids say which object each is."""
    found, place = np.unique(ids, return_inverse=True)
    return (place.reshape(ids.shape) + (0 if NOTHING in found else 1)).astype(np.int32)
