"""Finds the scene in what was brought: the folder itself, or one in it or in one of its folders, as programs that pack add them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SceneError
from engine.scenes import detect_format, replica
from engine.scenes.folders import SceneFolder, inside, is_folder
from engine.scenes.names import is_foreign, numeric_order, printable

LEVELS = 2
"""How many folders deep a scene may lie in what was brought."""
MAX_FOLDERS = 200
"""Folders that are looked into; a folder of more is no folder that somebody packed a scene in."""
MAX_SAID = 5
EXPORT_MANIFEST, EXPORTED_SCENE = "manifest.json", "scene"
"""What an export of ours is known by, and the folder in it that is a scene (`engine.exporting`)."""


@dataclass(frozen=True)
class FoundScene:
    """Where a scene lies.

    Attributes:
        folder: Its folder, links resolved.
        depth: How many folders below what was brought; 0 = it is the scene.
        labels: The file of labels beside it, or None.
    """

    folder: Path
    depth: int
    labels: Path | None


def levels_of(folder: Path) -> Iterator[list[SceneFolder]]:
    """Yield the folder, then the folders in it, then those in them, as far as something may lie below what was brought.

    Args:
        folder: What was brought, links resolved.

    Raises:
        SceneError: If it cannot be listed.
    """
    level = [SceneFolder(folder)]
    looked_at = 0
    for _ in range(LEVELS + 1):
        yield level
        level = [below for root in level for below in _folders_in(root)]
        looked_at += len(level)
        if looked_at > MAX_FOLDERS:
            return


def find_scene_in(folder: Path, *, shown: Path) -> FoundScene | None:
    """Find the one scene in a folder; None if there is none.

    Args:
        folder: The folder, links resolved.
        shown: What the person named, for messages.

    Raises:
        SceneError: If it holds several, or cannot be listed.
    """
    for depth, level in enumerate(levels_of(folder)):
        found: list[tuple[SceneFolder, str]] = []
        for root in level:
            if {EXPORT_MANIFEST, EXPORTED_SCENE} <= set(root.names) and is_folder(inside(root.path, EXPORTED_SCENE)):
                # An export has the same scene for other programs beside it; this one has all that we know.
                return FoundScene(inside(root.path, EXPORTED_SCENE), depth + 1, None)
            scene_format = detect_format(root)
            if scene_format is not None:
                found.append((root, scene_format.NAME))
        if len(found) > 1:
            said = ", ".join(f"{printable(root.path.name)} ({name})" for root, name in found[:MAX_SAID])
            more = f" and {len(found) - MAX_SAID} more" if len(found) > MAX_SAID else ""
            raise SceneError(f"{shown}: found {len(found)} scenes, {said}{more}, expected one; import one after the other.")
        if found:
            root, format_name = found[0]
            return FoundScene(root.path, depth, replica.labels_beside(root.path) if format_name == replica.NAME else None)
    return None


def _folders_in(root: SceneFolder) -> list[SceneFolder]:
    """Return the folders in a folder that may be entered, without those that links outside of it lead to."""
    below: list[SceneFolder] = []
    for name in sorted(root.names, key=numeric_order):
        if is_foreign(name) or name == replica.GROUND_TRUTH:
            continue
        try:
            path = inside(root.path, name)
            if is_folder(path):
                below.append(SceneFolder(path))
        except SceneError:
            continue
        if len(below) > MAX_FOLDERS:
            break
    return below


def say_content(folder: Path) -> str:
    """Return the first names in a folder; where it holds only another folder, those in that."""
    names = [name for name in SceneFolder(folder).names if not is_foreign(name)]
    before = ""
    while len(names) == 1 and before.count("/") < LEVELS:
        try:
            inner = [name for name in SceneFolder(inside(folder, *before.split("/")[:-1], names[0])).names if not is_foreign(name)]
        except SceneError:
            break
        before, names = f"{before}{names[0]}/", inner
    if not names:
        return f"{before}, which is empty" if before else "nothing"
    more = f" and {len(names) - MAX_SAID} more" if len(names) > MAX_SAID else ""
    return ", ".join(before + name for name in names[:MAX_SAID]) + more
