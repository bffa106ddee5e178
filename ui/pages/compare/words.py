"""What the Compare page says in words and tables, as HTML. Names are escaped here."""

from __future__ import annotations

from typing import Any

from engine.evaluation.comparison.paired import ALL, SceneComparison, trained_models
from engine.evaluation.comparison.run import SIDES, FinishedComparison
from engine.evaluation.metrics import METRICS
from engine.judging.calibration.operating_point import USUAL_THRESHOLD, Rates
from ui.escape import escape

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
NOTHING_YET = (
    "<p>No comparison yet. Choose two models below and press <b>Compare</b>. With only one model there is nothing to compare: "
    "retrain the judge on the Retrain page (or with <code>maskgroup train</code>), or start the app with "
    "<code>--also MODEL</code>.</p>"
)


def headline_html(found: FinishedComparison) -> str:
    """Return the outcome in one sentence: which model is better, by how much, how sure."""
    total = found.table[-1]
    a, b = escape(found.settings.model_a), escape(found.settings.model_b)
    accuracy, test = total.metrics["accuracy"], total.mcnemar
    change = accuracy.difference
    if accuracy.a is None or accuracy.b is None or change.value is None:
        return "<p>These pairs do not determine an accuracy.</p>"
    is_clear = change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)
    better = f"{b} is better" if change.value > 0 else f"{a} is better"
    verdict = better if is_clear else "No clear difference"
    spread = "" if change.low is None or change.high is None else f" [95 %: {change.low * 100:+.1f} to {change.high * 100:+.1f}]"
    return (
        f"<div class='mg-verdict mg-compared'><div class='mg-outcome'>{verdict}.</div>"
        f"<div>Accuracy {a} <b>{accuracy.a:.1%}</b> → {b} <b>{accuracy.b:.1%}</b>, {change.value * 100:+.1f} points{spread}, "
        f"on {total.pairs} pairs of {len(found.scenes)} scene{'' if len(found.scenes) == 1 else 's'}. {b} fixed {test.fixed} and "
        f"broke {test.broken} answers (McNemar p = {test.p_value:.2g}).{_thresholds(found)}</div>{trained_html(found)}</div>"
    )


def trained_html(found: FinishedComparison) -> str:
    """Return which model was trained on which of the scenes, "" where none was as far as is known."""
    names = (found.settings.model_a, found.settings.model_b)
    lines = [
        f"<div role='note' class='mg-trained'>⚠ {escape(name)} was trained on {escape(scene.scene)}: "
        "its figures there flatter it.</div>"
        for scene in found.table
        if scene.scene != ALL or len(found.table) == 1
        for name in trained_models(scene, *names)
    ]
    return "".join(lines)


def _thresholds(found: FinishedComparison) -> str:
    chosen = [
        f"{escape(found.settings.model(side))} from {found.settings.threshold(side):.0%} on"
        for side in SIDES
        if found.settings.threshold(side) != USUAL_THRESHOLD
    ]
    return f' As chosen, {" and ".join(chosen)} said "same".' if chosen else ""


def table_html(comparison: SceneComparison, a: str, b: str) -> str:
    """Return one scene's metrics as a table; every cell carries its unrounded value."""
    rows: list[str] = []
    for name in METRICS:
        metric = comparison.metrics[name]
        change = metric.difference
        if metric.a is None or metric.b is None or change.value is None:
            continue
        good = 0.0 if change.low is None or change.high is None else change.low if change.low > 0 else min(change.high, 0.0)
        if name in SMALLER_IS_BETTER:
            good = -good
        mark = " class='mg-better'" if good > 0 else " class='mg-worse'" if good < 0 else ""
        spread = "" if change.low is None or change.high is None else f"[{change.low:+.3f}, {change.high:+.3f}]"
        rows.append(
            f"<tr data-metric='{name}'><th scope='row'>{METRIC_WORDS[name]}</th>{_cell('a', metric.a)}{_cell('b', metric.b)}"
            f"<td{mark} data-side='difference' data-value='{change.value!r}'>{change.value:+.3f}</td><td>{spread}</td></tr>"
        )
    test = comparison.mcnemar
    left_out = comparison.only_a + comparison.only_b
    note = f" {left_out} pairs that only one model judged are left out." if left_out else ""
    note += "".join(f" <b>{escape(name)} was trained on this scene.</b>" for name in trained_models(comparison, a, b))
    return (
        f"<table class='mg-table' data-scene='{escape(comparison.scene)}'><caption>{escape(comparison.scene)}: "
        f"{comparison.pairs} pairs.{note}</caption><thead><tr><th></th><th>{escape(a)}</th><th>{escape(b)}</th>"
        f"<th>difference</th><th>95 % interval</th></tr></thead><tbody>{''.join(rows)}</tbody><tfoot><tr><td colspan='5'>Fixed "
        f"{test.fixed}, broken {test.broken}, both wrong {len(comparison.both_wrong)}; McNemar ({escape(test.method)}) "
        f"<span data-metric='mcnemar' data-value='{test.p_value!r}'>p = {test.p_value:.3g}</span></td></tr></tfoot></table>"
    )


