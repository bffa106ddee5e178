"""The 3D grouping page's handlers: what each click changes, as plain functions tested without Gradio running.

A page's state is a `Pick`. It names masks and never groups: groups get other numbers with every correction, masks do not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from engine.constraints import Constraint
from engine.errors import MaskError, MaskgroupError
from engine.explanations import explain_group
from engine.grouping import Group
from engine.types import NOTHING, MaskKey, UInt8Array
from ui.grouping_paint import Coloring, Paint, paint_confidence, paint_disagreement, paint_labels, paint_truth
from ui.grouping_runs import GroupingRuns, Result, RunState
from ui.pictures import COLOR_A, COLOR_B, draw_view, frame_crop
from ui.plotly_view import MASK_COLORS, camera_trace, mask_trace, paint_patch, room_view
from ui.workbench import Workbench

MAX_LISTED = 120
"""Groups in the list, largest first; the others are reached through the room and the views."""
MAX_CROPS = 80
MAX_LINKS = 12
THUMBNAIL = 96
CROP = 128
STAGES = ("frames", "poses", "overlap", "judge", "cut", "3D", "scores")


@dataclass(frozen=True)
class Pick:
    """What a person has picked.

    Attributes:
        scene: The scene.
        coloring: How the room is coloured.
        latest: A mask of the group picked last (orange), None until one is.
        before: A mask of the group picked before that (blue), None until there is one.
        mask: One mask of the latest group, picked among its crops.
    """

    scene: str
    coloring: Coloring = "group"
    latest: MaskKey | None = None
    before: MaskKey | None = None
    mask: MaskKey | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A small picture, (S, S, 3) uint8, its caption and the mask that it shows."""

    pixels: UInt8Array
    caption: str
    key: MaskKey


def is_running(runs: GroupingRuns, scene: str) -> bool:
    """Return whether a run of the scene is under way."""
    state = runs.state(scene)
    return state is not None and state.status == "running"


def show_progress(state: RunState | None) -> str:
    """Return where a run stands, as HTML."""
    if state is None:
        return "<p>Press <b>Run</b> to group all masks of the scene into objects.</p>"
    if state.status != "running":
        return f"<p role='status'>{escape(state.message)}</p>" if state.message else ""
    progress = state.progress
    if progress is None:
        return "<p role='status'>Starting ...</p>"
    words = [f"<b>{escape(progress.stage)}</b> {progress.share:.0%}", f"{progress.seconds:.0f} s so far"]
    elapsed = time.monotonic() - state.stage_started
    if 0.05 < progress.share < 1 and elapsed > 1:
        words.append(f"about {elapsed * (1 / progress.share - 1):.0f} s left in this stage")
    if progress.asked:
        words.append(f"{progress.asked} pairs asked")
    done = 100 * (STAGES.index(progress.stage) + progress.share) / len(STAGES)
    return f"<div role='status'>{', '.join(words)}<div class='mg-bar'><span style='width:{done:.0f}%'></span></div></div>"


def show_summary(result: Result) -> str:
    """Return what the run found and what the latest correction changed, as HTML."""
    run, groups = result.run, result.grouping.groups
    words = [f"<b>{len(groups)} groups</b> of {len(run.table)} masks in {len(run.table.views)} views"]
    words.append(f"ARI {result.ari:.3f}" if result.ari is not None else "no ground truth, so no score")
    words.append(f"evidence: {escape(run.options.evidence)}, {run.calls} pairs asked, {sum(run.seconds.values()):.1f} s")
    lines = [f"<p>{'; '.join(words)}.</p>"]
    change = result.last
    if change is not None:
        ari = ""
        if change.ari_before is not None and change.ari_after is not None:
            ari = f", ARI {change.ari_before:.3f} → {change.ari_after:.3f}"
        moved = f"{change.moved} mask{'' if change.moved == 1 else 's'} moved"
        lines.append(f"<p class='mg-change'><b>{escape(change.words)}:</b> {moved}{ari} ({change.seconds:.2f} s).</p>")
    for contradiction in result.grouping.contradictions[-3:]:
        lines.append(f"<p role='alert'>⚠ {escape(str(contradiction))}</p>")
    lines.extend(f"<p>⚠ {escape(warning)}</p>" for warning in run.warnings)
    return "".join(lines)


def list_groups(bench: Workbench, runs: GroupingRuns, pick: Pick) -> list[Picture]:
    """Return the largest groups, each as the crop that shows it best."""
    result = runs.result(pick.scene)
    listed: list[Picture] = []
    for group in result.grouping.groups[:MAX_LISTED]:
        count = len(group.masks)
        caption = f"{group_name(group.id)}: {count} mask{'' if count == 1 else 's'}, {group.confidence:.2f}"
        listed.append(Picture(_crop(bench, pick.scene, group.best_masks[0], THUMBNAIL), caption, group.best_masks[0]))
    return listed


