"""The Review page: layout and wiring only. What its script asks is answered in `ui.review_page`; the script is `review.js`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from gradio.events import api

from engine.errors import MaskgroupError
from ui import review_page as page
from ui.errors import shown_as_toast
from ui.review_desk import PROBING, ReviewDesk
from ui.workbench import Workbench

FOLDER = Path(__file__).parent
POLL_S = 2.0
CACHE_S = 3600
BENCHMARK_QUEUE = "random"
EVERYTHING = ("all pairs", "")


def build_review_tab(demo: gr.Blocks, desk: ReviewDesk, *, remembered: gr.BrowserState) -> gr.Textbox:
    """Lay out the page inside `demo`, in whose context this is called, and wire it to the desk; returns the person's name."""
    names = desk.bench.scene_names()
    timer = gr.Timer(POLL_S)
    shown = gr.State(())
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=names, value=names[0], elem_id="mg-review-scene", scale=1)
        queue = gr.Dropdown(
            label="Which pairs first", choices=page.queue_choices([]), value="impact", elem_id="mg-review-queue", scale=3
        )
        only = gr.Dropdown(label="Only", choices=[EVERYTHING], value="", elem_id="mg-review-only", scale=1)
        annotator = gr.Textbox(label="Your name", max_lines=1, max_length=60, elem_id="mg-review-annotator", scale=1)
        blind = gr.Checkbox(label="Hide the judge's hint", value=False, elem_id="mg-review-blind", scale=1)

    def next_cards(request: dict[str, Any]) -> dict[str, Any]:
        return page.next_cards(desk, request)

    def hints(request: dict[str, Any]) -> dict[str, Any]:
        return page.hints(desk, request)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return page.answer(desk, request)

    def undo(request: dict[str, Any]) -> dict[str, Any]:
        return page.undo(desk, request)

    def pause(request: dict[str, Any]) -> dict[str, Any]:
        return page.pause(desk, request)

    card = gr.HTML(
        value={},
        html_template=(FOLDER / "review.html").read_text(encoding="utf-8"),
        css_template=(FOLDER / "review.css").read_text(encoding="utf-8"),
        js_on_load=(FOLDER / "review.js").read_text(encoding="utf-8"),
        server_functions=[next_cards, hints, answer, undo, pause],
        elem_id="mg-review",
        label="The pair to decide",
    )
    # The same for programs: a labelling client of one's own, or a test with many of them.
    for function in (next_cards, hints, answer, undo, pause):
        api(function, api_name=f"review_{function.__name__}", concurrency_limit=None)

    choosers = [scene, queue, only, annotator, blind]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def aim(*values: Any) -> dict[str, Any]:
        return dict(zip(("scene", "queue", "only", "annotator", "blind"), values, strict=True))

    @shown_as_toast
    def open_page(request: gr.Request, name: str) -> tuple[Any, ...]:
        query = dict(request.query_params)
        chosen = query["scene"] if query.get("scene") in names else names[0]
        target = aim(chosen, "impact", "", name, False)
        if query.get("tab") == page.REVIEW_TAB and "a" in query and "b" in query:
            target["first"] = page.first_pair(query["a"], query["b"])
        return chosen, name, target

    @shown_as_toast
    def change_scene(name: str, *rest: Any) -> tuple[Any, ...]:
        # Objects of another scene are other objects.
        return aim(name, rest[0], "", *rest[2:]), gr.update(choices=[EVERYTHING], value="")

    @shown_as_toast
    def list_queues(name: str, kind: str, narrowed: str, who: str, before: Any) -> tuple[Any, ...]:
        states = desk.queues(name, annotator=who.strip() or "me", only=narrowed, probe=kind in PROBING)
        if (name, narrowed, states) == before:
            return gr.skip(), gr.skip(), gr.skip()
        listed = [EVERYTHING, *desk.groups(name)]
        is_listed = narrowed in [value for _, value in listed]
        return (
            gr.update(choices=page.queue_choices(states), value=kind),
            gr.update(choices=listed, value=narrowed if is_listed else ""),
            (name, narrowed, states),
        )

    @shown_as_toast
    def change_queue(*values: Any) -> tuple[Any, Any]:
        # Labels of the random queue are what numbers are reported on: a hint would lean them to the judge. It can be shown again.
        is_benchmark = values[1] == BENCHMARK_QUEUE
        wish = aim(*values)
        return wish | {"blind": is_benchmark or wish["blind"]}, gr.update(value=True) if is_benchmark else gr.skip()

    scene.input(change_scene, choosers, [card, only], **quiet)
    queue.input(change_queue, choosers, [card, blind], **quiet)
    for chooser in (only, blind):
        chooser.input(aim, choosers, card, **quiet)
    annotator.submit(aim, choosers, card, **quiet)
    annotator.blur(aim, choosers, card, **quiet)
    annotator.change(_same, annotator, remembered, **quiet)
    timer.tick(list_queues, [scene, queue, only, annotator, shown], [queue, only, shown], **quiet)
    demo.load(open_page, remembered, [scene, annotator, card], **quiet)
    return annotator


def add_review_routes(app: FastAPI, bench: Workbench) -> None:
    """Serve the pictures of cards; browsers keep them."""

    @app.get(page.PICTURE_ROUTE)
    def send_picture(scene: str, view: str, number: int, kind: str, side: int = 0) -> Response:
        try:
            picture = page.draw_picture(bench, scene, view, number, kind=kind, side=side)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": f"private, max-age={CACHE_S}"})


def _same(name: str) -> str:
    return name
