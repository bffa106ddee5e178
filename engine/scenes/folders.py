"""A scene's folder: lists its files by name, and lets no path lead out of it. Knows no scene format."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.errors import SceneError
from engine.scenes.names import fault_of, is_foreign, normal_form, printable
from engine.strict_json import to_json_text

MAX_ENTRIES = 200_000
"""Most files in one folder. A folder with more is not a scene, and listing it would take long."""
ROLES = (".color", ".rgb", ".depth", ".pose")
"""What some datasets write after a view's name: frame-000001.color.jpg, frame-000001.pose.txt."""

LINKS_VARIABLE = "MASKGROUP_FOLLOW_LINKS"
"""Hands the folders on to the processes that this one starts."""


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, links followed.

    Raises:
        SceneError: If that cannot be known, because a folder above it may not be entered.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except PermissionError as error:
        raise not_allowed(path, error) from error
    except (OSError, ValueError):  # there is nothing, or it is no name that a file could have
        return False


def is_entry(path: Path) -> bool:
    """Whether there is something of that name, if only a link that leads to nothing.

    Raises:
        SceneError: If that cannot be known, because a folder above it may not be entered.
    """
    try:
        path.lstat()
    except PermissionError as error:
        raise not_allowed(path, error) from error
    except (OSError, ValueError):
        return False
    return True


def not_allowed(path: Path, error: OSError) -> SceneError:
    """Return the error for a path that lies in a folder that may not be entered."""
    return SceneError(
        f"{path}: cannot be looked at ({error.strerror}), expected a folder that may be entered; check its permissions."
    )


_allowed: tuple[Path, ...] | None = None
_allowed_lock = threading.Lock()


def follow_links_into(folders: Iterable[Path]) -> None:
    """Allow symbolic links out of scenes that lead into these folders, in all of this process from now on.

    Raises:
        SceneError: If one is not a folder.
    """
    global _allowed
    resolved: list[Path] = []
    for folder in folders:
        if not is_folder(folder):
            raise SceneError(f"{folder}: found no folder, expected one that links may lead into; check --follow-links.")
        resolved.append(folder.resolve())
    with _allowed_lock:
        _allowed = tuple(resolved)
        os.environ[LINKS_VARIABLE] = to_json_text([str(folder) for folder in resolved])


def parse_folders(text: str) -> list[str]:
    """Return folders written as a JSON list, or joined as in PATH.

    Raises:
        SceneError: If it is a broken JSON list.
    """
    if not text.lstrip().startswith("["):
        return [part for part in text.split(os.pathsep) if part]
    try:
        listed: Any = json.loads(text)
    except ValueError as error:
        raise SceneError(f"{LINKS_VARIABLE} is {text!r} ({error}), expected a list of folders; correct it.") from error
    if not isinstance(listed, list) or not all(isinstance(part, str) for part in cast("list[Any]", listed)):
        raise SceneError(f"{LINKS_VARIABLE} is {text!r}, expected a list of folders; correct it.")
    return cast("list[str]", listed)


def allowed_folders() -> tuple[Path, ...]:
    """Return the folders that links may lead into: as set in this process or in the one that started it."""
    if _allowed is None:
        follow_links_into(Path(part) for part in parse_folders(os.environ.get(LINKS_VARIABLE, "")))
    return _allowed or ()


def inside(root: Path, *parts: str) -> Path:
    """Return `root` joined with `parts`, links resolved.

    Raises:
        SceneError: If the result lies outside `root` and outside the folders that links may lead into.
    """
    path = root.joinpath(*parts)
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise SceneError(f"{path}: the path cannot be followed ({error}), expected a file of the scene; remove it.") from error
    if not any(resolved.is_relative_to(folder) for folder in (root, *allowed_folders())):
        raise SceneError(
            f"{path}: leads to {resolved}, expected a path inside {root}; copy the file into the scene's folder, "
            "or allow links into that place with --follow-links."
        )
    return resolved


@dataclass(frozen=True)
class Listing:
    """Files of one subfolder by view.

    Attributes:
        files: Path parts of each view's file, relative to the scene's folder; a view's name is in Unicode's composed form.
        faults: Why a view cannot be read, for names that cannot be used, or that several files share.
    """

    files: dict[str, tuple[str, ...]]
    faults: dict[str, str]

    def __contains__(self, view: str) -> bool:
        """Whether the view has a file here, readable or not."""
        return view in self.files or view in self.faults


