"""The 3D grouping page's picks: what each click chooses, and the pictures that follow, as plain functions without Gradio.

A page's state is a `Pick`. It names masks and never groups: groups get other numbers with every correction, masks do not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.errors import MaskError
from engine.grouping.graph import Group
from engine.types import NOTHING, MaskKey, UInt8Array
from ui.pages.grouping.alike import find_alike
from ui.pages.grouping.views import ViewPictures, mask_under
from ui.pages.grouping.words import count_masks
from ui.services.grouping_result import Result
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.view3d.paint import Coloring
from ui.view3d.pictures import frame_crop

GROUPING_TAB = "grouping"
Order = Literal["largest", "least sure"]
MAX_LISTED = 120
"""Groups in the list; the others are reached through the room and the views."""
MAX_CROPS = 80
THUMBNAIL = 96
CROP = 128


@dataclass(frozen=True)
class Pick:
    """What a person has picked.

    Attributes:
        scene: The scene.
        coloring: How the room is coloured.
        latest: A mask of the group picked last (orange), None until one is.
        before: A mask of the group picked before that (blue), None until there is one.
        mask: One mask of the latest group, picked among its crops or in a view.
        view: The view shown large, None = one that shows the latest group well, else the first.
        order: Which groups come first in the list.
        find: What the names of listed groups hold, "" = all are listed.
    """

    scene: str
    coloring: Coloring = "group"
    latest: MaskKey | None = None
    before: MaskKey | None = None
    mask: MaskKey | None = None
    view: str | None = None
    order: Order = "largest"
    find: str = ""


@dataclass(frozen=True, eq=False)
class ViewPicture:
    """A small picture, (S, S, 3) uint8, its caption and the mask that it shows."""

    pixels: UInt8Array
    caption: str
    key: MaskKey


def count_stale(result: Result | None) -> int:
    """Return how many corrections name masks that the groups do not have."""
    if result is None:
        return 0
    there = result.run.table.row_of
    return sum(said.a not in there or said.b not in there for said in result.constraints)


def pick_token(pick: Pick, version: int) -> str:
    """Return what tells the groups and picks on a screen from any others, without telling masks' ids."""
    named = repr((pick.scene, pick.latest, pick.before, pick.mask, version))
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def check_shown(pick: Pick, version: int, on_screen: str) -> None:
    """Refuse to correct groups that are not those on the screen, whose `pick_token` is `on_screen`.

    Raises:
        MaskError: If others are picked by now, or somebody has changed the groups.
    """
    if pick_token(pick, version) != on_screen:
        raise MaskError("The groups on the page were just changing, so nothing was corrected; look at them, then press again.")


def is_running(runs: GroupingRuns, scene: str) -> bool:
    """Return whether a run of the scene is under way."""
    state = runs.state(scene)
    return state is not None and state.is_running


def list_groups(bench: Workbench, runs: GroupingRuns, pick: Pick) -> list[ViewPicture]:
    """Return the first groups of the list, each as the crop that shows it best."""
    result = runs.result(pick.scene)
    listed: list[ViewPicture] = []
    for group in _listed(result, pick):
        caption = f"{result.short_title(group.id)}: {count_masks(group)}, {group.confidence:.2f}"
        listed.append(ViewPicture(_crop(bench, pick.scene, group.best_masks[0], THUMBNAIL), caption, group.best_masks[0]))
    return listed


def _listed(result: Result, pick: Pick) -> list[Group]:
    wanted = pick.find.casefold().split()
    groups = [group for group in result.grouping.groups if all(word in result.title(group.id).casefold() for word in wanted)]
    if pick.order == "least sure":
        # A mask on its own is neither sure nor doubtful: there is nothing to check in it.
        groups.sort(key=lambda group: (len(group.masks) == 1, round(group.confidence, 3)))
    return groups[:MAX_LISTED]


