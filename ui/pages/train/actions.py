"""What each event of the Retrain page does: the values that its components take. What they say is in `handlers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from db.runs import FINISHED, RESUMABLE, Run
from finetune.runs.export import export_merged
from finetune.runs.model_card import name_of
from finetune.runs.preview import preview_training
from finetune.runs.registry import Registry, active_of
from ui.escape import escape_markdown
from ui.pages.train import handlers as page
from ui.pages.train.form import IMPROVED, read_form
from ui.pages.train.layout import BEATEN
from ui.pages.train.run_files import pack_adapter, read_sheet
from ui.services.workbench import Workbench
from ui.web.gradio_parts import leave_as_is


class TrainActions:
    """The page's events.

    Args:
        bench: Knows scenes, models and labels.
        registry: Starts, finds and changes runs.
    """

    def __init__(self, bench: Workbench, registry: Registry) -> None:
        self._bench = bench
        self._registry = registry

    def open_page(self, current: str | None) -> list[Any]:
        """Show the run that is under way, else the one shown before, else the newest."""
        runs = self._registry.list()
        active = active_of(runs)
        return self._show_all(runs, active.name if active else current or _newest(runs))

    def suggest_rate(self, model: str) -> float:
        """Propose a learning rate for the model that was chosen."""
        return page.rate_for(model, self._bench, self._registry)

    def say_usable(self, scenes: Sequence[str], use_labels: bool) -> str:
        """Say how many corrections could be used."""
        return page.say_usable(self._bench, scenes, use_labels=use_labels)

    def show_changed(self, current: str | None) -> str:
        """Show answers that the shown run changed."""
        return page.show_changed(self._bench, self._registry, current)

    def start(self, given_name: str, *values: Any) -> list[Any]:
        """Start a training; its name is taken out of the form."""
        config = read_form(values, self._bench, self._registry)
        run = self._registry.start(config, self._bench.labels.settled(), name=given_name.strip() or None)
        return ["", *self._show_all(self._registry.list(), run.name)]

    def preview(self, *values: Any) -> list[Any]:
        """Show what would be trained on."""
        found = preview_training(read_form(values, self._bench, self._registry), self._bench.labels.settled())
        return [page.show_counts(found.counts) + page.show_effort(found.steps, found.seconds, found.memory), _picture(found.sheet)]

    def poll(self, current: str | None, had_sheet: str | None) -> list[Any]:
        """Bring the page up to date."""
        runs = self._registry.list()
        # While a run goes on, lists in which somebody may be choosing are left alone.
        lists = self._show_list(runs) if active_of(runs) is None else [leave_as_is()] * LIST_VALUES
        return [*self._show_run(runs, current, had_sheet), *lists]

    def pick(self, chosen: str | None) -> list[Any]:
        """Show another run."""
        runs = self._registry.list()
        return [chosen, *self._show_run(runs, chosen), _note_of(runs, chosen), chosen]

    def cancel(self, current: str | None) -> None:
        """Ask the run to stop."""
        self._registry.cancel(page.need_run(current))
        gr.Info("It stops after the current step; what it has learned so far is kept.")

    def resume(self, current: str | None) -> list[Any]:
        """Go on with a run that was stopped."""
        self._registry.resume(page.need_run(current))
        return self._show_all(self._registry.list(), current)

    def promote(self, chosen: str | None) -> list[Any]:
        """Make a run the tuned model."""
        self._registry.promote(page.need_run(chosen))
        return self._show_list(self._registry.list())

    def roll_back(self) -> list[Any]:
        """Make the tuned model the one before."""
        before = self._registry.roll_back()
        now = f"{escape_markdown(before)} again" if before else "the one that came with the program, if any"
        gr.Info(f"The tuned model is {now}.")
        return self._show_list(self._registry.list())

    def delete(self, chosen: str | None) -> list[Any]:
        """Delete a run and show the newest."""
        self._registry.delete(page.need_run(chosen))
        runs = self._registry.list()
        return self._show_all(runs, _newest(runs))

    def compare(self, chosen: str | None, with_what: str) -> str:
        """Compare the picked run with another one."""
        first = page.need_run(chosen)
        parent = str(self._registry.get(first).config.get("parent", "base"))
        rival = name_of(parent) if with_what == BEATEN[1] else with_what
        return page.show_comparison(rival, first, self._registry.compare(with_what, first))

    def save_note(self, chosen: str | None, text: str) -> list[Any]:
        """Keep a note on a run."""
        self._registry.write_note(page.need_run(chosen), text)
        return self._show_list(self._registry.list())

    def export(self, chosen: str | None) -> Any:
        """Offer a run's adapter for download."""
        # In the folder that is served already: Gradio would copy it there on its event loop.
        packed = pack_adapter(self._registry, page.need_run(chosen), Path(get_upload_folder()))
        return gr.update(value=str(packed), visible=True)

    def export_whole(self, chosen: str | None) -> None:
        """Write a run's adapter and its base as one model."""
        folder = self._registry.folder(page.need_run(chosen))
        gr.Info(f"The whole model is in {escape_markdown(export_merged(folder, folder / 'merged'))}.")

    # All that an event shows is of one look at the runs: one that ends meanwhile would be over here and under way there.
    def _show_run(self, runs: Sequence[Run], current: str | None, had_sheet: str | None = None) -> list[Any]:
        """Return the values of `RunSection.outputs`."""
        run = _find(runs, current)
        events = self._registry.events(run.name) if run else []
        picture = read_sheet(self._registry.folder(run.name)) if run and had_sheet != run.name else None
        is_same_sheet = run is not None and had_sheet == run.name
        counts = page.find_counts(run, events)
        return [
            page.show_progress(run, events, self._registry.worker(run.name) if run else None),
            gr.update(visible=run is not None and run.status not in FINISHED),
            gr.update(visible=run is not None and run.status in RESUMABLE),
            page.show_verdict(run),
            page.draw_curves(events),
            page.show_counts(counts) if counts else "",
            leave_as_is() if is_same_sheet else _picture(picture),
            run.name if run and (is_same_sheet or picture is not None) else None,
            page.show_log(events),
            gr.Timer(active=active_of(runs) is not None),
        ]

    def _show_list(self, runs: Sequence[Run]) -> list[Any]:
        """Return the values of `ListSection.outputs`; what is chosen stays, as somebody may be choosing just now."""
        models = self._bench.judges.names()
        return [
            page.show_registry(runs, self._registry.tuned()),
            gr.update(choices=[run.name for run in runs]),
            gr.update(choices=[BEATEN, *((name, name) for name in self._registry.finished())]),
            gr.update(choices=[IMPROVED, *((name, name) for name in models)]),
            gr.update(choices=models),
            gr.update(interactive=self._registry.tuned() is not None),
            gr.update(visible=bool(runs)),
        ]

    def _show_all(self, runs: Sequence[Run], current: str | None) -> list[Any]:
        """Return the values of `TrainPage.outputs`."""
        table, _, *judges = self._show_list(runs)
        names = [run.name for run in runs]
        chosen = current if current in names else None
        listed = [table, gr.update(choices=names, value=chosen), *judges]
        return [current, *self._show_run(runs, current), *listed, chosen or "", _note_of(runs, current)]


LIST_VALUES = 7
"""How many values `ListSection.outputs` takes."""


def _find(runs: Sequence[Run], name: str | None) -> Run | None:
    return next((run for run in runs if run.name == name), None)


def _note_of(runs: Sequence[Run], name: str | None) -> str:
    run = _find(runs, name)
    return "" if run is None else str(run.result.get("note", ""))


def _newest(runs: Sequence[Run]) -> str | None:
    return runs[0].name if runs else None


def _picture(pixels: Any) -> Any:
    return gr.update(value=pixels, visible=pixels is not None)