class SceneFolder:
    """A scene's folder, out of which no path may lead.

    Args:
        folder: The folder; symbolic links in its own path are followed, links inside it must stay inside.

    Raises:
        SceneError: If it is not a folder, or cannot be listed.
    """

    def __init__(self, folder: Path) -> None:
        if not is_folder(folder):
            kind = "a file" if is_entry(folder) else "nothing"
            raise SceneError(f"{folder}: found {kind}, expected a scene folder; give the path of a folder that exists.")
        self.path = folder.resolve()
        self.names = list_names(self.path)
        self._by_case = {name.casefold(): name for name in reversed(self.names)}
        self._names_in: dict[tuple[str, ...], list[str]] = {(): self.names}

    def file(self, *parts: str) -> Path:
        """Return the path of a file inside the folder; it need not exist.

        Raises:
            SceneError: If the path, or a symbolic link on it, leaves the folder.
        """
        return inside(self.path, *parts)

    def actual(self, name: str) -> str:
        """Return an entry's name as it is written in the folder: INTRINSICS.TXT for intrinsics.txt, where only that exists."""
        return name if name in self.names else self._by_case.get(name.casefold(), name)

    def find(self, name: str) -> Path | None:
        """Return the path of an entry of the folder, whatever the case of its name, or None if there is none."""
        actual = self.actual(name)
        return self.file(actual) if actual in self.names else None

    def has_folder(self, name: str) -> bool:
        """Whether the folder holds a folder of that name, or a link to one."""
        return is_folder(self.path / self.actual(name))

    def names_in(self, *parts: str) -> list[str]:
        """Return the names in a subfolder, sorted; it is listed once, as the folder itself is.

        Raises:
            SceneError: If it leads out of the scene, cannot be listed, or holds too many files.
        """
        if parts not in self._names_in:
            self._names_in[parts] = list_names(self.file(*parts))
        return self._names_in[parts]

    def ending(self, *endings: str) -> list[str]:
        """Return the names of the folder's own entries with this ending, in any case; hidden files are left out."""
        return [name for name in self.names if not is_foreign(name) and name.lower().endswith(endings)]

    def list_files(self, subfolder: str, suffixes: tuple[str, ...], *, role: str = "") -> Listing:
        """Return the files of a subfolder by view; empty if there is no such subfolder.

        Args:
            subfolder: Its name, "" for the scene's own folder, or parts joined with "/".
            suffixes: Endings in lower case.
            role: Only files named <view><role><suffix>, such as ".color"; "" = any; a known role is not part of the view's name.

        Raises:
            SceneError: If the subfolder leads out of the scene or holds too many files.
        """
        first, *rest = subfolder.split("/")
        parts = tuple(part for part in (self.actual(first), *rest) if part)
        if not is_folder(self.file(*parts)):
            return Listing({}, {})
        files: dict[str, tuple[str, ...]] = {}
        faults: dict[str, str] = {}
        for name in self.names_in(*parts):
            stem, suffix = os.path.splitext(name)
            if is_foreign(name) or suffix.lower() not in suffixes or not stem:
                continue
            stem, found_role = _split_role(stem)
            if role and found_role != role:
                continue
            view = normal_form(stem)
            fault = fault_of(name)
            if fault is not None:
                faults[view] = f"{printable(name)} in {subfolder or 'its folder'}: {fault}; rename the file"
            elif view in files:
                both = f"{printable(files[view][-1])} and {printable(name)}"
                faults[view] = f"{subfolder or 'its folder'} holds {both}, expected one file for a view; remove one"
            else:
                files[view] = (*parts, name)
        return Listing({view: file for view, file in files.items() if view not in faults}, faults)


def _split_role(stem: str) -> tuple[str, str]:
    for role in ROLES:
        if stem.lower().endswith(role) and len(stem) > len(role):
            return stem[: -len(role)], role
    return stem, ""


def list_names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted.

    Raises:
        SceneError: If it cannot be listed, or holds too many files.
    """
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > MAX_ENTRIES:
                    raise SceneError(
                        f"{folder}: found more than {MAX_ENTRIES:,} files, expected a scene's folder; split the scene."
                    )
    except OSError as error:
        raise SceneError(
            f"{folder}: cannot be listed ({error.strerror}), expected a readable folder; check its permissions."
        ) from error
    return sorted(names)
