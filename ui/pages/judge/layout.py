"""The parts of the Judge page, each as its components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import gradio as gr
from gradio.components import Component

from engine.types import Decision
from ui.components.left_out import left_out_list
from ui.components.wording import ASKING_HTML
from ui.pages.judge.heat import legend_html
from ui.services.workbench import Workbench
from ui.stores.blind_votes import Ballot
from ui.view3d.plotly_view import PLOTLY_ROUTE, ROOM_TEMPLATE, VIEW_SCRIPT

SideName = Literal["a", "b"]
SIDES: tuple[tuple[SideName, str], ...] = (("a", "left"), ("b", "right"))
LABELS: tuple[tuple[Decision, str, str, Literal["primary", "secondary"]], ...] = (
    ("same", "Same", "s", "primary"),
    ("different", "Different", "d", "primary"),
    ("unsure", "Not sure", "u", "secondary"),
    ("skip", "Skip", "k", "secondary"),
)
BALLOTS: tuple[tuple[Ballot, str], ...] = (
    ("left", "Model 1 is right  [1]"),
    ("right", "Model 2 is right  [2]"),
    ("both", "Both  [3]"),
    ("neither", "Neither  [4]"),
)
INTRODUCTION = (
    "Pick a mask in each view by clicking it. The model says whether the two are **the same object**; tell it when it is wrong."
)
POINT_HINT = (
    "<p><b>The room in 3D.</b> Both picked masks are lit, both cameras drawn. Drag to turn, scroll to zoom, "
    "click a point to see which instance it is.</p>"
)


@dataclass(frozen=True)
class Memory:
    """What the page remembers.

    Attributes:
        choice: The picked pair.
        shown_at: When it was shown, seconds since 1970.
        saved_here: Numbers of the labels that this page has saved.
        duel: Who answers.
        given: The answer that was given last.
        proposed: A pair that was looked for.
        shown_pair: From here on hidden in the page, these say what is on the screen; a state may already be one pair ahead of it.
            The pair's address.
        shown_duel: The duel's token.
        shown_answer: The token of the verdicts.
        answered: An answer for the page's script to take.
        saved_row: Number of the label that the page names.
        told: Ground truth, and `told_of`, the pair that it is about.
    """

    choice: gr.State
    shown_at: gr.State
    saved_here: gr.State
    duel: gr.State
    given: gr.State
    proposed: gr.State
    shown_pair: gr.Textbox
    shown_duel: gr.Textbox
    shown_answer: gr.Textbox
    answered: gr.Textbox
    saved_row: gr.Textbox
    told: gr.Textbox
    told_of: gr.Textbox


@dataclass(frozen=True)
class TopBar:
    """What stands above the views."""

    scene: gr.Dropdown
    annotator: gr.Textbox
    next: gr.Button
    swap: gr.Button
    left_out: gr.HTML


@dataclass(frozen=True)
class ViewPart:
    """One view with its choices.

    Attributes:
        pictures: What folds `gallery`, the views to choose from, away.
    """

    view: gr.Dropdown
    mask: gr.Dropdown
    image: gr.Image
    gallery: gr.Gallery
    pictures: gr.Accordion


@dataclass(frozen=True)
class ModelsPart:
    """Who answers, and where they look."""

    first: gr.Dropdown
    second: gr.Dropdown
    is_blind: gr.Checkbox
    heat: gr.Gallery
    show_heat: gr.Button


@dataclass(frozen=True)
class AnswerPart:
    """What a person says, and what the models say.

    Attributes:
        ballots: The row of `votes`.
    """

    labels: dict[Decision, gr.Button]
    saved: gr.Markdown
    undo: gr.Button
    ballots: gr.Row
    votes: dict[Ballot, gr.Button]
    verdict: gr.HTML
    score: gr.HTML


@dataclass(frozen=True)
class RoomPart:
    """The room in 3D, and what is known of the scene."""

    room: gr.HTML
    point: gr.HTML
    show_truth: gr.Button
    truth: gr.HTML
    latest: gr.Markdown


@dataclass(frozen=True)
class JudgePage:
    """The page's parts; views and crops by their side."""

    memory: Memory
    top: TopBar
    views: dict[SideName, ViewPart]
    crops: dict[SideName, gr.Image]
    models: ModelsPart
    answer: AnswerPart
    below: RoomPart

    def asked(self) -> list[Component]:
        """Return what decides who is asked what."""
        return [self.memory.choice, self.models.first, self.models.second, self.models.is_blind]

    def verdicts(self) -> list[Component]:
        """Return the verdict and what names it."""
        return [self.answer.verdict, self.memory.shown_duel, self.memory.shown_answer]

    def pick_outputs(self) -> list[Component]:
        """Return what follows the picked pair, in the order of `JudgeActions.show`."""
        memory = self.memory
        sides = [part for side, _ in SIDES for part in (self.views[side].image, self.views[side].mask, self.crops[side])]
        chosen = [self.views[side].view for side, _ in SIDES]
        return [memory.choice, memory.shown_at, memory.shown_pair, self.below.truth, *self.verdicts(), *sides, *chosen]

    def scene_outputs(self) -> list[Component]:
        """Return what follows the scene, in the order of `JudgeActions.show_scene`."""
        pictures: list[Component] = [self.views[side].pictures for side, _ in SIDES]  # pyright: ignore[reportAssignmentType]
        return [self.top.scene, *pictures, self.below.latest, *self.pick_outputs()]


