"""`maskgroup import`: a scene from a folder or a zip archive, plain photos or a video, brought to where scenes are kept."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from engine.assets import SCENES_DIR
from engine.errors import MaskgroupError
from engine.importing import ImportedScene, Step, import_scene
from engine.photos.video import DEFAULT_COUNT
from engine.strict_json import to_json_text
from ui.commands.check import tell_findings, to_json
from ui.commands.scene_options import FollowLinksOption, JsonOption
from ui.services.scene_list import SceneFolders
from ui.settings import Settings

UNITS: dict[Step, str] = {
    "unpacking": "file",
    "copying": "file",
    "photos": "photo",
    "features": "photo",
    "matches": "pair",
    "cameras": "photo",
    "checking": "view",
}


def import_command(
    source: Annotated[
        Path, typer.Argument(help="Folder or zip with one scene of any format, or with photos or a video; or a video.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="New folder of the scene; default: one called as the scene, in scenes/ beside the app's database."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the scene is called, without --out; default: as its folder or the archive.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=2, max=2000, help="Pictures to take of a video, at most.")] = DEFAULT_COUNT,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a scene from a folder or a zip archive to where scenes are kept, and say what was found in it.

    Of photos (with masks/PHOTO.png, where there are masks) or a video, also in a zip, a scene is made: pycolmap finds the cameras.

    The source is not changed. If it is no scene that can be opened (exit code 2), nothing of it is kept.
    """
    if out is not None and name is not None:
        raise MaskgroupError(f"--out {out} names the scene already, expected --out or --name; leave one out.")
    where = Settings().imported_scenes
    if out is not None:
        # Made absolute first, so that "." and ".." have names too.
        out = out.expanduser().resolve()
        where, name = out.parent, out.name
    with tqdm(desc="copying", unit=UNITS["copying"], leave=False) as bar:

        def show(step: Step, done: int, total: int) -> None:
            if bar.desc != f"{step}: ":
                bar.reset(total)
                bar.unit = UNITS[step]
                bar.set_description(step)
            bar.update(done - bar.n)

        imported = import_scene(source, where, name=name, count=pictures, on_progress=show)
    if as_json:
        typer.echo(to_json_text(_report(imported), indent=2))
        return
    report = imported.report
    total = report.n_views + len(report.left_out)
    views = f"{report.n_views} of {total}" if report.left_out else str(report.n_views)
    typer.echo(f"{imported.name}  {imported.format}  {views} views  {_count_masks(imported)} masks  {imported.folder}")
    tell_findings(report)
    for sentence in imported.told:
        typer.echo(f"Note: {sentence}", err=True)
    if imported.n_passed_over:
        typer.echo(f"Note: files not copied, as they are hidden or beside the scene: {imported.n_passed_over}.", err=True)
    if _is_listed(imported):
        typer.echo("The app has it in its list of scenes, without a restart too; every command knows it by its name.")
    typer.echo(f"Next: {_next_command(imported)}")


def _count_masks(imported: ImportedScene) -> int:
    """Return how many masks the views have that were looked at."""
    counts = [finding.figures.get("masks") for finding in imported.report.findings if finding.topic == "masks"]
    return max((count for count in counts if isinstance(count, int)), default=0)


def _is_listed(imported: ImportedScene) -> bool:
    """Return whether the app and the commands find the scene by its name: it is among the imported ones, and none hides it."""
    settings = Settings()
    folders = SceneFolders(settings.scenes, imported=settings.imported_scenes, bundled=SCENES_DIR)
    found = folders.find(imported.name)
    return found is not None and found.info.folder == imported.folder.resolve()


def _next_command(imported: ImportedScene) -> str:
    elsewhere = [] if _is_listed(imported) else ["--scenes", str(imported.folder.parent)]
    return shlex.join(["maskgroup", "app", *elsewhere])


def _report(imported: ImportedScene) -> dict[str, object]:
    return {
        **to_json(imported.report),
        "n_files": imported.n_files,
        "n_bytes": imported.n_bytes,
        "n_passed_over": imported.n_passed_over,
        "n_masks": _count_masks(imported),
        "told": list(imported.told),
        "next": _next_command(imported),
    }
