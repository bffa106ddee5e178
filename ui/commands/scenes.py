"""`maskgroup scenes`: which scenes there are, and what was left out and why."""

from __future__ import annotations

import typer

from engine.errors import SceneError, on_one_line
from engine.scenes import SceneInfo, SceneList, survey_scenes
from engine.strict_json import to_json_text
from ui.commands.scene_options import MAX_SAID, FollowLinksOption, JsonOption, ScenesOption, list_left_out
from ui.settings import Settings


def scenes(
    folder: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the scenes with their format and number of views, and what was left out and why. Exit code 2 if there is no scene."""
    where = folder or Settings().scenes
    found = survey_scenes(where)
    if as_json:
        typer.echo(to_json_text(to_json(found), indent=2))
    else:
        for info in found.scenes:
            typer.echo(in_words(info))
            for view in info.left_out[:MAX_SAID]:
                typer.echo(f"  left out: {view.name} — {view.reason}")
            if len(info.left_out) > MAX_SAID:
                typer.echo(f"  left out: {len(info.left_out) - MAX_SAID} more views")
        for entry in found.left_out:
            typer.echo(f"left out: {on_one_line(entry.name)} — {entry.reason}")
    if not found.scenes:
        count = len(found.left_out)
        what = f"{count} folder{'' if count == 1 else 's'}, none of them a scene" if count else "no folder in it"
        raise SceneError(
            f"{where}: found {what}, expected a folder of scene folders; see docs/scene-formats.md, or check --scenes."
        )


def to_json(found: SceneList) -> list[dict[str, object]]:
    """Return the list as JSON values: scenes first, then what is none, which has no format but a reason."""
    rows: list[dict[str, object]] = [
        {
            "name": info.name,
            "folder": str(info.folder),
            "format": info.format,
            "n_views": info.n_views,
            "left_out": list_left_out(info.left_out),
            "reason": None,
        }
        for info in found.scenes
    ]
    for entry in found.left_out:
        rows.append(
            {"name": on_one_line(entry.name), "folder": None, "format": None, "n_views": 0, "left_out": [], "reason": entry.reason}
        )
    return rows


def in_words(info: SceneInfo) -> str:
    """Return a scene's line, e.g. "office  replica  38 of 40 views  /data/office"."""
    total = info.n_views + len(info.left_out)
    views = f"{info.n_views} of {total}" if info.left_out else str(info.n_views)
    return f"{info.name}  {info.format}  {views} views  {info.folder}"
