"""Masks that people are editing: each page's own, until they are saved as a new version of the view. Knows nothing about Gradio.

Edits live here and not in a page, so that a reload finds them again; they end with the app.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.errors import MaskgroupError, SceneError
from engine.scenes import find_scene
from engine.segmenting import edits
from engine.segmenting.edits import EditError, EditHistory, Point
from engine.segmenting.prompts import PromptedPicture, Prompter, open_prompter
from engine.segmenting.versions import MaskVersion, MaskVersions, SavedMasks, fault_of_editing
from engine.types import BoolArray, Int32Array, Scene
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench

MAX_OPEN = 16
"""Views that are being edited at once, by everybody; of more, the one that was left longest is closed."""


@dataclass(frozen=True)
class Drawn:
    """What a person drew, in pixels of the view's photo; whole numbers are pixel centres.

    Attributes:
        tool: brush = along the points; polygon = their inside; point = what lies there; box = what two corners hold.
        points: (column, row) of each.
        radius_px: Of the brush.
    """

    tool: str
    points: tuple[Point, ...]
    radius_px: float = 0.0


@dataclass(frozen=True)
class MaskDrawing:
    """The masks of a view as they are being edited.

    Attributes:
        scene: The scene's name.
        view: The view.
        step: Changes with every change; what a person picked belongs to it.
        ids: (H, W) int32 masks, -1 = none.
        can_undo: Whether there is a step to take back.
        can_redo: Whether there is one to do again.
        is_changed: Whether they are others than those that were saved.
        versions: The versions that were saved.
    """

    scene: str
    view: str
    step: int
    ids: Int32Array
    can_undo: bool
    can_redo: bool
    is_changed: bool
    versions: tuple[MaskVersion, ...]

    @property
    def masks(self) -> list[int]:
        """Its masks; pages number them from 1 in this order."""
        return edits.list_masks(self.ids)


@dataclass
class _Open:
    scene: str
    view: str
    saved: Int32Array
    history: EditHistory
    versions: tuple[MaskVersion, ...]
    step: int = 1
    picture: PromptedPicture | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_changed(self) -> bool:
        return not np.array_equal(self.history.ids, self.saved)


class MaskEdits:
    """All views that are being edited.

    Args:
        bench: Lists scenes, and forgets what it read of those that change.
        runs: Groups scenes; its groups of a scene whose masks change are forgotten.
        model: Promptable model of transformers for clicks and boxes, "" = built in.
        device: Where it runs.
    """

    def __init__(self, bench: Workbench, runs: GroupingRuns, *, model: str = "", device: str = "auto") -> None:
        self.model = model
        self._bench, self._runs, self._device = bench, runs, device
        self._open: OrderedDict[tuple[str, str, str], _Open] = OrderedDict()
        self._prompter: Prompter | None = None
        self._lock, self._loading = threading.Lock(), threading.Lock()
        bench.when_forgotten(self._forget)

    def fault(self, scene: str) -> str:
        """Return why the masks of a scene cannot be edited, as the end of a sentence; "" where they can.

        Raises:
            SceneError: If there is no such scene.
        """
        listed = self._bench.find_listed(scene)
        if listed.origin != "imported":
            return "it was not imported, and only copies are changed here"
        return fault_of_editing(find_scene(scene, listed.place))

    def views(self, scene: str) -> tuple[str, ...]:
        """Return the names of a scene's views."""
        return self._bench.views(scene)

    def open(self, token: str, scene: str, view: str) -> MaskDrawing:
        """Begin to edit a view, or go on with that.

        Args:
            token: Names the page.
            scene: The scene.
            view: The view.

        Raises:
            MaskgroupError: If there is no such view, or its masks cannot be edited.
        """
        with self._lock:
            known = self._open.get((token, scene, view))
        if known is not None:
            return _show(known)
        masks = MaskVersions(self._scene(scene))
        ids = masks.read(view)
        begun = _Open(scene, view, ids, EditHistory(ids), masks.versions(view))
        with self._lock:
            self._open[token, scene, view] = begun
            while len(self._open) > MAX_OPEN:
                idle = next((key for key, one in self._open.items() if not one.is_changed and one is not begun), None)
                self._open.pop(idle if idle is not None else next(iter(self._open)))
        return _show(begun)

    def draw(
        self, token: str, scene: str, view: str, step: int, drawn: Drawn, *, into: int | None = None, leaves_others: bool = False
    ) -> MaskDrawing:
        """Draw a new mask, or add to one.

        Args:
            token: Names the page.
            scene: The scene.
            view: The view.
            step: The step that the page shows.
            drawn: What was drawn.
            into: Number of the mask that grows, None = a new one.
            leaves_others: Whether other masks keep their pixels.

        Raises:
            MaskgroupError: If it cannot be done; nothing is changed.
        """

        def change(one: _Open, ids: Int32Array) -> Int32Array:
            where = self._pixels(one, drawn)
            if into is None:
                return edits.add_mask(ids, where, leaves_others=leaves_others)
            return edits.grow_mask(ids, where, _by_number(ids, [into])[0], leaves_others=leaves_others)

        return self._change(token, scene, view, step, change)

    def erase(self, token: str, scene: str, view: str, step: int, drawn: Drawn, *, only: int | None = None) -> MaskDrawing:
        """Take pixels away from all masks, or from one; see `draw`."""

        def change(one: _Open, ids: Int32Array) -> Int32Array:
            return edits.erase(ids, self._pixels(one, drawn), None if only is None else _by_number(ids, [only])[0])

        return self._change(token, scene, view, step, change)

    def split(self, token: str, scene: str, view: str, step: int, mask: int, line: Sequence[Point]) -> MaskDrawing:
        """Cut a mask along a line, or into its pieces where there is none; see `draw`."""

        def change(_: _Open, ids: Int32Array) -> Int32Array:
            (own,) = _by_number(ids, [mask])
            return edits.split_by_line(ids, own, line) if line else edits.split_pieces(ids, own)

        return self._change(token, scene, view, step, change)

    def join(self, token: str, scene: str, view: str, step: int, masks: Sequence[int]) -> MaskDrawing:
        """Make several masks one; see `draw`."""
        return self._change(token, scene, view, step, lambda _, ids: edits.join_masks(ids, _by_number(ids, masks)))

    def remove(self, token: str, scene: str, view: str, step: int, masks: Sequence[int]) -> MaskDrawing:
        """Take masks away; see `draw`."""
        return self._change(token, scene, view, step, lambda _, ids: edits.remove_masks(ids, _by_number(ids, masks)))

    def take_version(self, token: str, scene: str, view: str, number: int) -> MaskDrawing:
        """Go back to the masks of a version that was saved, as a step like others; see `draw`."""
        masks = MaskVersions(self._scene(scene)).read_version(view, number)

        def change(_: _Open, ids: Int32Array) -> Int32Array:
            if masks.shape != ids.shape:
                raise EditError("That version belongs to a photo of another size; choose another.")
            return masks

        return self._change(token, scene, view, None, change)

    def undo(self, token: str, scene: str, view: str) -> MaskDrawing:
        """Take a step back; see `draw`."""
        return self._step(token, scene, view, EditHistory.undo)

    def redo(self, token: str, scene: str, view: str) -> MaskDrawing:
        """Do a step again; see `draw`."""
        return self._step(token, scene, view, EditHistory.redo)

    def save(self, token: str, scene: str, view: str) -> tuple[MaskDrawing, SavedMasks]:
        """Save the masks as the view's newest version; groups of the scene are forgotten, as they are of other masks.

        Raises:
            MaskgroupError: If the scene is being grouped, its masks were changed by somebody else, or it cannot be written; the
                edits stay as they are.
        """
        one = self._find(token, scene, view)
        with one.lock:
            masks = MaskVersions(self._scene(scene))
            self._runs.require_idle(scene)
            saved = masks.save(view, one.history.ids, expected=one.saved)
            self._runs.forget(scene)
            one.saved, one.versions = saved.ids, MaskVersions(self._scene(scene)).versions(view)
            one.history.replace(saved.ids)
            one.step += 1
            shown = _show(one)
        self._bench.forget(scene)
        return shown, saved

    def close(self, token: str, scene: str, view: str) -> None:
        """Forget a page's edits of a view that are not saved."""
        with self._lock:
            self._open.pop((token, scene, view), None)

    def _scene(self, name: str) -> Scene:
        fault = self.fault(name)
        listed = self._bench.find_listed(name)
        if fault:
            raise SceneError(f"The masks of {listed.label} cannot be edited, as {fault}; make a copy, and edit that.")
        return find_scene(name, listed.place)

    def _find(self, token: str, scene: str, view: str) -> _Open:
        with self._lock:
            one = self._open.get((token, scene, view))
            if one is None:
                raise MaskgroupError("The app does not have these edits any more; reload the page, and begin anew.")
            self._open.move_to_end((token, scene, view))
            return one

    def _change(
        self, token: str, scene: str, view: str, step: int | None, change: Callable[[_Open, Int32Array], Int32Array]
    ) -> MaskDrawing:
        one = self._find(token, scene, view)
        with one.lock:
            if step is not None and step != one.step:
                raise EditError("The page shows masks that have changed since; look at them, then try again.")
            one.history.add(change(one, one.history.ids))
            one.step += 1
            return _show(one)

    def _step(self, token: str, scene: str, view: str, move: Callable[[EditHistory], None]) -> MaskDrawing:
        one = self._find(token, scene, view)
        with one.lock:
            move(one.history)
            one.step += 1
            return _show(one)

    def _pixels(self, one: _Open, drawn: Drawn) -> BoolArray:
        shape = (one.saved.shape[0], one.saved.shape[1])
        if drawn.tool == "brush" and drawn.points:
            return edits.draw_stroke(shape, drawn.points, drawn.radius_px)
        if drawn.tool == "polygon":
            return edits.draw_polygon(shape, drawn.points)
        if drawn.tool == "point" and len(drawn.points) == 1:
            return self._picture(one).at(drawn.points[0])
        if drawn.tool == "box" and len(drawn.points) == 2:
            return self._picture(one).within((*drawn.points[0], *drawn.points[1]))
        raise EditError("Nothing was drawn that can be used; try again.")

    def _picture(self, one: _Open) -> PromptedPicture:
        if one.picture is None:
            with self._loading:
                if self._prompter is None:
                    self._prompter = open_prompter(self.model, device=self._device)
            scene = self._scene(one.scene)
            rgb = scene.color(one.view)
            if rgb is None:
                raise SceneError(f"{scene.folder}: view {one.view!r} has no photo, expected one; add it.")
            one.picture = self._prompter.prepare(rgb, scene.depth(one.view), scene.view(one.view))
        return one.picture

    def _forget(self, scene: str) -> None:
        """Close the views of a scene that is not there any more; what was only changed is noticed when it is saved."""
        if self._bench.folders.find(scene) is None:
            with self._lock:
                for key in [key for key in self._open if key[1] == scene]:
                    del self._open[key]


def _by_number(ids: Int32Array, numbers: Sequence[int]) -> list[int]:
    masks = edits.list_masks(ids)
    if not all(1 <= number <= len(masks) for number in numbers):
        raise EditError("The mask is not there any more; pick another.")
    return [masks[number - 1] for number in numbers]


def _show(one: _Open) -> MaskDrawing:
    with one.lock:
        history = one.history
        return MaskDrawing(
            one.scene, one.view, one.step, history.ids, history.can_undo, history.can_redo, one.is_changed, one.versions
        )
