"""What each event of the Scenes page does: the values that its components take. What they mean is in `handlers`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import gradio as gr

from engine.errors import MaskgroupError
from engine.importing import remove_scene
from engine.scenes.scene_settings import write_title
from ui.escape import escape_markdown
from ui.pages.scenes import handlers as page
from ui.services.grouping_runs import GroupingRuns
from ui.services.scene_cards import SceneCards
from ui.services.scene_copies import SceneCopies
from ui.services.scene_imports import ImportState, SceneImports
from ui.services.scene_uploads import SceneUploads
from ui.services.workbench import Workbench
from ui.web.gradio_parts import leave_as_is, read_query
from ui.web.page_session import PageSessions

N_DETAILS = 5
"""How many values `SceneActions.show_chosen` gives."""


@dataclass(frozen=True)
class Drawn:
    """What a page shows.

    Attributes:
        chosen: The scene of the details. A tick that was sent before a click may be answered after it, and what the page says in it
            of the chosen scene is old then; this is not.
        digests: Of the imports, scenes and details.
    """

    chosen: str
    digests: tuple[str, str, str]


class SceneActions:
    """The page's events.

    Args:
        bench: Lists scenes and counts labels.
        imports: Brings scenes in.
        copies: Makes copies of them: mended, or with new masks.
        uploads: Has what browsers sent.
        cards: Knows what was found in scenes.
        runs: Groups scenes; one that is being grouped is not removed.
        sessions: Tells browsers apart.
    """

    def __init__(
        self,
        bench: Workbench,
        imports: SceneImports,
        copies: SceneCopies,
        uploads: SceneUploads,
        cards: SceneCards,
        runs: GroupingRuns,
        sessions: PageSessions,
    ) -> None:
        self._bench, self._imports, self._copies, self._uploads = bench, imports, copies, uploads
        self._cards, self._runs, self._sessions = cards, runs, sessions

    def open_tab(self, request: gr.Request, was_open: bool, chosen: str) -> list[Any]:
        """Show the page; the first time with the scene of its address."""
        query = read_query(request)
        if not was_open and query.get("tab") == page.SCENES_TAB:
            chosen = query.get("scene", "")
        # What ended before the page was opened is listed; a toast would come out of nowhere.
        _, told = page.new_failures(self._imports.states(), frozenset())
        shown = self.show_chosen(chosen)
        return [True, *self.show_news(told, None, str(shown[0])), *shown]

    def poll(self, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Bring the page up to date; a copy of the scene that is shown takes its place when it is finished."""
        states = self._imports.states()
        copy = page.find_copy(states, told, drawn.chosen if drawn else "")
        if copy is None:
            return [*self.show_news(told, drawn, states=states), *[leave_as_is()] * N_DETAILS]
        shown = self.show_chosen(copy)
        return [*self.show_news(told, drawn, str(shown[0]), states=states), *shown]

    def mend(self, told: frozenset[int], drawn: Drawn | None, event: gr.EventData) -> list[Any]:
        """Mend what one finding doubts, or all that can be mended, in a copy."""
        scene = self._bench.find_listed(str(event.scene))
        card = self._cards.get(scene)
        number = int(event.finding)
        if card is None or card.key != event.key:
            raise MaskgroupError("The scene has changed since it was looked at, so nothing was mended; look at it, then try again.")
        self._copies.mend(scene.info.name, card.all_mends if number < 0 else card.mends_of(number))
        return self.show_news(told, drawn)

    def make_masks(self, told: frozenset[int], drawn: Drawn | None, event: gr.EventData) -> list[Any]:
        """Make masks of a scene."""
        self._copies.make_masks(str(event.scene), str(event.kind))
        return self.show_news(told, drawn)

    def copy_to_edit(self, told: frozenset[int], drawn: Drawn | None, event: gr.EventData) -> list[Any]:
        """Make a copy of a scene whose masks can be edited."""
        self._copies.copy_for_editing(str(event.scene))
        return self.show_news(told, drawn)

    def refresh(self, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Show what the editor has changed."""
        return self.show_news(told, drawn)

    def take_upload(
        self, request: gr.Request, called: str, told: frozenset[int], drawn: Drawn | None, event: gr.EventData
    ) -> list[Any]:
        """Import what was uploaded."""
        self._imports.start_upload(self._uploads.take(self._browser(request), str(event.upload)), called or "")
        return ["", *self.show_news(told, drawn)]

    def drop_upload(self, request: gr.Request, event: gr.EventData) -> None:
        """Delete what was uploaded."""
        self._uploads.drop(self._browser(request), str(event.upload))

    def take_path(self, text: str, called: str, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Import from a path of the server."""
        self._imports.start_path(text or "", called or "")
        return ["", "", *self.show_news(told, drawn)]

    def act(self, told: frozenset[int], drawn: Drawn | None, event: gr.EventData) -> list[Any]:
        """Stop an import, or tell no more of it."""
        number = int(event.number)
        if event.what == "stop":
            self._imports.cancel(number)
        else:
            self._imports.dismiss(number)
        return self.show_news(told, drawn)

    def pick(self, told: frozenset[int], drawn: Drawn | None, event: gr.EventData) -> list[Any]:
        """Show a scene's details."""
        shown = self.show_chosen(str(event.scene))
        return [*self.show_news(told, drawn, str(shown[0])), *shown]

    def close(self, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Show no scene."""
        return [*self.show_news(told, drawn, ""), *self.show_chosen("")]

    def rename(self, chosen: str, title: str, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Call a scene something else. Its name stays, and so do its labels."""
        scene = page.require_imported(self._bench, chosen)
        write_title(scene.place / chosen, "" if title.strip() == chosen else title)
        return [*self.show_news(told, drawn, chosen), *self.show_chosen(chosen)]

    def ask_removal(self, chosen: str) -> list[Any]:
        """Ask whether a scene is to be removed."""
        return [chosen, page.say_removal(self._bench, chosen), gr.update(visible=True)]

    def keep_scene(self) -> Any:
        """Take the question back."""
        return gr.update(visible=False)

    def remove(self, chosen: str, asked_of: str, told: frozenset[int], drawn: Drawn | None) -> list[Any]:
        """Remove the scene that was asked about."""
        if chosen != asked_of:
            raise MaskgroupError("The page was just changing to another scene, so nothing was removed; look at it, then try again.")
        scene = page.require_imported(self._bench, chosen)
        self._runs.forget(chosen)
        remove_scene(scene.place, chosen)
        self._bench.forget(chosen)
        return [*self.show_news(told, drawn, ""), *self.show_chosen("")]

    def show_news(
        self,
        told: frozenset[int],
        drawn: Drawn | None,
        chosen: str | None = None,
        *,
        states: Sequence[ImportState] | None = None,
    ) -> list[Any]:
        """Give the values of `ScenesPage.outputs`, without `chosen` of the same details; what has not changed is left as it is."""
        if chosen is None:
            chosen = drawn.chosen if drawn else ""
        # Each is asked for once: what ends meanwhile is shown by the next tick, for which the timer has to go on.
        states = self._imports.states() if states is None else states
        found = page.look_up(self._bench, self._cards)
        failures, told = page.new_failures(states, told)
        for one in failures:
            gr.Warning(escape_markdown(one.message))
        shown = (
            page.show_imports(states),
            page.show_cards(self._bench, found, chosen),
            page.show_details(self._bench, found, chosen, model=self._copies.model),
        )
        imported, listed, detailed = (hashlib.sha256(html.encode()).hexdigest()[:16] for html in shown)
        now = Drawn(chosen, (imported, listed, detailed))
        before = drawn.digests if drawn else ("", "", "")
        changed = [leave_as_is() if new == old else html for html, new, old in zip(shown, now.digests, before, strict=True)]
        is_busy = any(one.is_running for one in states) or any(card is None for _, card in found)
        return [told, now, *changed, gr.Timer(active=is_busy)]

    def show_chosen(self, name: str) -> list[Any]:
        """Give the values of `DetailsSection.outputs`."""
        scene = self._bench.folders.find(name) if name else None
        if scene is None:
            return ["", "", *[gr.update(visible=False)] * (N_DETAILS - 2)]
        is_imported = scene.origin == "imported"
        return [
            name,
            scene.info.title or name,
            gr.update(visible=True),
            gr.update(visible=is_imported),
            gr.update(visible=False),
        ]

    def _browser(self, request: gr.Request) -> str:
        # Gradio makes the request's fields up as they are asked for.
        cookies = cast("dict[str, str]", request.cookies)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped
        return self._sessions.read(cookies) or ""
