"""`maskgroup names`: what the groups of a kept run are called; gives them names, or lets a model propose some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import MaskgroupError
from engine.grouping.group_names import GivenName, give_names, name_groups, name_own_masks, place_names
from engine.grouping.pipeline import GroupingRun
from engine.judging.naming import propose_names
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import Scene
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from ui.commands.judge_options import ModelOption
from ui.services.grouping_runs import check_group_name
from ui.services.kept_groups import find_kept, rebuild_run
from ui.services.open_judge import open_judge
from ui.settings import settings_for
from ui.stores.groupings import GroupingStore


def names(
    run: Annotated[str, typer.Argument(help="A run kept by the app: its number, or its scene.")],
    call: Annotated[list[str] | None, typer.Option(help="NUMBER=NAME: name a group; may be given several times.")] = None,
    propose: Annotated[bool, typer.Option(help="Let a model propose names of the groups that have none.")] = False,
    model: ModelOption = "base",
    scenes: Annotated[Path | None, typer.Option(help="Folder of scenes; default: the bundled ones.")] = None,
    db: Annotated[str | None, typer.Option(help="Database of the app's runs; default: MASKGROUP_DB, else the app's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the groups of a kept run with their names, give names, or have them proposed; a proposal ends in "?".

    Groups are numbered as `maskgroup export` numbers them. A proposal counts once a person confirms it, here or in the app.
    """
    settings = settings_for(db)
    database = open_database(settings.db)
    try:
        store = RunStore(database)
        found = find_kept(store, run)
        kept, said = GroupingStore.unpack(found)
        scene = find_scene(found.scene or "", settings.scene_folders(scenes))
        frames = FrameSource(scene, max_frames=1)
        rebuilt = rebuild_run(scene, list(frames.usable(scene.view_names)), kept, said)
        given = said.names
        if call:
            given = _give(rebuilt, given, _parse(call, len(rebuilt.grouping.groups)))
        if propose:
            judge = open_judge(model, settings)
            without = [row for row, called in enumerate(_called(scene, rebuilt, given)) if called is None]
            proposed: dict[int, str] = {}
            for row in tqdm(without, desc="proposing names", unit="group", leave=False):
                key = rebuilt.grouping.groups[row].best_masks[0]
                (name,) = propose_names(judge, [show_mask(frames.frame(key.view), key, style=judge.prompt.picture)])
                proposed |= {} if name is None else {row: check_group_name(name)}
            given = _give(rebuilt, given, proposed, proposed_by=judge.name)
        if given != said.names:
            ari = None if rebuilt.mask_scores is None else rebuilt.mask_scores.ari
            GroupingStore(store).keep_corrections(found.id, replace(said, names=given), rebuilt.grouping, ari=ari)
    finally:
        database.dispose()
    placed = place_names(given, rebuilt.table.keys, rebuilt.grouping.labels)
    rows = [
        {
            "group": row + 1,
            "name": called,
            "proposed_by": placed[row].proposed_by or None if row in placed else None,
            "masks": len(rebuilt.grouping.groups[row].masks),
        }
        for row, called in enumerate(_called(scene, rebuilt, given))
    ]
    if as_json:
        typer.echo(to_json_text(rows, indent=2))
        return
    for row in rows:
        mark = "?" if row["proposed_by"] else ""
        typer.echo(f"{row['group']}  {row['name'] or '-'}{mark}  {row['masks']} masks")


def _called(scene: Scene, run: GroupingRun, given: Sequence[GivenName]) -> list[str | None]:
    """Return what each group is called, None where nobody knows."""
    labels = run.grouping.labels
    called = list(name_groups(labels, run.table.areas, name_own_masks(scene, run.truth, run.table.keys)))
    for group, name in place_names(given, run.table.keys, labels).items():
        called[group] = name.name
    return called


def _give(run: GroupingRun, given: Sequence[GivenName], names: dict[int, str], *, proposed_by: str = "") -> tuple[GivenName, ...]:
    placed = place_names(given, run.table.keys, run.grouping.labels)
    masks = {group: run.grouping.groups[group].masks for group in names}
    return give_names(given, masks, names, replaced=[placed[group] for group in names if group in placed], proposed_by=proposed_by)


def _parse(given: Sequence[str], count: int) -> dict[int, str]:
    """Read NUMBER=NAME; returns names by row.

    Raises:
        MaskgroupError: If one is something else.
    """
    found: dict[int, str] = {}
    for text in given:
        number, equals, name = text.partition("=")
        if not (equals and number.isascii() and number.isdecimal() and len(number) < 9 and 1 <= int(number) <= count):
            raise MaskgroupError(f"--call {text!r} names no group, expected NUMBER=NAME with a number of 1 to {count}.")
        found[int(number) - 1] = check_group_name(name)
    return found
