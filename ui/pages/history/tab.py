"""The History page: layout and wiring only. What happens is in `ui.pages.history.handlers`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.labels.rows import DECISIONS
from db.labels.search import Filter, names_in_use
from engine.types import Decision
from ui.components.typed import row_number
from ui.pages.history import handlers as page
from ui.pages.history.handlers import PairAddress
from ui.services.review_service import ReviewService
from ui.web.gradio_parts import leave_as_is, read_query

ALL = ("all", "")
CHANGES: tuple[tuple[Decision | None, str, str], ...] = (
    ("same", "It is the same object", "same"),
    ("different", "They are different", "different"),
    ("unsure", "Not sure", "unsure"),
    (None, "Take this row back", "undo"),
)
# From the click on a row until its details are there, nothing can be said: it would be said of the row before. The clicks are
# counted, so that the details of an earlier one do not end this.
WAIT_SCRIPT = f"""() => {{
    window.mgHistoryAwaited = (window.mgHistoryAwaited || 0) + 1;
    return Array({len(CHANGES)}).fill({{__type__: 'update', interactive: false}});
}}"""
GO_ON_SCRIPT = f"""(row) => {{
    window.mgHistoryAwaited = Math.max(0, (window.mgHistoryAwaited || 0) - 1);
    return Array({len(CHANGES)}).fill({{__type__: 'update', interactive: row !== '' && window.mgHistoryAwaited === 0}});
}}"""
SAID = [ALL, ("same", "same"), ("different", "different"), ("not sure", "unsure"), ("skipped", "skip")]


def build_history_tab(tab: gr.Tab, service: ReviewService, annotator: gr.Textbox) -> None:
    """Lay out the page inside `tab`; `annotator` holds the name under which labels are changed."""
    # What the page's address says counts when the tab is opened first.
    is_open = gr.State(False)
    # Whoever wants the rows listed anew writes another number here: one listener lists them, so the last filters win.
    stale = gr.Textbox("0", visible="hidden", elem_id="mg-history-stale")
    # The browser holds it, so it is the number of the row whose details a person sees.
    shown_row = gr.Textbox(visible="hidden", elem_id="mg-history-row")
    with gr.Row(elem_classes="mg-bar-row"):
        text = gr.Textbox(label="Search", placeholder="a view, a person, a row's number", elem_id="mg-history-text", scale=2)
        scene = gr.Dropdown(label="Scene", choices=[ALL], value="", elem_id="mg-history-scene")
        person = gr.Dropdown(label="Person", choices=[ALL], value="", elem_id="mg-history-person")
        decision = gr.Dropdown(label="Said", choices=SAID, value="", elem_id="mg-history-decision")
        counting = gr.Checkbox(label="Only what counts now", elem_id="mg-history-counting")
    rows = gr.Dataframe(headers=page.HEADERS, label="Rows, newest first", interactive=False, max_height=320, elem_id="mg-history")
    details = gr.HTML("<p>Choose a row to see its masks and all that was said of them.</p>", elem_id="mg-history-details")
    with gr.Row():
        buttons: list[tuple[Decision | None, gr.Button]] = [
            (what, gr.Button(words, elem_id=f"mg-history-{name}", interactive=False)) for what, words, name in CHANGES
        ]
    changed = gr.Markdown(elem_id="mg-history-changed")
    # One queue for the whole page: answers come in the order in which they were asked for, so the last one is of the last click.
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_id": "history",
        "concurrency_limit": 1,
    }
    filters = [text, scene, person, decision, counting]
    says = [button for _, button in buttons]

    def find(words: str | None, place: str, who: str, what: str, only: bool) -> list[list[str]]:
        # A box that nobody has seen yet holds None.
        wanted = Filter(place or None, who or None, _as_decision(what), words or "", only)
        return page.table(service.bench, page.find(service, wanted))

    def show(label_id: int) -> tuple[str, str]:
        return str(label_id), page.details(service, label_id)

    def select(event: gr.SelectData) -> tuple[str, str]:
        return show(int(event.row_value[0]))

    def open_tab(request: gr.Request, was_open: bool) -> list[Any]:
        scenes, people = names_in_use(service.bench.labels.database)
        query = read_query(request)
        named = not was_open and query.get("tab") == page.HISTORY_TAB
        address = page.read_address(service.bench, query) if named else PairAddress()
        told = service.bench.labels.history(address.scene, pair=address.pair) if address.pair is not None else []
        label_id = address.label or (told[-1].id if told else None)
        opened: list[Any] = [leave_as_is()] * (2 + len(says))
        if label_id is not None and service.bench.labels.get(label_id) is not None:
            opened = [*show(label_id), *[gr.update(interactive=True) for _ in says]]
        # What somebody has chosen stays chosen.
        place: dict[str, Any] = {"value": address.scene} if address.scene in scenes else {}
        return [True, gr.update(choices=[ALL, *scenes], **place), gr.update(choices=[ALL, *people]), *opened]

    def changer(what: Decision | None) -> Any:
        def change(row: str, name: str) -> tuple[str, str, str]:
            new, effect = page.change(service, row_number(row), what, annotator=name)
            return effect, *show(new)

        return change

    # One listener for all filters: it never runs twice at once, and a filter changed meanwhile is looked at afterwards.
    choosing = [*(chooser.input for chooser in filters[1:]), text.submit, stale.change]
    gr.on(choosing, find, filters, rows, trigger_mode="always_last", **quiet)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
    rows.select(None, None, says, js=WAIT_SCRIPT, **quiet)
    # Every row that is clicked is asked for: of a click dropped or put off, the row would not be known any more.
    selected = rows.select(select, None, [shown_row, details], trigger_mode="multiple", **quiet)
    selected.then(None, shown_row, says, js=GO_ON_SCRIPT, **quiet)
    listed_anew = [tab.select(open_tab, is_open, [is_open, scene, person, shown_row, details, *says], **quiet)]
    for what, button in buttons:
        listed_anew.append(button.click(changer(what), [shown_row, annotator], [changed, shown_row, details], **quiet))
    for done in listed_anew:
        done.success(None, stale, stale, js="(number) => String(Number(number) + 1)", **quiet)


def _as_decision(text: str) -> Decision | None:
    return text if text in DECISIONS else None
