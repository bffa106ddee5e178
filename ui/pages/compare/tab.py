"""The Compare page: layout and wiring only. What happens on each click is in `ui.pages.compare.handlers`."""

from __future__ import annotations

from itertools import count
from typing import Any

import gradio as gr

from engine.evaluation.comparison.paired import Outcome
from engine.evaluation.pair_sampling import NEGATIVE_MODES
from ui.components.plot_scripts import PLOTS_SCRIPT
from ui.errors import shown_as_toast
from ui.escape import escape_markdown
from ui.pages.compare import handlers as page
from ui.pages.compare.flips import FLIPS, gallery_html
from ui.pages.compare.handlers import Side
from ui.pages.compare.words import grouping_html
from ui.services.comparison_runs import SHIPPED, ComparisonRuns
from ui.services.workbench import Workbench
from ui.view3d.plotly_view import ROOM_TEMPLATE, VIEW_SCRIPT

POLL_S = 1.0
ADDRESS_SCRIPT = "(key) => { if (key) history.replaceState(null, '', '?tab=compare&run=' + encodeURIComponent(key)); }"


def build_compare_tab(bench: Workbench, runs: ComparisonRuns) -> None:
    """Lay out the page as a tab of the blocks in whose context this is called, and wire it."""
    points = bench.points
    assert points is not None, "the app keeps thresholds"
    scenes = bench.scene_names()
    with gr.Tab("Compare", id=page.PAGE) as tab:
        timer = gr.Timer(POLL_S, active=False)
        was_running = gr.State(False)
        # The browser holds these, so they tell what a person sees: the comparison on screen, and what the rates there belong to.
        shown = gr.Textbox(visible="hidden", elem_id="mg-compare-shown")
        rated = gr.Textbox(visible="hidden", elem_id="mg-compare-rated")
        # The comparison drawn last and the drawing's number: another number makes the parts of the page that follow it anew.
        drawn = gr.State(("", 0))
        with gr.Row(elem_classes="mg-bar-row"):
            chosen = gr.Dropdown(label="Comparison", elem_id="mg-compare-run", scale=3)
            cancel_button = gr.Button("Cancel", elem_id="mg-compare-cancel", visible=False, min_width=90)
            resume_button = gr.Button("Resume", elem_id="mg-compare-resume", visible=False, min_width=90)
            delete_button = gr.Button("Delete", elem_id="mg-compare-delete", visible=False, min_width=90)
        links = gr.HTML(elem_id="mg-compare-links")
        progress = gr.HTML(elem_id="mg-compare-progress")
        with gr.Accordion("Compare two models", open=False, elem_id="mg-compare-form") as form:
            with gr.Row():
                on_scenes = gr.Dropdown(
                    scenes, value=scenes[:1], multiselect=True, label="Scenes", elem_id="mg-compare-scenes", scale=2
                )
                model_a = gr.Dropdown(label="Model A", elem_id="mg-compare-a")
                model_b = gr.Dropdown(label="Model B", elem_id="mg-compare-b")
            with gr.Row():
                pairs = gr.Slider(20, 600, value=200, step=20, label="Pairs of each scene", elem_id="mg-compare-pairs")
                negatives = gr.Radio(list(NEGATIVE_MODES), value="hard", label="Different pairs", elem_id="mg-compare-negatives")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=90)
                grouping = gr.Checkbox(True, label="Group the scenes too", elem_id="mg-compare-grouping")
                start_button = gr.Button("Compare", variant="primary", elem_id="mg-compare-start")
        tables = gr.HTML(elem_id="mg-compare-tables")
        plots = gr.HTML(html_template='<div class="mg-plots"></div>', js_on_load=PLOTS_SCRIPT, elem_id="mg-compare-plots")

        gr.Markdown("### Answers that changed")
        outcome = gr.Radio(list(FLIPS), value="fixed", show_label=False, elem_id="mg-compare-outcome")
        flips = gr.HTML(elem_id="mg-compare-flips")

        gr.Markdown('### Where each model says "same"\nA higher threshold finds fewer pairs, and is right more often about them.')
        with gr.Row(equal_height=False):
            with gr.Column():
                side = gr.Radio([("Model A", "a"), ("Model B", "b")], value="b", show_label=False, elem_id="mg-compare-side")
                threshold = gr.Slider(0.05, 0.95, value=0.5, step=0.01, label='Says "same" from', elem_id="mg-threshold")
                keep_button = gr.Button("Keep this threshold for the model", elem_id="mg-keep-threshold")
                kept = gr.Markdown(elem_id="mg-threshold-kept")
            rates = gr.HTML(elem_id="mg-threshold-rates")

        gr.Markdown("### The groups")
        with gr.Row(equal_height=False):
            with gr.Column(scale=1):
                group_scene = gr.Dropdown(label="Scene", elem_id="mg-compare-group-scene")
                groups = gr.HTML(elem_id="mg-compare-groups")
            with gr.Column(scale=2):
                # The Judge page's 3D view brings Plotly's script; a second copy would take seconds.
                room = gr.HTML(
                    html_template=ROOM_TEMPLATE, js_on_load=VIEW_SCRIPT, elem_id="mg-compare-room", label="What changed in 3D"
                )

    run_outputs = [progress, cancel_button, resume_button, delete_button, timer, was_running]
    result_outputs = [shown, drawn, links, tables, plots, side, kept, group_scene]
    drawings = count(1)

    def show_run(key: str) -> list[Any]:
        running = bool(key) and runs.is_running(key)
        entry = runs.entry(key) if key else None
        own = entry is not None and key != SHIPPED
        return [
            page.show_progress(runs, key),
            gr.update(visible=running),
            gr.update(visible=not running and page.can_resume(entry)),
            gr.update(visible=own and not running),
            gr.Timer(active=running),
            running,
        ]

    def show_result(key: str, scene: str | None) -> list[Any]:
        """Show the numbers; what depends on a chooser follows with its value then (`drawn.change`), not with that of now."""
        found = page.result_of(runs, key)
        names = ("A", "B") if found is None else (found.settings.model_a, found.settings.model_b)
        grouped = list(found.grouping) if found is not None else []
        return [
            key,
            (key, next(drawings)),
            page.links_html(key) if found is not None else "",
            page.show_tables(found, is_running=bool(key) and runs.is_running(key)),
            page.show_plots(found),
            gr.update(choices=[(name, side) for name, side in zip(names, ("a", "b"), strict=True)]),
            "",
            gr.update(choices=grouped) if scene in grouped else gr.update(choices=grouped, value=next(iter(grouped), None)),
        ]

    @shown_as_toast
    def open_tab(request: gr.Request, key: str | None, a: str | None, b: str | None, scene: str | None) -> list[Any]:
        query = dict(request.query_params)
        asked = key or (query.get("run", "") if query.get("tab") == page.PAGE else "")
        opened = page.first_key(runs, {"run": asked})
        models, choices = bench.judges.names(), page.list_entries(runs)
        # Models that somebody has chosen, and a form that somebody has opened, stay.
        return [
            gr.update(choices=choices, value=opened or None),
            gr.update(choices=models) if a in models else gr.update(choices=models, value=bench.judges.default),
            gr.update(choices=models)
            if b in models
            else gr.update(choices=models, value=bench.judges.rival() or bench.judges.default),
            gr.skip() if choices else gr.update(open=True),
            *show_run(opened),
            *show_result(opened, scene),
        ]

    @shown_as_toast
    def choose(key: str | None, on_screen: str, scene: str | None) -> list[Any]:
        if not key or key == on_screen:
            # The list also says so when it merely loses the focus: nothing that was set meanwhile may be lost by that.
            return [gr.skip()] * (len(run_outputs) + len(result_outputs))
        return [*show_run(key), *show_result(key, scene)]

    @shown_as_toast
    def start(
        names: list[str],
        a: str,
        b: str,
        number_of_pairs: float,
        mode: str,
        number: float,
        with_groups: bool,
        scene: str | None,
    ) -> list[Any]:
        key = runs.start(page.settings_of(names, a, b, number_of_pairs, mode, number or 0, with_groups))
        listed = gr.update(choices=page.list_entries(runs), value=key)
        return [listed, gr.update(open=False), *show_run(key), *show_result(key, scene)]

    @shown_as_toast
    def resume(key: str) -> list[Any]:
        runs.resume(key)
        return show_run(key)

    @shown_as_toast
    def cancel(key: str) -> None:
        runs.cancel(key)

    @shown_as_toast
    def delete(key: str | None, on_screen: str, scene: str | None) -> list[Any]:
        runs.delete(page.same_key(key, on_screen))
        after = page.first_key(runs, {})
        return [gr.update(choices=page.list_entries(runs), value=after or None), *show_run(after), *show_result(after, scene)]

    @shown_as_toast
    def poll(last: tuple[str, int], before: bool, scene: str | None) -> list[Any]:
        # Not the comparison on screen: another one's numbers may be on their way there, and this answer comes after them.
        key, _ = last
        now = show_run(key)
        ended = before and not runs.is_running(key)
        # Without a value: somebody may have chosen another one just now.
        listed = gr.update(choices=page.list_entries(runs)) if ended else gr.skip()
        return [listed, *now, *(show_result(key, scene) if ended else [gr.skip()] * len(result_outputs))]

    @shown_as_toast
    def show_outcome(key: str, kind: Outcome) -> str:
        return gallery_html(bench, page.result_of(runs, key), kind)

    @shown_as_toast
    def take_kept_threshold(key: str, which: Side, on_screen: str) -> Any:
        # Numbers that were only drawn anew leave the slider where somebody put it.
        is_rated = page.is_rated(on_screen, key, which)
        return gr.skip() if is_rated else page.kept_threshold(points, page.result_of(runs, key), which)

    @shown_as_toast
    def choose_side(key: str, which: Side) -> float:
        return page.kept_threshold(points, page.result_of(runs, key), which)

    @shown_as_toast
    def show_rates(key: str, which: Side, at: float) -> tuple[str, str]:
        found = page.result_of(runs, key)
        return page.show_threshold(found, which, at), page.rated_text(key, which, at) if found is not None else ""

    @shown_as_toast
    def keep(on_screen: str, which: Side, at: float) -> str:
        key = page.rated_key(on_screen, which, at)
        return escape_markdown(page.keep_threshold(points, page.result_of(runs, key), which, round(at, 4)))

    @shown_as_toast
    def show_groups(key: str, scene: str | None) -> tuple[str, str]:
        found = page.result_of(runs, key)
        return (grouping_html(found, scene), page.show_changes(bench, found, scene)) if found is not None and scene else ("", "")

    # One queue for the whole page: answers come in the order in which they were asked for, so the last one is of the last click.
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_id": "compare",
        "concurrency_limit": 1,
    }
    # What is chosen while an answer is pending counts too, once that has come.
    last: dict[str, Any] = {**quiet, "trigger_mode": "always_last"}
    numbers = [*run_outputs, *result_outputs]
    asked = [on_scenes, model_a, model_b, pairs, negatives, seed, grouping, group_scene]
    # Also when an address opens the tab: a listener of its own for the page's load would race with this one.
    opened = tab.select(open_tab, [chosen, model_a, model_b, group_scene], [chosen, model_a, model_b, form, *numbers], **quiet)
    started = start_button.click(start, asked, [chosen, form, *numbers], **quiet)
    other = chosen.input(choose, [chosen, shown, group_scene], numbers, **last)
    for done in (opened, started, other):
        done.success(None, shown, None, js=ADDRESS_SCRIPT, **quiet)
    # It shows nothing itself, and should not wait for what does.
    cancel_button.click(cancel, shown, None, show_progress="hidden", api_visibility="private")
    resume_button.click(resume, shown, run_outputs, **quiet)
    delete_button.click(delete, [chosen, shown, group_scene], [chosen, *numbers], **quiet)
    timer.tick(poll, [drawn, was_running, group_scene], [chosen, *numbers], **quiet)

    gr.on([outcome.input, drawn.change], show_outcome, [shown, outcome], flips, **last)
    gr.on([group_scene.input, drawn.change], show_groups, [shown, group_scene], [groups, room], **last)
    for taken in (
        drawn.change(take_kept_threshold, [shown, side, rated], threshold, **last),
        side.input(choose_side, [shown, side], threshold, **last),
    ):
        taken.success(show_rates, [shown, side, threshold], [rates, rated], **last)
    threshold.input(show_rates, [shown, side, threshold], [rates, rated], **last)
    keep_button.click(keep, [rated, side, threshold], kept, **quiet)
