"""What each event of the Judge page does: the values that its components take. What they mean is in `handlers` and `duel`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import gradio as gr

from engine.errors import MaskgroupError
from engine.strict_json import to_json_text
from engine.types import Decision
from ui.components.left_out import left_out_list
from ui.components.typed import annotator_name
from ui.components.wording import ASKING_HTML
from ui.pages.judge import duel as duels
from ui.pages.judge import handlers as page
from ui.pages.judge.duel import Answer, Duel
from ui.pages.judge.handlers import Choice
from ui.pages.judge.heat import HeatmapCache
from ui.pages.judge.layout import SIDES, SideName
from ui.services.workbench import Workbench
from ui.stores.blind_votes import Ballot, VoteBox
from ui.web.gradio_parts import leave_as_is, read_query
from ui.web.permissions import undo_label

MAX_UNDO = 100
"""Labels saved by one page that it can take back."""
PROGRESS = gr.Progress()
"""Gradio fills it in where a handler has it as a default."""
NOBODY = ("no other model yet", "")


class JudgeActions:
    """The page's events.

    Args:
        bench: Opens scenes, asks the judges, keeps labels.
        votes: Keeps the votes of blind tests.
    """

    def __init__(self, bench: Workbench, votes: VoteBox) -> None:
        self._bench = bench
        self._votes = votes
        self._heats = HeatmapCache(bench)

    def list_left_out(self) -> str:
        """List what was left out of the scenes."""
        return left_out_list(self._bench)

    def open_page(self, request: gr.Request, name: str) -> list[Any]:
        """Open what the page's address says."""
        query = read_query(request)
        current = page.first_choice(self._bench, query)
        models = self._bench.judges.names()
        rivals = models[1:]
        # The gallery of a comparison opens a pair with the two models that were compared.
        model, rival = page.models_of(self._bench, query)
        scene, *rest = self.show_scene(current)
        return [
            # A scene may have come since the app was started.
            gr.update(choices=self._bench.scene_choices(), value=scene),
            *rest,
            name,
            gr.update(choices=models, value=model),
            gr.update(choices=[*models] if rivals else [NOBODY], value=rival or NOBODY[1], interactive=bool(rivals)),
            gr.update(interactive=bool(rivals)),
        ]

    def change_scene(self, current: Choice, name: str) -> list[Any]:
        """Go to another scene."""
        # A dropdown also tells that it was left without a change.
        if name == current.scene:
            return [leave_as_is()] * SCENE_VALUES
        return self.show_scene(page.next_choice(self._bench, name))

    def propose(self, current: Choice, model: str, rival: str, blind: bool) -> Choice:
        """Look for the next pair."""
        if blind and rival and rival != model:
            return duels.next_disputed(self._bench, current.scene, model, rival)
        return page.next_choice(self._bench, current.scene)

    def take(self, current: Choice, found: Choice) -> list[Any]:
        """Show the pair that was found."""
        # Somebody may have gone to another scene while a pair of the old one was looked for.
        return self.show(found, "a", "b") if found.scene == current.scene else self.unchanged()

    def swap(self, current: Choice) -> list[Any]:
        """Exchange the sides."""
        return self.show(page.swap_sides(current), "a", "b")

    def answer(self, current: Choice | None, model: str, rival: str, blind: bool, before: Duel | None) -> list[Any]:
        """Ask the models about the picked pair."""
        if current is None:
            return [None, None, ""]
        dealt = duels.deal_again(before, current, model, rival, is_blind=blind)
        return self._show_answer(current, model, rival, blind, dealt)

    def saver(self, decision: Decision) -> Callable[..., tuple[Any, ...]]:
        """Return the event that saves a decision."""

        def save(
            current: Choice, on_screen: str, told: str, says: Answer | None, name: str, since: float, before: tuple[int, ...]
        ) -> tuple[Any, ...]:
            page.check_shown(self._bench, current, on_screen)
            shown = duels.verdicts_on_screen(says, current, told)
            seconds = max(0.0, time.time() - since) if since else None
            label = page.save(self._bench, current, decision, annotator=name, seconds=seconds, shown=shown)
            text = f"**Saved:** {page.describe_label(self._bench, label)}"
            rows = (*before, label.id)[-MAX_UNDO:]
            return rows, str(label.id), text, gr.update(interactive=True), self._list_latest(current.scene)

        return save

    def undo(self, current: Choice, on_screen: str, saved_rows: tuple[int, ...], name: str) -> tuple[Any, ...]:
        """Take back the label that the page names, not one that was saved since."""
        if on_screen not in map(str, saved_rows):
            raise MaskgroupError("The page was just saving a label, so nothing was taken back; look at it, then undo.")
        undo_label(self._bench.labels, int(on_screen), annotator_name(name))
        return "", "Undone: the label no longer counts.", gr.update(interactive=False), self._list_latest(current.scene)

    def voter(self, ballot: Ballot) -> Callable[..., list[Any]]:
        """Return the event that casts a vote."""

        def cast(
            current: Choice, model: str, rival: str, blind: bool, on_screen: str, dealt: Duel | None, token: str, name: str
        ) -> list[Any]:
            page.check_shown(self._bench, current, on_screen)
            shown = duels.check_shown(dealt, current, token)
            after = duels.vote(self._bench, self._votes, current, shown, ballot, annotator=name)
            return self._show_answer(current, model, rival, blind, after)

        return cast

    def look(self, current: Choice, dealt: Duel | None, progress: gr.Progress = PROGRESS) -> Any:
        """Show where the models look."""
        if dealt is None or dealt.is_open:
            raise MaskgroupError("Vote first: the heat maps would show which model is which.")
        models = [name for name in (dealt.left, dealt.right) if name]

        def tell(share: float, words: str) -> None:
            progress(share, desc=words)

        drawn = self._heats.pictures(current.scene, current.pair, models, on_progress=tell)
        return gr.update(value=[(one.pixels, one.caption) for one in drawn], columns=len(drawn))

    def reveal(self, current: Choice, model: str, rival: str, blind: bool, dealt: Duel | None) -> tuple[str, str]:
        """Show the ground truth of the pair."""
        said = duels.show_truth(self._bench, current, model, rival, dealt, is_blind=blind)
        return said, page.permalink(self._bench, current)

    def pick_point(self, current: Choice, event: gr.EventData) -> tuple[str, str]:
        """Show what is at a point of the room."""
        clicked = (float(event.x), float(event.y), float(event.z))
        return page.show_room(self._bench, current, clicked=clicked)

    def show(self, current: Choice, *changed: SideName) -> list[Any]:
        """Give the values of `JudgePage.pick_outputs`; sides that did not change are left as they are."""
        values: list[Any] = [current, time.time(), page.permalink(self._bench, current), "", ASKING_HTML, "", ""]
        for side, _ in SIDES:
            if side not in changed:
                values += [leave_as_is()] * 3
                continue
            screen = page.show_side(self._bench, current, side)
            values += [screen.picture, gr.update(choices=screen.choices, value=screen.mask), screen.crop]
        return [*values, *(page.view_on(current, side) if side in changed else leave_as_is() for side, _ in SIDES)]

    def unchanged(self) -> list[Any]:
        """Leave all of `JudgePage.pick_outputs` as it is."""
        return [leave_as_is()] * PICK_VALUES

    def show_scene(self, current: Choice) -> list[Any]:
        """Give the values of `JudgePage.scene_outputs`."""
        views = list(self._bench.views(current.scene))
        values = self.show(current, "a", "b")[: -len(SIDES)]
        chosen = [gr.update(choices=views, value=page.view_on(current, side)) for side, _ in SIDES]
        folded = [gr.update(open=False) for _ in SIDES]
        return [current.scene, *folded, self._list_latest(current.scene), *values, *chosen]

    def _show_answer(self, current: Choice, model: str, rival: str, blind: bool, dealt: Duel) -> list[Any]:
        """Give the values of `duel`, `given` and, for the page's script to take if the page still asks for it, `answered`."""
        says = duels.answer(self._bench, current, dealt)
        values = {
            "question": duels.question(self._bench, current, model, rival, is_blind=blind),
            "verdict": says.html,
            "duel": dealt.token,
            "answer": says.token,
            "room": page.show_room(self._bench, current)[0],
            "score": duels.show_score(self._votes, model, rival) if dealt.is_blind else "",
            "is_blind": dealt.is_blind,
            "can_vote": dealt.is_open,
        }
        return [dealt, says, to_json_text(values)]

    def _list_latest(self, scene: str) -> str:
        labels = self._bench.labels.latest(10, scene=scene)
        return "\n".join(f"- {page.describe_label(self._bench, entry)}" for entry in labels) or "None yet."


