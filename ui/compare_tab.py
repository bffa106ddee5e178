"""The Compare page: layout and wiring only. What happens on each click is in `ui.compare_page`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from engine.comparison import Outcome
from engine.pair_sampling import NEGATIVE_MODES
from ui import compare_page as page
from ui.compare_flips import FLIPS, gallery_html
from ui.compare_page import Side
from ui.compare_plots import read_beside
from ui.compare_runs import SHIPPED, ComparisonRuns
from ui.compare_words import grouping_html
from ui.errors import shown_as_toast
from ui.judge_tab import ROOM_TEMPLATE
from ui.plotly_view import VIEW_SCRIPT
from ui.workbench import Workbench

POLL_S = 1.0
PLOTS_SCRIPT = read_beside("plot_theme.js") + read_beside("compare_plots.js")
ADDRESS_SCRIPT = "(key) => { if (key) history.replaceState(null, '', '?tab=compare&run=' + encodeURIComponent(key)); }"


def build_compare_tab(demo: gr.Blocks, bench: Workbench, runs: ComparisonRuns) -> None:
    """Lay out the page as a tab inside `demo` and wire it."""
    points = bench.points
    assert points is not None, "the app keeps thresholds"
    scenes = bench.scene_names()
    with gr.Tab("Compare", id=page.PAGE) as tab:
        timer = gr.Timer(POLL_S, active=False)
        was_running = gr.State(False)
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
    result_outputs = [links, tables, plots, flips, side, threshold, rates, kept, group_scene, groups, room]

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

    def show_result(key: str, kind: Outcome, which: Side) -> list[Any]:
        found = page.result_of(runs, key)
        names = ("A", "B") if found is None else (found.settings.model_a, found.settings.model_b)
        grouped = list(found.grouping) if found is not None else []
        scene = grouped[0] if grouped else None
        at = page.kept_threshold(points, found, which)
        return [
            page.links_html(key) if found is not None else "",
            page.show_tables(found, is_running=bool(key) and runs.is_running(key)),
            page.show_plots(found),
            gallery_html(bench, found, kind),
            gr.update(choices=[(name, side) for name, side in zip(names, ("a", "b"), strict=True)], value=which),
            at,
            page.show_threshold(found, which, at),
            "",
            gr.update(choices=grouped, value=scene),
            grouping_html(found, scene) if found is not None and scene else "",
            page.show_changes(bench, found, scene) if scene else "",
        ]

    def open_on(key: str, kind: Outcome, which: Side) -> list[Any]:
        models = bench.judges.names()
        choices = page.list_entries(runs)
        return [
            gr.update(choices=choices, value=key or None),
            gr.update(choices=models, value=bench.judges.default),
            gr.update(choices=models, value=bench.judges.rival() or bench.judges.default),
            gr.update(open=not choices),
            *show_run(key),
            *show_result(key, kind, which),
        ]

    @shown_as_toast
    def open_address(request: gr.Request, kind: Outcome, which: Side) -> list[Any]:
        query = dict(request.query_params)
        if query.get("tab") != page.PAGE:
            # Nobody looks at this page yet: it fills when its tab is opened.
            return [gr.skip()] * (4 + len(run_outputs) + len(result_outputs))
        return open_on(page.first_key(runs, query), kind, which)

    @shown_as_toast
    def open_tab(key: str | None, kind: Outcome, which: Side) -> list[Any]:
        return open_on(page.first_key(runs, {"run": key or ""}), kind, which)

    @shown_as_toast
    def choose(key: str, kind: Outcome, which: Side) -> list[Any]:
        return [*show_run(key), *show_result(key, kind, which)]

    @shown_as_toast
    def start(
        names: list[str], a: str, b: str, count: float, mode: str, number: float, with_groups: bool, kind: Outcome, which: Side
    ) -> list[Any]:
        key = runs.start(page.settings_of(names, a, b, count, mode, number or 0, with_groups))
        listed = gr.update(choices=page.list_entries(runs), value=key)
        return [listed, gr.update(open=False), *show_run(key), *show_result(key, kind, which)]

    @shown_as_toast
    def resume(key: str) -> list[Any]:
        runs.resume(key)
        return show_run(key)

    @shown_as_toast
    def cancel(key: str) -> None:
        runs.cancel(key)

    @shown_as_toast
    def delete(key: str, kind: Outcome, which: Side) -> list[Any]:
        runs.delete(key)
        after = page.first_key(runs, {})
        return [gr.update(choices=page.list_entries(runs), value=after or None), *show_run(after), *show_result(after, kind, which)]

    @shown_as_toast
    def poll(key: str, before: bool, kind: Outcome, which: Side) -> list[Any]:
        now = show_run(key)
        ended = before and not runs.is_running(key)
        listed = gr.update(choices=page.list_entries(runs), value=key) if ended else gr.skip()
        return [listed, *now, *(show_result(key, kind, which) if ended else [gr.skip()] * len(result_outputs))]

    @shown_as_toast
    def show_outcome(key: str, kind: Outcome) -> str:
        return gallery_html(bench, page.result_of(runs, key), kind)

    @shown_as_toast
    def move_threshold(key: str, which: Side, at: float) -> str:
        return page.show_threshold(page.result_of(runs, key), which, at)

    @shown_as_toast
    def choose_side(key: str, which: Side) -> tuple[float, str]:
        found = page.result_of(runs, key)
        at = page.kept_threshold(points, found, which)
        return at, page.show_threshold(found, which, at)

    @shown_as_toast
    def keep(key: str, which: Side, at: float) -> str:
        return page.keep_threshold(points, page.result_of(runs, key), which, round(at, 4))

    @shown_as_toast
    def show_groups(key: str, scene: str) -> tuple[str, str]:
        found = runs.result(key)
        return grouping_html(found, scene), page.show_changes(bench, found, scene)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    shown = [chosen, outcome, side]
    asked = [on_scenes, model_a, model_b, pairs, negatives, seed, grouping, outcome, side]
    started = start_button.click(start, asked, [chosen, form, *run_outputs, *result_outputs], **quiet)
    started.success(None, chosen, None, js=ADDRESS_SCRIPT, **quiet)
    chosen.input(choose, shown, [*run_outputs, *result_outputs], **quiet).then(None, chosen, None, js=ADDRESS_SCRIPT, **quiet)
    cancel_button.click(cancel, chosen, None, **quiet)
    resume_button.click(resume, chosen, run_outputs, **quiet)
    delete_button.click(delete, shown, [chosen, *run_outputs, *result_outputs], **quiet)
    timer.tick(poll, [chosen, was_running, outcome, side], [chosen, *run_outputs, *result_outputs], **quiet)
    outcome.input(show_outcome, [chosen, outcome], flips, **quiet)
    side.input(choose_side, [chosen, side], [threshold, rates], **quiet)
    threshold.input(move_threshold, [chosen, side, threshold], rates, **quiet)
    keep_button.click(keep, [chosen, side, threshold], kept, **quiet)
    group_scene.input(show_groups, [chosen, group_scene], [groups, room], **quiet)
    opened = [chosen, model_a, model_b, form, *run_outputs, *result_outputs]
    tab.select(open_tab, shown, opened, **quiet).then(None, chosen, None, js=ADDRESS_SCRIPT, **quiet)
    demo.load(open_address, [outcome, side], opened, **quiet)
