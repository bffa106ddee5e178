"""What people may change about groups: merge two or take a mask out, and the graph is cut again; and give them names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from engine.errors import MaskgroupError
from engine.grouping.constraints import Constraint
from engine.grouping.graph import Group
from engine.judging.naming import propose_names
from ui.pages.grouping.handlers import Pick, group_before, latest_group
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench


def merge(runs: GroupingRuns, pick: Pick) -> Pick:
    """Make the two picked groups one: every mask of both is tied to the latest group's best mask.

    Returns:
        The pick with the joined group.

    Raises:
        MaskgroupError: If there are not two groups picked.
    """
    result = runs.result(pick.scene)
    group, other = latest_group(result, pick), group_before(result, pick)
    if group is None or other is None:
        raise MaskgroupError("Merging needs two groups: pick one, then the other, then press Merge.")
    anchor = group.best_masks[0]
    new = [Constraint(anchor, key, True, _today()) for key in (*group.masks, *other.masks) if key != anchor]
    words = f"Merged {result.name(group.id)} with {result.name(other.id)}"
    runs.correct(pick.scene, _append(result.constraints, new), words=words)
    return replace(pick, latest=anchor, before=None, mask=None)


def reject_mask(bench: Workbench, runs: GroupingRuns, pick: Pick) -> Pick:
    """Take the picked mask out of its group: it is kept apart from every other mask there. Merges that tied it are loosened.

    Returns:
        The pick with the rest of the group.

    Raises:
        MaskgroupError: If no mask is picked, or it is a group of its own.
    """
    result = runs.result(pick.scene)
    if pick.mask is None:
        raise MaskgroupError("Click the crop that does not belong to the group first.")
    key = pick.mask
    group = result.grouping.groups[result.group_of(key)]
    others = [other for other in group.masks if other != key]
    if not others:
        raise MaskgroupError("This mask is a group of its own already.")
    ties = [c for c in result.constraints if c.together and key in (c.a, c.b)]
    ends = [c.b if c.a == key else c.a for c in ties]
    kept = tuple(c for c in result.constraints if c not in ties)
    # What the mask held together as the centre of a merge stays together without it.
    kept = _append(kept, [Constraint(ends[0], end, True, tie.said_on) for end, tie in zip(ends[1:], ties[1:], strict=True)])
    new = [Constraint(key, other, False, _today()) for other in others]
    words = f"{bench.mask_name(pick.scene, key)} is not in {result.name(group.id)}"
    runs.correct(pick.scene, _append(kept, new), words=words)
    return replace(pick, latest=others[0], mask=None)


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _append(old: Sequence[Constraint], new: Sequence[Constraint]) -> tuple[Constraint, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def name_group(runs: GroupingRuns, pick: Pick, name: str) -> None:
    """Give the group picked last a name; "" takes the given one away, so that it is called as the scene says.

    Raises:
        MaskgroupError: If none is picked, or the name is none.
    """
    runs.name_groups(pick.scene, {_picked(runs, pick).id: name})


def propose_name(bench: Workbench, runs: GroupingRuns, pick: Pick, model: str) -> None:
    """Let a judge's model propose a name for the group picked last, by the mask that shows it best.

    Raises:
        MaskgroupError: If none is picked, the model cannot name things, or what it says is no name.
    """
    group = _picked(runs, pick)
    judge = bench.judge(model)
    (name,) = propose_names(judge, [bench.crop(pick.scene, group.best_masks[0], model=model)])
    if name is None:
        raise MaskgroupError(f"What {judge.name} says of this group is no name; choose another judge, or type a name yourself.")
    runs.name_groups(pick.scene, {group.id: name}, proposed_by=judge.name)


def _picked(runs: GroupingRuns, pick: Pick) -> Group:
    group = latest_group(runs.result(pick.scene), pick)
    if group is None:
        raise MaskgroupError("Pick a group first, in the list, the room or a view.")
    return group
