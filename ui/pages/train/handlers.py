"""What the Retrain page shows: runs in words, curves, verdicts, the registry as a table. Plain functions, no Gradio."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.runs import FINISHED, Run, RunStatus
from engine.errors import MaskgroupError, RunError
from engine.evaluation.comparison.paired import SceneComparison
from engine.strict_json import to_json_text
from finetune.config import default_rate
from finetune.data.corrections import take_decided
from finetune.runs.base_choice import choose_models
from finetune.runs.events import Event
from finetune.runs.figures import COMPARE, CURVE, HEADLINE, headline, warn_of_seen
from finetune.runs.model_card import name_of
from finetune.runs.processes import WorkerState
from finetune.runs.registry import Registry
from ui.components.changed_pairs import show_proof
from ui.components.templates import render, render_line
from ui.services.workbench import Workbench

STATUS_WORDS: Mapping[RunStatus, str] = {
    "queued": "waiting",
    "running": "training",
    "done": "finished",
    "failed": "failed",
    "cancelled": "stopped",
}
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
NO_CORRECTIONS = (
    "No corrections yet, so it would learn from pairs made from these scenes only. What you say on Judge and Review counts here."
)
SHOWN_PAIRS = 5
"""Pairs that a training put right, and as many that it got wrong, below its verdict."""
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
        return render_line("<p class='mg-quiet'>No training is under way.</p>")
    if run.status in FINISHED:
        source = "<p><b>{{ run.name }}</b>: {{ status }}. {{ run.note or '' }}</p>"
        return render_line(source, run=run, status=STATUS_WORDS[run.status])
    stage = next((event for event in reversed(events) if event.kind == "stage"), None)
    is_waiting = stage is None or stage.is_wait
    share, words = (None, "") if stage is None else _share(events, stage)
    return render(
        "pages/train/progress.html.j2",
        run=run,
        stage=None if is_waiting else stage,
        words=words,
        share=share,
        is_silent=worker is not None and worker.life == "silent",
    )


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


def say_usable(bench: Workbench, scenes: Sequence[str], *, use_labels: bool) -> str:
    """Return how many corrections a training could learn from, and why not from the others, in a sentence.

    Args:
        bench: Has the labels.
        scenes: Names of the scenes that it would train on.
        use_labels: Whether the form lets it use corrections.
    """
    settled = bench.labels.settled()
    if not use_labels:
        return f"The settings leave corrections out ({len(settled):,} there)." if settled else ""
    if not settled:
        return NO_CORRECTIONS
    decided, undecided = take_decided(one for one in settled if one.scene in scenes)
    stale = {scene: bench.stale_pairs(scene, [one.pair for one in decided if one.scene == scene]) for scene in scenes}
    gone = sum(one.pair in stale[one.scene] for one in decided)
    reasons = Counter(one.reason for one in undecided)
    left_out = [
        (sum(one.scene not in scenes for one in settled), "in scenes that are not chosen"),
        (gone, "on masks that are not there now"),
        *((count, f"because {reason}") for reason, count in sorted(reasons.items())),
    ]
    why = "; ".join(f"{count:,} {words}" for count, words in left_out if count)
    return f"{len(decided) - gone:,} of {len(settled):,} corrections can be used{f' (not {why})' if why else ''}."


def show_changed(bench: Workbench, registry: Registry, name: str | None) -> str:
    """Return pairs that a training put right and got wrong, as HTML; "" of one that has not been judged."""
    run = next((run for run in registry.list() if run.name == name), None)
    if run is None or not run.result.get("verdict"):
        return ""
    try:
        *_, found = registry.compare("base", run.name)
    except MaskgroupError:
        # Its answers are gone; the verdict says what they were.
        return ""
    names = name_of(str(run.config.get("parent", "base"))), run.name
    return show_proof(bench, names, found.fixed, found.broken, most=SHOWN_PAIRS)


def show_counts(counts: Mapping[str, int]) -> str:
    """Return what is trained on as a small table."""
    rows = [(COUNT_WORDS.get(key, key), count) for key, count in counts.items()]
    return render("pages/train/counts.html.j2", rows=rows)


def show_effort(steps: int, seconds: float, memory: str) -> str:
    """Return how long a training would take, and a sentence about its memory."""
    source = "<p>{{ steps }} steps, about {{ time }}, besides reading the scenes and judging. {{ memory }}</p>"
    return render_line(source, steps=steps, time=in_words(seconds), memory=memory)


def find_counts(run: Run | None, events: Sequence[Event]) -> dict[str, int]:
    """Return how many pairs a run has from where, as soon as it has chosen them."""
    for event in events:
        if event.kind == "log" and "training" in event.values:
            return {key: int(value) for key, value in event.values.items()}
    return dict(run.result.get("verdict", {}).get("counts", {})) if run is not None else {}


@dataclass(frozen=True)
class Change:
    """A metric before and after: its name in words, both values, and their difference in points.

    Attributes:
        points: The difference with its interval, in words.
        style: Class of a difference that is surely not 0, else "".
    """

    name: str
    before: float
    after: float
    points: str
    style: str = ""


def show_verdict(run: Run | None) -> str:
    """Return a run's verdict: promoted or not, why, and each metric before and after with its interval."""
    verdict: dict[str, Any] = run.result.get("verdict", {}) if run is not None else {}
    if run is None or not verdict:
        return ""
    return render(
        "pages/train/verdict.html.j2",
        verdict=verdict,
        headline=headline(verdict).replace("->", "→"),
        meaning=HEADLINE.partition(": ")[2],
        seen=warn_of_seen(verdict, rival=name_of(str(run.config.get("parent", "base"))), name=run.name),
        changes=[
            Change(METRIC_WORDS.get(str(name), str(name)), m["before"], m["after"], _points(m), _better(m))
            for name, m in verdict["metrics"].items()
        ],
        time=in_words(verdict["seconds"]),
        elsewhere=COMPARE.replace("`", ""),
    )


