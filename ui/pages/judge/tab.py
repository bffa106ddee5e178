"""The Judge page: layout and wiring only. What happens on each click is in `ui.pages.judge.handlers`."""

from __future__ import annotations

import time
from typing import Any, Literal

import gradio as gr

from engine.errors import MaskgroupError
from engine.strict_json import to_json_text
from engine.types import Decision
from ui.components.left_out import left_out_list
from ui.components.wording import ASKING_HTML
from ui.errors import shown_as_toast
from ui.pages.judge import duel as duels
from ui.pages.judge import handlers as page
from ui.pages.judge.duel import Answer, Duel
from ui.pages.judge.handlers import Choice
from ui.pages.judge.heat import LEGEND, HeatmapCache
from ui.services.workbench import Workbench
from ui.stores.blind_votes import Ballot, VoteBox
from ui.view3d.plotly_view import PLOTLY_ROUTE, ROOM_TEMPLATE, VIEW_SCRIPT
from ui.web.permissions import undo_label

MAX_UNDO = 100
"""Labels saved by one page that it can take back."""
MODEL = "model"
"""All handlers that may run the model share this queue, so that one runs at a time."""
CHOOSING: dict[str, Any] = {"concurrency_id": "judge-choice", "concurrency_limit": 1}
"""All handlers that read and write the picked pair take turns: two at once would lose what one of them picked."""
SAVING: dict[str, Any] = {"concurrency_id": "judge-label", "concurrency_limit": 1}
"""So do saving and undoing: what is undone is the label saved last."""
SAME_PAIR_SCRIPT = "(told, of, shown) => of === shown ? told : ''"
BLANK_SCRIPT = f"() => [{to_json_text(ASKING_HTML)}, '', '']"
"""Runs in the browser with the click: no verdict stands beside a pair or a model that it is not about."""
# An answer may come late: when another pair or model is chosen by then, its own answer follows.
TAKE_SCRIPT = """(told, shown, model, rival, blind) => {
  const same = {__type__: 'update'};
  const got = told ? JSON.parse(told) : {};
  if (got.question !== [shown, model ?? '', rival ?? '', String(Boolean(blind))].join('\\n')) return Array({count}).fill(same);
  const ballot = {...same, interactive: got.can_vote};
  return [got.verdict, got.duel, got.answer, got.room, got.score, null, {...same, visible: got.is_blind}, ...Array(4).fill(ballot)];
}"""
SAVING_SCRIPT = "() => ['Saving …', '', {__type__: 'update', interactive: false}]"
NOT_SAVED_SCRIPT = "() => 'Not saved: see the message, look at the pair, then answer again.'"