def lay_out_page(bench: Workbench) -> JudgePage:
    """Lay out the whole page."""
    memory = _lay_out_memory()
    gr.Markdown(INTRODUCTION)
    top = _lay_out_top(bench)
    views: dict[SideName, ViewPart] = {}
    with gr.Row(equal_height=False, elem_classes="mg-judge"):
        with gr.Column(scale=2, min_width=320, elem_classes="mg-judge-apart"):
            with gr.Row(equal_height=False, elem_classes="mg-judge-apart"):
                for side, word in SIDES:
                    with gr.Column(min_width=300, elem_classes=f"mg-side-{side} mg-judge-apart"):
                        views[side] = _lay_out_view(side, word)
            models = _lay_out_models()
        with gr.Column(scale=1, min_width=340, elem_classes="mg-judge-answer"):
            with gr.Row(elem_classes="mg-crops"):
                crops: dict[SideName, gr.Image] = {side: _lay_out_crop(side, word) for side, word in SIDES}
            answer = _lay_out_answer()
    return JudgePage(memory, top, views, crops, models, answer, _lay_out_below())


def _lay_out_memory() -> Memory:
    choice, duel, given, proposed = (gr.State(None) for _ in range(4))
    shown_at, saved_here = gr.State(0.0), gr.State(())
    names = ("shown", "duel", "answer", "answered", "saved-row", "told", "told-of")
    hidden = [gr.Textbox(visible="hidden", elem_id=f"mg-judge-{name}") for name in names]
    return Memory(choice, shown_at, saved_here, duel, given, proposed, *hidden)


def _lay_out_top(bench: Workbench) -> TopBar:
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=bench.scene_choices(), elem_id="mg-scene", scale=2)
        annotator = gr.Textbox(label="Your name", max_lines=1, max_length=80, elem_id="mg-annotator", scale=1)
        following = gr.Button("Next pair  [N]", elem_id="mg-next", scale=1)
        swap = gr.Button("Swap sides  [X]", elem_id="mg-swap", scale=1)
    return TopBar(scene, annotator, following, swap, gr.HTML(left_out_list(bench), elem_id="mg-left-out"))