def pick_listed(runs: GroupingRuns, pick: Pick, index: int) -> Pick:
    """Return the pick with the group at a place of the list."""
    groups = _listed(runs.result(pick.scene), pick)
    if not 0 <= index < len(groups):
        raise MaskError(f"The list has no group at place {index}, it has {len(groups)}; reload the page.")
    return pick_group(runs, pick, groups[index].best_masks[0])


def pick_group(runs: GroupingRuns, pick: Pick, key: MaskKey) -> Pick:
    """Return the pick with the group of a mask as the latest; the one before it stays as the second."""
    result = runs.result(pick.scene)
    if key not in result.run.table.row_of:
        raise MaskError(f"The groups have no mask {key}; press Run again.")
    if pick.latest is not None and result.group_of(pick.latest) == result.group_of(key):
        return replace(pick, latest=key, mask=None, view=None)
    return replace(pick, latest=key, before=pick.latest, mask=None, view=None)


def pick_point(runs: GroupingRuns, pick: Pick, point: tuple[float, float, float]) -> Pick:
    """Return the pick with the group at a point of the room.

    Raises:
        MaskError: If no mask covers that point.
    """
    result = runs.result(pick.scene)
    labels = result.point_labels
    if result.room is None or labels is None:
        raise MaskError("This scene has no geometry; pick groups in the list.")
    nearest = int(np.argmin(((result.room.points - np.array(point, np.float32)) ** 2).sum(axis=1)))
    if labels[nearest] == NOTHING:
        raise MaskError("No mask covers this point; click a coloured one.")
    return pick_group(runs, pick, result.grouping.groups[int(labels[nearest])].best_masks[0])


def pick_view(runs: GroupingRuns, pick: Pick, view: str) -> Pick:
    """Return the pick with another view shown large.

    Raises:
        MaskError: If the groups have no such view.
    """
    if view not in {one.name for one in runs.result(pick.scene).run.table.views}:
        raise MaskError("The groups have no such view; reload the page.")
    return replace(pick, view=view, mask=None)


def pick_crop(runs: GroupingRuns, pick: Pick, index: int) -> Pick:
    """Return the pick with one mask of the latest group."""
    masks = ordered_masks(runs.result(pick.scene), pick)
    if not 0 <= index < len(masks):
        raise MaskError("The group has changed; pick it again.")
    return replace(pick, mask=masks[index], view=masks[index].view)


def pick_alike(runs: GroupingRuns, pick: Pick, index: int) -> Pick:
    """Return the pick with one of the groups that look like the latest; that one stays as the second."""
    result = runs.result(pick.scene)
    group = latest_group(result, pick)
    alike = [] if group is None else find_alike(result, group.id)
    if not 0 <= index < len(alike):
        raise MaskError("The groups have changed; pick one again.")
    return pick_group(runs, pick, result.grouping.groups[alike[index].group].best_masks[0])


def pick_pixel(bench: Workbench, runs: GroupingRuns, pick: Pick, x: int, y: int) -> Pick:
    """Return the pick with the mask under pixel (x, y) of the view that is shown large, and its group."""
    view = shown_view(runs.result(pick.scene), pick)
    if view is None:
        raise MaskError("The scene has no view.")
    found = bench.mask_at(pick.scene, view, x, y)
    if found is None:
        raise MaskError("There is no mask where you clicked; click inside one of the outlined regions.")
    key = MaskKey(view, found)
    return replace(pick_group(runs, pick, key), mask=key, view=view)


def pick_in_sheet(pictures: ViewPictures, runs: GroupingRuns, pick: Pick, x: int, y: int) -> Pick:
    """Return the pick with the mask under pixel (x, y) of the picture of all views, and its group; elsewhere only the view."""
    result = runs.result(pick.scene)
    place = pictures.sheet(result, picked_ids(result, pick)).find(x, y)
    if place is None:
        raise MaskError("There is no view where you clicked; click inside one of the pictures.")
    view = result.run.table.views[place[0]].name
    key = mask_under(result, *place)
    return replace(pick, view=view) if key is None else replace(pick_group(runs, pick, key), mask=key, view=view)


