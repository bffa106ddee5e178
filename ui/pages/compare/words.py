"""What the Compare page says in words and tables, as HTML of templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from engine.evaluation.comparison.paired import ALL, SceneComparison, trained_models
from engine.evaluation.comparison.run import SIDES, FinishedComparison
from engine.evaluation.metrics import METRICS
from engine.judging.calibration.operating_point import Rates
from engine.types import USUAL_THRESHOLD
from ui.components.templates import render

METRIC_WORDS = {
    "accuracy": "accuracy",
    "precision": 'precision of "same"',
    "recall": 'recall of "same"',
    "specificity": "specificity (different pairs told apart)",
    "f1": "F1",
    "twin_accuracy": "both of a twin right",
    "ambiguity_rate": "neither yes nor no",
    "ece": "calibration error",
    "swap_disagreement": "answer changes when swapped",
    "swap_difference": "P(same) moves when swapped",
    "specificity_random": "specificity, random pairs",
    "specificity_same_class": "specificity, look-alikes (same class)",
    "specificity_nearest": "specificity, look-alikes (colour)",
    "specificity_copy": "specificity, identical copies",
}
SMALLER_IS_BETTER = {"ambiguity_rate", "ece", "swap_disagreement", "swap_difference"}
GROUPING_WORDS = {
    "groups": "groups",
    "ari": "ARI",
    "v_measure": "V-measure",
    "precision": "pair precision",
    "recall": "pair recall",
    "ap": "AP in 3D",
    "ap50": "AP in 3D at IoU 0.5",
    "calls": "pairs asked",
}
HALF_A_STEP = 0.0051
"""Half of the slider's step."""
CHANGE_COLORS = {"fixed": (22, 163, 74), "broken": (225, 29, 72), "moved": (234, 179, 8)}
CHANGE_WORDS = {"fixed": "are right now", "broken": "are wrong now", "moved": "moved otherwise"}
NOTHING_YET = Markup(
    "<p>No comparison yet. Choose two models below and press <b>Compare</b>. With only one model there is nothing to compare: "
    "retrain the judge on the Retrain page (or with <code>maskgroup train</code>), or start the app with "
    "<code>--also MODEL</code>.</p>"
)


def headline_html(found: FinishedComparison) -> str:
    """Return the outcome in one sentence: which model is better, by how much, how sure."""
    total = found.table[-1]
    a, b = found.settings.model_a, found.settings.model_b
    accuracy = total.metrics["accuracy"]
    change = accuracy.difference
    if accuracy.a is None or accuracy.b is None or change.value is None:
        return Markup("<p>These pairs do not determine an accuracy.</p>")
    is_clear = change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)
    better = f"{b} is better" if change.value > 0 else f"{a} is better"
    spread = "" if change.low is None or change.high is None else f" [95 %: {change.low * 100:+.1f} to {change.high * 100:+.1f}]"
    return render(
        "pages/compare/headline.html.j2",
        a=a,
        b=b,
        outcome=better if is_clear else "No clear difference",
        accuracy=accuracy,
        points=f"{change.value * 100:+.1f}",
        spread=spread,
        pairs=total.pairs,
        scenes=len(found.scenes),
        test=total.mcnemar,
        thresholds=_thresholds(found),
        trained=trained_html(found),
    )


def trained_html(found: FinishedComparison) -> str:
    """Return which model was trained on which of the scenes, "" where none was as far as is known."""
    names = (found.settings.model_a, found.settings.model_b)
    seen = [
        (name, scene.scene)
        for scene in found.table
        if scene.scene != ALL or len(found.table) == 1
        for name in trained_models(scene, *names)
    ]
    return render("pages/compare/trained.html.j2", seen=seen)


def _thresholds(found: FinishedComparison) -> str:
    chosen = [
        f"{found.settings.model(side)} from {found.settings.threshold(side):.0%} on"
        for side in SIDES
        if found.settings.threshold(side) != USUAL_THRESHOLD
    ]
    return f' As chosen, {" and ".join(chosen)} said "same".' if chosen else ""


