"""Draws a reliability diagram before and after calibration. Knows nothing about Gradio."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
from PIL import Image, ImageDraw

from engine.evaluation.reliability import Reliability
from ui.escape import escape_plot

SIDE, MARGIN = 320, 56
"""Of one diagram in the picture, and around it; pixels."""
SCALE = 3
INK, FAINT, GRID, BAR, CURVE = (20, 20, 20), (110, 110, 110), (229, 231, 235), (221, 214, 254), (109, 63, 224)


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
                name=f"{escape_plot(name)}: ECE {curve.ece:.3f}",
                customdata=[one.pairs for one in bins],
                hovertemplate="says %{x:.2f}, is %{y:.2f}, %{customdata} pairs<extra></extra>",
            )
        )
    figure.update_layout(
        title=escape_plot(title),
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


def write_reliability_picture(curves: dict[str, Reliability], path: Path, *, title: str) -> None:
    """Write the diagrams side by side as a PNG, one square a curve: bars are pairs, points what became of what the judge said."""
    width, height = MARGIN + len(curves) * (SIDE + MARGIN), SIDE + 2 * MARGIN + 30
    picture = Image.new("RGB", (width * SCALE, height * SCALE), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN * SCALE, 14 * SCALE), title, fill=INK, font_size=15 * SCALE)
    for place, (name, curve) in enumerate(curves.items()):
        _draw_square(draw, curve, f"{name}: ECE {curve.ece:.3f}", left=MARGIN + place * (SIDE + MARGIN), top=MARGIN + 18)
    # Drawn large and made small, as Pillow's lines have hard edges; few colours make a small file.
    picture.resize((width, height), Image.Resampling.LANCZOS).quantize(64).save(path, optimize=True)


def _draw_square(draw: ImageDraw.ImageDraw, curve: Reliability, heading: str, *, left: int, top: int) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        return (left + x * SIDE) * SCALE, (top + (1 - y) * SIDE) * SCALE

    draw.text((left * SCALE, (top - 22) * SCALE), heading, fill=INK, font_size=14 * SCALE)
    total = sum(one.pairs for one in curve.bins)
    for one in curve.bins:
        if one.pairs:
            draw.rectangle((*at(one.low, one.pairs / total), *at(one.high, 0)), fill=BAR)
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        draw.line((*at(tick, 0), *at(tick, 1)), fill=GRID, width=SCALE)
        draw.line((*at(0, tick), *at(1, tick)), fill=GRID, width=SCALE)
        x, y = at(tick, 0)
        draw.text((x, y + 4 * SCALE), f"{tick:.0%}", fill=FAINT, font_size=11 * SCALE, anchor="ma")
        x, y = at(0, tick)
        draw.text((x - 5 * SCALE, y), f"{tick:.0%}", fill=FAINT, font_size=11 * SCALE, anchor="rm")
    draw.line((*at(0, 0), *at(1, 1)), fill=FAINT, width=SCALE)
    points = [
        (at(one.mean_p, one.share_same), one.pairs) for one in curve.bins if one.mean_p is not None and one.share_same is not None
    ]
    draw.line([point for point, _ in points], fill=CURVE, width=2 * SCALE)
    for (x, y), pairs in points:
        radius = (3 + 10 * (pairs / total) ** 0.5) * SCALE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=CURVE)
    x, y = at(0.5, 0)
    draw.text((x, y + 20 * SCALE), "what the judge says: P(same)", fill=INK, font_size=12 * SCALE, anchor="ma")
    draw.text(
        (at(0, 1)[0] + 6 * SCALE, at(0, 1)[1] + 4 * SCALE),
        "share that is the same; bars: share of pairs",
        fill=INK,
        font_size=12 * SCALE,
    )
