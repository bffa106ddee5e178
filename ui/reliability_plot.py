"""Draws a reliability diagram before and after calibration. Knows nothing about Gradio."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go

from engine.reliability import Reliability


def draw_reliability(curves: dict[str, Reliability], *, title: str) -> go.Figure:
    """Draw one line a curve, its points as large as their bins are full, on the diagonal that a trusted probability follows."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", name="as it should be", line={"dash": "dot", "color": "#888"}, hoverinfo="skip"
        )
    )
    for name, curve in curves.items():
        bins = [one for one in curve.bins if one.pairs]
        total = sum(one.pairs for one in bins)
        figure.add_trace(
            go.Scatter(
                x=[one.mean_p for one in bins],
                y=[one.share_same for one in bins],
                mode="lines+markers",
                marker={"size": [8 + 40 * (one.pairs / total) ** 0.5 for one in bins]},
                name=f"{name}: ECE {curve.ece:.3f}",
                customdata=[one.pairs for one in bins],
                hovertemplate="says %{x:.2f}, is %{y:.2f}, %{customdata} pairs<extra></extra>",
            )
        )
    figure.update_layout(
        title=title,
        template="plotly_white",
        xaxis={"title": "the judge's P(same)", "range": [-0.03, 1.03]},
        yaxis={"title": "share of pairs that are the same", "range": [-0.03, 1.03], "scaleanchor": "x"},
        legend={"x": 0.02, "y": 0.98},
        width=640,
        height=640,
    )
    return figure


def write_reliability_page(curves: dict[str, Reliability], path: Path, *, title: str) -> None:
    """Write the diagram as one page that needs no network."""
    draw_reliability(curves, title=title).write_html(path, include_plotlyjs=True, full_html=True)