def _lay_out_view(side: SideName, word: str) -> ViewPart:
    with gr.Row(elem_classes="mg-judge-chooser"):
        view = gr.Dropdown(label=f"View ({word})", elem_id=f"mg-view-{side}", min_width=90)
        mask = gr.Dropdown(label=f"Mask ({word})", elem_id=f"mg-mask-{side}", min_width=170, scale=2)
    image = gr.Image(
        label=f"Click a mask in the {word} view",
        format="jpeg",
        interactive=False,
        buttons=["fullscreen"],
        elem_id=f"mg-image-{side}",
        alt_text=f"The {word} view; the picked mask is outlined",
    )
    with gr.Accordion("Choose another view by picture", open=False) as pictures:
        gallery = gr.Gallery(
            columns=4, height=220, allow_preview=False, show_label=False, format="jpeg", buttons=[], elem_id=f"mg-gallery-{side}"
        )
    return ViewPart(view, mask, image, gallery, pictures)


def _lay_out_crop(side: SideName, word: str) -> gr.Image:
    return gr.Image(
        label=f"{word.capitalize()} crop",
        format="png",
        interactive=False,
        buttons=[],
        height=150,
        min_width=140,
        elem_id=f"mg-crop-{side}",
        alt_text=f"The picked {word} mask, cut out on black",
    )


def _lay_out_models() -> ModelsPart:
    with gr.Row(elem_classes="mg-bar-row"):
        first = gr.Dropdown(label="Model", elem_id="mg-model", min_width=120)
        second = gr.Dropdown(label="Compared with", elem_id="mg-rival", min_width=120)
        info = "names hidden, sides shuffled: you vote, then see"
        is_blind = gr.Checkbox(label="Blind test", info=info, elem_id="mg-blind", min_width=160)
    with gr.Accordion("Where do they look?", open=False, elem_id="mg-heat-box"):
        gr.HTML(legend_html())
        heat = gr.Gallery(columns=4, height=230, allow_preview=False, show_label=False, format="png", buttons=[], elem_id="mg-heat")
        show_heat = gr.Button("Show where each model looks", size="sm", elem_id="mg-show-heat")
    return ModelsPart(first, second, is_blind, heat, show_heat)


def _lay_out_answer() -> AnswerPart:
    # The buttons stand above what changes its height, so that none is under the mouse that was not there before.
    with gr.Row(elem_classes="mg-labels"):
        labels: dict[Decision, gr.Button] = {
            decision: gr.Button(f"{word}  [{key.upper()}]", variant=variant, elem_id=f"mg-{decision}", min_width=150, size="md")
            for decision, word, key, variant in LABELS
        }
    with gr.Row(elem_classes="mg-saved-row"):
        saved = gr.Markdown("Nothing saved yet.", elem_id="mg-saved")
        undo = gr.Button("Undo  [Z]", size="sm", elem_id="mg-undo", min_width=90, scale=0, interactive=False)
    with gr.Row(elem_classes="mg-labels", visible=False) as ballots:
        votes: dict[Ballot, gr.Button] = {
            ballot: gr.Button(words, elem_id=f"mg-vote-{ballot}", min_width=150, size="md") for ballot, words in BALLOTS
        }
    verdict = gr.HTML(ASKING_HTML, elem_id="mg-verdict")
    return AnswerPart(labels, saved, undo, ballots, votes, verdict, gr.HTML(elem_id="mg-score"))


def _lay_out_below() -> RoomPart:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            room = gr.HTML(
                html_template=ROOM_TEMPLATE,
                js_on_load=VIEW_SCRIPT,
                head=f'<script src="{PLOTLY_ROUTE[1:]}"></script>',
                elem_id="mg-room",
                label="The room in 3D",
            )
        with gr.Column(scale=1, min_width=320):
            point = gr.HTML(POINT_HINT, elem_id="mg-point")
            with gr.Accordion("What is true? (ground truth)", open=False, elem_id="mg-truth-box"):
                show_truth = gr.Button("Show the ground truth of this pair", size="sm", elem_id="mg-show-truth")
                truth = gr.HTML(elem_id="mg-truth")
            with gr.Accordion("Latest labels of this scene", open=False):
                latest = gr.Markdown(elem_id="mg-latest")
    return RoomPart(room, point, show_truth, truth, latest)