def _better(metric: Mapping[str, Any]) -> str:
    if metric["low"] is None or metric["low"] <= 0 <= metric["high"]:
        return ""
    return "mg-better" if metric["difference"] > 0 else "mg-worse"


def _points(metric: Mapping[str, Any]) -> str:
    spread = "" if metric["low"] is None else f" ({100 * metric['low']:+.1f} to {100 * metric['high']:+.1f})"
    return f"{100 * metric['difference']:+.1f}{spread}"


@dataclass(frozen=True)
class RegistryRow:
    """A run's line in the table of all runs; everything in words."""

    run: Run
    title: str
    is_tuned: bool
    status: str
    started: str
    rival: str
    change: str
    curve: str


def show_registry(runs: Sequence[Run], tuned: str | None) -> str:
    """Return all runs as a table, the tuned one marked."""
    if not runs:
        return render_line("<p class='mg-quiet'>No training has been started yet.</p>")
    return render("pages/train/registry.html.j2", rows=[_registry_row(run, is_tuned=run.name == tuned) for run in runs])


def _registry_row(run: Run, *, is_tuned: bool) -> RegistryRow:
    verdict = run.result.get("verdict", {})
    accuracy = verdict.get("metrics", {}).get("accuracy")
    return RegistryRow(
        run,
        title=f"data {verdict.get('data_hash', '?')[:12]}; {describe(run)}",
        is_tuned=is_tuned,
        status=STATUS_WORDS[run.status],
        started=short_date(run.created_at),
        rival=name_of(str(run.config.get("parent", ""))),
        change="" if accuracy is None else f"{accuracy['before']:.1%} → {accuracy['after']:.1%}",
        curve=sparkline(run.result.get("curve", [])),
    )


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
    return render("pages/train/sparkline.html.j2", width=width, height=height, first=values[0], last=values[-1], points=points)


def show_log(events: Sequence[Event]) -> str:
    """Return what happened, newest last, a line each."""
    lines: list[str] = []
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
    changes = [
        Change(
            METRIC_WORDS[name],
            m.a,
            m.b,
            _points({"difference": m.difference.value, "low": m.difference.low, "high": m.difference.high}),
        )
        for name, m in whole.metrics.items()
        if name in METRIC_WORDS and m.a is not None and m.b is not None
    ]
    return render("pages/train/comparison.html.j2", names=(name_a, name_b), whole=whole, changes=changes)


def need_run(name: str | None) -> str:
    """Return the name of the picked run.

    Raises:
        RunError: If none is picked.
    """
    if not name:
        raise RunError("No run is picked; pick one in the list first.")
    return name
