"""The 3D grouping page: layout and wiring only. What happens on each click is in `ui.grouping_page`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from engine.grouping import Evidence
from ui import grouping_page as page
from ui.errors import shown_as_toast
from ui.grouping_page import Pick
from ui.grouping_paint import Coloring
from ui.grouping_runs import GroupingRuns
from ui.judge_tab import ROOM_TEMPLATE
from ui.plotly_view import VIEW_SCRIPT
from ui.workbench import Workbench

POLL_S = 0.5
EVIDENCE: list[tuple[str, Evidence]] = [("geometry", "geometry"), ("geometry and the judge", "both"), ("the judge", "vlm")]
COLORINGS: list[tuple[str, Coloring]] = [
    ("group", "group"),
    ("ground truth", "truth"),
    ("confidence", "confidence"),
    ("disagreement", "disagreement"),
    ("photo", "photo"),
]


def build_grouping_tab(demo: gr.Blocks, bench: Workbench, runs: GroupingRuns) -> None:
    """Lay out the page inside `demo`, in whose context this is called, and wire it to the workbench and the runs."""
    names = bench.scene_names()
    pick = gr.State(Pick(names[0]))
    shown_version = gr.State(0)
    timer = gr.Timer(POLL_S, active=False)

    gr.Markdown(
        "Group **all masks of a scene** into objects. Click a group to see its masks side by side; merge groups, take masks out: "
        "the groups follow at once."
    )
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=names, value=names[0], elem_id="mg-group-scene", scale=2)
        evidence = gr.Dropdown(label="Evidence", choices=EVIDENCE, value="geometry", elem_id="mg-group-evidence", scale=1)
        run_button = gr.Button("Run", variant="primary", elem_id="mg-group-run", scale=1, interactive=False)
        cancel_button = gr.Button("Cancel", elem_id="mg-group-cancel", scale=1, interactive=False)
    progress = gr.HTML(page.show_progress(None), elem_id="mg-group-progress")
    summary = gr.HTML(elem_id="mg-group-summary")

    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            coloring = gr.Radio(COLORINGS, value="group", label="Colour the room by", elem_id="mg-group-coloring")
            # The Judge page's 3D view brings Plotly's script; a second copy would take seconds.
            room = gr.HTML(html_template=ROOM_TEMPLATE, js_on_load=VIEW_SCRIPT, elem_id="mg-group-room", label="The room in 3D")
        with gr.Column(scale=2, min_width=320):
            groups = gr.Gallery(
                label="Groups, largest first: number, masks, confidence",
                columns=4,
                height=600,
                allow_preview=False,
                format="jpeg",
                buttons=[],
                elem_id="mg-group-list",
            )
    with gr.Row(elem_classes="mg-saved-row"):
        merge_button = gr.Button("Merge the two picked groups", elem_id="mg-group-merge", interactive=False)
        reject_button = gr.Button("This one is not it", elem_id="mg-group-reject", interactive=False)
        undo_button = gr.Button("Undo the last correction", elem_id="mg-group-undo", interactive=False)
    details = gr.HTML(elem_id="mg-group-details")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            crops = gr.Gallery(
                label="The group's masks: view and confidence",
                columns=8,
                height=330,
                allow_preview=False,
                format="jpeg",
                buttons=[],
                elem_id="mg-group-crops",
            )
        with gr.Column(scale=2, min_width=320):
            view = gr.Image(
                label="The picked mask in its view; click another mask to pick its group",
                format="jpeg",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="mg-group-view",
                alt_text="The view of the picked mask, which is outlined",
            )

    pick_outputs = [pick, room, details, crops, view, merge_button, reject_button, undo_button]
    run_outputs = [progress, run_button, cancel_button, timer]
    all_outputs = [shown_version, *run_outputs, summary, groups, *pick_outputs]

    def show_pick(current: Pick, *, keeps_crops: bool = False) -> list[Any]:
        state = runs.state(current.scene)
        result = state.result if state else None
        if result is None:
            off = gr.update(interactive=False)
            return [current, page.show_room(bench, runs, current), "", None, None, off, off, off]
        other = page.group_before(result, current)
        pictures = [(picture.pixels, picture.caption) for picture in ([] if keeps_crops else page.show_crops(bench, runs, current))]
        return [
            current,
            page.show_room(bench, runs, current),
            page.show_group(bench, runs, current),
            gr.skip() if keeps_crops else gr.update(value=pictures, selected_index=None),
            page.show_view(bench, current),
            gr.update(interactive=other is not None),
            gr.update(interactive=current.mask is not None),
            gr.update(interactive=bool(result.past)),
        ]

    def show_run(name: str) -> list[Any]:
        running = page.is_running(runs, name)
        return [
            page.show_progress(runs.state(name)),
            gr.update(interactive=not running),
            gr.update(interactive=running),
            gr.Timer(active=running),
        ]

    def show_all(current: Pick) -> list[Any]:
        state = runs.state(current.scene)
        has_result = state is not None and state.result is not None
        return [
            state.version if state else 0,
            *show_run(current.scene),
            page.show_summary(state.result) if state is not None and state.result is not None else "",
            gr.update(
                value=[(p.pixels, p.caption) for p in page.list_groups(bench, runs, current)] if has_result else None,
                selected_index=None,
            ),
            *show_pick(current),
        ]

    @shown_as_toast
    def start(current: Pick, chosen: Evidence) -> list[Any]:
        runs.start(current.scene, chosen)
        return show_run(current.scene)

    @shown_as_toast
    def cancel(current: Pick) -> None:
        runs.cancel(current.scene)

    @shown_as_toast
    def poll(current: Pick, version: int) -> list[Any]:
        state = runs.state(current.scene)
        if state is None or state.status == "running" or state.version == version:
            return [gr.skip(), *show_run(current.scene), *[gr.skip()] * (2 + len(pick_outputs))]
        return show_all(replace(current, latest=None, before=None, mask=None))

    @shown_as_toast
    def change_scene(current: Pick, name: str) -> list[Any]:
        bench.open_scene(name)
        return show_all(Pick(name, current.coloring))

    @shown_as_toast
    def open_page(current: Pick) -> list[Any]:
        return show_all(current)

    @shown_as_toast
    def recolour(current: Pick, chosen: Coloring) -> tuple[Pick, str]:
        changed = replace(current, coloring=chosen)
        return changed, page.show_room(bench, runs, changed)

    @shown_as_toast
    def take_listed(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_listed(runs, current, int(event.index)))

    @shown_as_toast
    def take_point(current: Pick, event: gr.EventData) -> list[Any]:
        return show_pick(page.pick_point(runs, current, (float(event.x), float(event.y), float(event.z))))

    @shown_as_toast
    def take_crop(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_crop(runs, current, int(event.index)), keeps_crops=True)

    @shown_as_toast
    def take_pixel(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_pixel(bench, runs, current, *event.index[:2]))

    @shown_as_toast
    def merge(current: Pick) -> list[Any]:
        return show_all(page.merge(runs, current))

    @shown_as_toast
    def reject(current: Pick) -> list[Any]:
        return show_all(page.reject_mask(bench, runs, current))

    @shown_as_toast
    def undo(current: Pick) -> list[Any]:
        runs.undo(current.scene)
        return show_all(replace(current, mask=None))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    run_button.click(start, [pick, evidence], run_outputs, **quiet)
    cancel_button.click(cancel, pick, None, **quiet)
    timer.tick(poll, [pick, shown_version], all_outputs, **quiet)
    scene.input(change_scene, [pick, scene], all_outputs, **quiet)
    coloring.input(recolour, [pick, coloring], [pick, room], **quiet)
    groups.select(take_listed, pick, pick_outputs, **quiet)
    crops.select(take_crop, pick, pick_outputs, **quiet)
    view.select(take_pixel, pick, pick_outputs, **quiet)
    room.pick(take_point, pick, pick_outputs, **quiet)
    merge_button.click(merge, pick, all_outputs, **quiet)
    reject_button.click(reject, pick, all_outputs, **quiet)
    undo_button.click(undo, pick, all_outputs, **quiet)
    demo.load(open_page, pick, all_outputs, **quiet)
