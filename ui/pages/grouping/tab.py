"""The 3D grouping page: layout and wiring only. What happens on each click is in `handlers` and the modules beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from engine.errors import MaskgroupError
from engine.grouping.graph import Evidence
from engine.types import MaskKey
from ui.errors import shown_as_toast
from ui.pages.grouping import corrections, words
from ui.pages.grouping import handlers as page
from ui.pages.grouping.handlers import Order, Pick
from ui.pages.grouping.room import show_room
from ui.pages.grouping.views import ViewPictures
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.view3d.paint import Coloring
from ui.view3d.plotly_view import ROOM_TEMPLATE, VIEW_SCRIPT

POLL_S = 0.5
PICKING: dict[str, Any] = {"concurrency_id": "grouping-pick", "concurrency_limit": 1}
"""All handlers that read and write the pick take turns: two at once would lose what one of them picked."""
DRAWING: dict[str, Any] = {"concurrency_id": "grouping-pictures", "concurrency_limit": 1, "trigger_mode": "always_last"}
"""Pictures that follow are drawn in turn too, and once more where the pick changed meanwhile: the newest comes last."""
EVIDENCE: list[tuple[str, Evidence]] = [("geometry", "geometry"), ("geometry and the judge", "both"), ("the judge", "vlm")]
COLORINGS: list[tuple[str, Coloring]] = [
    ("group", "group"),
    ("ground truth", "truth"),
    ("confidence", "confidence"),
    ("disagreement", "disagreement"),
    ("before the correction", "before"),
    ("what it changed", "change"),
    ("photo", "photo"),
]
ORDERS: list[tuple[str, Order]] = [("largest first", "largest"), ("least sure first", "least sure")]
INTRODUCTION = (
    "Group **all masks of a scene** into objects. Click a group, a point of the room or a mask in a view: the group lights up "
    "everywhere. Merge groups, take masks out: the groups follow at once, and nothing is asked again."
)


def build_grouping_tab(tab: gr.Tab, bench: Workbench, runs: GroupingRuns) -> None:
    """Lay out the page inside `tab`, in whose context this is called, and wire it to the workbench and the runs."""
    names = bench.scene_names()
    pictures = ViewPictures(bench)
    pick = gr.State(Pick(names[0]))
    shown_version = gr.State(0)
    # The browser holds it: what is on the screen. The state may be ahead of it.
    shown_pick = gr.Textbox(visible="hidden", elem_id="mg-group-shown")
    timer = gr.Timer(POLL_S, active=False)

    gr.Markdown(INTRODUCTION)
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=names, value=names[0], elem_id="mg-group-scene", scale=2)
        evidence = gr.Dropdown(label="Evidence", choices=EVIDENCE, value="geometry", elem_id="mg-group-evidence", scale=2)
        models = bench.judges.names()
        model = gr.Dropdown(label="Judge", choices=models, value=models[0], elem_id="mg-group-model", scale=1)
        run_button = gr.Button("Run", variant="primary", elem_id="mg-group-run", scale=1, interactive=False)
        cancel_button = gr.Button("Cancel", elem_id="mg-group-cancel", scale=1, interactive=False)
        kept = gr.Dropdown(label="Kept runs", choices=[], elem_id="mg-group-kept", scale=3)
    progress = gr.HTML(words.show_progress(None), elem_id="mg-group-progress")
    summary = gr.HTML(elem_id="mg-group-summary")

    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            coloring = gr.Radio(COLORINGS, value="group", label="Colour the room by", elem_id="mg-group-coloring")
            # The Judge page's 3D view brings Plotly's script; a second copy would take seconds.
            # The first scene's room is known beforehand: it is drawn as soon as the tab opens, before the server answers.
            room = gr.HTML(
                show_room(runs, Pick(names[0])),
                html_template=ROOM_TEMPLATE,
                js_on_load=VIEW_SCRIPT,
                elem_id="mg-group-room",
                label="The room in 3D",
            )
        with gr.Column(scale=2, min_width=320):
            order = gr.Radio(ORDERS, value="largest", label="List groups", elem_id="mg-group-order")
            groups = _gallery("Groups: number, masks, confidence", columns=4, height=540, elem_id="mg-group-list")
    with gr.Row(elem_classes="mg-saved-row"):
        merge_button = gr.Button("Merge the two picked groups", elem_id="mg-group-merge", interactive=False)
        reject_button = gr.Button("This one is not it", elem_id="mg-group-reject", interactive=False)
        undo_button = gr.Button("Undo the last correction", elem_id="mg-group-undo", interactive=False)
    details = gr.HTML(elem_id="mg-group-details")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            crops = _gallery("The group's masks: view and confidence", columns=8, height=330, elem_id="mg-group-crops")
            alike = _gallery("Groups that look like it, and how far away they are", columns=8, height=150, elem_id="mg-group-alike")
        with gr.Column(scale=2, min_width=320):
            view = gr.Image(
                label="One view; click a mask to pick it and its group",
                format="jpeg",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="mg-group-view",
                alt_text="One view with the picked groups lit; the picked mask is outlined",
            )
    sheet = gr.Image(
        label="All views; click a mask to pick it and its group",
        format="jpeg",
        interactive=False,
        buttons=["fullscreen"],
        elem_id="mg-group-sheet",
        alt_text="All views side by side with the picked groups lit",
    )

    pick_outputs = [pick, shown_pick, room, details, crops, alike, view, merge_button, reject_button, undo_button]
    run_outputs = [progress, run_button, cancel_button, timer]
    all_outputs = [shown_version, *run_outputs, kept, coloring, summary, *pick_outputs]

    def shown_as(current: Pick) -> str:
        state = runs.state(current.scene)
        return page.pick_token(current, state.version if state else 0)

    def check_shown(current: Pick, on_screen: str) -> None:
        state = runs.state(current.scene)
        page.check_shown(current, state.version if state else 0, on_screen)

    def show_pick(current: Pick, *, keeps_crops: bool = False) -> list[Any]:
        state = runs.state(current.scene)
        result = state.result if state else None
        if result is None:
            off = gr.update(interactive=False)
            return [current, shown_as(current), show_room(runs, current), "", None, None, None, off, off, off]
        group, other = page.latest_group(result, current), page.group_before(result, current)
        return [
            current,
            shown_as(current),
            show_room(runs, current),
            words.show_groups(bench, current.scene, result, group, other),
            gr.skip() if keeps_crops else _pictures(page.show_crops(bench, runs, current)),
            gr.skip() if keeps_crops else _pictures(page.show_alike(bench, runs, current)),
            page.show_view(pictures, runs, current),
            gr.update(interactive=other is not None),
            gr.update(interactive=current.mask is not None),
            gr.update(interactive=bool(result.corrections.past)),
        ]

    def mask_name(name: str, key: MaskKey) -> str:
        try:
            return bench.mask_name(name, key)
        except MaskgroupError:
            return f"a mask of view {key.view} (not there now)"

    def show_run(name: str) -> list[Any]:
        running = page.is_running(runs, name)
        return [
            words.show_progress(runs.state(name)),
            gr.update(interactive=not running),
            gr.update(interactive=running),
            gr.Timer(active=running),
        ]

    def show_all(current: Pick) -> list[Any]:
        state = runs.state(current.scene)
        result = state.result if state else None
        if current.coloring in ("before", "change") and (result is None or result.last is None):
            current = replace(current, coloring="group")
        choices = [(words.name_kept_run(run), run.id) for run in runs.kept(current.scene)]
        return [
            state.version if state else 0,
            *show_run(current.scene),
            gr.update(choices=choices, value=result.kept_as if result else None),
            current.coloring,
            (words.show_summary(result, name=lambda key: mask_name(current.scene, key)) if result else "")
            + words.stale_html(len(bench.stale_labels(current.scene)), page.count_stale(result)),
            *show_pick(current),
        ]

    # Dozens of pictures take longer than all the rest: they follow once the room, the words and the crops are there.
    def show_sheet(current: Pick) -> Any:
        state = runs.state(current.scene)
        return page.show_sheet(pictures, runs, current) if state and state.result else None

    def show_list(current: Pick) -> Any:
        state = runs.state(current.scene)
        return _pictures(page.list_groups(bench, runs, current)) if state and state.result else gr.update(value=None)

    def show_list_and_sheet(current: Pick) -> list[Any]:
        return [show_list(current), show_sheet(current)]

    @shown_as_toast
    def start(current: Pick, chosen: Evidence, judge: str) -> list[Any]:
        runs.start(current.scene, chosen, model=judge)
        return show_run(current.scene)

    @shown_as_toast
    def cancel(current: Pick) -> None:
        runs.cancel(current.scene)

    @shown_as_toast
    def poll(current: Pick, version: int) -> list[Any]:
        state = runs.state(current.scene)
        if state is None or state.status == "running" or state.version == version:
            return [gr.skip(), *show_run(current.scene), *[gr.skip()] * (len(all_outputs) - len(run_outputs) - 1)]
        return show_all(_forget_picks(current))

    def open_scene(current: Pick) -> list[Any]:
        """Show a scene's groups; where there are none yet, open the kept ones, or make some from geometry alone."""
        runs.open_or_start(current.scene)
        return show_all(current)

    @shown_as_toast
    def open_page(current: Pick) -> list[Any]:
        return open_scene(current)

    @shown_as_toast
    def refresh(current: Pick) -> list[Any]:
        return show_all(current)

    @shown_as_toast
    def change_scene(current: Pick, name: str) -> list[Any]:
        # A dropdown also tells that it was left without a change.
        if name == current.scene:
            return [gr.skip()] * len(all_outputs)
        bench.open_scene(name)
        return open_scene(Pick(name, coloring=current.coloring, order=current.order))

    @shown_as_toast
    def open_kept(current: Pick, run_id: int | None) -> list[Any]:
        state = runs.state(current.scene)
        is_open = state is not None and state.result is not None and state.result.kept_as == run_id
        if run_id is not None and not is_open:
            runs.open_kept(current.scene, int(run_id))
        return show_run(current.scene)

    @shown_as_toast
    def recolour(current: Pick, chosen: Coloring) -> tuple[Pick, str]:
        changed = replace(current, coloring=chosen)
        return changed, show_room(runs, changed)

    @shown_as_toast
    def reorder(current: Pick, chosen: Order) -> list[Any]:
        changed = replace(current, order=chosen)
        return [changed, show_list(changed)]

    @shown_as_toast
    def take_listed(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_listed(runs, current, int(event.index)))

    @shown_as_toast
    def take_alike(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_alike(runs, current, int(event.index)))

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
    def take_in_sheet(current: Pick, event: gr.SelectData) -> list[Any]:
        return show_pick(page.pick_in_sheet(pictures, runs, current, *event.index[:2]))

    @shown_as_toast
    def merge(current: Pick, on_screen: str) -> list[Any]:
        check_shown(current, on_screen)
        return show_all(corrections.merge(runs, current))

    @shown_as_toast
    def reject(current: Pick, on_screen: str) -> list[Any]:
        check_shown(current, on_screen)
        return show_all(corrections.reject_mask(bench, runs, current))

    @shown_as_toast
    def undo(current: Pick, on_screen: str) -> list[Any]:
        check_shown(current, on_screen)
        runs.undo(current.scene)
        return show_all(replace(current, mask=None))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    picking = quiet | PICKING
    newest: dict[str, Any] = {**picking, "trigger_mode": "always_last"}
    drawing = quiet | DRAWING
    run_button.click(start, [pick, evidence, model], run_outputs, **picking)
    cancel_button.click(cancel, pick, None, **quiet)
    timer.tick(poll, [pick, shown_version], all_outputs, **picking)
    kept.input(open_kept, [pick, kept], run_outputs, **newest)
    coloring.input(recolour, [pick, coloring], [pick, room], **newest)
    order.input(reorder, [pick, order], [pick, groups], **newest)
    for clicked in (
        groups.select(take_listed, pick, pick_outputs, **picking),
        alike.select(take_alike, pick, pick_outputs, **picking),
        crops.select(take_crop, pick, pick_outputs, **picking),
        view.select(take_pixel, pick, pick_outputs, **picking),
        sheet.select(take_in_sheet, pick, pick_outputs, **picking),
        room.pick(take_point, pick, pick_outputs, **picking),
    ):
        clicked.success(show_sheet, pick, sheet, **drawing)
    for button, correct in ((merge_button, merge), (reject_button, reject), (undo_button, undo)):
        corrected = button.click(correct, [pick, shown_pick], all_outputs, **picking)
        # Somebody else may have changed the groups: the page still shows those before.
        corrected.failure(refresh, pick, all_outputs, **newest)
    tab.select(open_page, pick, all_outputs, **picking)
    opened = scene.input(change_scene, [pick, scene], all_outputs, **newest)
    # Another scene's groups may have the same version as those before.
    opened.success(show_list_and_sheet, pick, [groups, sheet], **drawing)
    shown_version.change(show_list_and_sheet, pick, [groups, sheet], **drawing)


def _gallery(label: str, *, columns: int, height: int, elem_id: str) -> gr.Gallery:
    return gr.Gallery(label=label, columns=columns, height=height, allow_preview=False, format="jpeg", buttons=[], elem_id=elem_id)


def _pictures(listed: list[page.ViewPicture]) -> Any:
    return gr.update(value=[(picture.pixels, picture.caption) for picture in listed], selected_index=None)


def _forget_picks(pick: Pick) -> Pick:
    return Pick(pick.scene, coloring=pick.coloring, order=pick.order)
