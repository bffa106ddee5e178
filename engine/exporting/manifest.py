"""What an export says of itself: manifest.json for programs, README.md for people."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.exporting.groups_json import corrected_as_json
from engine.exporting.source import GroupedScene
from engine.version import VERSION

FILE = "manifest.json"
README = "README.md"
LIBRARIES = ("numpy", "pillow", "pycocotools", "trimesh")
WHAT_THEY_ARE: Mapping[str, str] = {
    "ply": "`instances.ply`: the room, coloured by group; the vertex property `instance` is the group's number. Read by MeshLab, "
    "CloudCompare, Open3D, Blender.",
    "glb": "`instances.glb`: one named node a group. Read by Blender, three.js, 3D Viewer, trimesh.",
    "masks": "`masks/<view>.png`: 16-bit grey, the group's number at each pixel. Read by Pillow, OpenCV, ImageJ.",
    "coco": "`coco.json`: one annotation a mask (compressed RLE), `track_id` is the group's number, `file_name` the photo's place "
    "in the scene. Read by pycocotools, FiftyOne, Detectron2.",
    "json": "`groups.json`: every mask with its group. Read by `maskgroup export`.",
    "scannet": "`scannet/`: ScanNet's prediction format, all groups of class 1, for evaluation without classes.",
    "scene": "`scene/`: photos, masks, depth and poses as a scene that `maskgroup` opens; `transforms.json` is for nerfstudio.",
    "colmap": "`colmap/`: photos with a COLMAP model in text, masks and depth; `maskgroup` opens it too.",
}
"""What each format writes, and programs that read it."""


def describe(
    grouped: GroupedScene,
    folder: Path,
    *,
    formats: Sequence[str],
    left_out: Mapping[str, str],
    command: str,
    scene_folder: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the contents of manifest.json.

    Args:
        grouped: What was exported.
        folder: Where the files are.
        formats: What was written.
        left_out: What was not, and why, by format.
        command: The command line that writes this export again.
        scene_folder: Where the scene is, "" = not told.
        notes: Sentences about views that were left out and the like.
    """
    origin, scene = grouped.origin, grouped.scene
    return {
        "scene": {
            "name": scene.name,
            "format": scene.format,
            "views": len(grouped.table.views),
            "left_out_views": [view.name for view in scene.left_out],
            **({"folder": scene_folder} if scene_folder else {}),
        },
        "groups": len(grouped.numbers),
        "masks": len(grouped.number_of),
        "source": origin.source,
        "grouped": origin.made,
        "settings": dict(origin.settings),
        "model": origin.model,
        "corrections": [corrected_as_json(said) for said in origin.corrections],
        "versions": {
            "maskgroup": VERSION,
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
        "commands": {"group": origin.command, "export": command},
        "exported": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "formats": list(formats),
        "left_out": dict(left_out),
        "notes": list(notes),
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()},
    }


def tell(manifest: Mapping[str, Any]) -> str:
    """Return README.md: what the files are and which programs read them."""
    scene, commands = manifest["scene"], manifest["commands"]
    corrected = len(manifest["corrections"])
    lines = [
        f"# Groups of the scene {_plain(scene['name'])}",
        "",
        f"{manifest['masks']} masks of {scene['views']} views are {manifest['groups']} groups"
        + (f", with {corrected} corrections by people" if corrected else "")
        + f". Written by maskgroup {manifest['versions']['maskgroup']}.",
        "",
        "A group has one number, from 1, in all files; 0 means no group.",
        "",
        *(f"* {WHAT_THEY_ARE[name]}" for name in manifest["formats"]),
        *(f"* Not written: {name}. {_plain(why)}" for name, why in manifest["left_out"].items()),
        "",
        *(f"Note: {_plain(note)}\n" for note in manifest["notes"]),
        f"`{FILE}` says how the scene was grouped, with which model, corrections and versions.",
    ]
    said = [command for command in (commands["group"], commands["export"]) if command]
    if said:
        lines += ["", "The same again:", "", *(f"    {_line(command)}" for command in said)]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Return text on one line, with what Markdown and HTML would take for markup escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", _line(text))