PICK_VALUES = 7 + 4 * len(SIDES)
"""How many values `JudgeActions.show` gives."""
SCENE_VALUES = 2 + len(SIDES) + PICK_VALUES
"""How many values `JudgeActions.show_scene` gives."""


class SideActions:
    """The events of one view.

    Args:
        actions: The page's.
        bench: Opens scenes.
        side: The view's side.
    """

    def __init__(self, actions: JudgeActions, bench: Workbench, side: SideName) -> None:
        self._actions, self._bench = actions, bench
        self._side: SideName = side

    def click(self, current: Choice, event: gr.SelectData) -> list[Any]:
        """Pick the mask under the mouse."""
        return self._show(page.click_mask(self._bench, current, self._side, *event.index[:2]))

    def take_view(self, current: Choice, view: str) -> list[Any]:
        """Show another view."""
        if view == page.view_on(current, self._side):
            return self._actions.unchanged()
        return self._show(page.choose_view(current, self._side, view))

    def take_thumbnail(self, current: Choice, event: gr.SelectData) -> list[Any]:
        """Show the view whose small picture was clicked."""
        return self._show(page.choose_view(current, self._side, self._bench.thumbnails(current.scene)[cast("int", event.index)][1]))

    def take_mask(self, current: Choice, mask: int) -> list[Any]:
        """Pick a mask by its name."""
        if mask == page.mask_on(current, self._side):
            return self._actions.unchanged()
        return self._show(page.choose_mask(current, self._side, mask))

    def show_thumbnails(self, current: Choice) -> Any:
        """Show all views small."""
        return self._bench.thumbnails(current.scene)

    def _show(self, changed: Choice) -> list[Any]:
        return self._actions.show(changed, self._side)
