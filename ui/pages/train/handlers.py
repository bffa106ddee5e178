"""What the Retrain page shows: runs in words, curves, verdicts, the registry as a table. Plain functions, no Gradio.

Names of runs and scenes are escaped wherever they become HTML.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from db.runs import Run
from engine.errors import MaskgroupError, RunError
from engine.evaluation.comparison.paired import SceneComparison
from engine.strict_json import to_json_text
from finetune.config import default_rate
from finetune.runs.base_choice import choose_models
from finetune.runs.events import Event
from finetune.runs.figures import COMPARE, CURVE, HEADLINE, headline, warn_of_seen
from finetune.runs.model_card import name_of
from finetune.runs.processes import WorkerState
from finetune.runs.registry import FINISHED, Registry
from ui.escape import escape
from ui.services.workbench import Workbench

STATUS_WORDS = {"queued": "waiting", "running": "training", "done": "finished", "failed": "failed", "cancelled": "stopped"}
METRIC_WORDS = {
    "accuracy": "right answers",
    "recall": "same objects found",
    "specificity": "different objects told apart",
    "precision": "right when it says same",
    "f1": "F1",
    "twin_accuracy": "both of a pair of twins right",
    "specificity_same_class": "told apart, same kind of thing",
    "specificity_nearest": "told apart, similar colours",
}
COUNT_WORDS = {
    "training": "pairs to learn from",
    "validation": "pairs for the curve",
    "evaluation": "pairs kept back for the verdict",
    "correction same": "your corrections: same",
    "correction different": "your corrections: different",
    "truth same": "made from ground truth: same",
    "truth different": "made from ground truth: different",
    "groups same": "made from confident groups: same",
    "groups different": "made from confident groups: different",
    "different, look_alike": "of the different ones, look-alikes",
    "different, mined": "of the different ones, what the model finds hard",
    "different, random": "of the different ones, any other object",
    "left out": "labelled pairs left out",
    "left out, stale": "of those, stale: their masks are not there now",
}
LOG_LINES = 200
SPARK = (84, 20)


def models_for(model: str, against: str, bench: Workbench, registry: Registry) -> dict[str, str]:
    """Return a training's base and the judge to beat, as fields of its settings, from the names that the page shows.

    Args:
        model: The model to improve.
        against: The model to beat, "" = the same.
        bench: Knows what the names stand for.
        registry: Knows the runs.

    Raises:
        MaskgroupError: If a name is unknown here, or its model cannot be trained.
    """
    for name in filter(None, (model, against)):
        if name not in bench.judges.names():
            raise RunError(f"There is no model {name!r} here; the models are {', '.join(bench.judges.names())}.")
    sources = [bench.judges.source(name) if name else None for name in (model, against)]
    found = choose_models(sources[0] or "", sources[1], registry.runs_dir)
    return {"model": found.base, "parent": found.rival}


def rate_for(model: str, bench: Workbench, registry: Registry) -> float:
    """Return the learning rate that the page proposes for a model."""
    try:
        return default_rate(models_for(model, "", bench, registry)["model"])
    except MaskgroupError:
        # Whoever starts a training with it is told why it cannot be.
        return default_rate(model)


def show_progress(run: Run | None, events: Sequence[Event], worker: WorkerState | None) -> str:
    """Return where a run stands: stage, bar, time left; in words where it stopped."""
    if run is None:
        return "<p class='mg-quiet'>No training is under way.</p>"
    name = f"<b>{escape(run.name)}</b>"
    if run.status in FINISHED:
        return f"<p>{name}: {STATUS_WORDS[run.status]}. {escape(run.note or '')}</p>"
    stage = next((event for event in reversed(events) if event.kind == "stage"), None)
    if stage is None or stage.text == "waiting for its turn":
        return f"<p>{name} waits: another training is under way, or its process is just starting.</p>"
    share, words = _share(events, stage)
    life = "" if worker is None or worker.life != "silent" else " Its process has not shown itself for a minute; it may hang."
    bar = "" if share is None else f"<div class='mg-bar'><span style='width:{100 * share:.0f}%'></span></div>"
    return f"<p>{name}: {escape(stage.text)}{words}.{life}</p>{bar}"


def _share(events: Sequence[Event], stage: Event) -> tuple[float | None, str]:
    """Return how much of the stage is done, and what there is to say about it."""
    since = [event for event in events if event.time >= stage.time]
    steps = [event for event in since if event.kind == "step"]
    if steps:
        done, total = steps[-1].number("step"), steps[-1].number("total")
        left = seconds_left(steps)
        soon = "" if math.isnan(left) else f", about {in_words(left)} left"
        return done / total, f", step {done:.0f} of {total:.0f}{soon}"
    counted = [event for event in since if event.kind == "progress" and event.values.get("total")]
    if not counted:
        estimate = next((e for e in reversed(events) if e.kind == "log" and "estimate_s" in e.values), None)
        return None, "" if estimate is None else f", about {in_words(estimate.number('estimate_s'))}"
    return counted[-1].number("done") / counted[-1].number("total"), ""


def seconds_left(steps: Sequence[Event]) -> float:
    """Return the seconds that the remaining steps take at the pace of the last ones; NaN from a single step."""
    recent = steps[-20:]
    if len(recent) < 2:
        return math.nan
    pace = (recent[-1].time - recent[0].time) / (len(recent) - 1)
    return pace * (recent[-1].number("total") - recent[-1].number("step")) - (time.time() - recent[-1].time)


def in_words(seconds: float) -> str:
    """Return a time in words, e.g. "2 min 5 s"."""
    whole = max(round(seconds), 0)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def draw_curves(events: Sequence[Event]) -> str:
    """Return two plots as JSON: the loss, and the held-out answers; "[]" before there is anything to draw."""
    # A resumed run repeats steps after its last checkpoint: what came last counts.
    steps = {int(e.number("step")): e for e in events if e.kind == "step"}
    held = {int(e.number("step")): e for e in events if e.kind == "validation"}
    plots: list[dict[str, Any]] = []
    # Both plots from the start: one that grew to the whole width would not shrink when the other comes.
    if steps or held:
        order = sorted(steps)
        losses = [_shown(steps[i].number("loss")) for i in order]
        data = [
            {"type": "scatter", "x": order, "y": losses, "mode": "lines", "name": "training pairs", "line": {"color": "#8b93a1"}}
        ]
        points = sorted(held)
        data.append(_line(points, [held[i] for i in points], "loss", "held-out pairs", "#7c5cf0"))
        plots.append({"title": "Loss", "hint": "Lower is better.", "data": data, "layout": {"xaxis": {"title": {"text": "step"}}}})
        rows = [held[i] for i in points]
        data = [
            _line(points, rows, "accuracy", "right answers", "#7c5cf0"),
            _line(points, rows, "recall", "same objects found", "#15803d"),
            _line(points, rows, "specificity", "different told apart", "#b45309"),
        ]
        layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"range": [0, 1.02], "tickformat": ".0%"}}
        hint = f"On {CURVE}."
        plots.append({"title": "Held-out answers", "hint": hint, "data": data, "layout": layout})
    return to_json_text(plots)


def _line(steps: Sequence[int], rows: Sequence[Event], value: str, name: str, color: str) -> dict[str, Any]:
    values = [_shown(row.number(value)) for row in rows]
    return {"type": "scatter", "x": list(steps), "y": values, "mode": "lines+markers", "name": name, "line": {"color": color}}


def _shown(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def show_counts(counts: Mapping[str, int]) -> str:
    """Return what is trained on as a small table."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(COUNT_WORDS.get(key, key))}</th><td>{escape(count)}</td></tr>"
        for key, count in counts.items()
    )
    return f"<table class='mg-table'>{rows}</table><p class='mg-quiet'>In the picture: green = same object, red = different.</p>"


