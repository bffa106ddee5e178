"""The Retrain page: which event calls what. Its parts are laid out in `form` and `layout`; what each event does is in `actions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from engine.strict_json import to_json_text
from finetune.runs.registry import Registry
from ui.pages.train.actions import TrainActions
from ui.pages.train.form import PRESETS, FormSection, lay_out_form
from ui.pages.train.layout import ListSection, RunSection, lay_out_list, lay_out_run
from ui.services.workbench import Workbench
from ui.web.gradio_parts import event_of

TRAIN_TAB = "train"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
SLOW: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "heavy", "concurrency_limit": 1}
VIEWING: dict[str, Any] = {**QUIET, "concurrency_id": "train-view", "concurrency_limit": 1}
"""All handlers that say which run is shown take turns, so that the last one asked has the last word."""
# A dropdown also tells that it was left without a change: nothing is to be forgotten then.
FORGET_SCRIPT = """(picked, shown) => picked === shown
  ? [shown, ...Array(3).fill({__type__: 'update'})]
  : [picked, '', '', {__type__: 'update', value: null, visible: false}]"""
KEEP_TYPED_SCRIPT = "(kept, of, shown, typed) => of === shown && !typed ? kept : typed"
OFFER_SCRIPT = "(picked) => Array(5).fill({__type__: 'update', interactive: Boolean(picked)})"
"""Nothing is offered of a run while none is picked."""
PRESET_SCRIPT = f"(name) => ({to_json_text(PRESETS)})[name]"
SETTINGS_KEY = "maskgroup-train-settings"
KEEP_SCRIPT = f"""(...values) => {{
  try {{ localStorage.setItem('{SETTINGS_KEY}', JSON.stringify(values)); }} catch (error) {{ /* they are not kept */ }}
}}"""
# Only what is of the same kind as what the form holds: another version of the page may have kept something else.
RECALL_SCRIPT = f"""(...now) => {{
  let kept = null;
  try {{ kept = JSON.parse(localStorage.getItem('{SETTINGS_KEY}')); }} catch (error) {{ /* as if none was kept */ }}
  const fits = Array.isArray(kept) && kept.length === now.length && kept.every((value, k) => typeof value === typeof now[k]);
  return fits ? kept : now;
}}"""
INTRODUCTION = (
    "Retrain the model on **your corrections** and on pairs made from these scenes. "
    "It replaces the model in use only if it does better on pairs that it has never seen."
)


@dataclass(frozen=True)
class TrainPage:
    """The page's parts."""

    form: FormSection
    run: RunSection
    runs: ListSection

    def list_outputs(self) -> list[Component]:
        """Return what follows the list of runs."""
        return self.runs.outputs(self.form)

    def outputs(self) -> list[Component]:
        """Return what follows both the run that is shown and the list."""
        return [self.run.shown, *self.run.outputs(), *self.list_outputs(), self.runs.on_screen, self.runs.note]


def build_train_tab(demo: gr.Blocks, bench: Workbench, registry: Registry) -> None:
    """Lay out the page as a tab inside `demo` and wire it."""
    with gr.Tab("Retrain", id=TRAIN_TAB) as tab:
        gr.Markdown(INTRODUCTION)
        page = TrainPage(lay_out_form(bench, registry), lay_out_run(), lay_out_list())
    actions = TrainActions(bench, registry)
    _wire_form(page, actions)
    _wire_usable(tab, page, actions)
    _wire_run(page, actions)
    _wire_picked(page, actions)
    kept = page.form.settings.kept()
    demo.load(None, kept, kept, js=RECALL_SCRIPT, **QUIET)
    demo.load(actions.open_page, page.run.shown, page.outputs(), **VIEWING)


def _wire_form(page: TrainPage, actions: TrainActions) -> None:
    form, settings = page.form, page.form.settings
    form.preset.input(None, form.preset, [settings.pairs, settings.epochs], js=PRESET_SCRIPT, **QUIET)
    kept = settings.kept()
    changed = [event_of(component, "change") for component in kept]
    gr.on(changed, None, kept, None, js=KEEP_SCRIPT, **QUIET)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
    settings.model.input(actions.suggest_rate, settings.model, settings.learning_rate, **QUIET)
    form.start.click(actions.start, [form.name, *settings.inputs()], [form.name, *page.outputs()], **VIEWING)
    form.preview.click(actions.preview, settings.inputs(), [page.run.counts, page.run.sheet], **SLOW)


def _wire_usable(tab: gr.Tab, page: TrainPage, actions: TrainActions) -> None:
    settings = page.form.settings
    # Not with every visit of the app: it reads all labels. Some may have been given on other pages since.
    events = [tab.select, settings.on.change, settings.use_labels.change]
    chosen = [settings.on, settings.use_labels]
    gr.on(  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
        events, actions.say_usable, chosen, page.form.usable, trigger_mode="always_last", **QUIET
    )


def _wire_run(page: TrainPage, actions: TrainActions) -> None:
    run = page.run
    run.timer.tick(actions.poll, [run.shown, run.sheet_of], [*run.outputs(), *page.list_outputs()], **VIEWING)
    run.cancel.click(actions.cancel, run.shown, None, **QUIET)
    run.verdict.change(actions.show_changed, run.shown, run.changed, trigger_mode="always_last", **QUIET)
    run.resume.click(actions.resume, run.shown, page.outputs(), **VIEWING)


def _wire_picked(page: TrainPage, actions: TrainActions) -> None:
    runs, run, listed = page.runs, page.run, page.list_outputs()
    # The browser itself takes away what belongs to the run before: a slow answer to this choice would otherwise wipe out what
    # came of the next click (a comparison, a file, a note being typed).
    forgotten = [runs.on_screen, runs.note, runs.compared, runs.exported]
    runs.picked.input(None, [runs.picked, runs.on_screen], forgotten, js=FORGET_SCRIPT, **QUIET)
    shown = [run.shown, *run.outputs(), runs.kept_note, runs.kept_note_of]
    picked = runs.picked.input(actions.pick, runs.picked, shown, trigger_mode="always_last", **VIEWING)
    notes = [runs.kept_note, runs.kept_note_of, runs.on_screen, runs.note]
    picked.success(None, notes, runs.note, js=KEEP_TYPED_SCRIPT, **QUIET)
    runs.picked.change(None, runs.picked, runs.of_picked(), js=OFFER_SCRIPT, **QUIET)
    runs.promote.click(actions.promote, runs.picked, listed, **QUIET)
    runs.back.click(actions.roll_back, None, listed, **QUIET)
    runs.delete.click(actions.delete, runs.picked, page.outputs(), **VIEWING)
    runs.compare.click(actions.compare, [runs.picked, runs.other], runs.compared, **QUIET)
    runs.note.submit(actions.save_note, [runs.picked, runs.note], listed, **QUIET)
    runs.export.click(actions.export, runs.picked, runs.exported, **QUIET)
    runs.merge.click(actions.export_whole, runs.picked, None, **SLOW)
