"""What each event of the Compare page does: the values that its components take. What they mean is in `handlers`."""

from __future__ import annotations

from itertools import count
from typing import Any

import gradio as gr

from engine.evaluation.comparison.paired import Outcome
from engine.judging.calibration.operating_point import OperatingPoints
from ui.escape import escape_markdown
from ui.pages.compare import handlers as page
from ui.pages.compare.flips import gallery_html, proof_html
from ui.pages.compare.handlers import Side
from ui.pages.compare.words import grouping_html
from ui.services.comparison_runs import SHIPPED, ComparisonRuns
from ui.services.workbench import Workbench
from ui.web.gradio_parts import leave_as_is, read_query

RUN_VALUES, RESULT_VALUES = 6, 8
"""How many values `CompareActions.show_run` and `show_result` give."""


class CompareActions:
    """The page's events.

    Args:
        bench: Knows scenes and models.
        runs: Holds the comparisons.
        points: Keeps the thresholds.
    """

    def __init__(self, bench: Workbench, runs: ComparisonRuns, points: OperatingPoints) -> None:
        self._bench, self._runs, self._points = bench, runs, points
        self._drawings = count(1)

    def open_tab(self, request: gr.Request, key: str | None, a: str | None, b: str | None, scene: str | None) -> list[Any]:
        """Open what the page's address says."""
        query = read_query(request)
        asked = key or (query.get("run", "") if query.get("tab") == page.PAGE else "")
        opened = page.first_key(self._runs, {"run": asked})
        judges, choices = self._bench.judges, page.list_entries(self._runs)
        # Models that somebody has chosen, and a form that somebody has opened, stay.
        return [
            gr.update(choices=choices, value=opened or None),
            self._choose_model(a, judges.default),
            self._choose_model(b, judges.rival() or judges.default),
            leave_as_is() if choices else gr.update(open=True),
            *self.show_run(opened),
            *self.show_result(opened, scene),
        ]

    def choose(self, key: str | None, on_screen: str, scene: str | None) -> list[Any]:
        """Show another comparison."""
        if not key or key == on_screen:
            # The list also says so when it merely loses the focus: nothing that was set meanwhile may be lost by that.
            return [leave_as_is()] * (RUN_VALUES + RESULT_VALUES)
        return [*self.show_run(key), *self.show_result(key, scene)]

    def start(
        self,
        scenes: list[str],
        a: str,
        b: str,
        pairs: float,
        negatives: str,
        seed: float,
        grouping: bool,
        scene: str | None,
    ) -> list[Any]:
        """Compare two models; the last argument is the scene whose groups are shown."""
        key = self._runs.start(page.settings_of(scenes, a, b, pairs, negatives, seed or 0, grouping))
        listed = gr.update(choices=page.list_entries(self._runs), value=key)
        return [listed, gr.update(open=False), *self.show_run(key), *self.show_result(key, scene)]

    def resume(self, key: str) -> list[Any]:
        """Go on with a comparison that was stopped."""
        self._runs.resume(key)
        return self.show_run(key)

    def cancel(self, key: str) -> None:
        """Stop a comparison."""
        self._runs.cancel(key)

    def delete(self, key: str | None, on_screen: str, scene: str | None) -> list[Any]:
        """Delete a comparison and show the newest."""
        self._runs.delete(page.same_key(key, on_screen))
        after = page.first_key(self._runs, {})
        listed = gr.update(choices=page.list_entries(self._runs), value=after or None)
        return [listed, *self.show_run(after), *self.show_result(after, scene)]

    def poll(self, last: tuple[str, int], before: bool, scene: str | None) -> list[Any]:
        """Bring the page up to date."""
        # Not the comparison on screen: another one's numbers may be on their way there, and this answer comes after them.
        key, _ = last
        now = self.show_run(key)
        ended = before and not self._runs.is_running(key)
        # Without a value: somebody may have chosen another one just now.
        listed = gr.update(choices=page.list_entries(self._runs)) if ended else leave_as_is()
        return [listed, *now, *(self.show_result(key, scene) if ended else [leave_as_is()] * RESULT_VALUES)]

    def show_outcome(self, key: str, kind: Outcome) -> str:
        """Show the pairs with an outcome."""
        return gallery_html(self._bench, page.result_of(self._runs, key), kind)

    def take_kept_threshold(self, key: str, which: Side, on_screen: str) -> Any:
        """Set the slider to the model's threshold where another comparison was drawn."""
        # Numbers that were only drawn anew leave the slider where somebody put it.
        if page.is_rated(on_screen, key, which):
            return leave_as_is()
        return page.kept_threshold(self._points, page.result_of(self._runs, key), which)

    def choose_side(self, key: str, which: Side) -> float:
        """Set the slider to the other model's threshold."""
        return page.kept_threshold(self._points, page.result_of(self._runs, key), which)

    def show_rates(self, key: str, which: Side, at: float) -> tuple[str, str]:
        """Show what a threshold gives."""
        found = page.result_of(self._runs, key)
        return page.show_threshold(found, which, at), page.rated_text(key, which, at) if found is not None else ""

    def keep(self, on_screen: str, which: Side, at: float) -> str:
        """Keep the threshold whose rates are on screen."""
        found = page.result_of(self._runs, page.rated_key(on_screen, which, at))
        return escape_markdown(page.keep_threshold(self._points, found, which, round(at, 4)))

    def show_groups(self, key: str, scene: str | None) -> tuple[str, str]:
        """Show a scene's groups by both models."""
        found = page.result_of(self._runs, key)
        if found is None or not scene:
            return "", ""
        return grouping_html(found, scene), page.show_changes(self._bench, found, scene)

    def show_run(self, key: str) -> list[Any]:
        """Give the values of `RunSection.outputs`."""
        running = bool(key) and self._runs.is_running(key)
        entry = self._runs.entry(key) if key else None
        own = entry is not None and key != SHIPPED
        return [
            page.show_progress(self._runs, key),
            gr.update(visible=running),
            gr.update(visible=not running and page.can_resume(entry)),
            gr.update(visible=own and not running),
            gr.Timer(active=running),
            running,
        ]

    def show_result(self, key: str, scene: str | None) -> list[Any]:
        """Show the numbers; what depends on a chooser follows with its value then (`drawn.change`), not with that of now."""
        found = page.result_of(self._runs, key)
        names = ("A", "B") if found is None else (found.settings.model_a, found.settings.model_b)
        grouped = list(found.grouping) if found is not None else []
        return [
            key,
            (key, next(self._drawings)),
            page.links_html(key) if found is not None else "",
            page.show_tables(
                found,
                is_running=bool(key) and self._runs.is_running(key),
                proof="" if found is None else proof_html(self._bench, found),
            ),
            page.show_plots(found, name_of=self._bench.name_of),
            gr.update(choices=[(name, side) for name, side in zip(names, ("a", "b"), strict=True)]),
            "",
            gr.update(choices=grouped) if scene in grouped else gr.update(choices=grouped, value=next(iter(grouped), None)),
        ]

    def _choose_model(self, chosen: str | None, otherwise: str) -> Any:
        models = self._bench.judges.names()
        return gr.update(choices=models) if chosen in models else gr.update(choices=models, value=otherwise)
