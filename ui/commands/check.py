"""`maskgroup check`: what was found in a scene, and what looks wrong, before anything is computed from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from engine.checking.findings import CheckReport
from engine.checking.mends import mend_scene
from engine.checking.run import check_scene
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from ui.commands.scene_options import MAX_SAID, FollowLinksOption, list_left_out
from ui.settings import Settings

MARKS = {"ok": "ok   ", "note": "note ", "doubt": "DOUBT"}


def check(
    scene: Annotated[str, typer.Argument(help="Folder of a scene, or its name in --scenes.")],
    folder: Annotated[Path | None, typer.Option("--scenes", help="Folder of scenes; default: the bundled ones.")] = None,
    follow_links: FollowLinksOption = None,
    fix: Annotated[
        Path | None, typer.Option(help="Write a copy in which what can be mended is mended, into this new folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what was found in a scene: views, pictures, cameras, depth, poses and their axes, masks, ground truth.

    With --fix, wrong axes and units, intrinsics of pictures of another size and ids of the background are mended in a copy.

    Exit code 1 if something looks wrong that results would suffer from (in the copy, where one was written), 2 if it is no scene
    that can be opened.
    """
    opened = find_scene(scene, Settings().scene_folders(folder))
    with tqdm(desc=f"looking at {opened.name}", unit="view", leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = check_scene(opened, on_progress=show)
        mended = None if fix is None else mend_scene(opened, fix, report, on_progress=show)
    changes = [] if mended is None else mended.mends.tell()
    final = report if mended is None else mended.report
    if as_json:
        extra = {} if fix is None else {"changes": changes, "before": to_json(report)}
        typer.echo(to_json_text({**to_json(final), **extra}, indent=2))
    else:
        typer.echo(f"{report.scene}  {report.format}  {report.folder}")
        tell_findings(report)
        if mended is not None:
            typer.echo(f"\nMended copy  {mended.folder}")
            for change in changes:
                typer.echo(f"changed: {change}")
            tell_findings(final)
        elif fix is not None:
            typer.echo("Nothing was written: there is nothing that can be mended.", err=True)
    if not final.is_sound:
        raise typer.Exit(1)


def tell_findings(report: CheckReport) -> None:
    """Print a line for each finding, then one for each of the first views that are left out."""
    for finding in report.findings:
        typer.echo(f"{MARKS[finding.level]} {finding.topic}: {finding.text}")
    for view in report.left_out[:MAX_SAID]:
        typer.echo(f"  left out: {view.name} — {view.reason}")
    if len(report.left_out) > MAX_SAID:
        typer.echo(f"  left out: {len(report.left_out) - MAX_SAID} more views")


def to_json(report: CheckReport) -> dict[str, object]:
    """Return a report as JSON values."""
    return {
        "scene": report.scene,
        "folder": report.folder,
        "format": report.format,
        "ok": report.is_sound,
        "n_views": report.n_views,
        "n_looked_at": report.n_looked_at,
        "left_out": list_left_out(report.left_out),
        "findings": [
            {"topic": one.topic, "level": one.level, "text": one.text, "figures": dict(one.figures)} for one in report.findings
        ],
    }
