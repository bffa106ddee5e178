"""The Compare page: which event calls what. Its parts are laid out in `layout`; what each event does is in `actions`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.pages.compare import handlers
from ui.pages.compare.actions import CompareActions
from ui.pages.compare.layout import ComparePage, lay_out_page
from ui.services.comparison_runs import ComparisonRuns
from ui.services.workbench import Workbench

ADDRESS_SCRIPT = "(key) => { if (key) history.replaceState(null, '', '?tab=compare&run=' + encodeURIComponent(key)); }"
# One queue for the whole page: answers come in the order in which they were asked for, so the last one is of the last click.
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_id": "compare",
    "concurrency_limit": 1,
}
LAST: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
"""What is chosen while an answer is pending counts too, once that has come."""


def build_compare_tab(bench: Workbench, runs: ComparisonRuns) -> None:
    """Lay out the page as a tab of the blocks in whose context this is called, and wire it."""
    points = bench.points
    assert points is not None, "the app keeps thresholds"
    with gr.Tab("Compare", id=handlers.PAGE) as tab:
        page = lay_out_page(bench)
    actions = CompareActions(bench, runs, points)
    _wire_runs(tab, page, actions)
    _wire_result(page, actions)
    _wire_threshold(page, actions)


def _wire_runs(tab: gr.Tab, page: ComparePage, actions: CompareActions) -> None:
    run, form, scene, numbers = page.run, page.form, page.groups.scene, page.outputs()
    # Also when an address opens the tab: a listener of its own for the page's load would race with this one.
    models = [form.model_a, form.model_b]
    opened = tab.select(actions.open_tab, [run.chosen, *models, scene], [run.chosen, *models, form.box, *numbers], **QUIET)
    started = form.start.click(actions.start, [*form.inputs(), scene], [run.chosen, form.box, *numbers], **QUIET)
    other = run.chosen.input(actions.choose, [run.chosen, run.shown, scene], numbers, **LAST)
    for done in (opened, started, other):
        done.success(None, run.shown, None, js=ADDRESS_SCRIPT, **QUIET)
    # It shows nothing itself, and should not wait for what does.
    run.cancel.click(actions.cancel, run.shown, None, show_progress="hidden", api_visibility="private")
    run.resume.click(actions.resume, run.shown, run.outputs(), **QUIET)
    run.delete.click(actions.delete, [run.chosen, run.shown, scene], [run.chosen, *numbers], **QUIET)
    run.timer.tick(actions.poll, [run.drawn, run.was_running, scene], [run.chosen, *numbers], **QUIET)


def _wire_result(page: ComparePage, actions: CompareActions) -> None:
    run, result, groups = page.run, page.result, page.groups
    shown = [run.shown, result.outcome]
    chosen = [result.outcome.input, run.drawn.change]
    gr.on(chosen, actions.show_outcome, shown, result.flips, **LAST)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
    grouped = [groups.groups, groups.room]
    placed = [groups.scene.input, run.drawn.change]
    gr.on(placed, actions.show_groups, [run.shown, groups.scene], grouped, **LAST)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator


def _wire_threshold(page: ComparePage, actions: CompareActions) -> None:
    run, part = page.run, page.threshold
    chosen, rated = [run.shown, part.side, part.threshold], [part.rates, run.rated]
    for taken in (
        run.drawn.change(actions.take_kept_threshold, [run.shown, part.side, run.rated], part.threshold, **LAST),
        part.side.input(actions.choose_side, [run.shown, part.side], part.threshold, **LAST),
    ):
        taken.success(actions.show_rates, chosen, rated, **LAST)
    part.threshold.input(actions.show_rates, chosen, rated, **LAST)
    part.keep.click(actions.keep, [run.rated, part.side, part.threshold], part.kept, **QUIET)
