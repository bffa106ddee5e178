"""`maskgroup export`: groups in the formats of other programs, corrections included."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from db.runs import RunStore
from db.schema.session import open_database
from db.schema.urls import show_url
from engine.errors import MaskgroupError
from engine.exporting.groups_json import FILE, KeptGroups, join_scene, read_groups
from engine.exporting.source import GroupedScene
from engine.exporting.write import FORMATS, Format, find_format, write_export
from engine.scenes import find_scene, open_scene
from engine.strict_json import to_json_text
from engine.types import Scene
from ui.commands.render import parse_size
from ui.commands.scene_options import FollowLinksOption
from ui.services.kept_groups import find_kept, open_kept_groups
from ui.settings import settings_for


def export(
    groups: Annotated[
        str, typer.Argument(help="A folder that `maskgroup group` wrote, or a run kept by the app: its number, or its scene.")
    ],
    out: Annotated[Path, typer.Option(help="New folder to write to.")],
    file_format: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; may be given several times; default: all that the scene gives."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT within which masks fit, pixels; default: the size of the photos.")
    ] = None,
    scene: Annotated[str | None, typer.Option(help="The scene's folder or name, where the groups do not say it.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="Folder of scenes; default: the bundled ones.")] = None,
    db: Annotated[str | None, typer.Option(help="Database of the app's runs; default: MASKGROUP_DB, else the app's.")] = None,
    follow_links: FollowLinksOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write groups as coloured 3D models, masks with global ids, COCO, JSON, ScanNet's predictions, or a scene."""
    within = None if size is None else parse_size(size)
    formats = parse_formats(file_format or [])
    settings = settings_for(db)
    grouped = _open(groups, scene, settings.scene_folders(scenes), settings.db)
    words = ["maskgroup", "export", groups, "--out", str(out)]
    for name in formats or ():
        words += ["--format", name]
    for flag, value in (("--size", size), ("--scene", scene), ("--scenes", scenes), ("--db", None if db is None else show_url(db))):
        words += [] if value is None else [flag, str(value)]
    with tqdm(total=100, desc=f"exporting {grouped.scene.name}", unit="%", bar_format="{desc}: {bar} {postfix}") as bar:

        def report(doing: str, share: float) -> None:
            bar.n = round(100 * share)
            bar.set_postfix_str(doing)

        written = write_export(grouped, out, formats, size=within, command=shlex.join(words), report=report)
        report("done", 1.0)
    if as_json:
        report_values = {
            "scene": grouped.scene.name,
            "out": str(out.resolve()),
            "groups": len(grouped.numbers),
            "masks": len(grouped.number_of),
            "corrections": len(grouped.origin.corrections),
            "formats": list(written.formats),
            "left_out": written.left_out,
            "notes": list(written.notes),
        }
        typer.echo(to_json_text(report_values))
        return
    for name, why in written.left_out.items():
        typer.echo(f"Note: {name} was left out. {why}", err=True)
    for note in written.notes:
        typer.echo(f"Note: {note}", err=True)
    corrected = len(grouped.origin.corrections)
    said = f"{len(grouped.numbers)} groups" + (f" with {corrected} corrections" if corrected else "")
    typer.echo(f"{len(grouped.number_of)} masks in {said} written to {out}: {', '.join(written.formats)}.")


def parse_formats(given: Sequence[str]) -> list[Format] | None:
    """Read names of formats, each alone or with commas between; None where none is named, or all are.

    Raises:
        MaskgroupError: If one of them is no format.
    """
    named = [find_format(name.strip()) for text in given for name in text.split(",")]
    found: list[Format] = [name for name in FORMATS if name in named]
    return None if None in named or not found else found


def _open(groups: str, scene: str | None, places: Sequence[Path], db: str) -> GroupedScene:
    folder = Path(groups)
    if "\0" not in groups and (folder / FILE).exists():
        kept = read_groups(folder)
        return join_scene(kept, _find_scene(kept, folder, scene, places))
    if "\0" not in groups and folder.is_dir():
        raise MaskgroupError(f"{folder} holds no {FILE}, expected a folder that `maskgroup group` wrote; give its --out.")
    if scene is not None:
        raise MaskgroupError(f"--scene belongs to a folder with {FILE}: a kept run knows its scene; leave it out.")
    database = open_database(db)
    try:
        return open_kept_groups(find_kept(RunStore(database), groups), places)
    finally:
        database.dispose()


def _find_scene(kept: KeptGroups, folder: Path, named: str | None, places: Sequence[Path]) -> Scene:
    if named is not None:
        return find_scene(named, places)
    if kept.scene_folder and (folder / kept.scene_folder).is_dir():
        return open_scene(folder / kept.scene_folder)
    if kept.scene:
        return find_scene(kept.scene, places)
    raise MaskgroupError(f"{folder / FILE} does not say which scene was grouped; name it with --scene.")