@dataclass(frozen=True)
class MetricRow:
    """A metric of both models, with their difference; `style` is the class of a difference that is surely not 0, else ""."""

    metric: str
    words: str
    a: float
    b: float
    difference: float
    spread: str
    style: str


def table_html(comparison: SceneComparison, a: str, b: str) -> str:
    """Return one scene's metrics as a table; every cell carries its unrounded value."""
    rows: list[MetricRow] = []
    for name in METRICS:
        metric = comparison.metrics[name]
        change = metric.difference
        if metric.a is None or metric.b is None or change.value is None:
            continue
        good = 0.0 if change.low is None or change.high is None else change.low if change.low > 0 else min(change.high, 0.0)
        if name in SMALLER_IS_BETTER:
            good = -good
        style = "mg-better" if good > 0 else "mg-worse" if good < 0 else ""
        spread = "" if change.low is None or change.high is None else f"[{change.low:+.3f}, {change.high:+.3f}]"
        rows.append(MetricRow(name, METRIC_WORDS[name], metric.a, metric.b, change.value, spread, style))
    return render(
        "pages/compare/metrics.html.j2",
        comparison=comparison,
        a=a,
        b=b,
        rows=rows,
        left_out=comparison.only_a + comparison.only_b,
        trained=trained_models(comparison, a, b),
        test=comparison.mcnemar,
    )


def grouping_html(found: FinishedComparison, scene: str) -> str:
    """Return both models' groupings of a scene as a table, and how many masks changed group."""
    kept = found.grouping.get(scene)
    if kept is None:
        return Markup("<p>This comparison did not group the scene; start one with <b>Group the scenes too</b>.</p>")
    left, right = kept["a"], kept["b"]
    counts = {kind: sum(change == kind for _, change in kept["changed"]) for kind in CHANGE_COLORS}
    return render(
        "pages/compare/groupings.html.j2",
        scene=scene,
        evidence=_evidence(kept),
        a=found.settings.model_a,
        b=found.settings.model_b,
        rows=[
            (name, words, left.get(name), right.get(name))
            for name, words in GROUPING_WORDS.items()
            if left.get(name) is not None or right.get(name) is not None
        ],
        changed=len(kept["changed"]),
        masks=len(kept["masks"]),
        kinds=[(CHANGE_COLORS[kind], counts[kind], CHANGE_WORDS[kind]) for kind in CHANGE_COLORS],
    )


def _evidence(kept: dict[str, Any]) -> str:
    return {"vlm": "the judge alone", "both": "geometry and the judge", "geometry": "geometry"}.get(str(kept.get("evidence")), "?")


def threshold_html(model: str, rates: Rates, usual: Rates, groups: list[tuple[str, list[Any], list[Any]]]) -> str:
    """Return what a threshold gives: rates beside those of the usual one, and the groups of each scene.

    Args:
        model: The model.
        rates: At the chosen threshold.
        usual: At 0.5.
        groups: Scene, sweep row at the chosen threshold, sweep row at 0.5; rows are [threshold, groups, ari, precision, recall].
            Where the sweep has wider steps than the slider, the row says at which threshold it was measured.
    """
    lines = (("precision", 'precision of "same"'), ("recall", 'recall of "same"'), ("accuracy", "accuracy"))
    rows = [(words, _percent(getattr(usual, name)), _percent(getattr(rates, name))) for name, words in lines]
    rows += [
        (f"{scene}: {words}{_measured_at(after[0], rates.threshold)}", _plain(before[k]), _plain(after[k]))
        for scene, after, before in groups
        for k, words in ((1, "groups"), (2, "ARI of the groups"))
    ]
    return render("pages/compare/threshold.html.j2", model=model, rates=rates, rows=rows)


def _measured_at(threshold: float, chosen: float) -> str:
    return "" if abs(threshold - chosen) < HALF_A_STEP else f" (at {threshold:.0%})"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _plain(value: float | int | None) -> str:
    return "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
