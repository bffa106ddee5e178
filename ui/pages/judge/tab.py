"""The Judge page: which event calls what. Its parts are laid out in `layout`; what each event does is in `actions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.strict_json import to_json_text
from ui.components.wording import ASKING_HTML
from ui.pages.judge.actions import JudgeActions, SideActions
from ui.pages.judge.layout import SIDES, JudgePage, lay_out_page
from ui.services.workbench import Workbench
from ui.stores.blind_votes import VoteBox
from ui.web.gradio_parts import event_of

Listener = Callable[..., Any]
"""What an event is listened to with, e.g. `button.click` or the `then` of another event."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
MODEL = "model"
"""All handlers that may run the model share this queue, so that one runs at a time."""
CHOOSING: dict[str, Any] = {**QUIET, "concurrency_id": "judge-choice", "concurrency_limit": 1}
"""All handlers that read and write the picked pair take turns: two at once would lose what one of them picked."""
SAVING: dict[str, Any] = {**QUIET, "concurrency_id": "judge-label", "concurrency_limit": 1}
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


def build_judge_tab(demo: gr.Blocks, bench: Workbench, votes: VoteBox, *, remembered: gr.BrowserState) -> gr.Textbox:
    """Lay out the page inside `demo`, in whose context this is called, and wire it to the workbench; returns the person's name."""
    gr.HTML(js_on_load=KEYS_SCRIPT, visible="hidden")
    page = lay_out_page(bench)
    actions = JudgeActions(bench, votes)
    demo.load(actions.list_left_out, None, page.top.left_out, **QUIET)
    wiring = _Wiring(page, actions)
    wiring.wire_views(bench)
    wiring.wire_top()
    wiring.wire_labels()
    wiring.wire_votes()
    wiring.wire_below()
    page.top.annotator.change(None, page.top.annotator, remembered, js="(name) => name", **QUIET)
    opened = [*page.scene_outputs(), page.top.annotator, page.models.first, page.models.second, page.models.is_blind]
    wiring.ask_after(demo.load(actions.open_page, remembered, opened, **CHOOSING).then)
    return page.top.annotator


