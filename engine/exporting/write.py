"""Writes an export: every format that was asked for, then what the export says of itself. Whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from engine.errors import MaskgroupError
from engine.exporting import manifest
from engine.exporting.colmap_scene import ColmapFolder, need_cameras
from engine.exporting.groups_json import FILE as GROUPS_FILE
from engine.exporting.groups_json import groups_document
from engine.exporting.models_3d import need_cloud, write_glb, write_ply, write_scannet
from engine.exporting.posed_scene import PosedSceneFolder
from engine.exporting.source import GroupedScene
from engine.exporting.views_2d import CocoFile, MaskPictures, ViewWriter, count_lost
from engine.files import write_atomically, write_text_atomically, writing_file, writing_folder
from engine.strict_json import to_json_text
from engine.views.frames import FrameSource
from engine.views.posed_folder import PosedFolder

Format = Literal["ply", "glb", "masks", "coco", "json", "scannet", "scene", "colmap"]
FORMATS: tuple[Format, ...] = get_args(Format)
IN_3D: tuple[Format, ...] = ("ply", "glb", "scannet")
ALL = "all"
"""Stands for every format that a scene gives, where people choose one."""
PACKED = frozenset({".png", ".jpg", ".jpeg"})
"""Files that a zip cannot make smaller."""


def find_format(name: str) -> Format | None:
    """Return the format of a name, None for all of them.

    Raises:
        MaskgroupError: If there is none of that name.
    """
    if name != ALL and name not in FORMATS:
        raise MaskgroupError(f"{name[:40]!r} is no format of an export, expected {ALL} or one of {', '.join(FORMATS)}.")
    return None if name == ALL else name


class ExportCancelled(MaskgroupError):
    """A person stopped the export."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        formats: Formats that are there.
        left_out: Those that this scene cannot give, and why.
        notes: Sentences about what is missing.
    """

    formats: tuple[Format, ...]
    left_out: dict[Format, str]
    notes: tuple[str, ...]


def write_export(
    grouped: GroupedScene,
    out: Path,
    formats: Sequence[Format] | None = None,
    *,
    size: tuple[int, int] | None = None,
    command: str = "",
    tells_folder: bool = True,
    report: Callable[[str, float], None] = lambda words, share: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Written:
    """Write groups into a new folder.

    Args:
        grouped: The groups.
        out: The folder; it must not exist or be empty.
        formats: What to write; None = all that this scene gives.
        size: (width, height) within which masks and pictures fit; None = the size of the photos.
        command: The command line that does the same, for the manifest.
        tells_folder: Whether files may say where the scene is on this machine.
        report: Called with what is being done and the share that is done.
        is_cancelled: Asked often; True stops.

    Raises:
        ExportCancelled: If it was stopped; nothing is left.
        MaskgroupError: If a format was asked for that the scene cannot give, or the folder cannot be written.
    """

    def tick(words: str, share: float) -> None:
        if is_cancelled():
            raise ExportCancelled("The export was stopped; nothing was written.")
        report(words, min(1.0, share))

    wanted = tuple(dict.fromkeys(formats or FORMATS))
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise MaskgroupError(f"{out} holds something already; give a new or empty folder with --out.")
    try:
        with writing_folder(out) as folder:
            return _write(grouped, folder, wanted, formats is None, size, command, tells_folder, tick)
    except OSError as error:
        raise MaskgroupError(f"{out} cannot be written ({error}); free some space, or give another folder with --out.") from error


def _write(
    grouped: GroupedScene,
    folder: Path,
    wanted: tuple[Format, ...],
    all_that_go: bool,
    size: tuple[int, int] | None,
    command: str,
    tells_folder: bool,
    tick: Callable[[str, float], None],
) -> Written:
    left_out: dict[Format, str] = {}
    written: list[Format] = []
    if _only(wanted, IN_3D):
        tick("Carrying groups over to the room", 0.0)
    for name in _only(wanted, IN_3D):
        try:
            need_cloud(grouped)
            tick(f"Writing {name}", 0.2)
            if name == "ply":
                write_ply(grouped, folder / "instances.ply")
            elif name == "glb":
                write_glb(grouped, folder / "instances.glb")
            else:
                write_scannet(grouped, folder / name, tick=lambda share: tick("Writing scannet", 0.25 + 0.1 * share))
        except MaskgroupError as error:
            if not all_that_go or isinstance(error, ExportCancelled):
                raise
            left_out[name] = str(error)
            continue
        written.append(name)
    writers: dict[Format, ViewWriter] = {}
    if "masks" in wanted:
        writers["masks"] = MaskPictures(folder / "masks")
    if "coco" in wanted:
        writers["coco"] = CocoFile(grouped, folder / "coco.json")
    if "scene" in wanted:
        (folder / "scene").mkdir()
        writers["scene"] = PosedSceneFolder(grouped, PosedFolder(folder / "scene", grouped.scene))
    if "colmap" in wanted:
        try:
            need_cameras(grouped)
            (folder / "colmap").mkdir()
            writers["colmap"] = PosedSceneFolder(grouped, ColmapFolder(folder / "colmap", grouped))
        except MaskgroupError as error:
            if not all_that_go:
                raise
            left_out["colmap"] = str(error)
    notes = _write_views(grouped, list(writers.values()), size, tick) if writers else []
    written += writers
    scene_folder = str(grouped.scene.folder) if tells_folder else ""
    if "json" in wanted:
        document = groups_document(grouped, scene_folder=scene_folder)
        write_text_atomically(folder / GROUPS_FILE, to_json_text(document, indent=1))
        written.append("json")
    tick("Writing the manifest", 0.98)
    described = manifest.describe(
        grouped,
        folder,
        formats=[name for name in FORMATS if name in written],
        left_out={str(name): why for name, why in left_out.items()},
        command=command,
        scene_folder=scene_folder,
        notes=notes,
    )
    write_atomically(folder / manifest.FILE, described)
    write_text_atomically(folder / manifest.README, manifest.tell(described))
    return Written(tuple(name for name in FORMATS if name in written), left_out, tuple(notes))


def _write_views(
    grouped: GroupedScene, writers: Sequence[ViewWriter], size: tuple[int, int] | None, tick: Callable[[str, float], None]
) -> list[str]:
    """Feed all views to the writers; returns sentences on what is missing."""
    width, height = size or (None, None)
    frames = FrameSource(grouped.scene, width=width, height=height, max_frames=1)
    names = [view.name for view in grouped.table.views]
    lost = done = 0
    for frame in frames.usable(names):
        tick(f"Writing view {done + 1} of {len(names)}", 0.4 + 0.55 * done / max(1, len(names)))
        lost += count_lost(grouped, frame)
        numbers = grouped.paint(frame)
        for writer in writers:
            writer.add(frame, numbers)
        done += 1
    for writer in writers:
        writer.close()
    notes: list[str] = []
    if lost:
        notes.append(f"{lost} masks are too small to be seen at the exported size.")
    if done < len(names):
        notes.append(f"{len(names) - done} views cannot be read any more and are missing.")
    return notes


def pack(folder: Path, path: Path, *, is_cancelled: Callable[[], bool] = lambda: False) -> None:
    """Pack a folder's files into a zip, all in one folder that is named as the zip; the zip is there whole or not at all.

    Raises:
        ExportCancelled: If it was stopped.
        OSError: If it cannot be written.
    """
    with writing_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if is_cancelled():
                raise ExportCancelled("The export was stopped; nothing was written.")
            if file.is_file():
                kind = zipfile.ZIP_STORED if file.suffix in PACKED else zipfile.ZIP_DEFLATED
                archive.write(file, f"{path.stem}/{file.relative_to(folder).as_posix()}", compress_type=kind)


def _only(wanted: Sequence[Format], kind: Sequence[Format]) -> list[Format]:
    return [name for name in wanted if name in kind]
