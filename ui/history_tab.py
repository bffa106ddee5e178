"""The History page: layout and wiring only. What happens is in `ui.history_page`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.search import Filter, names_in_use
from engine.types import Decision
from ui import history_page as page
from ui.errors import shown_as_toast
from ui.history_page import Address
from ui.review_desk import ReviewDesk

ALL = ("all", "")
CHANGES: tuple[tuple[Decision | None, str, str], ...] = (
    ("same", "It is the same object", "same"),
    ("different", "They are different", "different"),
    ("unsure", "Not sure", "unsure"),
    (None, "Take this row back", "undo"),
)
DECISIONS = [ALL, ("same", "same"), ("different", "different"), ("not sure", "unsure"), ("skipped", "skip")]


def build_history_tab(demo: gr.Blocks, tab: gr.Tab, desk: ReviewDesk, annotator: gr.Textbox) -> None:
    """Lay out the page inside `tab`; `annotator` holds the name under which labels are changed."""
    chosen = gr.State(None)
    with gr.Row(elem_classes="mg-bar-row"):
        text = gr.Textbox(label="Search", placeholder="a view, a person, a row's number", elem_id="mg-history-text", scale=2)
        scene = gr.Dropdown(label="Scene", choices=[ALL], value="", elem_id="mg-history-scene")
        person = gr.Dropdown(label="Person", choices=[ALL], value="", elem_id="mg-history-person")
        decision = gr.Dropdown(label="Said", choices=DECISIONS, value="", elem_id="mg-history-decision")
        counting = gr.Checkbox(label="Only what counts now", elem_id="mg-history-counting")
    rows = gr.Dataframe(headers=page.HEADERS, label="Rows, newest first", interactive=False, max_height=320, elem_id="mg-history")
    details = gr.HTML("<p>Choose a row to see its masks and all that was said of them.</p>", elem_id="mg-history-details")
    with gr.Row():
        buttons: list[tuple[Decision | None, gr.Button]] = [
            (what, gr.Button(words, elem_id=f"mg-history-{name}", interactive=False)) for what, words, name in CHANGES
        ]
    changed = gr.Markdown(elem_id="mg-history-changed")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    filters = [text, scene, person, decision, counting]
    choice = [chosen, details, *(button for _, button in buttons)]

    def find(words: str, place: str, who: str, what: str, only: bool) -> list[list[str]]:
        wanted = Filter(place or None, who or None, _as_decision(what), words, only)
        return page.table(desk.bench, page.find(desk, wanted))

    def show(label_id: int) -> tuple[Any, ...]:
        return label_id, page.details(desk, label_id), *[gr.update(interactive=True) for _ in buttons]

    @shown_as_toast
    def select(event: gr.SelectData) -> tuple[Any, ...]:
        return show(int(event.row_value[0]))

    @shown_as_toast
    def open_page(request: gr.Request) -> tuple[Any, ...]:
        query = dict(request.query_params)
        address = page.read_address(desk.bench, query) if query.get("tab") == page.HISTORY_TAB else Address()
        scenes, people = names_in_use(desk.bench.labels.engine)
        place = address.scene if address.scene in scenes else ""
        listed = page.table(desk.bench, page.find(desk, Filter(scene=place or None)))
        told = desk.bench.labels.history(address.scene, pair=address.pair) if address.pair is not None else []
        label_id = address.label or (told[-1].id if told else None)
        opened = (
            show(label_id)
            if label_id is not None and desk.bench.labels.get(label_id) is not None
            else (None, gr.skip(), *[gr.skip() for _ in buttons])
        )
        return gr.update(choices=[ALL, *scenes], value=place), gr.update(choices=[ALL, *people], value=""), listed, *opened

    @shown_as_toast
    def refresh(*values: Any) -> tuple[Any, ...]:
        scenes, people = names_in_use(desk.bench.labels.engine)
        return gr.update(choices=[ALL, *scenes]), gr.update(choices=[ALL, *people]), find(*values)

    def changer(what: Decision | None) -> Any:
        @shown_as_toast
        def change(label_id: int | None, name: str, *values: Any) -> tuple[Any, ...]:
            new, effect = page.change(desk, label_id, what, annotator=name)
            return effect, find(*values), *show(new)

        return change

    for component in (scene, person, decision, counting):
        component.input(find, filters, rows, **quiet)
    text.submit(find, filters, rows, **quiet)
    rows.select(select, None, choice, **quiet)
    tab.select(refresh, filters, [scene, person, rows], **quiet)
    for what, button in buttons:
        button.click(changer(what), [chosen, annotator, *filters], [changed, rows, *choice], **quiet)
    demo.load(open_page, None, [scene, person, rows, *choice], **quiet)


def _as_decision(text: str) -> Decision | None:
    return text if text in ("same", "different", "unsure", "skip") else None
