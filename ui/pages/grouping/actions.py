"""What each event of the 3D grouping page does: the values that its components take. What they mean is in `handlers`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from engine.errors import MaskgroupError
from engine.exporting.write import find_format
from engine.grouping.graph import Evidence
from engine.types import MaskKey
from ui.pages.grouping import corrections, words
from ui.pages.grouping import handlers as page
from ui.pages.grouping.handlers import Order, Pick
from ui.pages.grouping.room import show_room
from ui.pages.grouping.views import ViewPictures
from ui.services.group_exports import GroupExports
from ui.services.grouping_result import Result
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.view3d.paint import Coloring
from ui.web.gradio_parts import leave_as_is, read_query


class GroupingActions:
    """The page's events.

    Args:
        bench: Opens scenes and names masks.
        runs: Holds the groups.
        exports: Makes zips of them.
    """

    def __init__(self, bench: Workbench, runs: GroupingRuns, exports: GroupExports) -> None:
        self._bench = bench
        self._runs = runs
        self._exports = exports
        self._pictures = ViewPictures(bench)

    def start(self, current: Pick, chosen: Evidence, judge: str) -> list[Any]:
        """Group the scene."""
        self._runs.start(current.scene, chosen, model=judge)
        return self.show_run(current.scene)

    def cancel(self, current: Pick) -> None:
        """Stop the run."""
        self._runs.cancel(current.scene)

    def poll(self, current: Pick, version: int) -> list[Any]:
        """Bring the page up to date."""
        state = self._runs.state(current.scene)
        if state is None or state.is_running or state.version == version:
            return [leave_as_is(), *self.show_run(current.scene), *[leave_as_is()] * (3 + PICK_VALUES)]
        return self.show_all(Pick(current.scene, coloring=current.coloring, order=current.order, find=current.find))

    def open_page(self, request: gr.Request, was_open: bool, current: Pick) -> list[Any]:
        """Show the scene's groups: the first time those of the scene that the address names."""
        query = {} if was_open else read_query(request)
        choices = self._bench.scene_choices()
        names = [name for _, name in choices]
        wanted = query.get("scene", "") if query.get("tab") == page.GROUPING_TAB else ""
        # Another scene also where the one that was open has been removed.
        scene = next((name for name in (wanted, current.scene) if name in names), names[0])
        if scene != current.scene:
            current = Pick(scene, coloring=current.coloring, order=current.order, find=current.find)
        return [True, gr.update(choices=choices, value=scene), *self._open_scene(current)]

    def refresh(self, current: Pick) -> list[Any]:
        """Show the groups as they are now."""
        return self.show_all(current)

    def change_scene(self, current: Pick, name: str) -> list[Any]:
        """Go to another scene."""
        # A dropdown also tells that it was left without a change.
        if name == current.scene:
            return [leave_as_is()] * (1 + RUN_VALUES + 3 + PICK_VALUES)
        self._bench.open_scene(name)
        return self._open_scene(Pick(name, coloring=current.coloring, order=current.order, find=current.find))

    def open_kept(self, current: Pick, run_id: int | None) -> list[Any]:
        """Open a kept run."""
        result = self._result(current)
        if run_id is not None and not (result is not None and result.kept_as == run_id):
            self._runs.open_kept(current.scene, int(run_id))
        return self.show_run(current.scene)

    def recolour(self, current: Pick, chosen: Coloring) -> tuple[Pick, str]:
        """Colour the room by something else."""
        changed = replace(current, coloring=chosen)
        return changed, show_room(self._runs, changed)

    def reorder(self, current: Pick, chosen: Order) -> list[Any]:
        """List other groups first."""
        changed = replace(current, order=chosen)
        return [changed, self._show_list(changed)]

    def find(self, current: Pick, text: str) -> list[Any]:
        """List the groups that are called so."""
        changed = replace(current, find=text or "")
        return [changed, self._show_list(changed)]

    def take_listed(self, current: Pick, event: gr.SelectData) -> list[Any]:
        """Pick a group of the list."""
        return self.show_pick(page.pick_listed(self._runs, current, int(event.index)))

    def take_alike(self, current: Pick, event: gr.SelectData) -> list[Any]:
        """Pick a group that looks like the latest."""
        return self.show_pick(page.pick_alike(self._runs, current, int(event.index)))

    def take_point(self, current: Pick, event: gr.EventData) -> list[Any]:
        """Pick the group at a point of the room, or the view of a camera there."""
        camera = getattr(event, "camera", None)
        if camera:
            return self.show_pick(page.pick_view(self._runs, current, str(camera)), keeps_crops=True)
        return self.show_pick(page.pick_point(self._runs, current, (float(event.x), float(event.y), float(event.z))))

    def take_crop(self, current: Pick, event: gr.SelectData) -> list[Any]:
        """Pick one mask of the group."""
        return self.show_pick(page.pick_crop(self._runs, current, int(event.index)), keeps_crops=True)

    def take_pixel(self, current: Pick, event: gr.SelectData) -> list[Any]:
        """Pick the mask under the mouse in the large view."""
        return self.show_pick(page.pick_pixel(self._bench, self._runs, current, *event.index[:2]))

    def take_in_sheet(self, current: Pick, event: gr.SelectData) -> list[Any]:
        """Pick the mask under the mouse in the picture of all views."""
        return self.show_pick(page.pick_in_sheet(self._pictures, self._runs, current, *event.index[:2]))

    def merge(self, current: Pick, on_screen: str) -> list[Any]:
        """Make the two picked groups one."""
        self._check_shown(current, on_screen)
        return self.show_all(corrections.merge(self._runs, current))

    def reject(self, current: Pick, on_screen: str) -> list[Any]:
        """Take the picked mask out of its group."""
        self._check_shown(current, on_screen)
        return self.show_all(corrections.reject_mask(self._bench, self._runs, current))

    def undo(self, current: Pick, on_screen: str) -> list[Any]:
        """Take the last correction back."""
        self._check_shown(current, on_screen)
        self._runs.undo(current.scene)
        return self.show_all(replace(current, mask=None))

    def name_group(self, current: Pick, on_screen: str, name: str) -> list[Any]:
        """Give the picked group a name, confirm a proposed one, or take its name away."""
        self._check_shown(current, on_screen)
        corrections.name_group(self._runs, current, name or "")
        return self.show_all(current)

    def propose_name(self, current: Pick, on_screen: str, model: str) -> list[Any]:
        """Let a judge's model propose a name of the picked group."""
        self._check_shown(current, on_screen)
        corrections.propose_name(self._bench, self._runs, current, model)
        return self.show_all(current)

    def start_export(self, current: Pick, chosen: str) -> list[Any]:
        """Make a zip of the groups as they are now."""
        # In the folder that is served already: Gradio would copy it there on its event loop.
        self._exports.start(current.scene, find_format(chosen), Path(get_upload_folder()))
        return self.show_export(current)

    def stop_export(self, current: Pick) -> None:
        """Stop making a zip."""
        self._exports.cancel(current.scene)

    def show_export(self, current: Pick) -> list[Any]:
        """Give the values of `ExportSection.outputs`."""
        state = self._exports.state(current.scene)
        running = state is not None and state.is_running
        path = None if state is None else state.path
        return [
            words.show_export(state, version=self._version(current)),
            gr.update(interactive=not running),
            gr.update(interactive=running),
            gr.update(value=None if path is None else str(path), visible=path is not None),
            gr.Timer(active=running),
        ]

    # Dozens of pictures take longer than all the rest: they follow once the room, the words and the crops are there.
    def show_sheet(self, current: Pick) -> Any:
        """Show all views."""
        return page.show_sheet(self._pictures, self._runs, current) if self._result(current) else None

    def show_list_and_sheet(self, current: Pick) -> list[Any]:
        """Show the list of groups and all views."""
        return [self._show_list(current), self.show_sheet(current)]

    def show_pick(self, current: Pick, *, keeps_crops: bool = False) -> list[Any]:
        """Give the values of `GroupingPage.pick_outputs`."""
        result, room = self._result(current), show_room(self._runs, current)
        shown = page.pick_token(current, self._version(current))
        if result is None:
            off = gr.update(interactive=False)
            return [current, shown, room, "", None, None, None, off, off, off, gr.update(value="", interactive=False), off, off]
        group, other = page.latest_group(result, current), page.group_before(result, current)
        return [
            current,
            shown,
            room,
            words.show_groups(self._bench, current.scene, result, group, other),
            leave_as_is() if keeps_crops else _pictures(page.show_crops(self._bench, self._runs, current)),
            leave_as_is() if keeps_crops else _pictures(page.show_alike(self._bench, self._runs, current)),
            page.show_view(self._pictures, self._runs, current),
            gr.update(interactive=other is not None),
            gr.update(interactive=current.mask is not None),
            gr.update(interactive=bool(result.corrections.past)),
            gr.update(value=page.name_to_edit(result, group), interactive=group is not None),
            gr.update(interactive=group is not None),
            gr.update(interactive=group is not None),
        ]

    def show_run(self, scene: str) -> list[Any]:
        """Give the values of `RunSection.outputs`."""
        running = page.is_running(self._runs, scene)
        return [
            words.show_progress(self._runs.state(scene)),
            gr.update(interactive=not running),
            gr.update(interactive=running),
            gr.Timer(active=running),
        ]

    def show_all(self, current: Pick) -> list[Any]:
        """Give the values of `GroupingPage.outputs`."""
        result = self._result(current)
        if current.coloring in ("before", "change") and (result is None or result.last is None):
            current = replace(current, coloring="group")
        choices = [(words.name_kept_run(run), run.id) for run in self._runs.kept(current.scene)]
        return [
            self._version(current),
            *self.show_run(current.scene),
            gr.update(choices=choices, value=result.kept_as if result else None),
            current.coloring,
            self._summary(current.scene, result),
            *self.show_pick(current),
        ]

    def _summary(self, scene: str, result: Result | None) -> str:
        def name(key: MaskKey) -> str:
            try:
                return self._bench.mask_name(scene, key)
            except MaskgroupError:
                return f"a mask of view {key.view} (not there now)"

        stale = words.stale_html(len(self._bench.stale_labels(self._bench.labels.current(scene))), page.count_stale(result))
        return words.show_summary(result, name=name) + stale if result else stale

    def _open_scene(self, current: Pick) -> list[Any]:
        """Show a scene's groups; where there are none yet, open the kept ones, or make some from geometry alone."""
        self._runs.open_or_start(current.scene)
        return self.show_all(current)

    def _show_list(self, current: Pick) -> Any:
        if self._result(current) is None:
            return gr.update(value=None)
        return _pictures(page.list_groups(self._bench, self._runs, current))

    def _result(self, current: Pick) -> Result | None:
        state = self._runs.state(current.scene)
        return state.result if state else None

    def _version(self, current: Pick) -> int:
        state = self._runs.state(current.scene)
        return state.version if state else 0

    def _check_shown(self, current: Pick, on_screen: str) -> None:
        page.check_shown(current, self._version(current), on_screen)


RUN_VALUES, PICK_VALUES = 4, 13
"""How many values `GroupingActions.show_run` and `show_pick` give."""


def _pictures(listed: list[page.ViewPicture]) -> Any:
    return gr.update(value=[(picture.pixels, picture.caption) for picture in listed], selected_index=None)