def pick_listed(runs: GroupingRuns, pick: Pick, index: int) -> Pick:
    """Return the pick with the group at a place of the list."""
    groups = runs.result(pick.scene).grouping.groups
    if not 0 <= index < len(groups):
        raise MaskError(f"The list has no group at place {index}, it has {len(groups)}; reload the page.")
    return pick_group(runs, pick, groups[index].best_masks[0])


def pick_group(runs: GroupingRuns, pick: Pick, key: MaskKey) -> Pick:
    """Return the pick with the group of a mask as the latest; the one before it stays as the second."""
    result = runs.result(pick.scene)
    if key not in result.run.table.row_of:
        raise MaskError(f"The groups have no mask {key}; press Run again.")
    if pick.latest is not None and result.group_of(pick.latest) == result.group_of(key):
        return replace(pick, latest=key, mask=None)
    return replace(pick, latest=key, before=pick.latest, mask=None)


def pick_point(runs: GroupingRuns, pick: Pick, point: tuple[float, float, float]) -> Pick:
    """Return the pick with the group at a point of the room.

    Raises:
        MaskError: If no mask covers that point.
    """
    result = runs.result(pick.scene)
    labels = point_labels(result)
    if result.room is None or labels is None:
        raise MaskError("This scene has no geometry; pick groups in the list.")
    nearest = int(np.argmin(((result.room.points - np.array(point, np.float32)) ** 2).sum(axis=1)))
    if labels[nearest] == NOTHING:
        raise MaskError("No mask covers this point; click a coloured one.")
    return pick_group(runs, pick, result.grouping.groups[int(labels[nearest])].best_masks[0])


def pick_crop(runs: GroupingRuns, pick: Pick, index: int) -> Pick:
    """Return the pick with one mask of the latest group."""
    masks = ordered_masks(runs.result(pick.scene), pick)
    if not 0 <= index < len(masks):
        raise MaskError("The group has changed; pick it again.")
    return replace(pick, mask=masks[index])


def pick_pixel(bench: Workbench, runs: GroupingRuns, pick: Pick, x: int, y: int) -> Pick:
    """Return the pick with the group of the mask under pixel (x, y) of the view that is shown."""
    if pick.mask is None:
        raise MaskError("No view is shown yet; pick a crop first.")
    found = bench.mask_at(pick.scene, pick.mask.view, x, y)
    if found is None:
        raise MaskError("There is no mask where you clicked; click inside one of the outlined regions.")
    key = MaskKey(pick.mask.view, found)
    return replace(pick_group(runs, pick, key), mask=key)


def latest_group(result: Result, pick: Pick) -> Group | None:
    """Return the group picked last."""
    return None if pick.latest is None else result.grouping.groups[result.group_of(pick.latest)]


def group_before(result: Result, pick: Pick) -> Group | None:
    """Return the group picked before the latest, None where both are one by now."""
    if pick.latest is None or pick.before is None:
        return None
    number = result.group_of(pick.before)
    return None if number == result.group_of(pick.latest) else result.grouping.groups[number]


def ordered_masks(result: Result, pick: Pick) -> list[MaskKey]:
    """Return the latest group's masks, the least sure first: those are the ones to check."""
    group = latest_group(result, pick)
    if group is None:
        return []
    return sorted(group.masks, key=lambda key: (round(_confidence(result, key), 2), result.run.table.row_of[key]))[:MAX_CROPS]


def show_crops(bench: Workbench, runs: GroupingRuns, pick: Pick) -> list[Picture]:
    """Return the crops of the latest group's masks."""
    result = runs.result(pick.scene)
    return [
        Picture(_crop(bench, pick.scene, key, CROP), f"view {key.view}, {_confidence(result, key):.2f}", key)
        for key in ordered_masks(result, pick)
    ]


def show_view(bench: Workbench, pick: Pick) -> UInt8Array | None:
    """Return the view of the picked mask with the mask outlined, (H, W, 3) uint8; None until one is picked."""
    return None if pick.mask is None else draw_view(bench.frame(pick.scene, pick.mask.view), pick.mask.mask, COLOR_A)


