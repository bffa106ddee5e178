"""groups.json: every mask with its group, as JSON. Writes it for exports, and reads it, and what `maskgroup group` wrote, back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.errors import MaskgroupError, SceneError
from engine.exporting.source import GroupedScene, Origin, place_labels
from engine.grouping.constraints import Constraint
from engine.grouping.geometry import tabulate_masks
from engine.grouping.group_names import name_groups, name_own_masks
from engine.grouping.pipeline import find_truth
from engine.scenes.files import read_json
from engine.strict_json import as_object
from engine.types import Float64Array, MaskKey, Scene
from engine.views.frames import DEFAULT_HEIGHT, DEFAULT_WIDTH, FrameSource

FILE = "groups.json"
WHAT = "groups.json as `maskgroup group` and `maskgroup export` write it"
MAX_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class KeptGroups:
    """What a groups.json says.

    Attributes:
        scene: The scene's name, "" where the file does not say.
        scene_folder: Where the scene is, relative to the file's folder or absolute; "" where the file does not say.
        size: (width, height) within which frames fitted, pixels.
        number_of: Number of each mask's group, from 1.
        confidence_of: Of each mask.
        called: What groups' objects are called, by number.
        poses: Repaired poses, camera-to-world (4, 4) float64, by view.
        pose_error_m: Error of the poses in use, metres.
        origin: Where the groups come from.
    """

    scene: str
    scene_folder: str
    size: tuple[int, int]
    number_of: dict[MaskKey, int]
    confidence_of: dict[MaskKey, float]
    called: dict[int, str]
    poses: dict[str, Float64Array]
    pose_error_m: float
    origin: Origin


def groups_document(
    grouped: GroupedScene,
    *,
    scene_folder: str,
    number_of: Mapping[MaskKey, int] | None = None,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return the contents of groups.json.

    Args:
        grouped: The groups.
        scene_folder: Where the scene is, as the file will say.
        number_of: The masks to list with the number of their groups; None = the scene's own.
        size: (width, height) within which frames with these masks fit; None = as for the scene's own.
    """
    listed = grouped.number_of if number_of is None else number_of
    confidence_of = dict(zip(grouped.table.keys, grouped.confidences.tolist(), strict=True))
    boxes = {} if grouped.cloud is None else {box.group: box for box in grouped.cloud.boxes}
    counts: dict[int, int] = {}
    for number in listed.values():
        counts[number] = counts.get(number, 0) + 1
    row_of = {number: row for row, number in enumerate(grouped.numbers)}
    groups: list[dict[str, Any]] = []
    for row, number in enumerate(grouped.numbers):
        box = boxes.get(row)
        groups.append(
            {
                "id": number,
                "name": grouped.title(row),
                "class": grouped.called[row],
                "masks": counts.get(number, 0),
                "confidence": round(grouped.group_confidences[row], 4),
                "box": None if box is None else {"minimum": box.minimum, "maximum": box.maximum, "points": box.points},
            }
        )
    masks = [
        {
            "view": key.view,
            "mask": key.mask,
            "group": number,
            "confidence": round(confidence_of.get(key, grouped.group_confidences[row_of[number]]), 4),
        }
        for key, number in listed.items()
    ]
    origin = grouped.origin
    return {
        "numbered_from": 1,
        "scene": {"name": grouped.scene.name, "folder": scene_folder},
        "size": list(size or grouped.size),
        "settings": dict(origin.settings),
        "model": origin.model,
        "made": origin.made,
        "corrections": [corrected_as_json(said) for said in origin.corrections],
        "pose_error_m": round(grouped.pose_error_m, 5),
        "poses": {} if number_of is not None else _repaired_poses(grouped),
        "masks": masks,
        "groups": groups,
    }


def _repaired_poses(grouped: GroupedScene) -> dict[str, Any]:
    """Return the poses, by view, that are not those of the scene's files."""
    found: dict[str, Any] = {}
    for view in grouped.table.views:
        own = grouped.scene.view(view.name).pose
        if view.pose is not None and (own is None or not np.array_equal(own, view.pose)):
            found[view.name] = view.pose.tolist()
    return found


def corrected_as_json(said: Constraint) -> dict[str, Any]:
    """Return what a person said of two masks as JSON values."""
    return {"a": str(said.a), "b": str(said.b), "same": said.together, "said_on": said.said_on}


def read_groups(folder: Path) -> KeptGroups:
    """Read the groups.json of a folder.

    Raises:
        MaskgroupError: If there is none, or it is malformed.
    """
    path = folder / FILE
    try:
        content = read_json(path, WHAT, limit=MAX_BYTES)
        return _read(content, folder)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MaskgroupError(f"{path}: found what is no grouping ({error}), expected {WHAT}; group the scene again.") from error


