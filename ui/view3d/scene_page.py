"""One offline HTML page of a grouping: the cloud coloured by group, Plotly inlined. Knows nothing about Gradio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from engine.grouping.instances import InstanceCloud
from engine.grouping.palette import group_colors
from engine.types import NOTHING
from ui.escape import escape_plot

MAX_POINTS = 150_000
MAX_TRACES = 150
"""Groups that get their own line in the legend; smaller ones share one."""


def write_scene_page(cloud: InstanceCloud, path: Path, *, title: str) -> None:
    """Write the page; it needs no network and no other file."""
    rng = np.random.default_rng(0)
    count = len(cloud.points)
    rows = rng.permutation(count)[:MAX_POINTS]
    points, labels = cloud.points[rows], cloud.labels[rows]
    palette = group_colors(int(cloud.labels.max(initial=-1)) + 1)
    figure = go.Figure()
    ids, sizes = np.unique(labels[labels != NOTHING], return_counts=True)
    own = set(ids[np.argsort(-sizes)][:MAX_TRACES].tolist())
    for group in sorted(own):
        red, green, blue = palette[group].tolist()
        _add(figure, points[labels == group], f"group {group}", f"rgb({red},{green},{blue})")
    rest = ~np.isin(labels, list(own)) & (labels != NOTHING)
    for chosen, name, color in ((rest, "smaller groups", "rgb(90,90,90)"), (labels == NOTHING, "no group", "rgb(200,200,200)")):
        if chosen.any():
            _add(figure, points[chosen], name, color)
    figure.update_layout(
        title=escape_plot(title),
        scene={"aspectmode": "data", "xaxis": {"visible": False}, "yaxis": {"visible": False}, "zaxis": {"visible": False}},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        legend={"itemsizing": "constant"},
    )
    figure.write_html(path, include_plotlyjs=True, full_html=True)


def _add(figure: go.Figure, points: np.ndarray, name: str, color: str) -> None:
    x, y, z = points.astype(np.float32).T
    marker = {"size": 1.6, "color": color}
    figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="markers", name=name, marker=marker, hoverinfo="name"))
