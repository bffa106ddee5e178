"""The optional settings of a scene, in maskgroup.json in its folder. Knows no scene format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from engine.errors import SceneError
from engine.scenes.files import MAX_ID, read_json
from engine.scenes.folders import SceneFolder
from engine.scenes.names import printable

SETTINGS = "maskgroup.json"
MAX_SETTINGS_BYTES = 2**20
EXAMPLE = 'a JSON object such as {"ignore_ids": [255], "mask_ids_are_instances": true}'
IDS_SETTING = "mask_ids_are_instances"


@dataclass(frozen=True)
class SceneSettings:
    """Settings of a scene.

    Attributes:
        ignore_ids: Ids in masks and labels that mean "nothing here"; None = not set, () = there are none.
        mask_ids_are_instances: Whether equal ids in two views mean one object; None = as the format has it.
    """

    ignore_ids: tuple[int, ...] | None = None
    mask_ids_are_instances: bool | None = None


def read_settings(root: SceneFolder) -> SceneSettings:
    """Read maskgroup.json, where there is one.

    Raises:
        SceneError: If it is malformed or holds a setting that does not exist.
    """
    path = root.find(SETTINGS)
    if path is None:
        return SceneSettings()
    content = read_json(path, EXAMPLE, limit=MAX_SETTINGS_BYTES)
    unknown = sorted(set(content) - {"ignore_ids", IDS_SETTING})
    if unknown:
        raise SceneError(f"{path}: found the setting {printable(unknown[0])}, expected {EXAMPLE}; correct the file.")
    are_instances: Any = content.get(IDS_SETTING)
    if IDS_SETTING in content and type(are_instances) is not bool:
        raise SceneError(f"{path}: found {IDS_SETTING} that is neither true nor false, expected {EXAMPLE}; correct the file.")
    if "ignore_ids" not in content:
        return SceneSettings(mask_ids_are_instances=are_instances)
    listed: Any = content["ignore_ids"]
    ids = cast("list[Any]", listed) if isinstance(listed, list) else None
    if ids is None or not all(type(number) is int and 0 <= number <= MAX_ID for number in ids):
        raise SceneError(
            f"{path}: found ignore_ids that are no list of ids of 0 to {MAX_ID}, expected {EXAMPLE}; correct the file."
        )
    return SceneSettings(tuple(sorted(set(ids))), are_instances)
