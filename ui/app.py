"""The composition root: database, workbench, pages and the web server around them.

Gradio is mounted in FastAPI so that hosts and origins are checked before it sees a request: a foreign web page must not be
able to post to an app that runs on somebody's own machine.
"""

from __future__ import annotations

import json
import threading
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gradio as gr
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from gradio.themes import Default
from starlette.middleware.trustedhost import TrustedHostMiddleware

from db.labels import LabelStore
from db.runs import RunStore
from db.session import open_database
from engine.errors import MaskgroupError
from engine.operating_point import OperatingPoints
from ui.grouping_runs import GroupingRuns
from ui.grouping_store import GroupingStore
from ui.grouping_tab import build_grouping_tab
from ui.judge_tab import build_judge_tab
from ui.judges import Judges, name_models, shipped_models
from ui.open_judge import open_judge
from ui.plotly_view import CLOUD_ROUTE, PLOTLY_ROUTE, cloud_trace
from ui.settings import Settings
from ui.votes import FILE as VOTES_FILE
from ui.votes import VoteBox
from ui.workbench import Workbench

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
MAX_UPLOAD = "10mb"
STYLE = Path(__file__).parent / "style.css"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


def build_workbench(settings: Settings) -> Workbench:
    """Open the database and the folder of scenes; the judge loads later, in the background."""
    given = name_models([settings.model, *settings.also])
    judges = Judges(lambda name: open_judge(given.get(name, name), settings), next(iter(given)), others=lambda: [*shipped_models(), *given])
    points = OperatingPoints(settings.data_folder)
    return Workbench(settings.scenes, LabelStore(open_database(settings.db)), judges, points=points)


def build_blocks(bench: Workbench, settings: Settings, groupings: GroupingRuns) -> gr.Blocks:
    """Lay out all pages."""
    with gr.Blocks(title="maskgroup", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as blocks:
        gr.HTML("<h1 class='mg-title'>maskgroup <small>which masks are the same object?</small></h1>")
        with gr.Tabs():
            with gr.Tab("Judge", id="judge"):
                build_judge_tab(blocks, bench, VoteBox(settings.data_folder / VOTES_FILE), default_annotator=settings.annotator)
            with gr.Tab("3D grouping", id="grouping") as grouping_tab:
                build_grouping_tab(grouping_tab, bench, groupings)
    return blocks


def build_app(settings: Settings) -> FastAPI:
    """Return the whole application, ready for a server.

    Raises:
        MaskgroupError: If the database cannot be opened or there is no scene.
    """
    bench = build_workbench(settings)
    groupings = GroupingRuns(bench, GroupingStore(RunStore(bench.labels.engine)))
    # Problems with the scenes show here, in one sentence, rather than as an empty page.
    bench.scene_names()
    app = FastAPI(title="maskgroup", docs_url=None, redoc_url=None, openapi_url=None)
    add_protection(app, settings.host)
    add_routes(app, bench)
    # Strings are names of fonts of the machine: nothing is fetched from the internet.
    theme = Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app,
        build_blocks(bench, settings, groupings).queue(default_concurrency_limit=8),
        path="/",
        theme=theme,
        css_paths=STYLE,
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        ssr_mode=False,
    )
    threading.Thread(target=_warm_up, args=(bench, groupings), daemon=True, name="warm-up").start()
    return app


def add_protection(app: FastAPI, host: str) -> None:
    """Accept only our own host names and, for anything that writes, only our own pages; set security headers."""
    allowed = [*LOCAL_HOSTS, host] if host not in ("0.0.0.0", "::") else ["*"]

    @app.middleware("http")
    async def check_origin(request: Request, call_next: Any) -> Response:
        origin = request.headers.get("origin")
        if origin and request.method not in ("GET", "HEAD", "OPTIONS") and urlsplit(origin).netloc != request.headers.get("host"):
            return JSONResponse({"error": "This request came from another web page and was refused."}, status_code=403)
        response: Response = await call_next(request)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    app.add_middleware(CORSMiddleware, allow_origins=[])
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False)


def add_routes(app: FastAPI, bench: Workbench) -> None:
    """Serve Plotly's script from its package, and each scene's cloud as JSON."""
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"

    @app.get(PLOTLY_ROUTE)
    def send_plotly() -> Response:
        return FileResponse(str(plotly), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    @app.get(CLOUD_ROUTE + "{scene:path}")
    def send_cloud(scene: str) -> Response:
        try:
            cloud = bench.room(unquote(scene))
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        if cloud is None:
            return JSONResponse({"error": "This scene has no geometry."}, status_code=404)
        return Response(json.dumps(cloud_trace(cloud)), media_type="application/json")


def _warm_up(bench: Workbench, groupings: GroupingRuns) -> None:
    """Load the model, the first room and its groups while the browser is still opening, so that the first click does not wait."""
    try:
        bench.room(bench.scene_names()[0])
        bench.judge()
        rival = bench.judges.rival()
        if rival is not None:
            bench.judge(rival)
        if bench.is_bundled(bench.scene_names()[0]):
            groupings.open_or_start(bench.scene_names()[0])
    except MaskgroupError:
        # The page says so itself when the person gets there.
        return
