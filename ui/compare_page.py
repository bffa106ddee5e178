"""The Compare page's handlers: plain functions tested without Gradio running. A page's state is the key of a comparison."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode

import numpy as np

from engine.comparison import ComparedPair, Outcome
from engine.comparison_report import kind_words
from engine.comparison_run import ComparisonSettings, FinishedComparison, Step
from engine.errors import MaskgroupError
from engine.grouping_comparison import Change
from engine.operating_point import OperatingPoint, OperatingPoints, rates_at, split_scores
from engine.pair_sampling import NegativeMode, SamplingSettings
from engine.types import Float32Array, MaskKey, UInt8Array
from ui.compare_plots import make_plots
from ui.compare_runs import ComparisonRuns, Entry
from ui.compare_words import CHANGE_COLORS, NOTHING_YET, headline_html, table_html, threshold_html
from ui.judge_page import Choice, permalink
from ui.pictures import COLOR_A, COLOR_B, frame_crop
from ui.plotly_view import mask_trace, room_view
from ui.workbench import Workbench

PAGE = "compare"
"""Value of `tab` in the address; Gradio keeps `page` for itself."""
REPORT_ROUTE = "/maskgroup/report/"
FIGURE_ROUTE = "/maskgroup/figure/"
MAX_FLIPS = 60
CROP = 150
MAX_LIT_MASKS = 120
MAX_LIT_POINTS = 400
USUAL = 0.5
FLIPS: tuple[tuple[str, Outcome], ...] = (("fixed", "fixed"), ("broken", "broken"), ("both wrong", "both_wrong"))
Side = Literal["a", "b"]


@dataclass(frozen=True, eq=False)
class Flip:
    """A pair in the gallery: both crops side by side, (h, w, 3) uint8, a caption, and the pair."""

    picture: UInt8Array
    caption: str
    pair: ComparedPair


def address_of(key: str) -> str:
    """Return the query string that opens a comparison."""
    return "?" + urlencode({"tab": PAGE, "run": key})


def links_html(key: str) -> str:
    """Return the links to what leaves the app."""
    name = quote(key, safe="")
    return (
        f"<p class='mg-links'><a class='mg-link' id='mg-report' href='{REPORT_ROUTE}{name}' download>Report (HTML)</a> "
        f"<a class='mg-link' id='mg-figure' href='{FIGURE_ROUTE}{name}' download>Figure (PNG)</a></p>"
    )


def first_key(runs: ComparisonRuns, query: dict[str, str]) -> str:
    """Return the comparison that the page opens with: what its address says, else the newest with numbers, else none ("")."""
    entries = runs.entries()
    keys = [entry.key for entry in entries]
    if query.get("run") in keys:
        return query["run"]
    done = [entry.key for entry in entries if entry.status == "done"]
    return (done or keys or [""])[0]


def list_entries(runs: ComparisonRuns) -> list[tuple[str, str]]:
    """Return (words, key) of all comparisons."""
    words = {"running": "under way", "cancelled": "stopped", "failed": "failed", "queued": "under way"}
    return [(entry.name + (f" ({words[entry.status]})" if entry.status in words else ""), entry.key) for entry in runs.entries()]


def settings_of(scenes: list[str], a: str, b: str, pairs: float, negatives: str, seed: float, grouping: bool) -> ComparisonSettings:
    """Return what the form asks for.

    Raises:
        MaskgroupError: If a value is out of range.
    """
    sampling = SamplingSettings(pairs=int(pairs), negatives=cast("NegativeMode", negatives), seed=int(seed))
    return ComparisonSettings(tuple(scenes), a, b, sampling, grouping)


def result_of(runs: ComparisonRuns, key: str) -> FinishedComparison | None:
    """Return a comparison's numbers, None where there are none to show yet."""
    try:
        return runs.result(key) if key else None
    except MaskgroupError:
        return None


