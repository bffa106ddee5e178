"""Checks a scene: reads some of its views, and says what was found and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.checking.cameras import check_cameras, check_pictures
from engine.checking.findings import CheckReport, Finding
from engine.checking.geometry import check_depth, check_mesh, check_points, check_poses
from engine.checking.masks import check_masks, check_truth
from engine.errors import LeftOutError, SceneError
from engine.grouping.geometry import MaskTable, PosedView
from engine.scenes.listed.colmap import read_sparse_points
from engine.types import NOTHING, Camera, Frame, LeftOutView, Scene
from engine.views.frames import FrameSource, fit_size, resize_nearest

MAX_LOOKED_AT = 40
"""Views whose pictures, depth and masks are read, evenly spaced."""
WIDTH, HEIGHT = 640, 480
MANY_LEFT_OUT = 0.5


def check_scene(scene: Scene, *, on_progress: Callable[[int, int], None] = lambda done, total: None) -> CheckReport:
    """Look at a scene, and say what was found.

    Args:
        scene: The scene.
        on_progress: Called after every view with the views looked at so far, and all that will be.

    Raises:
        SceneError: If a file of the whole scene is broken.
    """
    places = np.unique(np.linspace(0, len(scene.view_names) - 1, min(MAX_LOOKED_AT, len(scene.view_names))).astype(int))
    names = [scene.view_names[int(place)] for place in places]
    frames = FrameSource(scene, width=WIDTH, height=HEIGHT, max_frames=1)
    views: list[PosedView] = []
    seen: list[Frame] = []
    sizes: list[tuple[int, int] | None] = []
    lost: dict[str, str] = {}
    nothing: str | None = None
    for done, name in enumerate(names, start=1):
        on_progress(done, len(names))
        try:
            photo = scene.color(name)
            views.append(_read_geometry(scene, name))
            sizes.append(None if photo is None else (photo.shape[1], photo.shape[0]))
        except SceneError as error:
            lost[name] = str(error)
            continue
        try:
            if nothing is None:
                seen.append(frames.frame(name))
        except LeftOutError as error:
            lost[name] = str(error)
        except SceneError as error:
            nothing = str(error)  # neither stored masks nor a labelled mesh: the same for all views
    findings: list[Finding] = [*_check_views(scene, lost, len(names)), *check_pictures(sizes)]
    cameras = [scene.view(name).camera for name in scene.view_names]
    findings += check_cameras(cameras)
    findings += check_depth(views)
    findings += check_poses(_table_of(views))
    try:
        findings += check_mesh(scene.mesh, views)
    except SceneError as error:
        findings.append(Finding("mesh", "doubt", str(error)))
    try:
        findings += check_points(read_sparse_points(scene), views)
    except SceneError as error:
        findings.append(Finding("points", "note", str(error)))
    findings += check_masks(seen) if nothing is None else [Finding("masks", "doubt", nothing, {"masks": 0})]
    if nothing is None:
        findings += check_truth(scene, seen)
    findings += [Finding("reading", "note", note) for note in scene.notes]
    left_out = (*scene.left_out, *(LeftOutView(name, reason) for name, reason in lost.items()))
    return CheckReport(
        scene.name, str(scene.folder), scene.format, len(scene.view_names) - len(lost), len(names), left_out, tuple(findings)
    )


def _check_views(scene: Scene, lost: dict[str, str], looked_at: int) -> Iterator[Finding]:
    used, out = len(scene.view_names) - len(lost), len(scene.left_out) + len(lost)
    figures: dict[str, object] = {"used": used, "left_out": out, "looked_at": looked_at}
    looked = "" if looked_at == len(scene.view_names) else f" {looked_at} of them, evenly spaced, were looked at."
    if not out:
        yield Finding("views", "ok", f"All {used} views can be used.{looked}", figures)
        return
    level = "doubt" if out > MANY_LEFT_OUT * (used + out) else "note"
    yield Finding("views", level, f"{used} of {used + out} views can be used; the others are left out, see below.{looked}", figures)


def _read_geometry(scene: Scene, name: str) -> PosedView:
    """Return a view's depth, camera and pose at the size at which they are compared."""
    view, depth = scene.view(name), scene.depth(name)
    camera: Camera | None = view.camera
    if depth is not None:
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        width, height = fit_size(depth.shape[1], depth.shape[0], WIDTH, HEIGHT)
        width, height = min(width, depth.shape[1]), min(height, depth.shape[0])
        depth = resize_nearest(depth, width, height)
        camera = None if camera is None else camera.resized(width, height)
    shape = (1, 1) if depth is None else depth.shape
    return PosedView(name, np.full(shape, NOTHING, np.int32), depth, camera, view.pose)


def _table_of(views: list[PosedView]) -> MaskTable:
    none = np.zeros(0, np.int32)
    return MaskTable((), none, none, tuple(views))
