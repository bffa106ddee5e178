"""Addresses under which a comparison's report and figure are downloaded."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from engine.errors import MaskgroupError
from ui.components.changed_pairs import Flip
from ui.pages.compare import handlers as page
from ui.pages.compare import share
from ui.pages.compare.flips import FLIPS, list_flips
from ui.services.comparison_runs import ComparisonRuns
from ui.services.workbench import Workbench


def add_compare_routes(app: FastAPI, bench: Workbench, runs: ComparisonRuns) -> None:
    """Serve reports and figures of comparisons by their keys."""

    @app.get(page.REPORT_ROUTE + "{key}")
    def send_report(key: str) -> Response:
        try:
            content = report_of(bench, runs, key)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return _download(content.encode(), f"comparison-{key[:8]}.html", "text/html; charset=utf-8")

    @app.get(page.FIGURE_ROUTE + "{key}")
    def send_figure(key: str) -> Response:
        try:
            content = figure_of(bench, runs, key)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return _download(content, f"comparison-{key[:8]}.png", "image/png")


def report_of(bench: Workbench, runs: ComparisonRuns, key: str) -> str:
    """Return a comparison's report as HTML.

    Raises:
        MaskgroupError: If there is no such comparison, or it has no numbers yet.
    """
    found = runs.result(key)
    galleries = _galleries(bench, runs, key)
    figure = share.draw_figure(found, share.choose_for_figure(*galleries.values()))
    return share.make_report(
        found,
        bench.judges,
        galleries,
        scenes_dir=bench.scenes_dir,
        figure=figure,
        name_of=bench.name_of,
        argument=bench.scene_argument,
    )


def figure_of(bench: Workbench, runs: ComparisonRuns, key: str) -> bytes:
    """Return a comparison's two-row figure as PNG.

    Raises:
        MaskgroupError: If there is no such comparison, or it has no numbers yet.
    """
    return share.to_png(share.draw_figure(runs.result(key), share.choose_for_figure(*_galleries(bench, runs, key).values())))


def _galleries(bench: Workbench, runs: ComparisonRuns, key: str) -> dict[str, list[Flip]]:
    return {words: list_flips(bench, runs.result(key), outcome) for words, outcome in FLIPS}


def _download(content: bytes, name: str, media_type: str) -> Response:
    # Keys are hexadecimal or "shipped": nothing in the name needs escaping.
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
