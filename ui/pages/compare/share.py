"""What leaves the app: the two-row figure that papers show, and a report in one HTML file with its pictures and plots inside."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from db.schema.urls import show_url
from engine.assets import SCENES_DIR
from engine.evaluation.comparison.paired import ComparedPair
from engine.evaluation.comparison.run import SIDES, FinishedComparison, predictions_of
from engine.evaluation.predictions import Prediction
from engine.judging.sources import TUNED
from engine.strict_json import to_json_text
from engine.types import UInt8Array
from ui.components.changed_pairs import Flip, to_jpeg_url
from ui.components.plot_scripts import THEME_SCRIPT
from ui.components.templates import Source, render
from ui.pages.compare.flips import caption_html
from ui.pages.compare.plots import make_plots, read_beside
from ui.pages.compare.words import grouping_html, headline_html, table_html
from ui.services.judges import Judges

COLUMNS = 6
MARGIN = 14
LABEL_WIDTH = 110
RIGHT_RGB, WRONG_RGB, INK, FAINT = (22, 120, 60), (190, 18, 60), (20, 20, 20), (110, 110, 110)


def commands(found: FinishedComparison, judges: Judges, *, scenes_dir: Path, argument: Callable[[str], str] = str) -> str:
    """Return the exact commands that give the same numbers, one a line; `argument` gives what a command calls a scene."""
    settings, sampling = found.settings, found.settings.sampling
    lines: list[str] = []
    for side in SIDES:
        # What "tuned" stood for then: another run may have been promoted since.
        judged_by = {prediction.model for prediction in predictions_of(found, side)}
        model = settings.model(side)
        model = judged_by.pop() if model == TUNED and len(judged_by) == 1 else model
        parts = ["maskgroup", "evaluate", *map(argument, settings.scenes)]
        if scenes_dir.resolve() != SCENES_DIR.resolve():
            parts += ["--scenes", str(scenes_dir)]
        parts += ["--model", show_url(judges.source(model)), *judges.flags, "--threshold", f"{settings.threshold(side):g}"]
        parts += ["--pairs", str(sampling.pairs), "--negatives", sampling.negatives, "--seed", str(sampling.seed)]
        parts += ["--min-area", str(sampling.min_area_px), "--max-per-instance", str(sampling.max_per_instance)]
        lines.append(" ".join([*judges.environment(model), shlex.join([*parts, "--out", f"results/{side}"])]))
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
    found: FinishedComparison,
    judges: Judges,
    flips: dict[str, list[Flip]],
    *,
    scenes_dir: Path,
    figure: Image.Image,
    name_of: Callable[[str, int], str | None] = lambda scene, instance: None,
    argument: Callable[[str], str] = str,
) -> str:
    """Return one HTML page that needs no network and no other file.

    Args:
        found: The comparison.
        judges: Says what the command line calls each model.
        flips: The gallery's pairs under each heading.
        scenes_dir: Folder of scenes, for the commands.
        figure: The two-row figure.
        name_of: What an object of a scene is called.
        argument: What a command calls a scene.
    """
    a, b = found.settings.model_a, found.settings.model_b
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    plots = make_plots(found, name_of=name_of)
    return render(
        "pages/compare/report.html.j2",
        a=a,
        b=b,
        style=Source(read_beside("compare_report.css")),
        plotly=Source(script),
        script=Source(THEME_SCRIPT + read_beside("compare_report.js")),
        plots_json=Source(_inline_json([asdict(plot) for plot in plots])),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        headline=headline_html(found),
        figure=_inline(np.asarray(figure)),
        commands=commands(found, judges, scenes_dir=scenes_dir, argument=argument),
        tables=[table_html(comparison, a, b) for comparison in reversed(found.table)],
        groupings=[grouping_html(found, scene) for scene in found.grouping],
        plots=plots,
        galleries=[(heading.capitalize(), [_shown(found, flip) for flip in shown]) for heading, shown in flips.items()],
    )


def _inline_json(values: object) -> str:
    # A name that holds "</script>" must not end the element.
    return to_json_text(values).replace("<", "\\u003c")


def _shown(found: FinishedComparison, flip: Flip) -> dict[str, str]:
    """Return a flip as the report's template shows it."""
    pair = flip.pair
    where = f"{pair.scene}, views {pair.a.pair.a.view} and {pair.a.pair.b.view}"
    return {"picture": to_jpeg_url(flip.picture), "where": where, "caption": caption_html(found, pair)}


def _inline(picture: UInt8Array) -> str:
    return "data:image/png;base64," + base64.b64encode(to_png(Image.fromarray(picture))).decode("ascii")


def _verdict(pair: ComparedPair, side: str) -> tuple[str, tuple[int, int, int]]:
    prediction: Prediction = pair.a if side == "a" else pair.b
    said = "unclear" if prediction.said_same is None else "same" if prediction.said_same else "different"
    p = "" if prediction.p_same is None else f", P(same) {prediction.p_same:.2f}"
    return f"{'right' if prediction.is_right else 'WRONG'}: {said}{p}", RIGHT_RGB if prediction.is_right else WRONG_RGB


def _shortened(name: str) -> str:
    return name if len(name) <= 11 else name[:10] + "…"