def _read(content: dict[str, Any], folder: Path) -> KeptGroups:
    first = content.get("numbered_from", 0)
    if first not in (0, 1):
        raise ValueError(f"groups numbered from {first!r:.40}")
    number_of: dict[MaskKey, int] = {}
    confidence_of: dict[MaskKey, float] = {}
    for entry in _objects(content["masks"]):
        view, mask, group, confidence = entry["view"], entry["mask"], entry["group"], float(entry["confidence"])
        if not isinstance(view, str) or type(mask) is not int or type(group) is not int or group < first:
            raise ValueError(f"the mask {entry!r:.80}")
        key = MaskKey(view, mask)
        if key in number_of or not 0 <= confidence <= 1:
            raise ValueError(f"the mask {key} twice, or with the confidence {confidence:g}")
        number_of[key], confidence_of[key] = group + 1 - first, confidence
    called: dict[int, str] = {}
    for entry in _objects(content.get("groups", [])):
        if isinstance(entry.get("class"), str):
            called[int(entry["id"]) + 1 - first] = entry["class"]
    scene = as_object(content.get("scene")) or {}
    width, height = content.get("size", (DEFAULT_WIDTH, DEFAULT_HEIGHT))
    if not (type(width) is int and type(height) is int and 0 < width < 2**16 and 0 < height < 2**16):
        raise ValueError(f"the size {width!r:.20} x {height!r:.20}")
    poses = {view: np.asarray(pose, np.float64) for view, pose in (as_object(content.get("poses")) or {}).items()}
    if not all(pose.shape == (4, 4) and np.isfinite(pose).all() for pose in poses.values()):
        raise ValueError("a pose that is no 4x4 matrix")
    corrections = [
        Constraint(MaskKey.parse(said["a"]), MaskKey.parse(said["b"]), bool(said["same"]), str(said["said_on"]))
        for said in _objects(content.get("corrections", []))
    ]
    settings = as_object(content.get("settings")) or ({"evidence": content["evidence"]} if "evidence" in content else {})
    model = content.get("model")
    origin = Origin(
        source=f"{FILE} of the folder {folder.resolve().name}",
        settings=settings,
        model=model if isinstance(model, str) else None,
        corrections=tuple(corrections),
        made=str(content.get("made", "")),
        command=str(content.get("command", "")),
    )
    return KeptGroups(
        scene=str(scene.get("name", "")),
        scene_folder=str(scene.get("folder", "")),
        size=(width, height),
        number_of=number_of,
        confidence_of=confidence_of,
        called=called,
        poses=poses,
        pose_error_m=max(0.0, float(content.get("pose_error_m", 0.0))),
        origin=origin,
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} where a list belongs")
    found = [as_object(entry) for entry in cast("list[Any]", value)]
    if None in found:
        raise TypeError("an entry that is no object")
    return [entry for entry in found if entry is not None]


def join_scene(kept: KeptGroups, scene: Scene) -> GroupedScene:
    """Put kept groups and their scene together: reads the frames at the size at which they were grouped.

    Raises:
        MaskgroupError: If the scene's masks are not those of the groups.
    """
    width, height = kept.size
    frames = list(FrameSource(scene, width=width, height=height, max_frames=1).usable(scene.view_names))
    table = tabulate_masks(frames)
    missing = [key for key in kept.number_of if key not in table.row_of]
    if missing:
        raise SceneError(
            f"{scene.folder}: found no mask {missing[0]}, nor {len(missing) - 1} others of the {len(kept.number_of)} that were "
            f"grouped at {width}x{height}; the scene has changed, or another one is meant: name it with --scene, or group it again."
        )
    table = table.with_poses({i: kept.poses[view.name] for i, view in enumerate(table.views) if view.name in kept.poses})
    numbers = tuple(sorted(set(kept.number_of.values())))
    labels = place_labels(table, kept.number_of, numbers)
    names = name_groups(labels, table.areas, name_own_masks(scene, find_truth(scene, frames), table.keys))
    names = (*names, *(None,) * (len(numbers) - len(names)))
    return GroupedScene(
        scene=scene,
        table=table,
        labels=labels,
        confidences=np.asarray([kept.confidence_of.get(key, 0.0) for key in table.keys], np.float64),
        numbers=numbers,
        called=tuple(kept.called.get(number) or name for number, name in zip(numbers, names, strict=True)),
        pose_error_m=kept.pose_error_m,
        origin=kept.origin,
        size=kept.size,
    )
