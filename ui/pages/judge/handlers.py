"""The Judge page's handlers: what each click changes, as plain functions tested without Gradio running.

A page's state is a `Choice`: ids only. Every handler takes the old choice and gives a new one; `Screen` is all that a choice shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from db.labels.store import Label, ShownVerdict
from engine.errors import MaskError
from engine.types import Decision, MaskKey, MaskPair, UInt8Array
from ui.components.pairs import pair_query, parse_place
from ui.components.typed import annotator_name
from ui.components.wording import DECISION_WORDS, point_html
from ui.escape import escape_markdown
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B, draw_view, frame_crop
from ui.view3d.plotly_view import MASK_COLORS, PICK_COLOR, camera_trace, mask_trace, room_view


@dataclass(frozen=True)
class Choice:
    """What a person has picked: a scene, two views and, once clicked, a mask in each."""

    scene: str
    view_a: str
    view_b: str
    mask_a: int | None = None
    mask_b: int | None = None

    @property
    def pair(self) -> MaskPair | None:
        """The two masks in the order of the page, or None until both are picked."""
        if self.mask_a is None or self.mask_b is None:
            return None
        return MaskPair(MaskKey(self.view_a, self.mask_a), MaskKey(self.view_b, self.mask_b))


@dataclass(frozen=True, eq=False)
class SideScreen:
    """One side of the page: its view with outlines, the masks to choose from, and the crop (None until one is picked)."""

    picture: UInt8Array
    choices: list[tuple[str, int]]
    mask: int | None
    crop: UInt8Array | None


def permalink(bench: Workbench, choice: Choice) -> str:
    """Return the query string that opens exactly this choice; masks by their number in the view, as ids may give the truth away."""
    places = [
        (view, None if mask is None else bench.mask_number(choice.scene, MaskKey(view, mask)))
        for view, mask in ((choice.view_a, choice.mask_a), (choice.view_b, choice.mask_b))
    ]
    return pair_query(choice.scene, places[0], places[1])


def check_shown(bench: Workbench, choice: Choice | None, on_screen: str) -> None:
    """Refuse to label a pair that is not the one on the screen, whose `permalink` is `on_screen`.

    Raises:
        MaskError: If the choice is another one by now, or the page is not open yet.
    """
    if choice is None or permalink(bench, choice) != on_screen:
        raise MaskError("The page was just changing to another pair, so nothing was saved; look at it, then answer.")


def first_choice(bench: Workbench, query: dict[str, str]) -> Choice:
    """Return what the page opens with: what its address says, else a proposed pair of the first scene.

    An address that names something that does not exist is not an error: the page opens on what does.
    """
    names = bench.scene_names()
    scene = query.get("scene", names[0])
    scene = scene if scene in names else names[0]
    try:
        (view_a, number_a), (view_b, number_b) = parse_place(query["a"]), parse_place(query["b"])
    except (KeyError, ValueError):
        return next_choice(bench, scene, seed=0)
    views = bench.views(scene)
    if view_a in views and view_b in views:
        mask_a, mask_b = bench.mask_by_number(scene, view_a, number_a), bench.mask_by_number(scene, view_b, number_b)
        return Choice(scene, view_a, view_b, mask_a, mask_b)
    return next_choice(bench, scene, seed=0)


def models_of(bench: Workbench, query: dict[str, str]) -> tuple[str, str | None]:
    """Return the two models that the page opens with: those of its address where they exist, else the default and its rival."""
    names = bench.judges.names()
    model, rival = query.get("model", ""), query.get("rival", "")
    return (model if model in names else bench.judges.default), (rival if rival in names else bench.judges.rival())


def next_choice(bench: Workbench, scene: str, *, seed: int | None = None) -> Choice:
    """Return a proposed pair of a scene; two of its views without masks picked where none can be proposed."""
    pair = bench.propose(scene, seed=seed)
    if pair is not None:
        return Choice(scene, pair.a.view, pair.b.view, pair.a.mask, pair.b.mask)
    views = bench.views(scene)
    return Choice(scene, views[0], views[min(1, len(views) - 1)])


def view_on(choice: Choice, side: str) -> str:
    """Return the view on side "a" or "b"."""
    return choice.view_a if side == "a" else choice.view_b


def mask_on(choice: Choice, side: str) -> int | None:
    """Return the mask that is picked on side "a" or "b"."""
    return choice.mask_a if side == "a" else choice.mask_b


def choose_view(choice: Choice, side: str, view: str) -> Choice:
    """Return the choice with another view on side "a" or "b"; its mask is no longer picked."""
    return replace(choice, view_a=view, mask_a=None) if side == "a" else replace(choice, view_b=view, mask_b=None)


def choose_mask(choice: Choice, side: str, mask: int | None) -> Choice:
    """Return the choice with another mask on side "a" or "b"."""
    return replace(choice, mask_a=mask) if side == "a" else replace(choice, mask_b=mask)


def click_mask(bench: Workbench, choice: Choice, side: str, x: int, y: int) -> Choice:
    """Return the choice with the mask under pixel (x, y) picked on a side.

    Raises:
        MaskError: If there is no mask at that pixel.
    """
    mask = bench.mask_at(choice.scene, view_on(choice, side), x, y)
    if mask is None:
        raise MaskError("There is no mask where you clicked; click inside one of the outlined regions.")
    return choose_mask(choice, side, mask)


def swap_sides(choice: Choice) -> Choice:
    """Return the choice with its two sides exchanged, so that the judge sees the images in the other order."""
    return Choice(choice.scene, choice.view_b, choice.view_a, choice.mask_b, choice.mask_a)


def show_side(bench: Workbench, choice: Choice, side: str) -> SideScreen:
    """Return what one side shows."""
    view, mask, color = view_on(choice, side), mask_on(choice, side), COLOR_A if side == "a" else COLOR_B
    crop = frame_crop(bench.crop(choice.scene, MaskKey(view, mask))) if mask is not None else None
    return SideScreen(draw_view(bench.frame(choice.scene, view), mask, color), bench.mask_choices(choice.scene, view), mask, crop)


def waiting_for(choice: Choice) -> str:
    """Return what to click next, as a sentence."""
    side = "left" if choice.mask_a is None else "right"
    return f"Click a mask in the {side} view: the model then says whether both are one object."


def show_room(bench: Workbench, choice: Choice, *, clicked: tuple[float, float, float] | None = None) -> tuple[str, str]:
    """Return the 3D component's value and a sentence on the clicked point ("" where none was clicked)."""
    traces: list[dict[str, Any]] = []
    points_of: dict[str, np.ndarray] = {}
    for side, view, mask in (("A", choice.view_a, choice.mask_a), ("B", choice.view_b, choice.mask_b)):
        words = "left" if side == "A" else "right"
        if mask is not None:
            points_of[words] = bench.mask_points(choice.scene, MaskKey(view, mask))
            traces.append(mask_trace(points_of[words], MASK_COLORS[side], f"{words} mask"))
        path = bench.camera_path(choice.scene, view)
        if path is not None:
            traces.append(camera_trace(path, MASK_COLORS[side], f"{words} camera"))
    sentence = ""
    if clicked is not None:
        point = np.array(clicked, np.float32)
        instance, lit = bench.instance_at(choice.scene, point)
        near = [f"the {words} mask" for words, points in points_of.items() if len(points) and _distance(points, point) < 0.05]
        sentence = point_html(instance, near)
        if instance is not None:
            traces.append(mask_trace(lit, PICK_COLOR, f"instance {instance}"))
    return room_view(choice.scene, traces, permalink=permalink(bench, choice)), sentence


def save(
    bench: Workbench,
    choice: Choice,
    decision: Decision,
    *,
    annotator: str,
    seconds: float | None,
    shown: Sequence[ShownVerdict] = (),
) -> Label:
    """Write a label for the picked pair, with the verdicts that were on the page.

    Raises:
        MaskError: If a mask is not picked yet.
    """
    pair = choice.pair
    if pair is None:
        raise MaskError("Nothing to save yet: pick a mask in both views first.")
    return bench.save_label(choice.scene, pair, decision, annotator=annotator_name(annotator), seconds=seconds, shown=shown)


def describe_label(bench: Workbench, label: Label) -> str:
    """Return one line on a saved label, as Markdown, for the page's list."""
    words = DECISION_WORDS[label.decision]
    names = escape_markdown(bench.pair_words(label.scene, label.pair))
    return f"{names}: {words} (by {escape_markdown(label.annotator)}, {label.created_at:%H:%M:%S} UTC)"


def _distance(points: np.ndarray, point: np.ndarray) -> float:
    return float(np.linalg.norm(points - point, axis=1).min())