def show_progress(runs: ComparisonRuns, key: str) -> str:
    """Return where a comparison stands, as HTML; "" where all is done."""
    if not key:
        return ""
    if runs.is_running(key):
        return progress_html(runs.step(key))
    entry = runs.entry(key)
    if entry.status == "done":
        return ""
    why = entry.note or "It was cut off when the app ended; resume it to go on."
    return f"<p role='status'>⚠ {escape(why)}</p>"


def progress_html(step: Step | None) -> str:
    """Return a step as words and a bar."""
    if step is None:
        return "<p role='status'>Starting ...</p>"
    left = f", about {step.seconds * (1 / step.share - 1):.0f} s left" if step.share > 0.02 else ""
    return (
        f"<div role='status'><b>{step.share:.0%}</b> {escape(step.words)} ({step.seconds:.0f} s so far{left})"
        f"<div class='mg-bar'><span style='width:{step.share:.0%}'></span></div></div>"
    )


def can_resume(entry: Entry | None) -> bool:
    """Return whether a comparison was stopped before its end."""
    return entry is not None and entry.status in ("cancelled", "failed")


def show_tables(found: FinishedComparison | None, *, is_running: bool = False) -> str:
    """Return the outcome and all tables, as HTML."""
    if found is None:
        return "<p>The numbers stand here once both models have judged.</p>" if is_running else NOTHING_YET
    a, b = found.settings.model_a, found.settings.model_b
    return headline_html(found) + "".join(table_html(comparison, a, b) for comparison in reversed(found.table))


def show_plots(found: FinishedComparison | None) -> str:
    """Return the plots as JSON text."""
    return json.dumps([asdict(plot) for plot in make_plots(found)]) if found is not None else ""


def list_flips(bench: Workbench, found: FinishedComparison | None, outcome: Outcome) -> list[Flip]:
    """Return the pairs with an outcome, those first on which the models are furthest apart; scenes that are gone are left out."""
    if found is None:
        return []
    pairs = [pair for scene in found.scenes for pair in scene.pairs if pair.outcome == outcome]
    pairs.sort(key=lambda pair: -abs((pair.a.p_same or 0) - (pair.b.p_same or 0)))
    flips: list[Flip] = []
    for pair in pairs[:MAX_FLIPS]:
        try:
            crops = [frame_crop(bench.crop(pair.scene, key), size=CROP) for key in (pair.a.pair.a, pair.a.pair.b)]
        except MaskgroupError:
            continue
        flips.append(Flip(side_by_side(crops), flip_caption(pair), pair))
    return flips


def side_by_side(crops: list[UInt8Array]) -> UInt8Array:
    """Join two square crops, each under its mask's colour."""
    tops = [np.full((5, CROP, 3), color, np.uint8) for color in (COLOR_A, COLOR_B)]
    gap = np.full((CROP + 5, 6, 3), 255, np.uint8)
    return np.hstack([np.vstack([tops[0], crops[0]]), gap, np.vstack([tops[1], crops[1]])])


def flip_caption(pair: ComparedPair) -> str:
    """Return the truth and both probabilities in a line."""
    truth = "same" if pair.a.is_same else "different"
    return f"truly {truth}: {_percent(pair.a.p_same)} → {_percent(pair.b.p_same)}"


def show_flip(bench: Workbench, found: FinishedComparison, pair: ComparedPair) -> str:
    """Return one pair of the gallery in words, with the way to the Judge page, where it can be labelled, as HTML."""
    names = [bench.mask_name(pair.scene, key) for key in (pair.a.pair.a, pair.a.pair.b)]
    a, b = found.settings.model_a, found.settings.model_b
    said = [
        f"<li><b>{escape(name)}</b>: {_answer(prediction)}, P(same) {_percent(prediction.p_same)}</li>"
        for name, prediction in ((a, pair.a), (b, pair.b))
    ]
    link = judge_address(bench, pair)
    return (
        f"<div class='mg-flip'><p>{escape(pair.scene)}: {escape(names[0])} and {escape(names[1])}. Truth: "
        f"<b>{'the same object' if pair.a.is_same else 'different objects'}</b> ({escape(kind_words(pair))}).</p>"
        f"<ul>{''.join(said)}</ul><p><a class='mg-link' id='mg-open-flip' href='{escape(link, quote=True)}'>Open on the Judge "
        "page</a> to look at it there, or to label it with the keys S and D.</p></div>"
    )


