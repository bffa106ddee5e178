"""What all commands that open scenes share: the options, and how left-out views and notes are said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.scenes import follow_links_into
from engine.types import LeftOutView, Scene
from engine.views.frames import FrameSource

MAX_SAID = 10
"""Left-out views that are told one by one; the rest is counted, and JSON has all."""


def _follow(folders: list[Path] | None) -> list[Path] | None:
    if folders:
        follow_links_into(folders)
    return folders


ScenesOption = Annotated[Path | None, typer.Option("--scenes", help="Folder of scenes; default: the bundled ones.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FollowLinksOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--follow-links",
        callback=_follow,
        help="Folder that links in scenes may lead into, for datasets kept elsewhere; may be given several times.",
    ),
]


def list_left_out(views: tuple[LeftOutView, ...]) -> list[dict[str, str]]:
    """Return left-out views as JSON values."""
    return [{"view": view.name, "reason": view.reason} for view in views]


def tell_left_out(scene: Scene) -> None:
    """Say on stderr which views of a scene are left out and why, and what was noted when it was opened."""
    total = len(scene.left_out) + len(scene.view_names)
    if scene.left_out:
        typer.echo(f"Note: {len(scene.left_out)} of {total} views of {scene.name} are left out:", err=True)
    for view in scene.left_out[:MAX_SAID]:
        typer.echo(f"  {view.name} — {view.reason}", err=True)
    if len(scene.left_out) > MAX_SAID:
        typer.echo(f"  and {len(scene.left_out) - MAX_SAID} more", err=True)
    for note in scene.notes:
        typer.echo(f"Note: {note}", err=True)


def tell_lost(scene: Scene, frames: FrameSource) -> None:
    """Say on stderr which views of a scene turned out to be broken when they were read."""
    for view in frames.left_out[len(scene.left_out) :]:
        typer.echo(f"Note: left out: {view.name} — {view.reason}", err=True)
