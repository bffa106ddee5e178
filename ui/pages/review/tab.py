"""The Review page: layout and wiring only. What its script, `review.js`, asks is answered in `ui.pages.review.handlers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from gradio.events import api  # pyright: ignore[reportUnknownVariableType]  # gradio: its function's result is untyped

from engine.errors import MaskgroupError
from engine.strict_json import to_json_text
from ui.components.pairs import PICTURE_ROUTE, REVIEW_TAB
from ui.components.typed import annotator_name
from ui.pages.review import handlers as page
from ui.services.review_service import PROBING, ReviewService
from ui.services.workbench import Workbench
from ui.web.gradio_parts import leave_as_is, read_query

FOLDER = Path(__file__).parent
POLL_S = 2.0
CACHE_S = 3600
EVERYTHING = ("all pairs", "")
AIM_SCRIPT = """(scene, queue, only, annotator, blind, before, listed) => {
  const same = {__type__: 'update'};
  // Objects of another scene are other objects.
  const isOther = listed && JSON.parse(listed).scene !== scene;
  const narrowed = isOther ? '' : only;
  const reset = isOther ? {...same, choices: [['all pairs', '']], value: ''} : same;
  const rest = [reset, same, isOther ? '' : same];
  // Before the page is opened nobody's name is known; what was chosen by then is taken when it is.
  if (!before || before.first === undefined) return [same, ...rest];
  const isNew = queue !== before.queue;
  // Labels of the random queue are what numbers are reported on: a hint would lean them to the judge. It can be shown again.
  const hidden = blind || (isNew && queue === 'random');
  // A list left without a choice says "input" as well: that must not take the cards away.
  const isSame = !isNew && before.scene === scene && before.only === narrowed && before.annotator === annotator
    && before.blind === hidden;
  const aim = {scene, queue, only: narrowed, annotator, blind: hidden, first: before.scene ? null : before.first};
  return [isSame ? same : aim, reset, hidden === blind ? same : hidden, rest[2]];
}"""
# Only the field in which a person types is followed: two that followed each other would take back keys that come fast.
FOLLOW_SCRIPT = """(typed) => document.activeElement?.closest('#%s') ? typed : {__type__: 'update'}"""
LIST_SCRIPT = """(listing, listed, scene, only, aim) => {
  const same = {__type__: 'update'};
  const got = listing ? JSON.parse(listing) : {};
  // It may come late: for a scene that is no longer chosen.
  if (listing === listed || got.scene !== scene) return [same, same, same, same];
  const isGone = !got.only.some(([, value]) => value === only);
  return [
    {...same, choices: got.queues},
    isGone ? {...same, choices: got.only, value: ''} : {...same, choices: got.only},
    listing,
    isGone && aim && aim.scene === scene ? {...aim, only: '', first: null} : same,
  ];
}"""


def build_review_tab(demo: gr.Blocks, service: ReviewService, *, remembered: gr.BrowserState, other_name: gr.Textbox) -> gr.Textbox:
    """Lay out the page inside `demo`, in whose context this is called, and wire it to the service.

    Args:
        demo: The app.
        service: Hands out pairs and takes answers.
        remembered: Keeps the person's name in the browser.
        other_name: Where another page asks for it: the two say the same.

    Returns:
        The person's name.
    """
    names = service.bench.scene_choices()
    timer = gr.Timer(POLL_S)
    # Hidden in the page: what a tick found, and what of it the lists show.
    listing, listed = (gr.Textbox(visible="hidden", elem_id=f"mg-review-{name}") for name in ("listing", "listed"))
    told = gr.HTML(elem_id="mg-review-told")
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=names, value=names[0][1], elem_id="mg-review-scene", scale=1)
        queue = gr.Dropdown(
            label="Which pairs first", choices=page.queue_choices([]), value="impact", elem_id="mg-review-queue", scale=3
        )
        only = gr.Dropdown(label="Only", choices=[EVERYTHING], value="", elem_id="mg-review-only", scale=1)
        annotator = gr.Textbox(label="Your name", max_lines=1, max_length=60, elem_id="mg-review-annotator", scale=1)
        blind = gr.Checkbox(label="Hide the judge's hint", value=False, elem_id="mg-review-blind", scale=1)

    def next_cards(request: dict[str, Any]) -> dict[str, Any]:
        return page.next_cards(service, request)

    def hints(request: dict[str, Any]) -> dict[str, Any]:
        return page.hints(service, request)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return page.answer(service, request)

    def undo(request: dict[str, Any]) -> dict[str, Any]:
        return page.undo(service, request)

    def pause(request: dict[str, Any]) -> dict[str, Any]:
        return page.pause(service, request)

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
    # In the browser, as two answers of the server could pass each other: the later choice would then lose to the earlier one.
    aiming: dict[str, Any] = {
        "fn": None,
        "inputs": [*choosers, card, listed],
        "outputs": [card, only, blind, listed],
        "js": AIM_SCRIPT,
        **quiet,
    }

    def open_page(request: gr.Request, name: str) -> tuple[Any, ...]:
        query = read_query(request)
        is_addressed = query.get("tab") == REVIEW_TAB and "a" in query and "b" in query
        first = page.first_pair(query["a"], query["b"]) if is_addressed else None
        # A scene may have come since the app was started.
        choices = service.bench.scene_choices()
        is_there = query.get("scene") in [value for _, value in choices]
        chosen = gr.update(choices=choices, value=query["scene"]) if is_there else leave_as_is()
        return chosen, name, {"first": first}, page.show_instructions(service)

    def list_queues(name: str, kind: str, narrowed: str, who: str, was_told: str) -> tuple[str, Any]:
        states = service.queues(name, annotator=annotator_name(who), only=narrowed, probe=kind in PROBING)
        found = {"scene": name, "queues": page.queue_choices(states), "only": [EVERYTHING, *service.groups(name)]}
        now = page.show_instructions(service)
        return to_json_text(found), leave_as_is() if now == was_told else now

    for chooser in (scene, queue, only, blind):
        chooser.input(**aiming)
    # A person has one name, whichever page it is typed on.
    for typed, follows in ((annotator, other_name), (other_name, annotator)):
        typed.change(None, typed, follows, js=FOLLOW_SCRIPT % typed.elem_id, **quiet)
        typed.submit(**aiming)
        typed.blur(**aiming)
    # In the browser too: it is kept also where the page is left at once.
    annotator.change(None, annotator, remembered, js="(name) => name", **quiet)
    timer.tick(list_queues, [scene, queue, only, annotator, told], [listing, told], **quiet).success(
        None, [listing, listed, scene, only, card], [queue, only, listed, card], js=LIST_SCRIPT, **quiet
    )
    demo.load(open_page, remembered, [scene, annotator, card, told], **quiet).success(**aiming)
    return annotator


def add_review_routes(app: FastAPI, bench: Workbench) -> None:
    """Serve the pictures of cards; browsers keep them."""

    @app.get(PICTURE_ROUTE)
    def send_picture(scene: str, view: str, number: int, kind: str, side: int = 0) -> Response:
        try:
            picture = page.draw_picture(bench, scene, view, number, kind=kind, side=side)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": f"private, max-age={CACHE_S}"})
