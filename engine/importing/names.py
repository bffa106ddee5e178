"""Which names a new scene may have, and which paths the files of an archive. Reads nothing."""

from __future__ import annotations

import re

from engine.errors import SceneError
from engine.scenes.names import fault_of, is_foreign, normal_form, printable
from engine.scenes.replica import GROUND_TRUTH

MAX_NAME_BYTES = 255
"""What file systems can hold as one name, in UTF-8."""
MAX_PATH_BYTES = 1024
MAX_DEPTH = 16
"""Folders within folders. Scenes have three."""
_NOT_IN_NAMES = '/\\:*?"<>|'


def check_scene_name(name: str) -> str:
    """Return the name of a new scene in its composed form, after checking that a folder can be called so and a command can name it.

    Raises:
        SceneError: If it is no such name.
    """
    why = fault_of(name)
    odd = next((character for character in _NOT_IN_NAMES if character in name), None)
    if why is None and not name.strip():
        why = "it is empty"
    elif why is None and name != name.strip():
        why = "it begins or ends with a space"
    elif why is None and odd is not None:
        why = f"it holds {odd}"
    elif why is None and (name.startswith(("-", ".")) or is_foreign(name) or name == GROUND_TRUTH):
        why = "such names mean something else"
    elif why is None and len(name.encode()) > MAX_NAME_BYTES:
        why = f"it is longer than {MAX_NAME_BYTES} bytes"
    if why is not None:
        raise SceneError(f"{printable(name)} cannot be a scene's name ({why}), expected one such as living_room; give another.")
    return normal_form(name)


def split_path(path: str) -> tuple[str, ...] | None:
    """Return the parts of a path in an archive, or None for what is hidden or an operating system's own, and is passed over.

    None of the parts leads out of the folder that the archive is unpacked in.

    Args:
        path: As the archive has it; old programs of Windows write "\\" between folders.

    Raises:
        ValueError: If it could lead out, or cannot be a file's path; the message says why.
    """
    if "\0" in path:
        raise ValueError("its name holds a zero byte")
    slashed = path.replace("\\", "/")
    if slashed.startswith("/") or re.match("[A-Za-z]:", slashed):
        raise ValueError("its path does not begin in the archive")
    parts = tuple(part for part in slashed.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError("its path leads out of the archive")
    if any(is_foreign(part) for part in parts):
        return None
    fault = next((fault for part in parts if (fault := fault_of(part)) is not None), None)
    if fault is not None:
        raise ValueError(fault)
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts) or len(slashed.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"its name is longer than {MAX_NAME_BYTES} bytes, or its path longer than {MAX_PATH_BYTES}")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"it lies in more than {MAX_DEPTH} folders")
    return parts
