"""What leaves the app: the two-row figure that papers show, and a report in one HTML file with its pictures and plots inside."""

from __future__ import annotations

import base64
import io
import shlex
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from engine.comparison import ComparedPair
from engine.comparison_run import FinishedComparison
from engine.predictions import Prediction
from engine.types import UInt8Array
from ui.compare_page import Flip, flip_caption
from ui.compare_plots import Plot, make_plots
from ui.compare_words import grouping_html, headline_html, table_html
from ui.judges import Judges

COLUMNS = 6
MARGIN = 14
LABEL_WIDTH = 110
RIGHT_RGB, WRONG_RGB, INK, FAINT = (22, 120, 60), (190, 18, 60), (20, 20, 20), (110, 110, 110)
REPORT_STYLE = """
body { font-family: system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #e5e7eb; }
th[scope=row] { text-align: left; font-weight: 400; } caption { text-align: left; font-weight: 700; padding-bottom: 0.4rem; }
.mg-outcome { font-size: 1.4rem; font-weight: 700; } .mg-better { color: #15803d; } .mg-worse { color: #be123c; }
pre { background: #f3f4f6; padding: 0.8rem; overflow-x: auto; } img { max-width: 100%; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; }
.flips { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { font-size: 0.85rem; }
"""


def commands(found: FinishedComparison, judges: Judges, *, scenes_dir: Path) -> str:
    """Return the exact commands that give the same numbers."""
    settings, sampling = found.settings, found.settings.sampling
    lines: list[str] = []
    for side in ("a", "b"):
        parts = [
            "maskgroup",
            "evaluate",
            *settings.scenes,
            "--scenes",
            str(scenes_dir),
            "--model",
            judges.source(settings.model(side)),
        ]
        parts += ["--pairs", str(sampling.pairs), "--negatives", sampling.negatives, "--seed", str(sampling.seed)]
        parts += ["--min-area", str(sampling.min_area_px), "--max-per-instance", str(sampling.max_per_instance)]
        lines.append(shlex.join([*parts, "--out", f"results/{side}"]))
    return "\n".join([*lines, "maskgroup compare results/a results/b --json"])


def draw_figure(found: FinishedComparison, flips: list[Flip]) -> Image.Image:
    """Draw two rows, the first model's above the second's: the same pairs, each with that model's verdict."""
    shown = flips[:COLUMNS]
    if shown:
        height, width = shown[0].picture.shape[:2]
    else:
        height, width = 150, 300
    row = height + 44
    picture = Image.new("RGB", (LABEL_WIDTH + max(1, len(shown)) * (width + MARGIN) + MARGIN, 2 * row + 2 * MARGIN + 34), "white")
    draw = ImageDraw.Draw(picture)
    for k, side in enumerate(("a", "b")):
        top = MARGIN + k * (row + MARGIN)
        draw.text((MARGIN, top + height / 2 - 10), _shortened(found.settings.model(side)), fill=INK, font_size=18)
        for column, flip in enumerate(shown):
            left = LABEL_WIDTH + column * (width + MARGIN)
            picture.paste(Image.fromarray(flip.picture), (left, top))
            words, color = _verdict(flip.pair, side)
            draw.text((left, top + height + 6), words, fill=color, font_size=17)
    for column, flip in enumerate(shown):
        truth = "same object" if flip.pair.a.is_same else "different objects"
        draw.text((LABEL_WIDTH + column * (width + MARGIN), 2 * (row + MARGIN) + 6), f"truth: {truth}", fill=FAINT, font_size=15)
    if not shown:
        draw.text((LABEL_WIDTH, MARGIN), "The two models answer every pair alike.", fill=INK, font_size=18)
    return picture


def choose_for_figure(fixed: list[Flip], broken: list[Flip], both_wrong: list[Flip]) -> list[Flip]:
    """Return the pairs of the figure: mostly flips, one that both get wrong, so that it does not only flatter."""
    chosen = [*fixed[: COLUMNS - 2], *broken[:1], *both_wrong[:1]]
    rest = [flip for flips in (fixed, broken, both_wrong) for flip in flips if flip not in chosen]
    return (chosen + rest)[:COLUMNS]


def to_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def make_report(
    found: FinishedComparison, judges: Judges, flips: dict[str, list[Flip]], *, scenes_dir: Path, figure: Image.Image
) -> str:
    """Return one HTML page that needs no network and no other file.

    Args:
        found: The comparison.
        judges: Says what the command line calls each model.
        flips: The gallery's pairs under each heading.
        scenes_dir: Folder of scenes, for the commands.
        figure: The two-row figure.
    """
    a, b = found.settings.model_a, found.settings.model_b
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    plots = "".join(_plot_html(plot) for plot in make_plots(found))
    galleries = "".join(
        f"<h2>{escape(heading.capitalize())} ({len(shown)})</h2><div class='flips'>"
        + "".join(_flip_html(flip) for flip in shown)
        + "</div>"
        for heading, shown in flips.items()
    )
    groupings = "".join(grouping_html(found, scene) for scene in found.grouping)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(a)} against {escape(b)}</title><style>{REPORT_STYLE}</style><script>{script}</script></head><body>"
        f"<h1>{escape(a)} against {escape(b)}</h1><p>{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, maskgroup</p>{headline_html(found)}"
        f"<img src='{_inline(np.asarray(figure))}' alt='Two rows of pairs: verdicts of {escape(a)} above, of {escape(b)} below'>"
        f"<h2>How to get these numbers</h2><pre>{escape(commands(found, judges, scenes_dir=scenes_dir))}</pre>"
        f"{''.join(table_html(comparison, a, b) for comparison in reversed(found.table))}{groupings}"
        f"<div class='plots'>{plots}</div>{galleries}</body></html>"
    )


def _plot_html(plot: Plot) -> str:
    margin = {"l": 60, "r": 15, "t": 30, "b": 45}
    figure = go.Figure({"data": plot.data, "layout": {**plot.layout, "margin": margin, "legend": {"orientation": "h", "y": 1.12}}})
    drawn = figure.to_html(include_plotlyjs=False, full_html=False, default_height=340, config={"displaylogo": False})
    return f"<figure><figcaption><b>{escape(plot.title)}.</b> {escape(plot.hint)}</figcaption>{drawn}</figure>"


def _flip_html(flip: Flip) -> str:
    pair = flip.pair
    where = f"{escape(pair.scene)}, views {escape(pair.a.pair.a.view)} and {escape(pair.a.pair.b.view)}"
    caption = f"<figcaption>{where}<br>{escape(flip_caption(pair))}</figcaption>"
    return f"<figure><img src='{_inline(flip.picture)}' alt='Two crops'>{caption}</figure>"


def _inline(picture: UInt8Array) -> str:
    return "data:image/png;base64," + base64.b64encode(to_png(Image.fromarray(picture))).decode("ascii")


def _verdict(pair: ComparedPair, side: str) -> tuple[str, tuple[int, int, int]]:
    prediction: Prediction = pair.a if side == "a" else pair.b
    said = "unclear" if prediction.said_same is None else "same" if prediction.said_same else "different"
    p = "" if prediction.p_same is None else f", P(same) {prediction.p_same:.2f}"
    return f"{'right' if prediction.is_right else 'WRONG'}: {said}{p}", RIGHT_RGB if prediction.is_right else WRONG_RGB


def _shortened(name: str) -> str:
    return name if len(name) <= 11 else name[:10] + "…"