def find_counts(run: Run | None, events: Sequence[Event]) -> dict[str, int]:
    """Return how many pairs a run has from where, as soon as it has chosen them."""
    for event in events:
        if event.kind == "log" and "training" in event.values:
            return {key: int(value) for key, value in event.values.items()}
    return dict(run.result.get("verdict", {}).get("counts", {})) if run is not None else {}


def show_verdict(run: Run | None) -> str:
    """Return a run's verdict: promoted or not, why, and each metric before and after with its interval."""
    verdict: dict[str, Any] = run.result.get("verdict", {}) if run is not None else {}
    if run is None or not verdict:
        return ""
    head = "It became the tuned model" if verdict["promoted"] else "It did not become the tuned model"
    rows = [
        f"<tr><th scope='row'>{escape(METRIC_WORDS.get(str(name), str(name)))}</th><td>{m['before']:.1%}</td>"
        f"<td>{m['after']:.1%}</td>"
        f"<td class='{_better(m)}'>{_points(m)}</td></tr>"
        for name, m in verdict["metrics"].items()
    ]
    seen = warn_of_seen(verdict, rival=name_of(str(run.config.get("parent", "base"))), name=run.name)
    return (
        f"<p class='mg-outcome'>{head}</p><p>{escape(verdict['reason'])}</p>"
        f"<p><b>{escape(headline(verdict).replace('->', '→'))}</b></p>"
        f"{''.join(f'<p role=note class=mg-trained>⚠ {escape(one)}</p>' for one in seen)}"
        f"<table class='mg-table'><caption>The {escape(verdict['pairs'])} frozen pairs: "
        f"{HEADLINE.partition(': ')[2]}</caption><thead>"
        "<tr><th></th><th>before</th><th>after</th><th>points (95 % interval)</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<p class='mg-quiet'>{in_words(verdict['seconds'])}, {escape(verdict['peak_memory_mb'])} MB; "
        f"data {escape(verdict['data_hash'][:12])}</p><p class='mg-quiet'>{escape(COMPARE.replace('`', ''))}</p>"
    )


def _better(metric: Mapping[str, Any]) -> str:
    if metric["low"] is None or metric["low"] <= 0 <= metric["high"]:
        return ""
    return "mg-better" if metric["difference"] > 0 else "mg-worse"


