"""`maskgroup scenes`: which scenes there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.scenes import list_scenes
from engine.strict_json import to_json_text
from ui.settings import Settings


def scenes(
    folder: Annotated[Path | None, typer.Option("--scenes", help="Folder of scenes; default: the bundled ones.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the scenes with their format and number of views."""
    where = folder or Settings().scenes
    found = list_scenes(where)
    if as_json:
        rows = [{"name": i.name, "folder": str(i.folder), "format": i.format, "n_views": i.n_views} for i in found]
        typer.echo(to_json_text(rows, indent=2))
        return
    if not found:
        typer.echo(f"No scene in {where}.")
    for info in found:
        typer.echo(f"{info.name}  {info.format}  {info.n_views} views  {info.folder}")
