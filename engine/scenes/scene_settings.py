"""The optional settings of a scene, in maskgroup.json in its folder. Knows no scene format."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from engine.errors import SceneError
from engine.files import write_atomically
from engine.scenes.class_names import clean_name
from engine.scenes.files import MAX_ID, read_json
from engine.scenes.folders import SceneFolder
from engine.scenes.names import printable

SETTINGS = "maskgroup.json"
MAX_SETTINGS_BYTES = 2**20
EXAMPLE = 'a JSON object such as {"ignore_ids": [255], "mask_ids_are_instances": true, "classes": {"20": "chair"}}'
IDS_SETTING = "mask_ids_are_instances"
TITLE_SETTING = "title"
MAX_TITLE = 80
"""Characters of a title."""
IGNORE_SETTING = "ignore_ids"
KNOWN = frozenset({IGNORE_SETTING, "classes", IDS_SETTING, TITLE_SETTING})


@dataclass(frozen=True)
class SceneSettings:
    """Settings of a scene.

    Attributes:
        ignore_ids: Ids in masks and labels that mean "nothing here"; None = not set, () = there are none.
        mask_ids_are_instances: Whether equal ids in two views mean one object; None = as the format has it.
        classes: What classes are called, by the class in a raw id (class * 1000 + instance).
        title: What people call the scene, "" = as its folder. Labels and addresses name it by its folder all the same.
    """

    ignore_ids: tuple[int, ...] | None = None
    mask_ids_are_instances: bool | None = None
    classes: Mapping[int, str] = field(default_factory=dict[int, str])
    title: str = ""


def read_settings(root: SceneFolder) -> SceneSettings:
    """Read maskgroup.json, where there is one.

    Raises:
        SceneError: If it is malformed or holds a setting that does not exist.
    """
    path = root.find(SETTINGS)
    if path is None:
        return SceneSettings()
    content = read_json(path, EXAMPLE, limit=MAX_SETTINGS_BYTES)
    unknown = sorted(set(content) - KNOWN)
    if unknown:
        raise SceneError(f"{path}: found the setting {printable(unknown[0])}, expected {EXAMPLE}; correct the file.")
    classes = _read_classes(content.get("classes", {}), path)
    are_instances: Any = content.get(IDS_SETTING)
    if IDS_SETTING in content and type(are_instances) is not bool:
        raise SceneError(f"{path}: found {IDS_SETTING} that is neither true nor false, expected {EXAMPLE}; correct the file.")
    title = _read_title(content.get(TITLE_SETTING, ""), path)
    if "ignore_ids" not in content:
        return SceneSettings(None, are_instances, classes, title)
    listed: Any = content["ignore_ids"]
    ids = cast("list[Any]", listed) if isinstance(listed, list) else None
    if ids is None or not all(type(number) is int and 0 <= number <= MAX_ID for number in ids):
        raise SceneError(
            f"{path}: found ignore_ids that are no list of ids of 0 to {MAX_ID}, expected {EXAMPLE}; correct the file."
        )
    return SceneSettings(tuple(sorted(set(ids))), are_instances, classes, title)


def write_title(folder: Path, title: str) -> str:
    """Give a scene another title; its other settings stay.

    Args:
        folder: The scene's folder.
        title: The title; "" takes the present one away.

    Returns:
        The title as it was written.

    Raises:
        SceneError: If it cannot be a title, or maskgroup.json is broken or cannot be written.
    """
    root = SceneFolder(folder)
    clean = clean_title(title)
    if clean is None:
        raise SceneError(
            f"{printable(title[:MAX_TITLE])} cannot be a scene's title, expected one line of at most {MAX_TITLE} characters that "
            "can be seen; give another."
        )
    _write_setting(root, TITLE_SETTING, clean)
    return clean


def write_ignore_ids(folder: Path, ids: Sequence[int]) -> None:
    """Say in a scene's settings which ids mean "nothing here"; its other settings stay.

    Raises:
        SceneError: If maskgroup.json is broken or cannot be written.
    """
    _write_setting(SceneFolder(folder), IGNORE_SETTING, list(ids))


def _write_setting(root: SceneFolder, name: str, value: object) -> None:
    """Write one setting; an empty text takes it away."""
    read_settings(root)
    present = root.find(SETTINGS)
    content = {} if present is None else read_json(present, EXAMPLE, limit=MAX_SETTINGS_BYTES)
    content = {other: kept for other, kept in content.items() if other != name}
    if value != "":
        content[name] = value
    path = root.path / SETTINGS
    try:
        if content:
            write_atomically(path, content)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SceneError(
            f"{path}: cannot be written ({error.strerror or error}), expected a scene's folder that may be changed; check its "
            "permissions."
        ) from error


def clean_title(title: str) -> str | None:
    """Return a title with single spaces, in composed form; None if it cannot be one."""
    clean = unicodedata.normalize("NFC", " ".join(title.split()))
    is_seen = all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn") for character in clean)
    return clean if is_seen and len(clean) <= MAX_TITLE else None


def _read_title(given: object, path: Path) -> str:
    title = clean_title(given) if isinstance(given, str) else None
    if title is None:
        raise SceneError(
            f"{path}: found a title that is no line of at most {MAX_TITLE} characters, expected {EXAMPLE}; correct the file."
        )
    return title


def _read_classes(given: object, path: Path) -> dict[int, str]:
    listed = cast("dict[str, Any]", given) if isinstance(given, dict) else {"": None}
    classes: dict[int, str] = {}
    for number, value in listed.items():
        name = clean_name(value)
        if re.fullmatch("[0-9]{1,7}", number) is None or name is None:
            raise SceneError(f"{path}: found classes that are no names by class number, expected {EXAMPLE}; correct the file.")
        classes[int(number)] = name
    return classes
