"""The parts of the 3D grouping page, each as its components."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from engine.exporting.write import ALL
from engine.grouping.graph import Evidence
from engine.scenes.class_names import MAX_LENGTH
from ui.pages.grouping import words
from ui.pages.grouping.handlers import Order, Pick
from ui.pages.grouping.room import show_room
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.view3d.paint import Coloring
from ui.view3d.plotly_view import ROOM_TEMPLATE, VIEW_SCRIPT

POLL_S = 0.5
EVIDENCE: list[tuple[str, Evidence]] = [("geometry", "geometry"), ("geometry and the judge", "both"), ("the judge", "vlm")]
COLORINGS: list[tuple[str, Coloring]] = [
    ("group", "group"),
    ("name or class", "class"),
    ("ground truth", "truth"),
    ("confidence", "confidence"),
    ("disagreement", "disagreement"),
    ("before the correction", "before"),
    ("what it changed", "change"),
    ("photo", "photo"),
]
EXPORTS: list[tuple[str, str]] = [
    ("everything", ALL),
    ("3D model: GLB, a named node a group", "glb"),
    ("3D model: PLY, coloured", "ply"),
    ("masks: PNG, 16 bits", "masks"),
    ("masks: COCO with track_id", "coco"),
    ("table: groups.json", "json"),
    ("scene: photos, masks, depth, poses", "scene"),
    ("predictions as ScanNet's benchmark reads them", "scannet"),
]
"""What groups can be taken away as; the values are formats of `engine.exporting.write`, or all."""
ORDERS: list[tuple[str, Order]] = [("largest first", "largest"), ("least sure first", "least sure")]
INTRODUCTION = (
    "Group **all masks of a scene** into objects. Click a group, a point of the room or a mask in a view: the group lights up "
    "everywhere. Merge groups, take masks out: the groups follow at once, and nothing is asked again."
)


@dataclass(frozen=True)
class RunSection:
    """What is grouped, and where a run stands."""

    scene: gr.Dropdown
    evidence: gr.Dropdown
    model: gr.Dropdown
    run: gr.Button
    cancel: gr.Button
    kept: gr.Dropdown
    progress: gr.HTML
    summary: gr.HTML
    timer: gr.Timer

    def outputs(self) -> list[Component]:
        """Return what follows a run, in the order of `GroupingActions.show_run`."""
        return [self.progress, self.run, self.cancel, self.timer]


@dataclass(frozen=True)
class ExportSection:
    """Taking the groups away."""

    file_format: gr.Dropdown
    download: gr.Button
    stop: gr.Button
    progress: gr.HTML
    file: gr.File
    timer: gr.Timer

    def outputs(self) -> list[Component]:
        """Return what follows an export, in the order of `GroupingActions.show_export`."""
        return [self.progress, self.download, self.stop, self.file, self.timer]


@dataclass(frozen=True)
class RoomSection:
    """The room beside the list of groups."""

    coloring: gr.Radio
    room: gr.HTML
    order: gr.Radio
    find: gr.Textbox
    groups: gr.Gallery


@dataclass(frozen=True)
class PickSection:
    """What belongs to the picked groups, and what can be done with them."""

    merge: gr.Button
    reject: gr.Button
    undo: gr.Button
    name: gr.Textbox
    name_it: gr.Button
    propose: gr.Button
    details: gr.HTML
    crops: gr.Gallery
    alike: gr.Gallery
    view: gr.Image
    sheet: gr.Image


@dataclass(frozen=True)
class GroupingPage:
    """The page's parts.

    Attributes:
        pick: What is picked.
        shown_version: Version of the groups that are shown.
        shown_pick: What is on the screen; the browser holds it, as the state may be ahead of it.
    """

    pick: gr.State
    shown_version: gr.State
    shown_pick: gr.Textbox
    run: RunSection
    room: RoomSection
    picked: PickSection
    export: ExportSection

    def pick_outputs(self) -> list[Component]:
        """Return what follows the pick, in the order of `GroupingActions.show_pick`."""
        part = self.picked
        buttons = [part.merge, part.reject, part.undo, part.name, part.name_it, part.propose]
        return [self.pick, self.shown_pick, self.room.room, part.details, part.crops, part.alike, part.view, *buttons]

    def outputs(self) -> list[Component]:
        """Return what follows the groups, in the order of `GroupingActions.show_all`."""
        run = self.run
        return [self.shown_version, *run.outputs(), run.kept, self.room.coloring, run.summary, *self.pick_outputs()]


def lay_out_page(bench: Workbench, runs: GroupingRuns) -> GroupingPage:
    """Lay out the whole page."""
    first = Pick(bench.scene_names()[0])
    pick, shown_version = gr.State(first), gr.State(0)
    shown_pick = gr.Textbox(visible="hidden", elem_id="mg-group-shown")
    gr.Markdown(INTRODUCTION)
    run, export = _lay_out_run(bench), _lay_out_export()
    return GroupingPage(pick, shown_version, shown_pick, run, _lay_out_room(runs, first), _lay_out_picked(), export)


def _lay_out_run(bench: Workbench) -> RunSection:
    names, models = bench.scene_choices(), bench.judges.names()
    timer = gr.Timer(POLL_S, active=False)
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=names, value=names[0][1], elem_id="mg-group-scene", scale=2)
        evidence = gr.Dropdown(label="Evidence", choices=EVIDENCE, value="geometry", elem_id="mg-group-evidence", scale=2)
        model = gr.Dropdown(label="Judge", choices=models, value=models[0], elem_id="mg-group-model", scale=1)
        run = gr.Button("Run", variant="primary", elem_id="mg-group-run", scale=1, interactive=False)
        cancel = gr.Button("Cancel", elem_id="mg-group-cancel", scale=1, interactive=False)
    kept = gr.Dropdown(label="Kept runs", choices=[], elem_id="mg-group-kept")
    progress = gr.HTML(words.show_progress(None), elem_id="mg-group-progress")
    summary = gr.HTML(elem_id="mg-group-summary")
    return RunSection(scene, evidence, model, run, cancel, kept, progress, summary, timer)


def _lay_out_room(runs: GroupingRuns, first: Pick) -> RoomSection:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            coloring = gr.Radio(COLORINGS, value="group", label="Colour the room by", elem_id="mg-group-coloring")
            # The Judge page's 3D view brings Plotly's script; a second copy would take seconds.
            # The first scene's room is known beforehand: it is drawn as soon as the tab opens, before the server answers.
            room = gr.HTML(
                show_room(runs, first),
                html_template=ROOM_TEMPLATE,
                js_on_load=VIEW_SCRIPT,
                elem_id="mg-group-room",
                label="The room in 3D",
            )
        with gr.Column(scale=2, min_width=320):
            with gr.Row(elem_classes="mg-bar-row"):
                order = gr.Radio(ORDERS, value="largest", label="List groups", elem_id="mg-group-order", scale=3)
                find = gr.Textbox(
                    label="Called", placeholder="chair, or 12", max_lines=1, max_length=60, elem_id="mg-group-find", scale=2
                )
            groups = _gallery("Groups: name, number, masks, confidence", columns=4, height=540, elem_id="mg-group-list")
    return RoomSection(coloring, room, order, find, groups)


def _lay_out_picked() -> PickSection:
    with gr.Row(elem_classes="mg-saved-row"):
        merge = gr.Button("Merge the two picked groups", elem_id="mg-group-merge", interactive=False)
        reject = gr.Button("This one is not it", elem_id="mg-group-reject", interactive=False)
        undo = gr.Button("Undo the last correction", elem_id="mg-group-undo", interactive=False)
    with gr.Row(elem_classes="mg-bar-row"):
        name = gr.Textbox(
            label="Name of the picked group",
            placeholder="Pick a group first",
            max_lines=1,
            max_length=MAX_LENGTH,
            interactive=False,
            elem_id="mg-group-name",
            scale=3,
        )
        name_it = gr.Button("Name it", elem_id="mg-group-name-it", interactive=False, scale=1, min_width=110)
        propose = gr.Button("Let the judge propose a name", elem_id="mg-group-propose", interactive=False, scale=1, min_width=150)
    details = gr.HTML(elem_id="mg-group-details")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            crops = _gallery("The group's masks: view and confidence", columns=8, height=330, elem_id="mg-group-crops")
            alike = _gallery("Groups that look like it, and how far away they are", columns=8, height=150, elem_id="mg-group-alike")
        with gr.Column(scale=2, min_width=320):
            view = _image(
                "One view; click a mask to pick it and its group",
                "One view with the picked groups lit; the picked mask is outlined",
                elem_id="mg-group-view",
            )
    sheet = _image(
        "All views; click a mask to pick it and its group",
        "All views side by side with the picked groups lit",
        elem_id="mg-group-sheet",
    )
    return PickSection(merge, reject, undo, name, name_it, propose, details, crops, alike, view, sheet)


def _lay_out_export() -> ExportSection:
    timer = gr.Timer(POLL_S, active=False)
    with gr.Row(elem_classes="mg-bar-row"):
        choice = gr.Dropdown(label="Take the groups away as", choices=EXPORTS, value=ALL, elem_id="mg-group-format", scale=3)
        download = gr.Button("Download", elem_id="mg-group-download", scale=1)
        stop = gr.Button("Stop", elem_id="mg-group-stop-export", scale=1, interactive=False)
        file = gr.File(label="The zip", visible=False, elem_id="mg-group-file", scale=3)
    return ExportSection(choice, download, stop, gr.HTML(elem_id="mg-group-export"), file, timer)


def _gallery(label: str, *, columns: int, height: int, elem_id: str) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        columns=columns,
        height=height,
        allow_preview=False,
        format="jpeg",
        buttons=[],
        elem_id=elem_id,
        elem_classes="mg-gallery-empty",
    )


def _image(label: str, alt_text: str, *, elem_id: str) -> gr.Image:
    return gr.Image(label=label, format="jpeg", interactive=False, buttons=["fullscreen"], elem_id=elem_id, alt_text=alt_text)