def show_group(bench: Workbench, runs: GroupingRuns, pick: Pick) -> str:
    """Return what is known of the picked groups, as HTML: size, confidence, and the links with their evidence."""
    result = runs.result(pick.scene)
    group = latest_group(result, pick)
    if group is None:
        return "<p>Click a group in the list, or a point of the room, to see its masks side by side.</p>"
    plural = "" if len(group.masks) == 1 else "s"
    lines = [
        f"<p>{_dot(COLOR_A)} <b>{group_name(group.id)}</b>: {len(group.masks)} mask{plural}, confidence {group.confidence:.2f}. "
        "The crops begin with the least sure."
    ]
    other = group_before(result, pick)
    if other is not None:
        lines.append(f" {_dot(COLOR_B)} Picked before: <b>{group_name(other.id)}</b>, {len(other.masks)} masks.")
    lines.append("</p>")
    links = explain_group(result.run.graph, result.grouping, group.id, constraints=result.constraints, limit=MAX_LINKS)
    if links:
        items = "".join(
            f"<li>{'' if link.joined else '<b>not joined:</b> '}{escape(bench.mask_name(pick.scene, link.a))} and "
            f"{escape(bench.mask_name(pick.scene, link.b))}: {escape(link.evidence)}</li>"
            for link in links
        )
        lines.append(f"<details><summary>Why these masks? The {len(links)} strongest links</summary><ul>{items}</ul></details>")
    return "".join(lines)


def point_labels(result: Result) -> np.ndarray | None:
    """Return the group at each point of the room, (P,) int32, -1 = none; None without geometry."""
    return None if result.votes is None else result.votes.label(result.grouping.labels)


def show_room(bench: Workbench, runs: GroupingRuns, pick: Pick) -> str:
    """Return the 3D component's value: a patch of colours, both picked groups lit, the camera of the picked mask."""
    state = runs.state(pick.scene)
    if state is None or state.result is None:
        return room_view(pick.scene, [], permalink="")
    result = state.result
    labels = point_labels(result)
    traces: list[dict[str, object]] = []
    if result.room is not None and labels is not None:
        for side, group in (("A", latest_group(result, pick)), ("B", group_before(result, pick))):
            if group is not None:
                traces.append(mask_trace(result.room.points[labels == group.id], MASK_COLORS[side], group_name(group.id)))
    if pick.mask is not None:
        path = bench.camera_path(pick.scene, pick.mask.view)
        if path is not None:
            traces.append(camera_trace(path, MASK_COLORS["A"], f"camera of view {pick.mask.view}"))
    paint = paint_room(result, pick.coloring, labels)
    return room_view(pick.scene, traces, permalink="", paint=None if paint is None else paint_patch(paint.indices, paint.palette))


def paint_room(result: Result, coloring: Coloring, labels: np.ndarray | None) -> Paint | None:
    """Return the colours of the room's points; None for the photo's own colours, or where there is nothing to colour by.

    Raises:
        MaskgroupError: If ground truth is asked for and there is none.
    """
    if coloring == "photo" or labels is None or result.room is None:
        return None
    if coloring == "group":
        return paint_labels(labels)
    if coloring == "confidence":
        return paint_confidence(labels, result.grouping)
    instances = result.room.instances
    if not (instances != NOTHING).any():
        raise MaskgroupError("This scene's room has no ground truth to colour by; choose group or confidence.")
    return paint_truth(instances) if coloring == "truth" else paint_disagreement(labels, instances)


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
    new = [Constraint(anchor, key, together=True) for key in (*group.masks, *other.masks) if key != anchor]
    words = f"Merged {group_name(group.id)} with {group_name(other.id)}"
    runs.correct(pick.scene, _append(result.constraints, new), words=words)
    return replace(pick, latest=anchor, before=None, mask=None)


def reject_mask(bench: Workbench, runs: GroupingRuns, pick: Pick) -> Pick:
    """Take the picked mask out of its group: it is kept apart from every other mask there. A merge that tied it is loosened.

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
    kept = result.constraints if len(ties) > 1 else tuple(c for c in result.constraints if c not in ties)
    new = [Constraint(key, other, together=False) for other in others]
    words = f"{bench.mask_name(pick.scene, key)} is not in {group_name(group.id)}"
    runs.correct(pick.scene, _append(kept, new), words=words)
    return replace(pick, latest=others[0], mask=None)


def group_name(number: int) -> str:
    """Return a group's name as the page shows it."""
    return f"group {number + 1}"


def _append(old: Sequence[Constraint], new: Sequence[Constraint]) -> tuple[Constraint, ...]:
    return (*old, *[c for c in new if c not in old])


def _confidence(result: Result, key: MaskKey) -> float:
    return float(result.grouping.confidences[result.run.table.row_of[key]])


def _crop(bench: Workbench, scene: str, key: MaskKey, size: int) -> UInt8Array:
    return frame_crop(bench.crop(scene, key), size=size)


def _dot(color: tuple[int, int, int]) -> str:
    return "<span style='color:rgb({},{},{})'>●</span>".format(*color)
