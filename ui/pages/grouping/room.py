"""The room of the 3D grouping page: its colours, the picked groups, the cameras. The cloud itself never travels again."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import MaskgroupError
from engine.grouping.group_names import UNSURE
from engine.types import NOTHING, Float32Array, Int32Array
from ui.pages.grouping.handlers import Pick, group_before, latest_group, shown_view
from ui.services.grouping_result import Result
from ui.services.grouping_runs import GroupingRuns
from ui.view3d.paint import Coloring, Paint, paint_change, paint_confidence, paint_disagreement, paint_labels, paint_truth
from ui.view3d.plotly_view import (
    MASK_COLORS,
    camera_place,
    camera_trace,
    cameras_trace,
    lit_part,
    names_trace,
    paint_patch,
    room_view,
)
from ui.view3d.room import camera_outline

CAMERA_M = 0.18
GREY = (140, 140, 140)


def show_room(runs: GroupingRuns, pick: Pick) -> str:
    """Return the 3D component's value: a patch of colours, picked groups lit, all cameras (orange: they see the group)."""
    state = runs.state(pick.scene)
    if state is None or state.result is None:
        return room_view(pick.scene, [], permalink="")
    result = state.result
    labels = result.point_labels
    group, other = latest_group(result, pick), group_before(result, pick)
    traces: list[dict[str, Any]] = []
    lit: list[dict[str, Any]] = []
    if result.room is not None and labels is not None:
        places: list[tuple[Float32Array, str]] = []
        for side, picked in (("A", group), ("B", other)):
            if picked is None:
                continue
            chosen = labels == picked.id
            points = result.room.points[chosen]
            lit.append(lit_part(chosen, MASK_COLORS[side], result.title(picked.id)))
            if len(points):
                places.append((np.median(points, axis=0).astype(np.float32), result.title(picked.id)))
        if places:
            traces.append(names_trace(np.stack([place for place, _ in places]), [name for _, name in places]))
    drawn, cameras = _cameras(result, pick)
    paint = paint_room(result, pick.coloring, labels)
    return room_view(
        pick.scene,
        [*traces, *drawn],
        permalink="",
        paint=None if paint is None else paint_patch(paint.indices, paint.palette),
        lit=lit,
        cameras=cameras,
        # After a correction the group that it is about is looked at.
        framed="" if result.last is None else f"{state.version} {result.last.words}",
    )


def _cameras(result: Result, pick: Pick) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    group, shown = latest_group(result, pick), shown_view(result, pick)
    seeing = set[str]() if group is None else {key.view for key in group.masks}
    paths: dict[bool, list[Float32Array]] = {False: [], True: []}
    traces: list[dict[str, Any]] = []
    places: list[dict[str, Any]] = []
    # Where poses were repaired, the cameras stand where the repair put them.
    for view in result.run.table.views:
        is_shown = view.name == shown
        path = camera_outline(view, size_m=2 * CAMERA_M if is_shown else CAMERA_M)
        if path is None:
            continue
        places.append(camera_place(view.name, path))
        if is_shown:
            traces.append(camera_trace(path, MASK_COLORS["A"] if view.name in seeing else GREY, f"camera of view {view.name}"))
        else:
            paths[view.name in seeing].append(path)
    if paths[False]:
        traces.append(cameras_trace(paths[False], GREY, "other cameras" if group else "cameras"))
    if paths[True] and group is not None:
        traces.append(cameras_trace(paths[True], MASK_COLORS["A"], f"cameras that see {result.name(group.id)}"))
    return traces, places


def paint_room(result: Result, coloring: Coloring, labels: Int32Array | None) -> Paint | None:
    """Return the colours of the room's points; None for the photo's own colours, or where there is nothing to colour by.

    Raises:
        MaskgroupError: If ground truth, or what came before a correction, is asked for and there is none.
    """
    if coloring == "photo" or labels is None or result.room is None or result.hits is None:
        return None
    if coloring == "group":
        return paint_labels(_numbered(labels, result.colors))
    if coloring == "class":
        return paint_labels(_numbered(labels, number_classes(result)))
    if coloring == "confidence":
        return paint_confidence(labels, result.grouping)
    if coloring in ("before", "change"):
        change = result.last
        if change is None:
            raise MaskgroupError("Nothing was corrected yet, so there is no before; merge two groups or take a mask out first.")
        before = _numbered(result.hits.label(change.before), change.colors_before)
        return paint_labels(before) if coloring == "before" else paint_change(before, _numbered(labels, result.colors))
    instances = result.room.instances
    if not (instances != NOTHING).any():
        raise MaskgroupError("This scene's room has no ground truth to colour by; choose group or confidence.")
    return paint_truth(instances) if coloring == "truth" else paint_disagreement(labels, instances)


def number_classes(result: Result) -> Int32Array:
    """Return a number for each group, (G,) int32: one for all that are called the same, -1 for those without a name.

    Raises:
        MaskgroupError: If no group has a name.
    """
    called = [(result.called(group.id) or "").removesuffix(UNSURE).casefold() for group in result.grouping.groups]
    names = sorted({name for name in called if name})
    if not names:
        raise MaskgroupError("No group has a name to colour by: the scene knows no classes; name some groups, or choose group.")
    number_of = {name: number for number, name in enumerate(names)}
    return np.asarray([number_of.get(name, NOTHING) for name in called], np.int32)


def _numbered(labels: Int32Array, colors: Int32Array) -> Int32Array:
    """Replace each point's group by the number of its colour."""
    return np.where(labels == NOTHING, NOTHING, colors[np.maximum(labels, 0)]).astype(np.int32) if len(colors) else labels
