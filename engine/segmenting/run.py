"""Makes a copy of a scene with new masks: posed masks, with everything else that the scene knows. Whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import LeftOutError, MaskgroupError, SceneError
from engine.files import writing_folder
from engine.grouping.photo_stage import keep_placed
from engine.scenes.folders import is_entry
from engine.scenes.masks_in.source import FOLDER as MASKS
from engine.scenes.names import fault_of
from engine.scenes.posed_masks import PosedMasksReader
from engine.segmenting.base import Picture, Segmenter
from engine.types import NOTHING, Float32Array, Int32Array, LeftOutView, Scene, UInt8Array, View
from engine.views.frames import fit_size, resize_nearest, resize_rgb
from engine.views.posed_folder import PosedFolder, PosedView, save_ids
from engine.views.scene_copy import SmallIds, ViewReader


class SegmentingCancelled(MaskgroupError):
    """A person stopped the segmentation."""


@dataclass(frozen=True)
class SegmentedScene:
    """A scene that was written.

    Attributes:
        name: Its name.
        folder: Where it is.
        segmenter: What made its masks.
        n_views: Its views.
        n_masks: Their masks.
        coverage: Share of all pixels that have a mask.
        has_truth: Whether it holds ground truth for scores.
        seconds: Time for segmenting alone, all views.
        left_out: Views that are missing, and why.
    """

    name: str
    folder: Path
    segmenter: str
    n_views: int
    n_masks: int
    coverage: float
    has_truth: bool
    seconds: float
    left_out: tuple[LeftOutView, ...]


def segment_scene(
    scene: Scene,
    segmenter: Segmenter,
    out: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> SegmentedScene:
    """Write a copy of a scene with new masks. The scene itself is not touched.

    Args:
        scene: The scene; where it has no photos, its pictures are rendered from the mesh.
        segmenter: Makes the masks.
        out: The new scene's folder; there must be nothing of that name.
        on_progress: Called with how many views are done, and how many there are.
        is_cancelled: Asked before each view; True stops.

    Raises:
        SegmentingCancelled: If it was stopped; nothing is left.
        MaskgroupError: If no view can be used, or the folder cannot be written; nothing is left.
    """
    out = out.expanduser().absolute()
    fault = fault_of(out.name)
    if fault is not None:
        raise SceneError(f"{out}: {fault}, expected a name for a scene; give another with --out.")
    if is_entry(out):
        raise SceneError(f"{out}: found something of that name already, expected a new scene; give another name with --out.")
    try:
        with writing_folder(out) as unfinished:
            return _write(scene, segmenter, out, unfinished, on_progress, is_cancelled)
    except OSError as error:
        raise SceneError(
            f"{out}: cannot be written ({error.strerror or error}), expected a folder with space for the scene; give another "
            "with --out."
        ) from error


def add_masks(
    scene: Scene,
    segmenter: Segmenter,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Write masks into the folder of a scene that has none yet; returns how many. Nothing else of the scene is touched.

    A view whose photo or depth is broken gets none, and is then left out of the scene.

    Args:
        scene: The scene; `may_add_masks` says whether it can have some.
        segmenter: Makes the masks.
        on_progress: Called with how many views are done, and how many there are.
        is_cancelled: Asked before each view; True stops.

    Raises:
        SegmentingCancelled: If it was stopped; nothing is left.
        MaskgroupError: If no view can be read, or the masks cannot be written; nothing is left.
    """
    folder = scene.folder / MASKS
    if not may_add_masks(scene):
        raise SceneError(f"{folder}: the scene has masks already, expected none; make a copy with new ones.")
    n_masks, fault = 0, ""
    try:
        with writing_folder(folder) as unfinished:
            for done, name in enumerate(scene.view_names):
                if is_cancelled():
                    raise SegmentingCancelled("The segmentation was stopped; nothing was kept.")
                on_progress(done, len(scene.view_names))
                try:
                    rgb, depth = scene.color(name), scene.depth(name)
                    if rgb is None:
                        raise SceneError(f"{scene.folder}: view {name!r} has no photo, expected one as others have; add it.")
                except SceneError as error:
                    fault = fault or str(error)
                    continue
                ids = segment_picture(segmenter, rgb, depth, scene.view(name))
                n_masks += len(np.unique(ids[ids != NOTHING]))
                save_ids(np.where(ids == NOTHING, 0, ids).astype(np.int32), unfinished / f"{name}.png")
            if not any(unfinished.iterdir()):
                raise LeftOutError(f"None of the views can be segmented; the first: {fault}")
            on_progress(len(scene.view_names), len(scene.view_names))
    except OSError as error:
        raise SceneError(
            f"{folder}: cannot be written ({error.strerror or error}), expected space for masks; free some."
        ) from error
    return n_masks


