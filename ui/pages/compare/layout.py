"""The parts of the Compare page, each as its components."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from engine.evaluation.pair_sampling import NEGATIVE_MODES
from ui.components.plot_scripts import PLOTS_SCRIPT
from ui.pages.compare.flips import FLIPS
from ui.services.workbench import Workbench
from ui.view3d.plotly_view import ROOM_TEMPLATE, VIEW_SCRIPT

POLL_S = 1.0


@dataclass(frozen=True)
class RunSection:
    """The comparison that is chosen, and where it stands.

    Attributes:
        was_running: Whether it was under way when the page last looked.
        shown: The comparison on screen; the browser holds this and `rated`, so they tell what a person sees.
        rated: What the rates on screen belong to.
        drawn: The comparison drawn last and the drawing's number: another number makes the parts of the page that follow it anew.
    """

    timer: gr.Timer
    was_running: gr.State
    shown: gr.Textbox
    rated: gr.Textbox
    drawn: gr.State
    chosen: gr.Dropdown
    cancel: gr.Button
    resume: gr.Button
    delete: gr.Button
    links: gr.HTML
    progress: gr.HTML

    def outputs(self) -> list[Component]:
        """Return what follows a run, in the order of `CompareActions.show_run`."""
        return [self.progress, self.cancel, self.resume, self.delete, self.timer, self.was_running]


@dataclass(frozen=True)
class FormSection:
    """What a comparison can be asked for.

    Attributes:
        box: What folds the form away.
    """

    box: gr.Accordion
    scenes: gr.Dropdown
    model_a: gr.Dropdown
    model_b: gr.Dropdown
    pairs: gr.Slider
    negatives: gr.Radio
    seed: gr.Number
    grouping: gr.Checkbox
    start: gr.Button

    def inputs(self) -> list[Component]:
        """Return what a comparison is asked for by, in the order of `handlers.settings_of`."""
        return [self.scenes, self.model_a, self.model_b, self.pairs, self.negatives, self.seed, self.grouping]


@dataclass(frozen=True)
class ResultSection:
    """The numbers, and the answers that changed."""

    tables: gr.HTML
    plots: gr.HTML
    outcome: gr.Radio
    flips: gr.HTML


@dataclass(frozen=True)
class ThresholdSection:
    """Where a model says "same"."""

    side: gr.Radio
    threshold: gr.Slider
    keep: gr.Button
    kept: gr.Markdown
    rates: gr.HTML


@dataclass(frozen=True)
class GroupSection:
    """The groups of a scene by both models."""

    scene: gr.Dropdown
    groups: gr.HTML
    room: gr.HTML


@dataclass(frozen=True)
class ComparePage:
    """The page's parts."""

    run: RunSection
    form: FormSection
    result: ResultSection
    threshold: ThresholdSection
    groups: GroupSection

    def outputs(self) -> list[Component]:
        """Return what follows the chosen comparison: a run's, then what is in the order of `CompareActions.show_result`."""
        run, result, limit = self.run, self.result, self.threshold
        numbers = [run.shown, run.drawn, run.links, result.tables, result.plots, limit.side, limit.kept, self.groups.scene]
        return [*run.outputs(), *numbers]


def lay_out_page(bench: Workbench) -> ComparePage:
    """Lay out the whole page."""
    return ComparePage(_lay_out_run(), _lay_out_form(bench), _lay_out_result(), _lay_out_threshold(), _lay_out_groups())


def _lay_out_run() -> RunSection:
    timer, was_running, drawn = gr.Timer(POLL_S, active=False), gr.State(False), gr.State(("", 0))
    shown = gr.Textbox(visible="hidden", elem_id="mg-compare-shown")
    rated = gr.Textbox(visible="hidden", elem_id="mg-compare-rated")
    with gr.Row(elem_classes="mg-bar-row"):
        chosen = gr.Dropdown(label="Comparison", elem_id="mg-compare-run", scale=3)
        cancel = gr.Button("Cancel", elem_id="mg-compare-cancel", visible=False, min_width=90)
        resume = gr.Button("Resume", elem_id="mg-compare-resume", visible=False, min_width=90)
        delete = gr.Button("Delete", elem_id="mg-compare-delete", visible=False, min_width=90)
    links = gr.HTML(elem_id="mg-compare-links")
    progress = gr.HTML(elem_id="mg-compare-progress")
    return RunSection(timer, was_running, shown, rated, drawn, chosen, cancel, resume, delete, links, progress)


def _lay_out_form(bench: Workbench) -> FormSection:
    names = bench.scene_choices()
    with gr.Accordion("Compare two models", open=False, elem_id="mg-compare-form") as box:
        with gr.Row():
            scenes = gr.Dropdown(names, value=[names[0][1]], multiselect=True, label="Scenes", elem_id="mg-compare-scenes", scale=2)
            model_a = gr.Dropdown(label="Model A", elem_id="mg-compare-a")
            model_b = gr.Dropdown(label="Model B", elem_id="mg-compare-b")
        with gr.Row():
            pairs = gr.Slider(20, 600, value=200, step=20, label="Pairs of each scene", elem_id="mg-compare-pairs")
            negatives = gr.Radio(list(NEGATIVE_MODES), value="hard", label="Different pairs", elem_id="mg-compare-negatives")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
            grouping = gr.Checkbox(True, label="Group the scenes too", elem_id="mg-compare-grouping")
            start = gr.Button("Compare", variant="primary", elem_id="mg-compare-start")
    return FormSection(box, scenes, model_a, model_b, pairs, negatives, seed, grouping, start)


def _lay_out_result() -> ResultSection:
    tables = gr.HTML(elem_id="mg-compare-tables")
    plots = gr.HTML(html_template='<div class="mg-plots"></div>', js_on_load=PLOTS_SCRIPT, elem_id="mg-compare-plots")
    gr.Markdown("## Answers that changed")
    outcome = gr.Radio(list(FLIPS), value="fixed", show_label=False, elem_id="mg-compare-outcome")
    return ResultSection(tables, plots, outcome, gr.HTML(elem_id="mg-compare-flips"))


def _lay_out_threshold() -> ThresholdSection:
    gr.Markdown('### Where each model says "same"\nA higher threshold finds fewer pairs, and is right more often about them.')
    with gr.Row(equal_height=False):
        with gr.Column():
            side = gr.Radio([("Model A", "a"), ("Model B", "b")], value="b", show_label=False, elem_id="mg-compare-side")
            threshold = gr.Slider(0.05, 0.95, value=0.5, step=0.01, label='Says "same" from', elem_id="mg-threshold")
            keep = gr.Button("Keep this threshold for the model", elem_id="mg-keep-threshold")
            kept = gr.Markdown(elem_id="mg-threshold-kept")
        rates = gr.HTML(elem_id="mg-threshold-rates")
    return ThresholdSection(side, threshold, keep, kept, rates)


def _lay_out_groups() -> GroupSection:
    gr.Markdown("## The groups")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1):
            scene = gr.Dropdown(label="Scene", elem_id="mg-compare-group-scene")
            groups = gr.HTML(elem_id="mg-compare-groups")
        with gr.Column(scale=2):
            # The Judge page's 3D view brings Plotly's script; a second copy would take seconds.
            room = gr.HTML(
                html_template=ROOM_TEMPLATE, js_on_load=VIEW_SCRIPT, elem_id="mg-compare-room", label="What changed in 3D"
            )
    return GroupSection(scene, groups, room)
