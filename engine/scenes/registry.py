"""The list of scene formats: recognises the format of a folder, opens scenes and lists them.

A new format is one module that matches `SceneFormat` and one entry in `FORMATS`.
"""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import SceneError
from engine.scenes import frame_files, posed_masks, processed, replica, scannet
from engine.scenes.folders import SceneFolder, allowed_folders, is_folder, list_names
from engine.scenes.listed import arkit, colmap, scannetpp, trajectory, transforms
from engine.scenes.names import fault_of, is_foreign, normal_form, numeric_order, printable
from engine.scenes.scene_settings import read_settings
from engine.types import LeftOutView, Scene

logger = logging.getLogger(__name__)

RETRY_S = 10.0
"""A folder that could not be opened, or that has views left out, is tried again after this time, even if it looks unchanged: a file
that is mended in place changes no folder."""


class SceneFormat(Protocol):
    """What a format's module provides."""

    @property
    def NAME(self) -> str: ...

    def matches(self, root: SceneFolder) -> bool:
        """Whether the folder looks like this format."""
        ...

    def count_views(self, root: SceneFolder) -> int:
        """Number of views, without opening any: from directory listings, or from the list of all views."""
        ...

    def open_folder(self, root: SceneFolder) -> Scene:
        """Open the scene: read small files and headers, leave out views that cannot be used."""
        ...


FORMATS: tuple[SceneFormat, ...] = (
    scannetpp,
    arkit,
    transforms,
    colmap,
    trajectory,
    posed_masks,
    replica,
    scannet,
    frame_files,
    processed,
)
"""All formats, in the order in which they are tried."""

EXPECTED = (
    "a folder with poses/ and color/ or a *_mesh.ply (replica), with color/ and masks/ or a COCO file (posed masks), "
    "with transforms.json (transforms), with sparse/0/cameras.bin (colmap), with traj.txt and results/ (trajectory), "
    "with iphone/pose_intrinsic_imu.json (scannet++), with lowres_wide/ and lowres_wide.traj (arkitscenes), "
    "with a *_vh_clean_2.ply or pose/ and color/ (scannet), with frame-000000.pose.txt (frame files), "
    "or with <view>/rgb.png folders (processed)"
)


@dataclass(frozen=True)
class SceneInfo:
    """A line in a list of scenes.

    Attributes:
        name: The scene's name.
        folder: Where it is.
        format: Name of its format.
        n_views: Views that can be used; all that its folder lists, where `is_checked` is False.
        left_out: Views that cannot be used, and why.
        is_checked: Whether the scene was opened; False = there was no time for it.
        title: What people call it, "" = by its name.
    """

    name: str
    folder: Path
    format: str
    n_views: int
    left_out: tuple[LeftOutView, ...] = ()
    is_checked: bool = True
    title: str = ""