def may_add_masks(scene: Scene) -> bool:
    """Whether a scene has no masks of any kind, and its format reads those that are put into masks/."""
    return isinstance(scene.reader, PosedMasksReader) and not scene.reader.has_masks


def _write(
    scene: Scene,
    segmenter: Segmenter,
    out: Path,
    unfinished: Path,
    on_progress: Callable[[int, int], None],
    is_cancelled: Callable[[], bool],
) -> SegmentedScene:
    folder = PosedFolder(unfinished, scene)
    views, truths = ViewReader(scene), SmallIds(scene)
    left_out = list(scene.left_out)
    n_masks = covered = pixels = n_views = 0
    seconds = 0.0
    for done, name in enumerate(scene.view_names):
        if is_cancelled():
            raise SegmentingCancelled("The segmentation was stopped; nothing was kept.")
        on_progress(done, len(scene.view_names))
        try:
            seen = views.read(name)
        except SceneError as error:
            left_out.append(LeftOutView(name, str(error)))
            continue
        began = time.perf_counter()
        ids = segment_picture(segmenter, seen.rgb, seen.depth, seen.view)
        seconds += time.perf_counter() - began
        n_masks += len(np.unique(ids[ids != NOTHING]))
        covered, pixels, n_views = covered + int((ids != NOTHING).sum()), pixels + ids.size, n_views + 1
        numbered = np.where(ids == NOTHING, 0, ids)
        truth = truths.number(seen.truth)
        folder.add(PosedView(name, seen.rgb, numbered, seen.depth, seen.view.camera, seen.view.pose, truth))
    if not n_views:
        reason = left_out[0].reason if left_out else f"{scene.folder}: it has no views, expected some."
        raise LeftOutError(f"None of the views can be segmented; the first: {reason}")
    on_progress(len(scene.view_names), len(scene.view_names))
    if views.mesh is not None:
        folder.write_mesh(views.mesh)
    folder.close({"classes": truths.classes} if truths.classes else None)
    keep_placed(scene, unfinished)
    return SegmentedScene(
        out.name, out, segmenter.name, n_views, n_masks, covered / pixels, truths.is_used, seconds, tuple(left_out)
    )


def segment_picture(segmenter: Segmenter, rgb: UInt8Array, depth: Float32Array | None, view: View) -> Int32Array:
    """Return the masks of a view at its photo's size, (H, W) int32, numbered from 1, -1 = none.

    Args:
        segmenter: Makes them, at the size that it wants.
        rgb: (H, W, 3) uint8.
        depth: (h, w) float32 metres, any size of the same aspect; None without depth.
        view: Its camera at the photo's size.
    """
    height, width = rgb.shape[:2]
    wanted = segmenter.size
    small = (width, height) if wanted is None else fit_size(width, height, min(wanted[0], width), min(wanted[1], height))
    picture = Picture(
        resize_rgb(rgb, *small),
        None if depth is None else resize_nearest(depth, *small),
        None if view.camera is None else view.camera.resized(*small),
    )
    return resize_nearest(segmenter.segment(picture), width, height)
