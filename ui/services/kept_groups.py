"""Kept grouping runs, opened again: with their scene's frames they give the groups that people corrected. Knows no page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from db.runs import Run, RunStore
from engine.errors import RunError
from engine.exporting.source import GroupedScene, Origin, from_run
from engine.grouping.constraints import Constraint
from engine.grouping.geometry import tabulate_masks
from engine.grouping.graph import cut
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, GroupingRun, find_truth
from engine.scenes import find_scene
from engine.types import Frame, Scene
from engine.views.frames import DEFAULT_HEIGHT, DEFAULT_WIDTH, FrameSource
from ui.stores.groupings import KIND, Corrections, GroupingStore, KeptRun

SIZE = (DEFAULT_WIDTH, DEFAULT_HEIGHT)
"""Within which the app's frames fit, pixels."""
MAX_SAID = 5


def rebuild_run(scene: Scene, frames: Sequence[Frame], kept: KeptRun, said: Corrections) -> GroupingRun:
    """Put a kept run and its scene's frames together again, with the corrections.

    Raises:
        RunError: If the scene's masks are not those of the run.
    """
    table = tabulate_masks(frames)
    # Masks that were touched up have their ids still, and other pixels.
    if table.keys != kept.graph.keys or not np.array_equal(table.areas, kept.graph.areas):
        raise RunError(f"The masks of scene {scene.name!r} are not those of the kept run any more; press Run to group it again.")
    table = table.with_poses(kept.registration.poses)
    grouping = cut(kept.graph, constraints=said.constraints)
    truth = find_truth(scene, frames)
    return GroupingRun(
        options=kept.options,
        table=table,
        registration=kept.registration,
        graph=kept.graph,
        grouping=grouping,
        cloud=None,
        truth=truth,
        mask_scores=None if truth is None else score_masks(truth, grouping.labels),
        point_scores=None,
        calls=kept.calls,
        seconds=kept.seconds,
        warnings=kept.warnings,
        findings=kept.findings,
    )


def describe_origin(scene: str, options: GroupingOptions, said: Sequence[Constraint], *, run: Run | None) -> Origin:
    """Return where groups of the app come from.

    Args:
        scene: The scene's name.
        options: How it was grouped.
        said: What people said.
        run: The run in the database, None where it is not kept.
    """
    model = None if run is None else run.config.get("model")
    settings = {"evidence": options.evidence, "budget": options.budget, "repair": options.repair, "size": list(SIZE)}
    return Origin(
        source="the app's 3D grouping page" if run is None else f"run {run.id} of the app's 3D grouping page",
        settings=settings,
        model=model if isinstance(model, str) else None,
        corrections=tuple(said),
        made="" if run is None else f"{run.created_at:%Y-%m-%dT%H:%M:%SZ}",
        command=group_command(scene, options, model=model if isinstance(model, str) else None, size=SIZE),
    )


def group_command(
    scene: str,
    options: GroupingOptions,
    *,
    model: str | None,
    size: tuple[int, int],
    prompt: str | None = None,
    threshold: float | None = None,
    photos: bool = True,
) -> str:
    """Return the command line that groups a scene in the same way, without corrections."""
    words = ["maskgroup", "group", scene, "--out", "groups", "--evidence", options.evidence]
    words += ["--model", model] if model is not None else []
    words += ["--budget", str(options.budget)] if options.budget is not None else []
    words += [] if options.repair else ["--no-repair"]
    words += [] if photos else ["--no-photos"]
    words += ["--prompt", prompt] if prompt is not None else []
    words += ["--threshold", f"{threshold:g}"] if threshold is not None else []
    words += [] if size == SIZE else ["--size", f"{size[0]}x{size[1]}"]
    return shlex.join(words)


def find_kept(runs: RunStore, wanted: str) -> Run:
    """Return a finished grouping run by its number or name, or the newest one of a scene.

    Raises:
        RunError: If there is none; it names some that there are.
    """
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
        found = runs.get(int(wanted))
        if found is not None and found.kind == KIND and found.status == "done":
            return found
    done = [run for run in runs.list(KIND) if run.status == "done"]
    for run in done:
        if wanted in (run.name, run.scene):
            return run
    known = "; ".join(f"{run.id} ({run.name})" for run in done[:MAX_SAID])
    raise RunError(
        f"{wanted!r} is neither a folder with groups.json nor a kept run, its name, or the scene of one; "
        + (f"the newest kept runs are {known}." if known else "no run is kept: group a scene first, or give another --db.")
    )


def open_kept_groups(run: Run, places: Sequence[Path]) -> GroupedScene:
    """Open a kept run with its scene and corrections.

    Raises:
        MaskgroupError: If the scene is not there, its masks have changed, or the run cannot be read.
    """
    scene = find_scene(run.scene or "", places)
    kept, said = GroupingStore.unpack(run)
    frames = list(FrameSource(scene, max_frames=1).usable(scene.view_names))
    rebuilt = rebuild_run(scene, frames, kept, said)
    origin = describe_origin(scene.name, kept.options, said.constraints, run=run)
    return from_run(scene, rebuilt, given=said.names, origin=origin, size=SIZE)
