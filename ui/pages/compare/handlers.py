"""The Compare page's handlers: plain functions tested without Gradio running. A page's state is the key of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal, cast
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from db.runs import RESUMABLE, RunStatus
from engine.errors import MaskgroupError
from engine.evaluation.comparison.groupings import Change
from engine.evaluation.comparison.run import ComparisonSettings, FinishedComparison, Step, predictions_of
from engine.evaluation.pair_sampling import NegativeMode, SamplingSettings
from engine.evaluation.predictions import split_scores
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints, rates_at
from engine.strict_json import to_json_text
from engine.types import USUAL_THRESHOLD, Float32Array, MaskKey
from ui.components.templates import render_line
from ui.pages.compare.plots import make_plots
from ui.pages.compare.words import CHANGE_COLORS, NOTHING_YET, headline_html, table_html, threshold_html
from ui.services.comparison_runs import ComparisonRuns, Entry
from ui.services.workbench import Workbench
from ui.view3d.plotly_view import mask_trace, room_view

PAGE = "compare"
"""Value of `tab` in the address; Gradio keeps `page` for itself."""
REPORT_ROUTE = "/maskgroup/report/"
FIGURE_ROUTE = "/maskgroup/figure/"
STATUS_WORDS: Mapping[RunStatus, str] = {
    "queued": " (under way)",
    "running": " (under way)",
    "done": "",
    "failed": " (failed)",
    "cancelled": " (stopped)",
}
MAX_LIT_MASKS = 120
MAX_LIT_POINTS = 400
Side = Literal["a", "b"]


def links_html(key: str) -> str:
    """Return the links to what leaves the app."""
    source = (
        "<p class='mg-links'><a class='mg-link' id='mg-report' href='{{ report }}{{ name }}' download>Report (HTML)</a> "
        "<a class='mg-link' id='mg-figure' href='{{ figure }}{{ name }}' download>Figure (PNG)</a></p>"
    )
    return render_line(source, report=REPORT_ROUTE[1:], figure=FIGURE_ROUTE[1:], name=quote(key, safe=""))


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
    return [(f"{entry.name}{STATUS_WORDS[entry.status]}", entry.key) for entry in runs.entries()]


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
    return render_line("<p role='status'>⚠ {{ why }}</p>", why=why)


def progress_html(step: Step | None) -> str:
    """Return a step as words and a bar."""
    if step is None:
        return "<p role='status'>Starting ...</p>"
    left = f", about {step.seconds * (1 / step.share - 1):.0f} s left" if step.share > 0.02 else ""
    source = (
        "<div role='status'><b>{{ done }}</b> {{ step.words }} ({{ step.seconds|as('.0f') }} s so far{{ left }})"
        "<div class='mg-bar'><span style='width:{{ done }}'></span></div></div>"
    )
    return render_line(source, step=step, done=f"{step.share:.0%}", left=left)


def can_resume(entry: Entry | None) -> bool:
    """Return whether a comparison was stopped before its end."""
    return entry is not None and entry.status in RESUMABLE


def show_tables(found: FinishedComparison | None, *, is_running: bool = False, proof: str = "") -> str:
    """Return the outcome, what proves it (HTML of a template) and all tables, as HTML."""
    if found is None:
        return "<p>The numbers stand here once both models have judged.</p>" if is_running else NOTHING_YET
    a, b = found.settings.model_a, found.settings.model_b
    return Markup().join([headline_html(found), proof, *(table_html(comparison, a, b) for comparison in reversed(found.table))])


def show_plots(
    found: FinishedComparison | None, *, name_of: Callable[[str, int], str | None] = lambda scene, instance: None
) -> str:
    """Return the plots as JSON text; `name_of` says what an object of a scene is called."""
    return to_json_text([asdict(plot) for plot in make_plots(found, name_of=name_of)]) if found is not None else ""


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
            try:
                points.append(bench.mask_points(scene, MaskKey.parse(name))[:: 1 + 4000 // MAX_LIT_POINTS])
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
    p_same, is_same = split_scores(predictions_of(found, side))
    if len(p_same) == 0:
        return "<p>These results hold answers without probabilities, so there is no threshold to choose.</p>"
    groups: list[tuple[str, list[Any], list[Any]]] = []
    for scene, kept in found.grouping.items():
        sweep = kept[side]["sweep"]
        groups.append((scene, _nearest(sweep, threshold), _nearest(sweep, USUAL_THRESHOLD)))
    return threshold_html(
        found.settings.model(side), rates_at(p_same, is_same, threshold), rates_at(p_same, is_same, USUAL_THRESHOLD), groups
    )


def keep_threshold(points: OperatingPoints, found: FinishedComparison | None, side: Side, threshold: float) -> str:
    """Keep a threshold with its model; 0.5 forgets the choice. Returns a sentence.

    Raises:
        MaskgroupError: If there is no comparison, or it cannot be written.
    """
    if found is None:
        raise MaskgroupError("There is no comparison to choose a threshold on; start one first.")
    model = found.settings.model(side)
    if threshold == USUAL_THRESHOLD:
        points.save(model, None)
        return f'{model} says "same" from 50% on again, as at first.'
    rates = rates_at(*split_scores(predictions_of(found, side)), threshold)
    scenes = ", ".join(scene.scene for scene in found.scenes)
    path = points.save(model, OperatingPoint(threshold, rates.precision, rates.recall, f"{rates.pairs} pairs of {scenes}"))
    where = "on the Judge page, in 3D grouping and on the command line"
    return f'From now on {model} says "same" from {threshold:.0%} on: {where}. Kept in {path}.'


def rated_text(key: str, side: Side, threshold: float) -> str:
    """Return what the rates on screen belong to, as the page remembers it."""
    return f"{key} {side} {threshold:.4f}"


def is_rated(on_screen: str, key: str, side: Side) -> bool:
    """Return whether the rates on screen are of this comparison and side, at whatever threshold."""
    return on_screen.startswith(f"{key} {side} ")


def rated_key(on_screen: str, side: Side, threshold: float) -> str:
    """Return the comparison whose rates are on screen, "" without any.

    Raises:
        MaskgroupError: If the rates there are of another side or threshold than is chosen: nobody saw those of this one yet.
    """
    key = on_screen.partition(" ")[0]
    if key and on_screen != rated_text(key, side, threshold):
        raise MaskgroupError("What this threshold gives is still being counted; look at it, then keep it.")
    return key


def same_key(chosen: str | None, on_screen: str) -> str:
    """Return the comparison that is both chosen in the list and on screen.

    Raises:
        MaskgroupError: If these are two.
    """
    if chosen != on_screen:
        raise MaskgroupError("The comparison chosen in the list is not the one on screen yet; look at it first.")
    return on_screen


def kept_threshold(points: OperatingPoints, found: FinishedComparison | None, side: Side) -> float:
    """Return the threshold that a model has now."""
    point = points.get(found.settings.model(side)) if found is not None else None
    return USUAL_THRESHOLD if point is None else point.threshold


def _nearest(sweep: list[list[Any]], threshold: float) -> list[Any]:
    return min(sweep, key=lambda row: abs(row[0] - threshold))
