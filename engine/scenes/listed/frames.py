"""From a list of frames to a scene: names the views, finds their files, and leaves out what cannot be used.

Masks, ground truth, depth and a mesh may lie beside any such list, as in the posed-masks format. Knows no list's own format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SceneError
from engine.scenes import layouts
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.masks_in.base import MaskSource
from engine.scenes.masks_in.source import find_masks
from engine.scenes.names import fault_of, normal_form, printable
from engine.scenes.posed_masks import LABELLED_MESHES, PosedMasksReader, list_truths
from engine.scenes.posed_views import MAX_VIEWS, GivenView, PosedViews, ViewFiles
from engine.scenes.scene_settings import read_settings
from engine.types import Scene


@dataclass(frozen=True, eq=False)
class ListedFrame:
    """One frame of a list.

    Attributes:
        color: Path parts of its photo, from the scene's folder; () if the list names none.
        given: Its pose and camera, or why it has none.
        depth: Path parts of its depth image, None if the list names none.
        masks: Path parts of its picture of ids, None if the list names none.
    """

    color: tuple[str, ...]
    given: GivenView
    depth: tuple[str, ...] | None = None
    masks: tuple[str, ...] | None = None


def has_pose_folder(root: SceneFolder) -> bool:
    """Whether the scene has poses in files of their own, beside what other formats need; these then count."""
    has_poses = any(root.has_folder(name) for name in layouts.POSE_FOLDERS)
    return has_poses and (root.has_folder("color") or bool(root.ending(*LABELLED_MESHES)))


def path_parts(written: object, base: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return the parts of a path as a list writes it, after those of the folder that it is relative to; None if it is none."""
    if not isinstance(written, str) or "\0" in written:
        return None
    path = written.replace("\\", "/")
    if path.startswith("/") or path[1:3] == ":/":
        return None
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return (*base, *parts) if parts else None


def name_views(frames: Sequence[ListedFrame]) -> list[str]:
    """Return a name for each frame: its photo's without ending; with its folders below the common one where two are alike."""
    stems = [_without_ending(frame.color[-1]) if frame.color else "" for frame in frames]
    named = [frame.color for frame in frames if frame.color]
    if len(set(stems)) == len(stems) or not named:
        names = stems
    else:
        common = 0
        while all(len(parts) > common + 1 and parts[common] == named[0][common] for parts in named):
            common += 1
        names = [
            "_".join((*frame.color[common:-1], stem)) if frame.color else "" for frame, stem in zip(frames, stems, strict=True)
        ]
    return [normal_form(name) or f"frame {number} of the list" for number, name in enumerate(names)]


def open_listed(
    root: SceneFolder,
    name: str,
    frames: Sequence[ListedFrame],
    *,
    own_masks: MaskSource | None = None,
    depth_scale: float = 1000.0,
    mesh_names: tuple[str, ...] = ("mesh.ply",),
    notes: tuple[str, ...] = (),
) -> Scene:
    """Open the scene of a list. Ids of masks are local to a view, unless maskgroup.json says otherwise.

    Args:
        root: The scene's folder.
        name: Name of the format.
        frames: The list.
        own_masks: Masks that the list names; used where the scene has none in masks/ or in a COCO file.
        depth_scale: Units of depth in a metre, where there is no depth_scale.txt.
        mesh_names: Files that may be the mesh.
        notes: Sentences about the list.

    Raises:
        SceneError: If no view can be used, or a file of the whole scene is broken.
    """
    usable = make_views(root, frames, find_masks(root) or own_masks)
    settings = read_settings(root)
    reader = PosedMasksReader(root, usable, settings, depth_scale=depth_scale, mesh_names=mesh_names, notes=notes)
    return usable.make_scene(name, reader, mask_ids_are_instances=bool(settings.mask_ids_are_instances))


def make_views(root: SceneFolder, frames: Sequence[ListedFrame], masks: MaskSource | None) -> PosedViews:
    """Return the usable views of a list; see `open_listed`.

    Raises:
        SceneError: If there are too many, or none can be used.
    """
    if len(frames) > MAX_VIEWS:
        raise SceneError(f"{root.path}: found {len(frames):,} views, expected at most {MAX_VIEWS:,}; keep every n-th view.")
    views = name_views(frames)
    given: dict[str, GivenView] = {}
    counts = Counter(views)
    colors: dict[str, tuple[str, ...]] = {}
    depths: dict[str, tuple[str, ...]] = {}
    for view, frame in zip(views, frames, strict=True):
        fault = frame.given.fault or _fault_of_name(view, counts[view], frame.given.place)
        given[view] = frame.given if fault is None else GivenView(frame.given.place, fault=fault)
        colors[view] = frame.color
        if frame.depth is not None:
            depths[view] = frame.depth
    listed = ViewFiles(
        names=frozenset(views),
        colors=Listing(colors, {}),
        depths=Listing(depths, {}) if depths else root.list_files("depth", layouts.DEPTHS),
        masks=masks,
        truths=list_truths(root),
        given=given,
    )
    return PosedViews(root, listed, None)


def _without_ending(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def _fault_of_name(view: str, count: int, place: Path) -> str | None:
    fault = fault_of(view)
    if fault is not None:
        return f"{place}: {printable(view)}: {fault}, expected a name that can be shown and stored; rename the photo."
    if count > 1:
        return f"{place}: found the photo {printable(view)} {count} times, expected one frame for a photo; remove the others."
    return None
