"""Knows which scene formats there are, tells them apart by their folder, and opens and lists scenes.

A new format is one module that matches `SceneFormat` and one entry in `FORMATS`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import SceneError
from engine.scenes import posed_masks, processed, replica, scannet
from engine.scenes.files import SceneFolder, numeric_order
from engine.types import Scene

logger = logging.getLogger(__name__)


class SceneFormat(Protocol):
    """What a format's module provides."""

    @property
    def NAME(self) -> str: ...

    def matches(self, folder: Path) -> bool:
        """Whether the folder, which exists, looks like this format."""
        ...

    def count_views(self, folder: Path) -> int:
        """Number of views, from directory listings only."""
        ...

    def open_folder(self, folder: Path) -> Scene:
        """Open the scene, from directory listings only."""
        ...


FORMATS: tuple[SceneFormat, ...] = (posed_masks, replica, scannet, processed)
"""All formats, in the order in which they are tried."""

EXPECTED = (
    "a folder with poses/ and color/ or a *_mesh.ply (replica), with color/ and masks/ (posed masks), "
    "with a *_vh_clean_2.ply or pose/ and intrinsic/ (scannet), "
    "or with <view>/rgb.png folders (processed)"
)


@dataclass(frozen=True)
class SceneInfo:
    """A line in a list of scenes."""

    name: str
    folder: Path
    format: str
    n_views: int


def detect_format(folder: Path) -> SceneFormat | None:
    """Return the first format that matches the folder, or None."""
    try:
        return next((scene_format for scene_format in FORMATS if scene_format.matches(folder)), None)
    except OSError as error:
        raise SceneError(
            f"{folder}: cannot be listed ({error}), expected a readable scene folder; check its permissions."
        ) from error


def open_scene(folder: Path) -> Scene:
    """Open a scene of any format; reads directory listings only.

    Raises:
        SceneError: If it is no folder, no format matches, or it has no views.
    """
    path = SceneFolder(folder).path
    scene_format = detect_format(path)
    if scene_format is None:
        some = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise SceneError(f"{path}: found {some}, expected {EXPECTED}; see docs/scene-formats.md.")
    return scene_format.open_folder(path)


def find_scene(name_or_path: str, scenes_dir: Path) -> Scene:
    """Open a scene by its name in `scenes_dir`, or else by its path.

    Raises:
        SceneError: If there is neither.
    """
    is_name = name_or_path not in ("", ".", "..") and Path(name_or_path).name == name_or_path
    if is_name and (scenes_dir / name_or_path).is_dir():
        return open_scene(scenes_dir / name_or_path)
    if name_or_path and Path(name_or_path).is_dir():
        return open_scene(Path(name_or_path))
    known = ", ".join(info.name for info in list_scenes(scenes_dir)) if scenes_dir.is_dir() else ""
    raise SceneError(
        f"{name_or_path!r} is neither a folder nor a scene in {scenes_dir}; expected one of: {known or 'none there'}, or a path."
    )


def list_scenes(scenes_dir: Path) -> list[SceneInfo]:
    """List the scenes of a folder by name, from directory listings only; folders of no known format are left out.

    Raises:
        SceneError: If `scenes_dir` is no folder.
    """
    if not scenes_dir.is_dir():
        raise SceneError(f"{scenes_dir}: found no folder, expected a folder of scenes; check --scenes.")
    found: list[SceneInfo] = []
    for folder in sorted((path for path in scenes_dir.iterdir() if path.is_dir()), key=lambda path: numeric_order(path.name)):
        try:
            scene_format = detect_format(folder)
            if scene_format is not None:
                n_views = scene_format.count_views(folder)
                found.append(SceneInfo(name=folder.name, folder=folder.resolve(), format=scene_format.NAME, n_views=n_views))
        except SceneError as error:
            logger.warning("Left out of the list: %s", error)
    return found
