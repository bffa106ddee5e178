"""`maskgroup segment`: a copy of a scene with masks that the program makes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from engine.scenes import find_scene
from engine.segmenting.registry import open_segmenter
from engine.segmenting.run import SegmentedScene, segment_scene
from engine.strict_json import to_json_text
from ui.commands.scene_options import MAX_SAID, FollowLinksOption, JsonOption, list_left_out
from ui.settings import Settings


def segment(
    scene: Annotated[str, typer.Argument(help="Folder of a scene with photos or a mesh, or its name in --scenes.")],
    out: Annotated[
        Path | None,
        typer.Option(help="New folder of the scene; default: SCENE_masks, in scenes/ beside the app's database."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Mask generator of transformers: a hub id such as facebook/sam2.1-hiera-small, or a model's folder; "
            "default: built in, by surface and colour."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where a model runs: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    points: Annotated[
        int | None, typer.Option(min=1, max=256, help="Points a side that a model such as SAM is asked about; default: 32.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--scenes", help="Folder of scenes; default: the bundled ones.")] = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make masks of a scene's photos, and write a copy of the scene with them. The scene itself is not changed.

    Without --model nothing is downloaded: surfaces and colours decide where there is depth, else colours alone.
    """
    opened = find_scene(scene, folder or Settings().scenes)
    target = Settings().imported_scenes / f"{opened.name}_masks" if out is None else out
    segmenter = open_segmenter(model, device=device, points=points)
    with tqdm(desc=f"segmenting {opened.name}", unit="view", leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = segment_scene(opened, segmenter, target, on_progress=show)
    if as_json:
        typer.echo(to_json_text(_report(made), indent=2))
        return
    typer.echo(
        f"{made.name}  {made.n_views} views  {made.n_masks} masks by {made.segmenter}, on {made.coverage:.0%} of the pixels  "
        f"{made.seconds / made.n_views:.2f} s a view  {made.folder}"
    )
    for view in made.left_out[:MAX_SAID]:
        typer.echo(f"  left out: {view.name} — {view.reason}", err=True)
    if len(made.left_out) > MAX_SAID:
        typer.echo(f"  left out: {len(made.left_out) - MAX_SAID} more views", err=True)
    typer.echo(f"Next: {_next_command(made)}")


def _next_command(made: SegmentedScene) -> str:
    return shlex.join(["maskgroup", "app", "--scenes", str(made.folder.parent)])


def _report(made: SegmentedScene) -> dict[str, object]:
    return {
        "scene": made.name,
        "folder": str(made.folder),
        "segmenter": made.segmenter,
        "n_views": made.n_views,
        "n_masks": made.n_masks,
        "coverage": made.coverage,
        "has_ground_truth": made.has_truth,
        "seconds_a_view": made.seconds / made.n_views,
        "left_out": list_left_out(made.left_out),
        "next": _next_command(made),
    }
