"""`maskgroup render`: pictures and masks of every view, in the processed format."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from engine.errors import RenderError
from engine.rendering import BackendName, choose_backend
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.views.export import write_frames
from engine.views.frames import FrameSource
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption, list_left_out, tell_left_out, tell_lost
from ui.settings import Settings

MAX_SIDE_PX = 8192


def render(
    scene: Annotated[str, typer.Argument(help="A scene folder, or a name in --scenes.")],
    out: Annotated[Path, typer.Option(help="Folder to write; finished views in it are kept.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the pictures, pixels.")] = "640x360",
    backend: Annotated[BackendName, typer.Option(help="What casts the rays.")] = "auto",
    photos: Annotated[bool, typer.Option("--photos", help="Take the scene's photos as pictures, not the rendered mesh.")] = False,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write rgb.png, instance_mask.npy and unique_instances.npy of every view."""
    width, height = parse_size(size)
    opened = find_scene(scene, Settings().scene_folders(scenes))
    tell_left_out(opened)
    started = time.perf_counter()
    used = choose_backend() if backend == "auto" else backend
    source = FrameSource(opened, width=width, height=height, backend=used, max_frames=1, photo=photos, keep_aspect=False)
    written = kept = 0
    views = write_frames(source, out, width=width, height=height)
    for _, is_new in tqdm(views, total=len(opened.view_names), desc=f"rendering {opened.name}", unit="view"):
        written += is_new
        kept += not is_new
    tell_lost(opened, source)
    report = {
        "scene": opened.name,
        "out": str(out.resolve()),
        "views": len(opened.view_names),
        "written": written,
        "kept": kept,
        "width": width,
        "height": height,
        "backend": used,
        "seconds": round(time.perf_counter() - started, 3),
        "left_out": list_left_out(source.left_out),
    }
    if as_json:
        typer.echo(to_json_text(report))
    else:
        left_out = f"; {len(source.left_out)} left out" if source.left_out else ""
        typer.echo(f"{written} views written, {report['kept']} kept, in {out} ({used}, {report['seconds']} s){left_out}.")


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT.

    Raises:
        RenderError: If the text has another form or a side is outside 1 to 8192.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip(), re.ASCII)
    if match is None or not all(1 <= int(side) <= MAX_SIDE_PX for side in match.groups()):
        raise RenderError(
            f"--size {text!r} is no size, expected WIDTHxHEIGHT of 1 to {MAX_SIDE_PX} pixels a side, for example 640x360."
        )
    return int(match[1]), int(match[2])