def _points(metric: Mapping[str, Any]) -> str:
    spread = "" if metric["low"] is None else f" ({100 * metric['low']:+.1f} to {100 * metric['high']:+.1f})"
    return f"{100 * metric['difference']:+.1f}{spread}"


def show_registry(runs: Sequence[Run], tuned: str | None) -> str:
    """Return all runs as a table, the tuned one marked."""
    if not runs:
        return "<p class='mg-quiet'>No training has been started yet.</p>"
    body = "".join(_registry_row(run, is_tuned=run.name == tuned) for run in runs)
    head = "".join(
        f"<th>{word}</th>"
        for word in ("run", "status", "started", "pairs", "against", "frozen pairs right", "curve (other pairs)", "notes")
    )
    return f"<div style='overflow-x:auto'><table class='mg-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _registry_row(run: Run, *, is_tuned: bool) -> str:
    accuracy = run.result.get("verdict", {}).get("metrics", {}).get("accuracy")
    change = "" if accuracy is None else f"{accuracy['before']:.1%} → {accuracy['after']:.1%}"
    title = escape(f"data {run.result.get('verdict', {}).get('data_hash', '?')[:12]}; {describe(run)}")
    cells = [
        f"<th scope='row' title='{title}'>{escape(run.name)}{' ★ tuned' if is_tuned else ''}</th>",
        f"<td title='{escape(run.note or '')}'>{STATUS_WORDS[run.status]}</td>",
        f"<td>{short_date(run.created_at)}</td>",
        f"<td>{escape(run.config.get('pairs', ''))}</td>",
        f"<td>{escape(name_of(str(run.config.get('parent', ''))))}</td>",
        f"<td>{change}</td>",
        f"<td>{sparkline(run.result.get('curve', []))}</td>",
        f"<td>{escape(str(run.result.get('note', '')))}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def describe(run: Run) -> str:
    """Return a run's settings in a line."""
    config = run.config
    layers = "language only" if config.get("language_only") else "language and vision"
    return (
        f"base {name_of(str(config.get('model')))}, {config.get('epochs')} epochs, "
        f"rank {config.get('rank')}, alpha {config.get('alpha')}, "
        f"dropout {config.get('dropout')}, rate {config.get('learning_rate')}, {layers}, {config.get('negatives')} negatives"
    )


def short_date(moment: datetime) -> str:
    """Return a moment in local time, e.g. "23 Nov 14:05"."""
    return moment.astimezone().strftime("%d %b %H:%M")


def sparkline(values: Sequence[float]) -> str:
    """Return a tiny curve as SVG, "" for fewer than two points."""
    if len(values) < 2:
        return ""
    width, height = SPARK
    low, high = min(values), max(values)
    spread = max(high - low, 1e-6)
    points = " ".join(
        f"{2 + i * (width - 4) / (len(values) - 1):.1f},{height - 2 - (v - low) / spread * (height - 4):.1f}"
        for i, v in enumerate(values)
    )
    return (
        f"<svg width='{width}' height='{height}' role='img' aria-label='held-out accuracy {values[0]:.0%} to {values[-1]:.0%}'>"
        f"<polyline points='{points}' fill='none' stroke='#7c5cf0' stroke-width='1.5'/></svg>"
    )


def show_log(events: Sequence[Event]) -> str:
    """Return what happened, newest last, a line each."""
    lines = []
    for event in events:
        if event.kind in ("stage", "log", "warning", "end"):
            clock = datetime.fromtimestamp(event.time).strftime("%H:%M:%S")
            extra = ", ".join(
                f"{key} {value:g}"
                for key, value in event.values.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            )
            lines.append(f"{clock}  {event.text}{': ' + extra if extra and event.kind == 'log' else ''}")
    return "\n".join(lines[-LOG_LINES:])


def show_comparison(name_a: str, name_b: str, found: Sequence[SceneComparison]) -> str:
    """Return the difference of two runs on the same pairs."""
    whole = found[-1]
    rows = [
        f"<tr><th scope='row'>{escape(METRIC_WORDS.get(name, name))}</th><td>{m.a:.1%}</td><td>{m.b:.1%}</td>"
        f"<td>{_points({'difference': m.difference.value, 'low': m.difference.low, 'high': m.difference.high})}</td></tr>"
        for name, m in whole.metrics.items()
        if name in METRIC_WORDS and m.a is not None and m.b is not None
    ]
    test = whole.mcnemar
    return (
        f"<table class='mg-table'><caption>{escape(name_a)} against {escape(name_b)}, {whole.pairs} frozen pairs that both judged"
        f"</caption><thead><tr><th></th><th>{escape(name_a)}</th><th>{escape(name_b)}</th><th>points (95 % interval)</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table><p class='mg-quiet'>{test.fixed} answers right in the second only, "
        f"{test.broken} in the first only; McNemar's p = {test.p_value:.2g}</p>"
    )


def need_run(name: str | None) -> str:
    """Return the name of the picked run.

    Raises:
        RunError: If none is picked.
    """
    if not name:
        raise RunError("No run is picked; pick one in the list first.")
    return name