def _cell(side: str, value: float) -> str:
    return f"<td data-side='{side}' data-value='{value!r}'>{value:.3f}</td>"


def grouping_html(found: FinishedComparison, scene: str) -> str:
    """Return both models' groupings of a scene as a table, and how many masks changed group."""
    kept = found.grouping.get(scene)
    if kept is None:
        return "<p>This comparison did not group the scene; start one with <b>Group the scenes too</b>.</p>"
    left, right = kept["a"], kept["b"]
    rows = "".join(
        f"<tr data-metric='{name}'><th scope='row'>{words}</th>{_score('a', left.get(name))}{_score('b', right.get(name))}</tr>"
        for name, words in GROUPING_WORDS.items()
        if left.get(name) is not None or right.get(name) is not None
    )
    kinds = {kind: sum(change == kind for _, change in kept["changed"]) for kind in CHANGE_COLORS}
    dots = {kind: f"<span style='color:rgb{color}'>●</span> {kinds[kind]}" for kind, color in CHANGE_COLORS.items()}
    a, b = escape(found.settings.model_a), escape(found.settings.model_b)
    return (
        f"<table class='mg-table'><caption>{escape(scene)}: groups by {escape(_evidence(kept))}</caption>"
        f"<thead><tr><th></th><th>{a}</th><th>{b}</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<p><b>{len(kept['changed'])} of {len(kept['masks'])} masks changed group</b> from {a} to {b}: {dots['fixed']} are right "
        f"now, {dots['broken']} are wrong now, {dots['moved']} moved otherwise.</p>"
    )


def _evidence(kept: dict[str, Any]) -> str:
    return {"vlm": "the judge alone", "both": "geometry and the judge", "geometry": "geometry"}.get(str(kept.get("evidence")), "?")


def _score(side: str, value: float | None) -> str:
    if value is None:
        return "<td>unknown</td>"
    return f"<td data-side='{side}' data-value='{value!r}'>{value if isinstance(value, int) else f'{value:.3f}'}</td>"


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
    rows = "".join(
        f"<tr><th scope='row'>{words}</th><td>{_percent(getattr(usual, name))}</td>"
        f"<td><b>{_percent(getattr(rates, name))}</b></td></tr>"
        for name, words in lines
    )
    rows += "".join(
        f"<tr><th scope='row'>{escape(scene)}: {words}{_measured_at(after[0], rates.threshold)}</th>"
        f"<td>{_plain(before[k])}</td><td><b>{_plain(after[k])}</b></td></tr>"
        for scene, after, before in groups
        for k, words in ((1, "groups"), (2, "ARI of the groups"))
    )
    return (
        f"<table class='mg-table'><caption>{escape(model)} saying \"same\" from {rates.threshold:.0%} on ({rates.said_same} of "
        f"{rates.pairs} pairs)</caption><thead><tr><th></th><th>from 50%</th><th>from {rates.threshold:.0%}</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _measured_at(threshold: float, chosen: float) -> str:
    return "" if abs(threshold - chosen) < HALF_A_STEP else f" (at {threshold:.0%})"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _plain(value: float | int | None) -> str:
    return "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else escape(value)