@dataclass(frozen=True)
class LeftOutFolder:
    """A folder among the scenes that is not a scene, or is broken, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class SceneList:
    """What a folder of scenes holds: the scenes by name, and what was left out."""

    scenes: tuple[SceneInfo, ...]
    left_out: tuple[LeftOutFolder, ...]


def detect_format(root: SceneFolder) -> SceneFormat | None:
    """Return the first format that matches the folder, or None.

    Raises:
        SceneError: If the folder cannot be listed.
    """
    try:
        return next((scene_format for scene_format in FORMATS if scene_format.matches(root)), None)
    except OSError as error:
        raise SceneError(
            f"{root.path}: cannot be listed ({error}), expected a readable scene folder; check its permissions."
        ) from error


def open_scene(folder: Path) -> Scene:
    """Open a scene of any format; reads poses, cameras and headers of pictures, nothing large.

    Raises:
        SceneError: If it is not a folder, no format matches, or none of its views can be used.
    """
    root = SceneFolder(folder)
    fault = fault_of(root.path.name)
    if fault is not None:
        raise SceneError(f"{root.path}: {fault}, expected a name that can be shown and stored; rename the folder.")
    scene_format = detect_format(root)
    if scene_format is None:
        some = ", ".join(root.names[:5]) or "nothing"
        raise SceneError(f"{root.path}: found {some}, expected {EXPECTED}; see docs/scene-formats.md.")
    try:
        return scene_format.open_folder(root)
    except (OSError, MemoryError, RecursionError) as error:
        raise SceneError(f"{root.path}: cannot be read ({error}), expected a readable scene folder; copy it again.") from error


def find_scene(name_or_path: str, scenes_dir: Path | Sequence[Path]) -> Scene:
    """Open a scene by its name in a folder of scenes, or else by its path.

    Args:
        name_or_path: The scene.
        scenes_dir: The folder of scenes; of several, the first that has a scene of that name.

    Raises:
        SceneError: If there is neither, or a folder on the way may not be entered.
    """
    places = [scenes_dir] if isinstance(scenes_dir, Path) else list(scenes_dir)
    if name_or_path and "\0" not in name_or_path:
        is_name = name_or_path not in (".", "..") and Path(name_or_path).name == name_or_path
        for place in places if is_name else ():
            folder = _folder_named(name_or_path, place)
            if folder is not None:
                return open_scene(folder)
        if is_folder(Path(name_or_path)):
            return open_scene(Path(name_or_path))
    known = ", ".join(dict.fromkeys(name for place in places if is_folder(place) for name in _names_that_match(place)))
    where = " or ".join(map(str, places))
    raise SceneError(
        f"{name_or_path!r} is neither a folder nor a scene in {where}; expected one of: {known or 'none there'}, or a path."
    )


def _folder_named(name: str, scenes_dir: Path) -> Path | None:
    if is_folder(scenes_dir / name):
        return scenes_dir / name
    if not is_folder(scenes_dir):
        return None
    alike = [other for other in list_names(scenes_dir) if normal_form(other) == normal_form(name)]
    return scenes_dir / alike[0] if len(alike) == 1 and is_folder(scenes_dir / alike[0]) else None


def _names_that_match(scenes_dir: Path) -> list[str]:
    """Return the names of folders that look like scenes, without opening them."""
    names: list[str] = []
    for name in sorted(list_names(scenes_dir), key=numeric_order):
        try:
            if not is_foreign(name) and is_folder(scenes_dir / name) and detect_format(SceneFolder(scenes_dir / name)):
                names.append(normal_form(name))
        except SceneError:
            continue
    return names


def list_scenes(scenes_dir: Path, *, budget_s: float | None = None) -> list[SceneInfo]:
    """List the scenes of a folder by name. Other folders and broken scenes are left out; see `survey_scenes`.

    Raises:
        SceneError: If `scenes_dir` is not a folder.
    """
    return list(survey_scenes(scenes_dir, budget_s=budget_s).scenes)


def survey_scenes(scenes_dir: Path, *, budget_s: float | None = None) -> SceneList:
    """Open every folder in a folder of scenes, and say which are scenes and why the others are not.

    A scene that has not changed since the last time is not opened again.

    Args:
        scenes_dir: The folder of scenes.
        budget_s: After so many seconds, scenes are listed from their folder alone; None = all are opened.

    Raises:
        SceneError: If `scenes_dir` is not a folder.
    """
    if not is_folder(scenes_dir):
        raise SceneError(f"{scenes_dir}: found no folder, expected a folder of scenes; check --scenes.")
    started = time.monotonic()
    names = [
        name
        for name in sorted(list_names(scenes_dir), key=numeric_order)
        if not is_foreign(name) and name != replica.GROUND_TRUTH and _may_be_scene(scenes_dir / name)
    ]
    alike = Counter(normal_form(name) for name in names)
    scenes: list[SceneInfo] = []
    left_out: list[LeftOutFolder] = []
    for name in names:
        if alike[normal_form(name)] > 1:
            reason = "another folder's name looks the same and differs only in how its letters are stored; rename one of them."
            left_out.append(LeftOutFolder(name, reason))
            continue
        has_time = budget_s is None or time.monotonic() - started < budget_s
        found = _look_at(scenes_dir / name, has_time=has_time)
        if isinstance(found, SceneInfo):
            scenes.append(found)
        else:
            left_out.append(found)
    return SceneList(tuple(scenes), tuple(left_out))


def _may_be_scene(path: Path) -> bool:
    """Whether something in a folder of scenes is worth a line in the list: not a plain file."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return True  # the list says why it cannot be looked at
    return stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


Found = SceneInfo | LeftOutFolder
Signature = tuple[tuple[str, int, int], ...]

_known: dict[Path, tuple[Signature, float, Found]] = {}
_known_lock = threading.Lock()


def _look_at(folder: Path, *, has_time: bool) -> Found:
    """Open one folder among scenes. A fault in it is returned as a reason, never raised."""
    try:
        if not is_folder(folder):
            raise SceneError(f"{folder}: the link leads to nothing that is a folder, expected a scene's folder; remove it.")
        signature = scene_signature(folder)
        with _known_lock:
            known = _known.get(folder)
        if known is not None and known[0] == signature:
            is_good = isinstance(known[2], SceneInfo) and not (known[2].left_out and has_time)
            if is_good or time.monotonic() - known[1] < RETRY_S:
                return known[2]
        if not has_time:
            return _listed_only(folder)
        scene = open_scene(folder)
        title = read_settings(SceneFolder(folder)).title
        found: Found = SceneInfo(scene.name, scene.folder, scene.format, len(scene.view_names), scene.left_out, title=title)
    except (SceneError, OSError) as error:
        found, signature = LeftOutFolder(folder.name, str(error)), scene_signature(folder)
    except Exception as error:  # one folder must never hide the others, even if the fault is ours
        logger.exception("%s could not be opened", printable(str(folder)))
        found = LeftOutFolder(folder.name, f"It cannot be read ({type(error).__name__}: {error}); this is a fault of the program.")
        signature = scene_signature(folder)
    with _known_lock:
        _known[folder] = (signature, time.monotonic(), found)
    return found


def _listed_only(folder: Path) -> Found:
    root = SceneFolder(folder)
    scene_format = detect_format(root)
    if scene_format is None:
        return LeftOutFolder(folder.name, f"found {', '.join(root.names[:5]) or 'nothing'}, expected {EXPECTED}.")
    name, n_views = normal_form(root.path.name), scene_format.count_views(root)
    return SceneInfo(name, root.path, scene_format.NAME, n_views, is_checked=False)


def scene_signature(folder: Path) -> Signature:
    """Return what changes when a scene changes: names, times and sizes of the folder's own entries, and where links may lead."""
    entries = [(str(allowed), 0, 0) for allowed in allowed_folders()]
    try:
        labels = folder.parent / replica.GROUND_TRUTH / f"{folder.name}.txt"
        for path in (folder, *(folder / name for name in list_names(folder)), labels):
            try:
                found = path.stat()
                entries.append((path.name, found.st_mtime_ns, found.st_size))
            except OSError:
                entries.append((path.name, 0, 0))
    except SceneError:
        return ()
    return tuple(entries)