def latest_group(result: Result, pick: Pick) -> Group | None:
    """Return the group picked last."""
    return None if pick.latest is None else result.grouping.groups[result.group_of(pick.latest)]


def name_to_edit(result: Result, group: Group | None) -> str:
    """Return the name that a person may confirm or change, "" where the group has none of its own and the scene knows none."""
    given = None if group is None else result.given(group.id)
    return given.name if given is not None else "" if group is None else result.called(group.id) or ""


def group_before(result: Result, pick: Pick) -> Group | None:
    """Return the group picked before the latest, None where both are one by now."""
    if pick.latest is None or pick.before is None:
        return None
    number = result.group_of(pick.before)
    return None if number == result.group_of(pick.latest) else result.grouping.groups[number]


def picked_ids(result: Result, pick: Pick) -> tuple[int | None, int | None]:
    """Return the ids of the two picked groups, the latest first."""
    latest, before = latest_group(result, pick), group_before(result, pick)
    return None if latest is None else latest.id, None if before is None else before.id


def shown_view(result: Result, pick: Pick) -> str | None:
    """Return the view that is shown large, None in a scene without views."""
    names = [view.name for view in result.run.table.views]
    group = latest_group(result, pick)
    wanted = pick.view or (group.best_masks[0].view if group else None)
    return wanted if wanted in names else next(iter(names), None)


def ordered_masks(result: Result, pick: Pick) -> list[MaskKey]:
    """Return the latest group's masks, the least sure first: those are the ones to check."""
    group = latest_group(result, pick)
    if group is None:
        return []
    return sorted(group.masks, key=lambda key: (round(_confidence(result, key), 2), result.run.table.row_of[key]))[:MAX_CROPS]


def show_crops(bench: Workbench, runs: GroupingRuns, pick: Pick) -> list[ViewPicture]:
    """Return the crops of the latest group's masks."""
    result = runs.result(pick.scene)
    return [
        ViewPicture(_crop(bench, pick.scene, key, CROP), f"view {key.view}, {_confidence(result, key):.2f}", key)
        for key in ordered_masks(result, pick)
    ]


def show_alike(bench: Workbench, runs: GroupingRuns, pick: Pick) -> list[ViewPicture]:
    """Return the groups that look like the latest one, with how far away they are."""
    result = runs.result(pick.scene)
    group = latest_group(result, pick)
    pictures: list[ViewPicture] = []
    for alike in [] if group is None else find_alike(result, group.id):
        best = result.grouping.groups[alike.group].best_masks[0]
        away = "" if alike.distance_m is None else f", {alike.distance_m:.1f} m"
        pictures.append(ViewPicture(_crop(bench, pick.scene, best, THUMBNAIL), f"{result.short_title(alike.group)}{away}", best))
    return pictures


def show_sheet(pictures: ViewPictures, runs: GroupingRuns, pick: Pick) -> UInt8Array | None:
    """Return all views as one picture, (H, W, 3) uint8, picked groups lit; None in a scene without views."""
    result = runs.result(pick.scene)
    shown = shown_view(result, pick)
    return None if shown is None else pictures.draw_sheet(pick.scene, result, picked_ids(result, pick), shown=shown)


def show_view(pictures: ViewPictures, runs: GroupingRuns, pick: Pick) -> UInt8Array | None:
    """Return the view that is shown large, (H, W, 3) uint8, with picked groups lit and the picked mask outlined."""
    result = runs.result(pick.scene)
    shown = shown_view(result, pick)
    return None if shown is None else pictures.draw_view(pick.scene, result, picked_ids(result, pick), shown, pick.mask)


def _confidence(result: Result, key: MaskKey) -> float:
    return float(result.grouping.confidences[result.run.table.row_of[key]])


def _crop(bench: Workbench, scene: str, key: MaskKey, size: int) -> UInt8Array:
    return frame_crop(bench.crop(scene, key), size=size)
