"""The parts of the Scenes page, each as its components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.components import Component

from engine.scenes.scene_settings import MAX_TITLE
from ui.pages.scenes import handlers as page
from ui.services.scene_imports import SceneImports

POLL_S = 0.5
FOLDER = Path(__file__).parent
INTRODUCTION = "Bring **your own scene**, look at what was understood of it, then judge its pairs or group it in 3D."
LINKS_SCRIPT = (FOLDER / "links.js").read_text(encoding="utf-8")
CARDS_SCRIPT = LINKS_SCRIPT + (FOLDER / "cards.js").read_text(encoding="utf-8")
DETAILS_SCRIPT = (FOLDER / "details.js").read_text(encoding="utf-8")
DROP_SCRIPT = (FOLDER / "drop.js").read_text(encoding="utf-8")
IMPORTS_SCRIPT = (
    LINKS_SCRIPT
    + """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (button) trigger('act', { what: button.dataset.act, number: Number(button.dataset.import) });
});"""
)


@dataclass(frozen=True)
class BringSection:
    """Where scenes come in.

    Attributes:
        called: What the next scene is to be called; may be empty.
        drop: Takes files from the browser.
        path: A folder or zip on the server, hidden where no folder of it is open for that.
        take: Imports it.
        imports: Where imports stand.
    """

    called: gr.Textbox
    drop: gr.HTML
    path: gr.Textbox
    take: gr.Button
    imports: gr.HTML


@dataclass(frozen=True)
class DetailsSection:
    """One scene, and what can be done with it.

    Attributes:
        chosen: Its name, "" where none is shown; the browser holds it, so it is what a person sees.
        box: All of this section.
        shown: Pictures and findings.
        changing: What only imported scenes have.
        title: What it is called.
        rename: Calls it so.
        remove: Asks whether to remove it.
        asking: The question, and the two answers.
        question: The question.
        confirm: Yes.
        keep: No.
        asked_of: The scene that the question is about.
        close: Shows no scene.
    """

    chosen: gr.Textbox
    box: gr.Column
    shown: gr.HTML
    changing: gr.Row
    title: gr.Textbox
    rename: gr.Button
    remove: gr.Button
    asking: gr.Row
    question: gr.Textbox
    confirm: gr.Button
    keep: gr.Button
    asked_of: gr.Textbox
    close: gr.Button

    def outputs(self) -> list[Component]:
        """Return what follows the chosen scene, in the order of `SceneActions.show_chosen`."""
        rows: list[Component] = [self.box, self.changing, self.asking]  # pyright: ignore[reportAssignmentType]  # gradio: blocks too
        return [self.chosen, self.title, *rows]


@dataclass(frozen=True)
class ScenesPage:
    """The page's parts.

    Attributes:
        was_open: Whether the page was opened before: what its address says counts the first time.
        told: The imports of which a toast was shown, or need not be.
        drawn: What the list, the imports and the details show, so that they are not drawn again without need.
    """

    was_open: gr.State
    told: gr.State
    drawn: gr.State
    bring: BringSection
    details: DetailsSection
    cards: gr.HTML
    timer: gr.Timer

    def outputs(self) -> list[Component]:
        """Return what follows imports and scenes, in the order of `SceneActions.show_news`."""
        return [self.told, self.drawn, self.bring.imports, self.cards, self.details.shown, self.timer]


def lay_out_page(imports: SceneImports, *, max_bytes: int) -> ScenesPage:
    """Lay out the whole page."""
    states = [gr.State(False), gr.State(frozenset()), gr.State(None)]
    timer = gr.Timer(POLL_S, active=False)
    # The editor of masks, which stands above, takes the place of all this while it is open.
    with gr.Column(elem_id="mg-scenes-all"):
        gr.Markdown(INTRODUCTION)
        bring = _lay_out_bring(imports, max_bytes)
        details = _lay_out_details()
        cards = gr.HTML(js_on_load=CARDS_SCRIPT, elem_id="mg-scene-list")
    return ScenesPage(states[0], states[1], states[2], bring, details, cards, timer)


def _lay_out_bring(imports: SceneImports, max_bytes: int) -> BringSection:
    drop = gr.HTML(page.show_drop(max_bytes), js_on_load=DROP_SCRIPT, elem_id="mg-scene-drop", label="Bring a scene")
    called = gr.Textbox(
        label="What to call the scene you bring",
        info="May be left empty: then it is called as its folder, zip or video.",
        max_lines=1,
        max_length=MAX_TITLE,
        elem_id="mg-scene-called",
    )
    with gr.Row(elem_classes="mg-bar-row", visible=bool(imports.roots)):
        path = gr.Textbox(
            label="Or a folder, zip or video on the server",
            info="Below " + " or ".join(map(str, imports.roots)),
            max_lines=1,
            elem_id="mg-scene-path",
            scale=4,
        )
        take = gr.Button("Import", elem_id="mg-scene-take", scale=1)
    return BringSection(called, drop, path, take, gr.HTML(js_on_load=IMPORTS_SCRIPT, elem_id="mg-scene-imports"))


def _lay_out_details() -> DetailsSection:
    chosen = gr.Textbox(visible="hidden", elem_id="mg-scene-chosen")
    asked_of = gr.Textbox(visible="hidden", elem_id="mg-scene-asked-of")
    with gr.Column(visible=False, elem_id="mg-scene-details") as box:
        shown = gr.HTML(js_on_load=DETAILS_SCRIPT, elem_id="mg-scene-shown")
        with gr.Row(elem_classes="mg-bar-row", visible=False) as changing:
            title = gr.Textbox(label="Called", max_lines=1, max_length=MAX_TITLE, elem_id="mg-scene-title", scale=3)
            rename = gr.Button("Rename", elem_id="mg-scene-rename", min_width=110)
            remove = gr.Button("Remove …", elem_id="mg-scene-remove", min_width=110)
        with gr.Row(elem_classes="mg-bar-row", visible=False) as asking:
            question = gr.Textbox(label="Remove?", interactive=False, lines=2, elem_id="mg-scene-question", scale=3)
            confirm = gr.Button("Remove it", variant="stop", elem_id="mg-scene-confirm", min_width=110)
            keep = gr.Button("Keep it", elem_id="mg-scene-keep", min_width=110)
        close = gr.Button("Close the details", elem_id="mg-scene-close", size="sm", scale=0)
    return DetailsSection(
        chosen=chosen,
        box=box,
        shown=shown,
        changing=changing,
        title=title,
        rename=rename,
        remove=remove,
        asking=asking,
        question=question,
        confirm=confirm,
        keep=keep,
        asked_of=asked_of,
        close=close,
    )
