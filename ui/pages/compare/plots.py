"""The plots of a comparison as Plotly JSON, without the page's colours: those follow the theme, in the browser and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.evaluation.comparison.paired import ComparedPair
from engine.evaluation.comparison.report import Slice, break_down, confusion, precision_recall, reliability
from engine.evaluation.comparison.run import FinishedComparison
from ui.escape import escape_plot

COLOR_OF = {"a": "#8b93a1", "b": "#7c5cf0"}
"""Grey for the first model and violet for the second: neither marks a mask, and they differ in lightness too."""

CELL_OF = {"a": "#b6bcc6", "b": "#b3a1f7"}
"""The same, light enough for dark figures on them in either theme."""


@dataclass(frozen=True)
class Plot:
    """A titled plot: Plotly's data and layout as JSON values, and a sentence on how to read it."""

    title: str
    hint: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def make_plots(
    found: FinishedComparison, *, name_of: Callable[[str, int], str | None] = lambda scene, instance: None
) -> list[Plot]:
    """Return all plots of a comparison, over all its scenes; those without data are left out.

    Args:
        found: The comparison.
        name_of: What an object of a scene is called, None where that is unknown.
    """
    pairs = [pair for scene in found.scenes for pair in scene.pairs]
    names = {"a": found.settings.model_a, "b": found.settings.model_b}
    plots = [*_confusions(pairs, names), *_reliability(pairs, names), *_curves(pairs, names)]
    slices_of = break_down(pairs, found.facts, name_of=name_of)
    plots += [_bars(f"Accuracy by {dimension}", slices, names) for dimension, slices in slices_of.items()]
    return plots


def read_beside(name: str) -> str:
    """Return a script or style sheet that lies beside this module."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _runs(pairs: Sequence[ComparedPair]) -> list[tuple[str, list[Any]]]:
    return [("a", [pair.a for pair in pairs]), ("b", [pair.b for pair in pairs])]


def _confusions(pairs: Sequence[ComparedPair], names: dict[str, str]) -> list[Plot]:
    plots: list[Plot] = []
    for side, run in _runs(pairs):
        counts = confusion(run)
        table = [[counts.different_missed, counts.different_right], [counts.same_right, counts.same_missed]]
        data = {
            "type": "heatmap",
            "x": ["said same", "said different"],
            "y": ["truly different", "truly same"],
            "z": table,
            "text": table,
            "texttemplate": "%{text}",
            "textfont": {"size": 18, "color": "#111827"},
            "colorscale": [[0, "#f3f4f6"], [1, CELL_OF[side]]],
            "showscale": False,
            "hovertemplate": "%{y}, %{x}: %{z} pairs<extra></extra>",
            "xgap": 3,
            "ygap": 3,
        }
        plots.append(
            Plot(f"{names[side]}: answers against the truth", "Right answers lie on the diagonal from the top left.", [data], {})
        )
    return plots


def _reliability(pairs: Sequence[ComparedPair], names: dict[str, str]) -> list[Plot]:
    data: list[dict[str, Any]] = [_line([0, 1], [0, 1], "perfect", "#999999", dash="dot")]
    for side, run in _runs(pairs):
        bins = reliability(run)
        if bins:
            trace = _line([b.mean_p for b in bins], [b.share_same for b in bins], names[side], COLOR_OF[side], mode="lines+markers")
            trace["marker"] = {"size": [6 + 14 * (b.pairs / len(pairs)) ** 0.5 for b in bins]}
            trace["text"] = [f"{b.pairs} pairs" for b in bins]
            data.append(trace)
    if len(data) == 1:
        return []
    layout = {"xaxis": _share("what the model said: P(same)"), "yaxis": _share("share that is the same")}
    return [Plot("Reliability", "On the dotted line a probability means what it says.", data, layout)]


def _curves(pairs: Sequence[ComparedPair], names: dict[str, str]) -> list[Plot]:
    data: list[dict[str, Any]] = []
    for side, run in _runs(pairs):
        curve = precision_recall(run)
        if curve is not None:
            name = f"{names[side]} (AP {curve.average_precision:.3f})"
            trace = _line(curve.recall.round(4).tolist(), curve.precision.round(4).tolist(), name, COLOR_OF[side], shape="hv")
            trace["text"] = [f"threshold {t:.2f}" for t in curve.threshold]
            data.append(trace)
    layout = {"xaxis": _share("recall"), "yaxis": _share("precision")}
    return (
        [Plot("Precision and recall", "Higher and further right is better; each point is a threshold.", data, layout)]
        if data
        else []
    )


def _bars(title: str, slices: Sequence[Slice], names: dict[str, str]) -> Plot:
    data: list[dict[str, Any]] = []
    labels = [f"{escape_plot(s.label)} ({s.pairs})" for s in slices]
    for side in ("a", "b"):
        rates = [s.a if side == "a" else s.b for s in slices]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": escape_plot(names[side]),
                "y": labels,
                "x": [rate.value for rate in rates],
                "marker": {"color": COLOR_OF[side]},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [rate.high - rate.value for rate in rates],
                    "arrayminus": [rate.value - rate.low for rate in rates],
                    "thickness": 1,
                    "color": "#999999",
                },
                "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
            }
        )
    layout = {"xaxis": _share("accuracy"), "yaxis": {"autorange": "reversed", "automargin": True}, "barmode": "group"}
    return Plot(title, "In brackets the pairs; lines are 95 % intervals.", data, layout)


def _line(x: list[float], y: list[float], name: str, color: str, **more: str) -> dict[str, Any]:
    line = {"color": color} | {key: more[key] for key in ("dash", "shape") if key in more}
    return {"type": "scatter", "mode": more.get("mode", "lines"), "x": x, "y": y, "name": escape_plot(name), "line": line}


def _share(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "range": [0, 1.02], "tickformat": ".0%"}
