"""The parts of the Retrain page below the form, each as its components: the run that is shown, and the list of all runs."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from ui.components.plot_scripts import PLOTS_SCRIPT
from ui.pages.train.form import FormSection

POLL_S = 1.0
BEATEN = ("the model it had to beat", "base")


@dataclass(frozen=True)
class RunSection:
    """The run that is shown.

    Attributes:
        shown: Its name.
        sheet_of: Run whose sample sheet is on the page already, None = none.
        timer: Ticks while a run is under way.
        changed: Answers that the run changed; follows `verdict` by an event of its own, as pictures take a moment.
    """

    shown: gr.State
    sheet_of: gr.State
    timer: gr.Timer
    progress: gr.HTML
    cancel: gr.Button
    resume: gr.Button
    verdict: gr.HTML
    changed: gr.HTML
    curves: gr.HTML
    counts: gr.HTML
    sheet: gr.Image
    log: gr.Textbox

    def outputs(self) -> list[Component]:
        """Return what follows a run, in the order in which `TrainActions` gives it."""
        return [
            self.progress,
            self.cancel,
            self.resume,
            self.verdict,
            self.curves,
            self.counts,
            self.sheet,
            self.sheet_of,
            self.log,
            self.timer,
        ]


@dataclass(frozen=True)
class ListSection:
    """All runs, and what can be done with the picked one.

    Attributes:
        rows: What can be done with runs; hidden while there are none.
        on_screen: Run whose note and results are on the screen; hidden in the page.
        kept_note: A note that the server has, and `kept_note_of`, the run that it is about; hidden in the page.
    """

    table: gr.HTML
    rows: gr.Column
    picked: gr.Dropdown
    promote: gr.Button
    back: gr.Button
    delete: gr.Button
    other: gr.Dropdown
    compare: gr.Button
    note: gr.Textbox
    export: gr.Button
    merge: gr.Button
    exported: gr.File
    compared: gr.HTML
    on_screen: gr.Textbox
    kept_note: gr.Textbox
    kept_note_of: gr.Textbox

    def outputs(self, form: FormSection) -> list[Component]:
        """Return what follows the list of runs, the form's choosers of models among it, in the same way."""
        rows: Component = self.rows  # pyright: ignore[reportAssignmentType]  # gradio: blocks too
        return [self.table, self.picked, self.other, form.settings.parent, form.settings.model, self.back, rows]

    def of_picked(self) -> list[Component]:
        """Return what can be done with a picked run, and with nothing else."""
        return [self.promote, self.delete, self.compare, self.export, self.merge]


def lay_out_run() -> RunSection:
    """Lay out the run that is shown."""
    timer = gr.Timer(POLL_S, active=False)
    shown, sheet_of = gr.State(None), gr.State(None)
    with gr.Row(elem_classes="mg-saved-row"):
        progress = gr.HTML(elem_id="mg-train-progress")
        cancel = gr.Button("Cancel", elem_id="mg-train-cancel", visible=False, scale=0, min_width=110)
        resume = gr.Button("Resume", elem_id="mg-train-resume", visible=False, scale=0, min_width=110)
    verdict = gr.HTML(elem_id="mg-train-verdict")
    changed = gr.HTML(elem_id="mg-train-changed")
    curves = gr.HTML(html_template='<div class="mg-plots"></div>', js_on_load=PLOTS_SCRIPT, elem_id="mg-train-curves")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            counts = gr.HTML(elem_id="mg-train-counts")
        with gr.Column(min_width=320):
            sheet = gr.Image(
                show_label=False,
                format="jpeg",
                interactive=False,
                buttons=["fullscreen"],
                visible=False,
                elem_id="mg-train-sheet",
                alt_text="Pairs of crops that the model learns from",
            )
    with gr.Accordion("Log", open=False):
        log = gr.Textbox(show_label=False, lines=8, max_lines=20, interactive=False, elem_id="mg-train-log")
    return RunSection(shown, sheet_of, timer, progress, cancel, resume, verdict, changed, curves, counts, sheet, log)


def lay_out_list() -> ListSection:
    """Lay out the list of runs."""
    on_screen, kept_note, kept_note_of = (gr.Textbox(visible="hidden") for _ in range(3))
    gr.Markdown("## All trainings")
    table = gr.HTML(elem_id="mg-train-table")
    with gr.Column(visible=False) as rows:
        with gr.Row(elem_classes="mg-bar-row"):
            picked = gr.Dropdown([], label="Run", elem_id="mg-train-run", scale=2)
            promote = gr.Button("Use it as the tuned model", elem_id="mg-train-promote", interactive=False)
            back = gr.Button("Go back to the one before", elem_id="mg-train-back", interactive=False)
            delete = gr.Button("Delete", elem_id="mg-train-delete", interactive=False)
        with gr.Row(elem_classes="mg-bar-row"):
            other = gr.Dropdown([BEATEN], value=BEATEN[1], label="Compare with", elem_id="mg-train-other")
            compare = gr.Button("Compare", elem_id="mg-train-compare", interactive=False)
            note = gr.Textbox(label="Note", max_lines=1, max_length=2000, elem_id="mg-train-note")
            export = gr.Button("Export adapter", elem_id="mg-train-export", interactive=False)
            merge = gr.Button("Export whole model", elem_id="mg-train-merged", interactive=False)
    exported = gr.File(label="Download", visible=False, elem_id="mg-train-file")
    compared = gr.HTML(elem_id="mg-train-compared")
    return ListSection(
        table=table,
        rows=rows,
        picked=picked,
        promote=promote,
        back=back,
        delete=delete,
        other=other,
        compare=compare,
        note=note,
        export=export,
        merge=merge,
        exported=exported,
        compared=compared,
        on_screen=on_screen,
        kept_note=kept_note,
        kept_note_of=kept_note_of,
    )
