"""Writes one small whole scene for each reader, to be broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.format_rooms import LISTED, write_room
from tests.tiny_room import POSES, tiny_mesh, write_tiny_room

LISTS = {"transforms": "npz", "colmap text": "coco polygons", "colmap binary": "coco packed", "trajectory": "coco plain"}
LISTS |= {"arkitscenes": "palette", "scannet++": "png"}
"""Formats with a list of poses, each with masks of another kind."""
TOOLS = {"posed masks cvat": "cvat masks", "posed masks label studio": "label studio brushes", "posed masks yolo": "yolo"}
"""Posed masks with masks as annotation tools export them."""
READERS = ("replica", "posed masks", "scannet", "frame files", "processed", *LISTS, *TOOLS)
"""A reader is called as its format, perhaps with a word after it."""
assert set(LISTS) < set(LISTED)


def write_whole(reader: str, parent: Path) -> Path:
    """Write a scene that `reader` opens; returns its folder, which may have ground_truth/ beside it."""
    room = write_tiny_room(parent / "room")
    folder = parent / reader.replace(" ", "_")
    if reader == "replica":
        return room
    if reader in LISTS:
        return write_room(room, folder, reader, LISTS[reader])
    if reader in TOOLS:
        return write_room(room, folder, "posed masks", TOOLS[reader])
    if reader == "posed masks":
        shutil.copytree(room, folder, ignore=shutil.ignore_patterns("*.ply"))
        shutil.copy(room / "tiny_mesh.ply", folder / "mesh.ply")
        for name in ("masks", "gt_masks"):
            (folder / name).mkdir()
            for view in POSES:
                Image.fromarray(_ids()).save(folder / name / f"{view}.png")
        (folder / "maskgroup.json").write_text('{"ignore_ids": [255]}')
        (folder / "depth_scale.txt").write_text("1000\n")
    elif reader == "scannet":
        shutil.copytree(room, folder, ignore=shutil.ignore_patterns("*.ply", "intrinsics.txt"))
        (folder / "poses").rename(folder / "pose")
        (folder / "intrinsic").mkdir()
        for kind in ("color", "depth"):
            shutil.copy(room / "intrinsics.txt", folder / "intrinsic" / f"intrinsic_{kind}.txt")
        shutil.copy(room / "tiny_mesh.ply", folder / f"{folder.name}_vh_clean_2.ply")
        vertices = len(tiny_mesh().vertices)
        (folder / f"{folder.name}_vh_clean_2.0.01.segs.json").write_text(
            json.dumps({"segIndices": [i // 4 for i in range(vertices)]})
        )
        groups = [{"objectId": k, "segments": [2 * k, 2 * k + 1]} for k in range(3)]
        (folder / f"{folder.name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    elif reader == "frame files":
        folder.mkdir()
        shutil.copy(room / "intrinsics.txt", folder)
        shutil.copy(room / "tiny_mesh.ply", folder / "mesh.ply")
        for number, view in enumerate(POSES):
            for kind, source in (
                ("color.png", f"color/{view}.png"),
                ("depth.png", f"depth/{view}.png"),
                ("pose.txt", f"poses/{view}.txt"),
            ):
                shutil.copy(room / source, folder / f"frame-{number:06d}.{kind}")
    else:
        for view in POSES:
            (folder / view).mkdir(parents=True)
            shutil.copy(room / "color" / f"{view}.png", folder / view / "rgb.png")
            np.save(folder / view / "instance_mask.npy", _ids().astype(np.int32))
            np.save(folder / view / "unique_instances.npy", np.array([1, 2, 3], np.int32))
    return folder


def _ids() -> np.ndarray:
    ids = np.zeros((24, 32), np.uint16)
    ids[2:10, 2:14], ids[12:20, 4:20], ids[5:18, 22:30] = 1, 2, 3
    return ids
