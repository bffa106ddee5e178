"""The People page: layout and wiring only. What happens is in `ui.pages.people.handlers`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from db.labels.choices import MAX_INSTRUCTIONS
from engine.types import Decision
from ui.pages.people import handlers as page
from ui.services.review_service import ReviewService

SETTLE: tuple[tuple[Decision, str], ...] = (
    ("same", "The same object"),
    ("different", "Different objects"),
    ("unsure", "Cannot be told"),
)
ANY_SCRIPT = f"(key) => Array({len(SETTLE) + 1}).fill({{__type__: 'update', interactive: key !== ''}})"
SHARE = "Share of pairs that go to everybody, % (each of the others goes to one person)"


def build_people_tab(tab: gr.Tab, service: ReviewService, annotator: gr.Textbox) -> None:
    """Lay out the page inside `tab`; `annotator` holds the name under which pairs are settled."""
    at = gr.State(0)
    # The browser holds it, so it names the pair that a person sees: the list may have become another one meanwhile.
    shown_key = gr.Textbox(visible="hidden", elem_id="mg-people-key")
    gr.Markdown("Who labelled what, and **how far people agree**. A gold label settles a pair: it outweighs all others.")
    people = gr.Dataframe(headers=page.PEOPLE_HEADERS, label="People", interactive=False, elem_id="mg-people")
    words = gr.Markdown(elem_id="mg-people-kappa")
    between = gr.Dataframe(headers=page.BETWEEN_HEADERS, label="Every two people", interactive=False, elem_id="mg-people-between")
    share = gr.Slider(0, 100, step=5, value=0, label=SHARE, elem_id="mg-people-share")
    with gr.Row(elem_classes="mg-bar-row"):
        told = gr.Textbox(
            label="What people who label are told, above the pairs on Review",
            placeholder="For example: drawers of one chest are one object; cushions are not part of the sofa.",
            lines=2,
            max_lines=8,
            max_length=MAX_INSTRUCTIONS,
            elem_id="mg-people-told",
            scale=4,
        )
        tell = gr.Button("Tell them", elem_id="mg-people-tell", scale=1)
    gr.Markdown("## Pairs on which people disagree")
    shown = gr.HTML(elem_id="mg-people-shown")
    with gr.Row():
        buttons: dict[Decision, gr.Button] = {
            decision: gr.Button(text, elem_id=f"mg-settle-{decision}", interactive=False) for decision, text in SETTLE
        }
        following = gr.Button("Next one", elem_id="mg-people-next", interactive=False)
    changed = gr.Markdown(elem_id="mg-people-changed")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    pair = [at, shown_key, shown]
    outputs = [people, words, between, *pair]

    def refresh(number: int) -> tuple[Any, ...]:
        return page.show_page(service, number)

    def open_page(number: int) -> tuple[Any, ...]:
        return *refresh(number), page.overlap_share(service), page.instructions(service)

    def choose_share(percent: float) -> None:
        page.set_overlap_share(service, percent)

    def instruct(text: str) -> None:
        page.set_instructions(service, text)
        gr.Info("Everybody who labels is told so now." if text.strip() else "Nothing is told to those who label now.")

    def settler(decision: Decision) -> Any:
        def settle(key: str, number: int, name: str) -> tuple[Any, ...]:
            effect = page.settle(service, key, decision, annotator=name)
            return *refresh(number), effect

        return settle

    def show_next(number: int) -> tuple[int, str, str]:
        return page.show_disagreement(service, number + 1)

    tab.select(open_page, at, [*outputs, share, told], **quiet)
    tell.click(instruct, told, None, **quiet)
    # What the slider is moved to while its last value is being saved counts too.
    share.release(choose_share, share, None, trigger_mode="always_last", **quiet)
    # Without a pair there is nothing to settle.
    settling = [*buttons.values(), following]
    shown_key.change(None, shown_key, settling, js=ANY_SCRIPT, **quiet)
    following.click(show_next, at, pair, **quiet)
    for decision, button in buttons.items():
        settled = button.click(settler(decision), [shown_key, at, annotator], [*outputs, changed], **quiet)
        # Somebody else has settled the pair: the page still shows it.
        settled.failure(refresh, at, outputs, trigger_mode="always_last", **quiet)