BUTTONS: tuple[tuple[Decision, str, str, Literal["primary", "secondary"]], ...] = (
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

KEYS_SCRIPT = """
const keys = {
  s: 'same', d: 'different', u: 'unsure', k: 'skip', n: 'next', x: 'swap', z: 'undo',
  1: 'vote-left', 2: 'vote-right', 3: 'vote-both', 4: 'vote-neither',
};
document.addEventListener('keydown', (event) => {
  const at = event.target;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyped = ['INPUT', 'TEXTAREA', 'SELECT'].includes(at.tagName) && at.type !== 'checkbox';
  if (isTyped || at.isContentEditable) return;
  const name = keys[event.key.toLowerCase()];
  const button = name && document.getElementById('mg-' + name);
  if (button && button.offsetParent !== null) { event.preventDefault(); button.click(); }
});
"""


PROGRESS = gr.Progress()
"""Gradio fills it in where a handler has it as a default."""
NOBODY = ("no other model yet", "")
SIDES = (("a", "left"), ("b", "right"))
HIDDEN = ("shown", "duel", "answer", "answered", "saved-row", "told", "told-of")
POINT_HINT = (
    "<p><b>The room in 3D.</b> Both picked masks are lit, both cameras drawn. Drag to turn, scroll to zoom, "
    "click a point to see which instance it is.</p>"
)


def build_judge_tab(demo: gr.Blocks, bench: Workbench, votes: VoteBox, *, remembered: gr.BrowserState) -> None:
    """Lay out the page inside `demo`, in whose context this is called, and wire it to the workbench."""
    heats = HeatmapCache(bench)
    choice = gr.State(None)
    shown_at = gr.State(0.0)
    saved_here = gr.State(())
    duel, given = gr.State(None), gr.State(None)
    proposed = gr.State(None)
    # Hidden in the page, these say what is on the screen; a state may already be one pair ahead of it.
    shown_pair, shown_duel, shown_answer, answered, saved_row, told, told_of = (
        gr.Textbox(visible="hidden", elem_id=f"mg-judge-{name}") for name in HIDDEN
    )
    gr.HTML(js_on_load=KEYS_SCRIPT, visible="hidden")

    gr.Markdown(
        "Pick a mask in each view by clicking it. The model says whether the two are **the same object**; tell it when it is wrong."
    )
    with gr.Row(elem_classes="mg-bar-row"):
        scene = gr.Dropdown(label="Scene", choices=bench.scene_names(), elem_id="mg-scene", scale=2)
        annotator = gr.Textbox(label="Your name", max_lines=1, max_length=80, elem_id="mg-annotator", scale=1)
        next_button = gr.Button("Next pair  [N]", elem_id="mg-next", scale=1)
        swap_button = gr.Button("Swap sides  [X]", elem_id="mg-swap", scale=1)

    left_out = gr.HTML(left_out_list(bench), elem_id="mg-left-out")

    @shown_as_toast
    def list_left_out() -> str:
        return left_out_list(bench)

    demo.load(list_left_out, None, left_out, show_progress="hidden", api_visibility="private")

    sides: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            with gr.Row(equal_height=False):
                for side, word in SIDES:
                    with gr.Column(min_width=300, elem_classes=f"mg-side-{side}"):
                        sides[side].update(_lay_out_side(side, word))
            with gr.Row(elem_classes="mg-bar-row"):
                first = gr.Dropdown(label="Model", elem_id="mg-model", min_width=120)
                second = gr.Dropdown(label="Compared with", elem_id="mg-rival", min_width=120)
                is_blind = gr.Checkbox(
                    label="Blind test",
                    info="names hidden, sides shuffled: you vote, then see",
                    elem_id="mg-blind",
                    min_width=160,
                )
            with gr.Accordion("Where do they look?", open=False, elem_id="mg-heat-box"):
                gr.HTML(LEGEND)
                heat = gr.Gallery(
                    columns=4, height=230, allow_preview=False, show_label=False, format="png", buttons=[], elem_id="mg-heat"
                )
                heat_button = gr.Button("Show where each model looks", size="sm", elem_id="mg-show-heat")
        with gr.Column(scale=1, min_width=340):
            with gr.Row(elem_classes="mg-crops"):
                for side, word in SIDES:
                    sides[side]["crop"] = gr.Image(
                        label=f"{word.capitalize()} crop",
                        format="png",
                        interactive=False,
                        buttons=[],
                        height=150,
                        min_width=140,
                        elem_id=f"mg-crop-{side}",
                        alt_text=f"The picked {word} mask, cut out on black",
                    )
            # The buttons stand above what changes its height, so that none is under the mouse that was not there before.
            with gr.Row(elem_classes="mg-labels"):
                label_buttons: dict[Decision, gr.Button] = {
                    decision: gr.Button(
                        f"{word}  [{key.upper()}]", variant=variant, elem_id=f"mg-{decision}", min_width=150, size="md"
                    )
                    for decision, word, key, variant in BUTTONS
                }
            with gr.Row(elem_classes="mg-saved-row"):
                saved = gr.Markdown("Nothing saved yet.", elem_id="mg-saved")
                undo_button = gr.Button("Undo  [Z]", size="sm", elem_id="mg-undo", min_width=90, scale=0, interactive=False)
            with gr.Row(elem_classes="mg-labels", visible=False) as ballots:
                vote_buttons: dict[Ballot, gr.Button] = {
                    ballot: gr.Button(words, elem_id=f"mg-vote-{ballot}", min_width=150, size="md") for ballot, words in BALLOTS
                }
            verdict = gr.HTML(ASKING_HTML, elem_id="mg-verdict")
            score = gr.HTML(elem_id="mg-score")

    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            room = gr.HTML(
                html_template=ROOM_TEMPLATE,
                js_on_load=VIEW_SCRIPT,
                head=f'<script src="{PLOTLY_ROUTE}"></script>',
                elem_id="mg-room",
                label="The room in 3D",
            )
        with gr.Column(scale=1, min_width=320):
            point = gr.HTML(POINT_HINT, elem_id="mg-point")
            with gr.Accordion("What is true? (ground truth)", open=False, elem_id="mg-truth-box"):
                truth_button = gr.Button("Show the ground truth of this pair", size="sm", elem_id="mg-show-truth")
                truth = gr.HTML(elem_id="mg-truth")
            with gr.Accordion("Latest labels of this scene", open=False):
                latest = gr.Markdown(elem_id="mg-latest")

    side_outputs = {side: [parts[name] for name in ("image", "mask", "crop")] for side, parts in sides.items()}
    pick_outputs = [
        choice,
        shown_at,
        shown_pair,
        truth,
        verdict,
        shown_duel,
        shown_answer,
        *side_outputs["a"],
        *side_outputs["b"],
        sides["a"]["view"],
        sides["b"]["view"],
    ]

    def show(current: Choice, *changed: str) -> list[Any]:
        """Give the values of `pick_outputs`; sides that did not change are left as they are."""
        values: list[Any] = [current, time.time(), page.permalink(bench, current), "", ASKING_HTML, "", ""]
        for side in ("a", "b"):
            if side not in changed:
                values += [gr.skip()] * 3
                continue
            screen = page.show_side(bench, current, side)
            values += [screen.picture, gr.update(choices=screen.choices, value=screen.mask), screen.crop]
        values += [gr.skip() if "a" not in changed else current.view_a, gr.skip() if "b" not in changed else current.view_b]
        return values

    unchanged = [gr.skip()] * len(pick_outputs)

    verdicts = [verdict, shown_duel, shown_answer]
    asked = [choice, first, second, is_blind]
    taken = [*verdicts, room, score, heat, ballots, *vote_buttons.values()]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    choosing, saving = quiet | CHOOSING, quiet | SAVING

    def show_answer(current: Choice, model: str, rival: str, blind: bool, dealt: Duel) -> list[Any]:
        """Give the values of `duel`, `given` and, for the page's script to take if the page still asks for it, `answered`."""
        says = duels.answer(bench, current, dealt)
        values = {
            "question": duels.question(bench, current, model, rival, is_blind=blind),
            "verdict": says.html,
            "duel": dealt.token,
            "answer": says.token,
            "room": page.show_room(bench, current)[0],
            "score": duels.show_score(votes, model, rival) if dealt.is_blind else "",
            "is_blind": dealt.is_blind,
            "can_vote": dealt.is_open,
        }
        return [dealt, says, to_json_text(values)]

    def answer(current: Choice | None, model: str, rival: str, blind: bool, before: Duel | None) -> list[Any]:
        if current is None:
            return [None, None, ""]
        return show_answer(current, model, rival, blind, duels.deal_again(before, current, model, rival, is_blind=blind))

    def take_after(event: Any) -> None:
        """Show an answer, unless the page asks another question by now."""
        event.success(None, [answered, shown_pair, *asked[1:]], taken, js=TAKE_SCRIPT.replace("{count}", str(len(taken))), **quiet)

    def ask_after(follow: Any) -> None:
        """Ask the models once `follow` (an event's `then`, `success` or `failure`) comes."""
        take_after(
            follow(
                answer,
                [*asked, duel],
                [duel, given, answered],
                concurrency_id=MODEL,
                concurrency_limit=1,
                # A pair picked while the model still answers about the one before must not stay without its answer.
                trigger_mode="always_last",
                **quiet,
            )
        )

    def blank(event: Any) -> None:
        """Take the verdict away in the browser itself, at once."""
        event(None, None, verdicts, js=BLANK_SCRIPT, **quiet)

    def pick_after(event: Any, handler: Any, inputs: Any, outputs: list[Any]) -> None:
        """Change what is picked, then ask the models; where nothing changed, or nothing could, their answer comes back."""
        blank(event)
        ask_after(event(handler, inputs, outputs, **choosing).then)

    @shown_as_toast
    def open_page(request: gr.Request, name: str) -> list[Any]:
        current = page.first_choice(bench, dict(request.query_params))
        models = bench.judges.names()
        rivals = models[1:]
        # The gallery of a comparison opens a pair with the two models that were compared.
        model, rival = page.models_of(bench, dict(request.query_params))
        return [
            *show_scene(current),
            name,
            gr.update(choices=models, value=model),
            gr.update(choices=[*models] if rivals else [NOBODY], value=rival or NOBODY[1], interactive=bool(rivals)),
            gr.update(interactive=bool(rivals)),
        ]

    def show_scene(current: Choice) -> list[Any]:
        views = list(bench.views(current.scene))
        values = show(current, "a", "b")
        values[-2:] = [gr.update(choices=views, value=current.view_a), gr.update(choices=views, value=current.view_b)]
        return [current.scene, *[gr.update(open=False)] * 2, list_latest(current.scene), *values]

    def list_latest(name: str) -> str:
        labels = [entry for entry in bench.labels.latest(10, scene=name)]
        return "\n".join(f"- {page.describe_label(bench, entry)}" for entry in labels) or "None yet."

    scene_outputs = [scene, sides["a"]["pictures"], sides["b"]["pictures"], latest, *pick_outputs]

    @shown_as_toast
    def change_scene(current: Choice, name: str) -> list[Any]:
        # A dropdown also tells that it was left without a change.
        if name == current.scene:
            return [gr.skip()] * len(scene_outputs)
        return show_scene(page.next_choice(bench, name))

    @shown_as_toast
    def propose(current: Choice, model: str, rival: str, blind: bool) -> Choice:
        is_contest = blind and rival and rival != model
        return duels.next_disputed(bench, current.scene, model, rival) if is_contest else page.next_choice(bench, current.scene)

    @shown_as_toast
    def take(current: Choice, found: Choice) -> list[Any]:
        # Somebody may have gone to another scene while a pair of the old one was looked for.
        return show(found, "a", "b") if found.scene == current.scene else unchanged

    @shown_as_toast
    def swap(current: Choice) -> list[Any]:
        return show(page.swap_sides(current), "a", "b")

    for side, parts in sides.items():

        @shown_as_toast
        def click(current: Choice, event: gr.SelectData, side: str = side) -> list[Any]:
            return show(page.click_mask(bench, current, side, *event.index[:2]), side)

        @shown_as_toast
        def take_view(current: Choice, view: str, side: str = side) -> list[Any]:
            is_shown = view == (current.view_a if side == "a" else current.view_b)
            return unchanged if is_shown else show(page.choose_view(current, side, view), side)

        @shown_as_toast
        def take_thumbnail(current: Choice, event: gr.SelectData, side: str = side) -> list[Any]:
            return show(page.choose_view(current, side, bench.thumbnails(current.scene)[event.index][1]), side)

        @shown_as_toast
        def take_mask(current: Choice, mask: int, side: str = side) -> list[Any]:
            is_shown = mask == (current.mask_a if side == "a" else current.mask_b)
            return unchanged if is_shown else show(page.choose_mask(current, side, mask), side)

        pick_after(parts["image"].select, click, choice, pick_outputs)
        pick_after(parts["view"].input, take_view, [choice, parts["view"]], pick_outputs)
        pick_after(parts["gallery"].select, take_thumbnail, choice, pick_outputs)

        @shown_as_toast
        def show_thumbnails(current: Choice) -> Any:
            return bench.thumbnails(current.scene)

        parts["pictures"].expand(show_thumbnails, choice, parts["gallery"], api_visibility="private")
        pick_after(parts["mask"].input, take_mask, [choice, parts["mask"]], pick_outputs)

    pick_after(scene.input, change_scene, [choice, scene], scene_outputs)

    def propose_after(event: Any) -> None:
        """Look for a pair, which may take the model, then show it in turn with what people pick themselves."""
        blank(event)
        found = event(propose, asked, proposed, concurrency_id=MODEL, **quiet)
        ask_after(found.success(take, [choice, proposed], pick_outputs, **choosing).then)
        ask_after(found.failure)

    propose_after(next_button.click)
    for control in (first, second, is_blind):
        ask_after(control.input(None, None, verdicts, js=BLANK_SCRIPT, **quiet).then)
    pick_after(swap_button.click, swap, choice, pick_outputs)

    def saver(decision: Decision) -> Any:
        @shown_as_toast
        def save(
            current: Choice, on_screen: str, told: str, says: Answer | None, name: str, since: float, before: tuple[int, ...]
        ) -> tuple[Any, ...]:
            page.check_shown(bench, current, on_screen)
            shown = duels.verdicts_on_screen(says, current, told)
            seconds = max(0.0, time.time() - since) if since else None
            label = page.save(bench, current, decision, annotator=name, seconds=seconds, shown=shown)
            text = f"**Saved:** {page.describe_label(bench, label)}"
            rows = (*before, label.id)[-MAX_UNDO:]
            return rows, str(label.id), text, gr.update(interactive=True), list_latest(current.scene)

        return save

    for decision, button in label_buttons.items():
        button.click(None, None, [saved, saved_row, undo_button], js=SAVING_SCRIPT, **quiet)
        stored = button.click(
            saver(decision),
            [choice, shown_pair, shown_answer, given, annotator, shown_at, saved_here],
            [saved_here, saved_row, saved, undo_button, latest],
            # None is dropped because the one before is on its way still: each names its own pair.
            trigger_mode="multiple",
            **saving,
        )
        stored.failure(None, None, saved, js=NOT_SAVED_SCRIPT, **quiet)
        if decision == "skip":
            propose_after(stored.success)

    @shown_as_toast
    def look(current: Choice, dealt: Duel | None, progress: gr.Progress = PROGRESS) -> Any:
        if dealt is None or dealt.is_open:
            raise MaskgroupError("Vote first: the heat maps would show which model is which.")
        models = [name for name in (dealt.left, dealt.right) if name]
        drawn = heats.pictures(current.scene, current.pair, models, on_progress=lambda share, words: progress(share, desc=words))
        return gr.update(value=[(one.pixels, one.caption) for one in drawn], columns=len(drawn))

    heat_button.click(look, [choice, duel], heat, concurrency_id=MODEL, show_progress="full", api_visibility="private")

    def voter(ballot: Ballot) -> Any:
        @shown_as_toast
        def cast(
            current: Choice, model: str, rival: str, blind: bool, on_screen: str, dealt: Duel | None, token: str, name: str
        ) -> list[Any]:
            page.check_shown(bench, current, on_screen)
            after = duels.vote(bench, votes, current, duels.check_shown(dealt, current, token), ballot, annotator=name)
            return show_answer(current, model, rival, blind, after)

        return cast

    for ballot, button in vote_buttons.items():
        take_after(
            button.click(
                voter(ballot),
                [*asked, shown_pair, duel, shown_duel, annotator],
                [duel, given, answered],
                concurrency_id=MODEL,
                **quiet,
            )
        )

    @shown_as_toast
    def undo(current: Choice, on_screen: str, saved_rows: tuple[int, ...], name: str) -> tuple[Any, ...]:
        # What is taken back is the label that the page names, not one that was saved since.
        if on_screen not in map(str, saved_rows):
            raise MaskgroupError("The page was just saving a label, so nothing was taken back; look at it, then undo.")
        undo_label(bench.labels, int(on_screen), name.strip() or "me")
        return "", "Undone: the label no longer counts.", gr.update(interactive=False), list_latest(current.scene)

    undo_button.click(undo, [choice, saved_row, saved_here, annotator], [saved_row, saved, undo_button, latest], **saving)

    @shown_as_toast
    def reveal(current: Choice, model: str, rival: str, blind: bool, dealt: Duel | None) -> tuple[str, str]:
        said = duels.show_truth(bench, current, model, rival, dealt, is_blind=blind)
        return said, page.permalink(bench, current)

    revealed = truth_button.click(reveal, [*asked, duel], [told, told_of], concurrency_id=MODEL, **quiet)
    # Another pair may have been picked while the model was asked.
    revealed.success(None, [told, told_of, shown_pair], truth, js=SAME_PAIR_SCRIPT, **quiet)

    @shown_as_toast
    def pick_point(current: Choice, event: gr.EventData) -> tuple[str, str]:
        clicked = (float(event.x), float(event.y), float(event.z))
        return page.show_room(bench, current, clicked=clicked)

    room.pick(pick_point, choice, [room, point], **quiet)

    annotator.change(None, annotator, remembered, js="(name) => name", **quiet)
    ask_after(demo.load(open_page, remembered, [*scene_outputs, annotator, first, second, is_blind], **choosing).then)


def _lay_out_side(side: str, word: str) -> dict[str, Any]:
    """Lay out one view with its choices; returns its components by name."""
    with gr.Row():
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
    return {"view": view, "mask": mask, "image": image, "gallery": gallery, "pictures": pictures}
