"""`maskgroup group`: all masks of a scene to 3D instances."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from engine.grouping.files import summarise_metrics, write_grouping
from engine.grouping.findings import tell_findings
from engine.grouping.graph import Evidence
from engine.grouping.judge_rounds import PairJudge
from engine.grouping.pair_judge import FramePairJudge
from engine.grouping.pipeline import GroupingOptions, Progress, group_scene
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import USUAL_THRESHOLD
from engine.version import VERSION
from engine.views.frames import FrameSource
from ui.commands.judge_options import (
    MODEL_HELP,
    DeviceOption,
    DtypeOption,
    FourBitOption,
    LoaderOption,
    PromptOption,
    ThresholdOption,
    choose_threshold,
)
from ui.commands.render import parse_size
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption, list_left_out
from ui.services.kept_groups import group_command
from ui.services.open_judge import choose_options, open_judge
from ui.settings import Settings
from ui.view3d.scene_page import write_scene_page


def group(
    scene: Annotated[str, typer.Argument(help="A scene folder, or a name in --scenes.")],
    out: Annotated[Path, typer.Option(help="Folder to write groups.json, metrics.json, instances.ply and scene.html to.")],
    evidence: Annotated[Evidence, typer.Option(help="What the masks are grouped by; vlm = the judge.")] = "geometry",
    model: Annotated[str, typer.Option(help=f"For vlm and both: {MODEL_HELP}")] = "base",
    prompt: PromptOption = None,
    budget: Annotated[int | None, typer.Option(min=0, help="Pairs to ask in all; default: 6 for each mask.")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT within which frames fit, pixels.")] = "640x360",
    repair: Annotated[bool, typer.Option(help="Repair poses where depth shows that they are off.")] = True,
    photos: Annotated[
        bool, typer.Option(help="Find the cameras of photos without depth and poses (needs pycolmap); kept in --out as photos.npz.")
    ] = True,
    threshold: ThresholdOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    four_bit: FourBitOption = False,
    loader: LoaderOption = None,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Group every mask of a scene into objects, and write them with their evidence."""
    width, height = parse_size(size)
    settings = Settings()
    decided_at = choose_threshold(threshold, model, settings, prompt=prompt) if evidence != "geometry" else USUAL_THRESHOLD
    loading = choose_options(settings, device, dtype, four_bit, loader)
    opened = find_scene(scene, settings.scene_folders(scenes))
    frames = FrameSource(opened, width=width, height=height, max_frames=max(64, len(opened.view_names)))
    with tqdm(total=100, desc=f"grouping {opened.name}", unit="%", bar_format="{desc}: {bar} {postfix}") as bar:

        def report(progress: Progress) -> None:
            bar.n = round(100 * progress.share)
            bar.set_postfix_str(f"{progress.stage}, {progress.asked} pairs asked, {progress.seconds:.0f} s")

        judge: PairJudge | None = None
        if evidence != "geometry":
            found = open_judge(model, settings, options=loading, prompt=prompt)
            judge = FramePairJudge(
                found, frames, tick=lambda n: bar.set_postfix_str(f"judge, {n} pairs asked"), threshold=decided_at
            )
        options = GroupingOptions(evidence=evidence, budget=budget, repair=repair, photos=photos)
        run = group_scene(opened, frames, options=options, judge=judge, keep_in=out, report=report)
    model_asked = None if evidence == "geometry" else model
    about = {
        "scene": {"name": opened.name, "folder": str(opened.folder)},
        "size": [width, height],
        "settings": {
            "evidence": evidence,
            "budget": budget,
            "repair": repair,
            "photos": photos,
            "size": [width, height],
            "prompt": prompt,
            "threshold": None if model_asked is None else decided_at,
        },
        "model": model_asked,
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "version": VERSION,
        "command": group_command(
            scene, options, model=model_asked, size=(width, height), prompt=prompt, threshold=threshold, photos=photos
        ),
    }
    written = write_grouping(run, out, about)
    if run.cloud is not None:
        write_scene_page(run.cloud, out / "scene.html", title=f"{opened.name}: {len(run.grouping.groups)} groups")
        written.append(out / "scene.html")
    metrics = summarise_metrics(run)
    found = run.findings
    told = "" if found is None else tell_findings(found, run.registration, views=metrics["views"], masks=metrics["masks"])
    if as_json:
        place = {"scene": opened.name, "out": str(out.resolve())}
        seen = {"told": told, "left_out": list_left_out(run.left_out), "warnings": list(run.warnings)}
        typer.echo(to_json_text({**place, **metrics, **seen}))
        return
    for warning in run.warnings:
        typer.echo(f"Note: {warning}", err=True)
    score = f", ARI {run.mask_scores.ari:.3f}" if run.mask_scores is not None else ""
    if run.point_scores is not None:
        points = run.point_scores
        score += f", AP {points.ap:.3f}, AP50 {points.ap50:.3f}, AP25 {points.ap25:.3f}"
    typer.echo(
        f"{metrics['masks']} masks of {metrics['views']} views are {metrics['groups']} groups{score} "
        f"({run.calls} pairs asked, {sum(run.seconds.values()):.1f} s); wrote {', '.join(path.name for path in written)} to {out}."
    )
    typer.echo(told)
