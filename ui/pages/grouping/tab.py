"""The 3D grouping page: which event calls what. Its parts are laid out in `layout`; what each event does is in `actions`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.pages.grouping.actions import GroupingActions
from ui.pages.grouping.layout import GroupingPage, lay_out_page
from ui.services.group_exports import GroupExports
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.web.gradio_parts import event_of

ADDRESS_SCRIPT = "(scene) => { history.replaceState(null, '', '?tab=grouping&scene=' + encodeURIComponent(scene)); }"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
PICKING: dict[str, Any] = {**QUIET, "concurrency_id": "grouping-pick", "concurrency_limit": 1}
"""All handlers that read and write the pick take turns: two at once would lose what one of them picked."""
NEWEST: dict[str, Any] = {**PICKING, "trigger_mode": "always_last"}
ASKING: dict[str, Any] = {**PICKING, "show_progress": "minimal"}
"""A model may have to be loaded first."""
DRAWING: dict[str, Any] = {
    **QUIET,
    "concurrency_id": "grouping-pictures",
    "concurrency_limit": 1,
    "trigger_mode": "always_last",
}
"""Pictures that follow are drawn in turn too, and once more where the pick changed meanwhile: the newest comes last."""


def build_grouping_tab(tab: gr.Tab, bench: Workbench, runs: GroupingRuns, exports: GroupExports) -> None:
    """Lay out the page inside `tab`, in whose context this is called, and wire it to the workbench and the runs."""
    page = lay_out_page(bench, runs)
    actions = GroupingActions(bench, runs, exports)
    _wire_run(page, actions)
    _wire_choosers(page, actions)
    _wire_picks(page, actions)
    _wire_corrections(page, actions)
    _wire_names(page, actions)
    _wire_export(page, actions)
    _wire_scene(tab, page, actions)


def _wire_run(page: GroupingPage, actions: GroupingActions) -> None:
    run = page.run
    run.run.click(actions.start, [page.pick, run.evidence, run.model], run.outputs(), **PICKING)
    run.cancel.click(actions.cancel, page.pick, None, **QUIET)
    run.timer.tick(actions.poll, [page.pick, page.shown_version], page.outputs(), **PICKING)
    run.kept.input(actions.open_kept, [page.pick, run.kept], run.outputs(), **NEWEST)


def _wire_choosers(page: GroupingPage, actions: GroupingActions) -> None:
    room = page.room
    room.coloring.input(actions.recolour, [page.pick, room.coloring], [page.pick, room.room], **NEWEST)
    room.order.input(actions.reorder, [page.pick, room.order], [page.pick, room.groups], **NEWEST)
    # Not `input`: that is told of keys alone, and not of what is pasted.
    room.find.change(actions.find, [page.pick, room.find], [page.pick, room.groups], **NEWEST)


def _wire_picks(page: GroupingPage, actions: GroupingActions) -> None:
    part = page.picked
    for event, action in (
        (page.room.groups.select, actions.take_listed),
        (part.alike.select, actions.take_alike),
        (part.crops.select, actions.take_crop),
        (part.view.select, actions.take_pixel),
        (part.sheet.select, actions.take_in_sheet),
        (event_of(page.room.room, "pick"), actions.take_point),
    ):
        clicked = event(action, page.pick, page.pick_outputs(), **PICKING)
        clicked.success(actions.show_sheet, page.pick, part.sheet, **DRAWING)


def _wire_corrections(page: GroupingPage, actions: GroupingActions) -> None:
    part = page.picked
    for button, action in ((part.merge, actions.merge), (part.reject, actions.reject), (part.undo, actions.undo)):
        corrected = button.click(action, [page.pick, page.shown_pick], page.outputs(), **PICKING)
        # Somebody else may have changed the groups: the page still shows those before.
        corrected.failure(actions.refresh, page.pick, page.outputs(), **NEWEST)


def _wire_names(page: GroupingPage, actions: GroupingActions) -> None:
    part = page.picked
    named = gr.on(  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
        [part.name_it.click, part.name.submit],
        actions.name_group,
        [page.pick, page.shown_pick, part.name],
        page.outputs(),
        **PICKING,
    )
    proposed = part.propose.click(actions.propose_name, [page.pick, page.shown_pick, page.run.model], page.outputs(), **ASKING)
    for event in (named, proposed):
        event.failure(actions.refresh, page.pick, page.outputs(), **NEWEST)


def _wire_export(page: GroupingPage, actions: GroupingActions) -> None:
    part = page.export
    part.download.click(actions.start_export, [page.pick, part.file_format], part.outputs(), **PICKING)
    part.stop.click(actions.stop_export, page.pick, None, **QUIET)
    part.timer.tick(actions.show_export, page.pick, part.outputs(), **QUIET)


def _wire_scene(tab: gr.Tab, page: GroupingPage, actions: GroupingActions) -> None:
    drawn = [page.room.groups, page.picked.sheet]
    # What the page's address says counts when the tab is opened first.
    was_open = gr.State(False)
    tab.select(actions.open_page, [was_open, page.pick], [was_open, page.run.scene, *page.outputs()], **PICKING)
    opened = page.run.scene.input(actions.change_scene, [page.pick, page.run.scene], page.outputs(), **NEWEST)
    opened.success(None, page.run.scene, None, js=ADDRESS_SCRIPT, **QUIET)
    # Another scene's groups may have the same version as those before.
    opened.success(actions.show_list_and_sheet, page.pick, drawn, **DRAWING)
    page.shown_version.change(actions.show_list_and_sheet, page.pick, drawn, **DRAWING)
    # An export goes on without the page, and says so when it is opened again.
    for event in (tab.select, page.shown_version.change, opened.success):
        event(actions.show_export, page.pick, page.export.outputs(), **QUIET)
