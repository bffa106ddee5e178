"""`maskgroup scenes`: which scenes there are, and what was left out and why."""

from __future__ import annotations

import typer

from engine.errors import SceneError, on_one_line
from engine.scenes import SceneInfo
from engine.strict_json import to_json_text
from ui.commands.scene_options import MAX_SAID, FollowLinksOption, JsonOption, ScenesOption, list_left_out
from ui.services.scene_list import ListedScenes, SceneFolders
from ui.settings import Settings


def scenes(
    folder: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the scenes with format and number of views, and what was left out and why: those of --scenes, or, without it,
    the bundled and the imported ones.

    Exit code 2 if there is no scene.
    """
    settings = Settings()
    where = folder or settings.scenes
    # A folder that is named is looked at alone.
    found = SceneFolders(where, imported=None if folder else settings.imported_scenes).survey(budget_s=None)
    if as_json:
        typer.echo(to_json_text(to_json(found), indent=2))
    else:
        for scene in found.scenes:
            info = scene.info
            typer.echo(in_words(info) + ("  (imported)" if scene.origin == "imported" else ""))
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


def to_json(found: ListedScenes) -> list[dict[str, object]]:
    """Return the list as JSON values: scenes first, then what is none, which has no format but a reason."""
    rows: list[dict[str, object]] = [
        {
            "name": scene.info.name,
            "title": scene.info.title or scene.info.name,
            "origin": scene.origin,
            "folder": str(scene.info.folder),
            "format": scene.info.format,
            "n_views": scene.info.n_views,
            "left_out": list_left_out(scene.info.left_out),
            "reason": None,
        }
        for scene in found.scenes
    ]
    for entry in found.left_out:
        row: dict[str, object] = {"name": on_one_line(entry.name), "title": None, "origin": None, "folder": None, "format": None}
        rows.append({**row, "n_views": 0, "left_out": [], "reason": entry.reason})
    return rows


def in_words(info: SceneInfo) -> str:
    """Return a scene's line, e.g. "office  replica  38 of 40 views  /data/office"."""
    total = info.n_views + len(info.left_out)
    views = f"{info.n_views} of {total}" if info.left_out else str(info.n_views)
    return f"{info.name}  {info.format}  {views} views  {info.folder}"