class _Wiring:
    """Ties events to actions. Whatever changes the pair or the models takes the verdict away at once, and asks for another."""

    def __init__(self, page: JudgePage, actions: JudgeActions) -> None:
        self._page = page
        self._actions = actions

    def wire_views(self, bench: Workbench) -> None:
        """Wire what picks views and masks."""
        page, choice, outputs = self._page, self._page.memory.choice, self._page.pick_outputs()
        for side, _ in SIDES:
            part, actions = page.views[side], SideActions(self._actions, bench, side)
            self._pick_after(part.image.select, actions.click, choice, outputs)
            self._pick_after(part.view.input, actions.take_view, [choice, part.view], outputs)
            self._pick_after(part.gallery.select, actions.take_thumbnail, choice, outputs)
            part.pictures.expand(actions.show_thumbnails, choice, part.gallery, api_visibility="private")
            self._pick_after(part.mask.input, actions.take_mask, [choice, part.mask], outputs)
        self._pick_after(page.top.scene.input, self._actions.change_scene, [choice, page.top.scene], page.scene_outputs())

    def wire_top(self) -> None:
        """Wire what asks for another pair, and for other models."""
        page = self._page
        self._propose_after(page.top.next.click)
        for control in (page.models.first, page.models.second, page.models.is_blind):
            self.ask_after(control.input(None, None, page.verdicts(), js=BLANK_SCRIPT, **QUIET).then)
        self._pick_after(page.top.swap.click, self._actions.swap, page.memory.choice, page.pick_outputs())

    def wire_labels(self) -> None:
        """Wire what saves labels and takes them back."""
        memory, answer, latest = self._page.memory, self._page.answer, self._page.below.latest
        annotator = self._page.top.annotator
        given = [memory.choice, memory.shown_pair, memory.shown_answer, memory.given, annotator, memory.shown_at, memory.saved_here]
        for decision, button in answer.labels.items():
            button.click(None, None, [answer.saved, memory.saved_row, answer.undo], js=SAVING_SCRIPT, **QUIET)
            stored = button.click(
                self._actions.saver(decision),
                given,
                [memory.saved_here, memory.saved_row, answer.saved, answer.undo, latest],
                # None is dropped because the one before is on its way still: each names its own pair.
                trigger_mode="multiple",
                **SAVING,
            )
            stored.failure(None, None, answer.saved, js=NOT_SAVED_SCRIPT, **QUIET)
            if decision == "skip":
                self._propose_after(stored.success)
        undone = [memory.saved_row, answer.saved, answer.undo, latest]
        answer.undo.click(self._actions.undo, [memory.choice, memory.saved_row, memory.saved_here, annotator], undone, **SAVING)

    def wire_votes(self) -> None:
        """Wire the ballots of a blind test."""
        memory = self._page.memory
        given = [*self._page.asked(), memory.shown_pair, memory.duel, memory.shown_duel, self._page.top.annotator]
        for ballot, button in self._page.answer.votes.items():
            answered = [memory.duel, memory.given, memory.answered]
            self._take_after(button.click(self._actions.voter(ballot), given, answered, concurrency_id=MODEL, **QUIET))

    def wire_below(self) -> None:
        """Wire heat maps, ground truth and the room."""
        page, memory, below, actions = self._page, self._page.memory, self._page.below, self._actions
        page.models.show_heat.click(
            actions.look,
            [memory.choice, memory.duel],
            page.models.heat,
            concurrency_id=MODEL,
            show_progress="full",
            api_visibility="private",
        )
        asked = [*page.asked(), memory.duel]
        revealed = below.show_truth.click(actions.reveal, asked, [memory.told, memory.told_of], concurrency_id=MODEL, **QUIET)
        # Another pair may have been picked while the model was asked.
        told = [memory.told, memory.told_of, memory.shown_pair]
        revealed.success(None, told, below.truth, js=SAME_PAIR_SCRIPT, **QUIET)
        shown = [below.room, below.point]
        event_of(below.room, "pick")(actions.pick_point, memory.choice, shown, **QUIET)

    def ask_after(self, follow: Listener) -> None:
        """Ask the models once `follow` (an event's `then`, `success` or `failure`) comes."""
        memory = self._page.memory
        self._take_after(
            follow(
                self._actions.answer,
                [*self._page.asked(), memory.duel],
                [memory.duel, memory.given, memory.answered],
                concurrency_id=MODEL,
                concurrency_limit=1,
                # A pair picked while the model still answers about the one before must not stay without its answer.
                trigger_mode="always_last",
                **QUIET,
            )
        )

    def _take_after(self, event: Any) -> None:
        """Show an answer, unless the page asks another question by now."""
        page = self._page
        shown = [page.below.room, page.answer.score, page.models.heat, page.answer.ballots, *page.answer.votes.values()]
        taken = [*page.verdicts(), *shown]
        script = TAKE_SCRIPT.replace("{count}", str(len(taken)))
        event.success(None, [page.memory.answered, page.memory.shown_pair, *page.asked()[1:]], taken, js=script, **QUIET)

    def _blank(self, event: Listener) -> None:
        """Take the verdict away in the browser itself, at once."""
        event(None, None, self._page.verdicts(), js=BLANK_SCRIPT, **QUIET)

    def _pick_after(self, event: Listener, action: Listener, inputs: Any, outputs: list[Any]) -> None:
        """Change what is picked, then ask the models; where nothing changed, or nothing could, their answer comes back."""
        self._blank(event)
        self.ask_after(event(action, inputs, outputs, **CHOOSING).then)

    def _propose_after(self, event: Listener) -> None:
        """Look for a pair, which may take the model, then show it in turn with what people pick themselves."""
        memory = self._page.memory
        self._blank(event)
        found = event(self._actions.propose, self._page.asked(), memory.proposed, concurrency_id=MODEL, **QUIET)
        taken = found.success(self._actions.take, [memory.choice, memory.proposed], self._page.pick_outputs(), **CHOOSING)
        self.ask_after(taken.then)
        self.ask_after(found.failure)