def judge_address(bench: Workbench, pair: ComparedPair) -> str:
    """Return the query string that opens a pair on the Judge page."""
    a, b = pair.a.pair.a, pair.a.pair.b
    return permalink(bench, Choice(pair.scene, a.view, b.view, a.mask, b.mask))


def show_changes(bench: Workbench, found: FinishedComparison | None, scene: str) -> str:
    """Return the 3D component's value: the room with the masks that changed group lit by what became of them."""
    kept = found.grouping.get(scene) if found is not None else None
    if kept is None:
        return ""
    traces: list[dict[str, Any]] = []
    for change, color in CHANGE_COLORS.items():
        names = [name for name, kind in kept["changed"] if kind == change]
        points: list[Float32Array] = []
        for name in names[:: max(1, len(names) // MAX_LIT_MASKS)]:
            view, _, mask = name.rpartition(":")
            try:
                points.append(bench.mask_points(scene, MaskKey(view, int(mask)))[:: 1 + 4000 // MAX_LIT_POINTS])
            except MaskgroupError:
                continue
        if points:
            words: dict[Change, str] = {"fixed": "right now", "broken": "wrong now", "moved": "moved otherwise"}
            traces.append(mask_trace(np.concatenate(points), color, words[cast("Change", change)]))
    return room_view(scene, traces, permalink="")


def show_threshold(found: FinishedComparison | None, side: Side, threshold: float) -> str:
    """Return what a threshold gives for a model: precision, recall, and what its groups would become, as HTML."""
    if found is None:
        return ""
    p_same, is_same = split_scores(_predictions(found, side))
    if len(p_same) == 0:
        return "<p>These results hold answers without probabilities, so there is no threshold to choose.</p>"
    groups: list[tuple[str, list[Any], list[Any]]] = []
    for scene, kept in found.grouping.items():
        sweep = kept[side]["sweep"]
        groups.append((scene, _nearest(sweep, threshold), _nearest(sweep, USUAL)))
    return threshold_html(
        found.settings.model(side), rates_at(p_same, is_same, threshold), rates_at(p_same, is_same, USUAL), groups
    )


def keep_threshold(points: OperatingPoints, found: FinishedComparison | None, side: Side, threshold: float) -> str:
    """Keep a threshold with its model; 0.5 forgets the choice. Returns a sentence.

    Raises:
        MaskgroupError: If there is no comparison, or it cannot be written.
    """
    if found is None:
        raise MaskgroupError("There is no comparison to choose a threshold on; start one first.")
    model = found.settings.model(side)
    if threshold == USUAL:
        points.save(model, None)
        return f'{model} says "same" from 50% on again, as at first.'
    rates = rates_at(*split_scores(_predictions(found, side)), threshold)
    scenes = ", ".join(scene.scene for scene in found.scenes)
    path = points.save(model, OperatingPoint(threshold, rates.precision, rates.recall, f"{rates.pairs} pairs of {scenes}"))
    return f'From now on {model} says "same" from {threshold:.0%} on, on the Judge page too. Kept in {path}.'


def kept_threshold(points: OperatingPoints, found: FinishedComparison | None, side: Side) -> float:
    """Return the threshold that a model has now."""
    point = points.get(found.settings.model(side)) if found is not None else None
    return USUAL if point is None else point.threshold


def _predictions(found: FinishedComparison, side: Side) -> list[Any]:
    return [pair.a if side == "a" else pair.b for scene in found.scenes for pair in scene.pairs]


def _nearest(sweep: list[list[Any]], threshold: float) -> list[Any]:
    return min(sweep, key=lambda row: abs(row[0] - threshold))


def _percent(p: float | None) -> str:
    return "?" if p is None else f"{p:.0%}"


def _answer(prediction: Any) -> str:
    said = "neither yes nor no" if prediction.said_same is None else "the same" if prediction.said_same else "different"
    return f"said {said}, {'right' if prediction.is_right else 'wrong'}"
