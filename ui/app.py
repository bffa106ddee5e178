"""The composition root: database, workbench, pages and the web server around them.

Gradio is mounted in FastAPI, and `ui.web.guard` stands before both: it checks hosts and origins, and lets through only what the
pages need. `ui.web.permissions` then asks for every handler and route whether the caller may do that.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from db.labels.store import Label, LabelStore
from db.runs import RunStore
from db.schema.private_files import PRIVATE_FOLDER, tighten
from db.schema.session import open_database
from engine.assets import SCENES_DIR, SHIPPED_COMPARISON
from engine.errors import MaskgroupError
from engine.strict_json import to_json_text
from finetune.runs.promotion import finished_runs, judge_names, name_behind
from finetune.runs.registry import Registry
from ui.components.pairs import HISTORY_TAB, REVIEW_TAB
from ui.components.scene_choosers import follow_scenes
from ui.endpoints.api import Api
from ui.endpoints.wire import add_endpoints
from ui.pages.compare.handlers import PAGE as COMPARE_TAB
from ui.pages.compare.routes import add_compare_routes
from ui.pages.compare.tab import build_compare_tab
from ui.pages.grouping.handlers import GROUPING_TAB
from ui.pages.grouping.tab import build_grouping_tab
from ui.pages.history.tab import build_history_tab
from ui.pages.judge.tab import build_judge_tab
from ui.pages.people.handlers import PEOPLE_TAB
from ui.pages.people.tab import build_people_tab
from ui.pages.review.tab import add_review_routes, build_review_tab
from ui.pages.scenes.actions import SceneActions
from ui.pages.scenes.handlers import SCENES_TAB
from ui.pages.scenes.routes import add_scene_routes
from ui.pages.scenes.tab import build_scenes_tab
from ui.pages.train.form import HELD_BACK
from ui.pages.train.tab import TRAIN_TAB, build_train_tab
from ui.services.comparison_runs import ComparisonRuns
from ui.services.group_exports import GroupExports
from ui.services.grouping_runs import GroupingRuns
from ui.services.judges import Judges, name_models, shipped_models
from ui.services.mask_edits import MaskEdits
from ui.services.open_judge import database_setting, find_trained_on, given_options, loading_flags, open_judge
from ui.services.review_service import ReviewService
from ui.services.scene_cards import FOLDER as CARDS_FOLDER
from ui.services.scene_cards import SceneCards
from ui.services.scene_copies import SceneCopies
from ui.services.scene_imports import SceneImports
from ui.services.scene_list import SceneFolders
from ui.services.scene_uploads import SceneUploads
from ui.services.thresholds import open_points
from ui.services.workbench import Workbench
from ui.settings import Settings
from ui.stores.blind_votes import FILE as VOTES_FILE
from ui.stores.blind_votes import VoteBox
from ui.stores.groupings import GroupingStore
from ui.theme import make_theme
from ui.view3d.plotly_view import CLOUD_ROUTE, PLOTLY_ROUTE, room_values
from ui.web import metrics
from ui.web.compressed import send_compressed, send_compressed_file
from ui.web.gradio_parts import leave_as_is, queue_load, read_query
from ui.web.guard import Guard
from ui.web.hosts import allowed_hosts
from ui.web.kept_events import AnswerStreams, keep_events
from ui.web.operations import add_operation_routes
from ui.web.page_session import PageSessions
from ui.web.permissions import ask_for_route, check_routes, guard_handlers
from ui.web.proxies import MetricsReaders, TrustedProxies, clean_root_path
from ui.web.served_folder import UPLOADS_FOLDER, make_served_folder, use_for_gradio
from ui.web.uploads import UploadQuota

JUDGE_TAB = "judge"
ADDRESSED_TABS = (SCENES_TAB, REVIEW_TAB, HISTORY_TAB, PEOPLE_TAB, GROUPING_TAB, TRAIN_TAB, COMPARE_TAB)
"""What `?tab=` of an address may open (Gradio keeps `page` for itself)."""
PAGE_SCRIPT = (Path(__file__).parent / "components" / "page.js").read_text(encoding="utf-8")
WELCOME = (Path(__file__).parent / "components" / "welcome.html").read_text(encoding="utf-8")
WELCOME_SCRIPT = (Path(__file__).parent / "components" / "welcome.js").read_text(encoding="utf-8")
ANSWERS_SCRIPT = (Path(__file__).parent / "components" / "answers.js").read_text(encoding="utf-8")
MAX_UPLOAD = "10mb"
SCENE_CHOOSERS = {
    "mg-scene": [],
    "mg-review-scene": [],
    "mg-group-scene": [],
    "mg-train-scenes": [],
    "mg-train-judged": [HELD_BACK],
    "mg-compare-scenes": [],
}
"""The choosers of scenes on all pages, with what each offers besides scenes."""
STYLE = Path(__file__).parent / "style.css"
LOGO = Path(__file__).parent / "logo.svg"
DAY_S = 86_400


def build_workbench(settings: Settings) -> Workbench:
    """Open the database and the folder of scenes; the judge loads later, in the background."""
    given = name_models([settings.model, *settings.also])
    judges = Judges(
        lambda name: open_judge(given.get(name, name), settings),
        next(iter(given)),
        others=lambda: [*shipped_models(), *judge_names(settings.runs_folder), *given],
        sources=given,
        behind=lambda name: name_behind(name, settings.runs_folder),
        flags=loading_flags(settings),
        loading=given_options(settings),
        environment=lambda name: database_setting(settings) if name in finished_runs(settings.runs_folder) else [],
        trained_on=lambda name: find_trained_on(given.get(name, name), settings),
    )
    points = open_points(settings, sources=given)
    folders = SceneFolders(settings.scenes, imported=settings.imported_scenes, bundled=SCENES_DIR)
    labels = LabelStore(open_database(settings.db), on_written=_count)
    return Workbench(settings.scenes, labels, judges, points=points, folders=folders)


def _count(label: Label) -> None:
    metrics.count_decision(label.decision, is_undo=label.undoes is not None)


@dataclass(frozen=True)
class Services:
    """What the pages work with, beside the workbench."""

    groupings: GroupingRuns
    exports: GroupExports
    comparisons: ComparisonRuns
    imports: SceneImports
    copies: SceneCopies
    uploads: SceneUploads
    cards: SceneCards
    sessions: PageSessions


def build_services(bench: Workbench, settings: Settings, sessions: PageSessions) -> Services:
    """Open what the pages work with.

    Raises:
        MaskgroupError: If a folder that is needed is not there, or cannot be made.
    """
    runs = RunStore(bench.labels.database)
    cards = SceneCards(settings.data_folder / CARDS_FOLDER)
    uploads = make_served_folder(settings.data_folder, name=UPLOADS_FOLDER)
    groupings = GroupingRuns(bench, GroupingStore(runs))
    imports = SceneImports(bench, settings.imported_scenes, roots=settings.import_root, on_imported=cards.know)
    return Services(
        groupings=groupings,
        exports=GroupExports(bench, groupings),
        comparisons=ComparisonRuns(bench, runs, settings.data_folder / "comparisons", shipped=SHIPPED_COMPARISON),
        imports=imports,
        copies=SceneCopies(bench, imports, model=settings.mask_model, device=settings.device),
        uploads=SceneUploads(uploads, max_bytes=settings.max_upload_mb * 2**20),
        cards=cards,
        sessions=sessions,
    )


def build_blocks(bench: Workbench, settings: Settings, services: Services) -> gr.Blocks:
    """Lay out all pages."""
    groupings = services.groupings
    with gr.Blocks(title="maskgroup", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as blocks:
        gr.HTML(html_template=WELCOME, js_on_load=WELCOME_SCRIPT, elem_id="mg-head")
        gr.HTML(js_on_load=PAGE_SCRIPT, visible="hidden")
        # Outside the tabs: what lies in a tab that is not open yet has not read the browser's storage when the page loads.
        remembered = gr.BrowserState(settings.annotator, storage_key="maskgroup-annotator", secret="not-a-secret")
        with gr.Tabs(selected=JUDGE_TAB) as tabs:
            with gr.Tab("Scenes", id=SCENES_TAB) as scenes_tab:
                actions = SceneActions(
                    bench, services.imports, services.copies, services.uploads, services.cards, groupings, services.sessions
                )
                edits = MaskEdits(bench, groupings, model=settings.mask_model, device=settings.device)
                build_scenes_tab(scenes_tab, actions, services.imports, edits, max_bytes=services.uploads.max_bytes)
            with gr.Tab("Judge", id=JUDGE_TAB):
                judge_name = build_judge_tab(blocks, bench, VoteBox(settings.data_folder / VOTES_FILE), remembered=remembered)
            with gr.Tab("Review", id=REVIEW_TAB):
                service = ReviewService(bench, groupings)
                annotator = build_review_tab(blocks, service, remembered=remembered, other_name=judge_name)
            with gr.Tab("History", id=HISTORY_TAB) as history_tab:
                build_history_tab(history_tab, service, annotator)
            with gr.Tab("People", id=PEOPLE_TAB) as people_tab:
                build_people_tab(people_tab, service, annotator)
            with gr.Tab("3D grouping", id=GROUPING_TAB) as grouping_tab:
                build_grouping_tab(grouping_tab, bench, groupings, services.exports)
            registry = Registry(RunStore(bench.labels.database), settings.runs_folder)
            build_train_tab(blocks, bench, registry)
            build_compare_tab(bench, services.comparisons)
        add_endpoints(
            Api(
                bench=bench,
                reviews=service,
                imports=services.imports,
                uploads=services.uploads,
                groupings=groupings,
                exports=services.exports,
                comparisons=services.comparisons,
                registry=registry,
                sessions=services.sessions,
            )
        )
        follow_scenes(blocks, tabs, bench, SCENE_CHOOSERS)

        def open_addressed(request: gr.Request) -> Any:
            wanted = read_query(request).get("tab")
            return gr.Tabs(selected=wanted) if wanted in ADDRESSED_TABS else leave_as_is()

        def ask_again() -> None:
            """Answer nothing: that something is asked opens the stream of answers anew."""

        blocks.load(open_addressed, None, tabs, show_progress="hidden", api_visibility="private")
        again = gr.Button("Ask again", visible="hidden", elem_id="mg-ask-again")
        again.click(ask_again, show_progress="hidden", api_visibility="private")
    return blocks


def build_app(settings: Settings) -> Guard:
    """Return the whole application, ready for a server.

    Raises:
        MaskgroupError: If the database cannot be opened, there is no scene, or nobody said which host names to answer to.
    """
    hosts = allowed_hosts(settings.host, settings.allowed_host)
    proxies, root_path = TrustedProxies(settings.trusted_proxy), clean_root_path(settings.root_path)
    bench = build_workbench(settings)
    if settings.is_in_usual_folder:
        tighten(settings.data_folder, PRIVATE_FOLDER)
    served = make_served_folder(settings.data_folder)
    use_for_gradio(served)
    sessions = PageSessions(settings.data_folder)
    services = build_services(bench, settings, sessions)
    # Problems with the scenes show here, in one sentence, rather than as an empty page.
    bench.scene_names()

    @asynccontextmanager
    async def warm_up(_: FastAPI) -> AsyncGenerator[None]:
        # Not before: while the pages are being built it would take the processor from them.
        threading.Thread(target=_warm_up, args=(bench, services.groupings), daemon=True, name="warm-up").start()
        yield
        bench.labels.database.dispose()

    app = FastAPI(
        title="maskgroup", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(ask_for_route)], lifespan=warm_up
    )
    app.state.sessions = sessions
    app.state.metrics_readers = MetricsReaders(settings.metrics_from)
    add_routes(app, bench)
    add_compare_routes(app, bench, services.comparisons)
    add_review_routes(app, bench)
    add_scene_routes(app, bench, services.cards, services.uploads)
    add_operation_routes(app, {"database": bench.labels.has_any, "scenes": bench.scene_names})
    check_routes(app)
    streams = AnswerStreams()
    blocks = build_blocks(bench, settings, services)
    mount_pages(app, blocks, sessions, streams, root_path=root_path)
    measure_work(blocks, services)
    uploads = UploadQuota(served)
    return Guard(
        app,
        hosts=hosts,
        sessions=sessions,
        uploads=uploads,
        streams=streams,
        first_script=ANSWERS_SCRIPT,
        proxies=proxies,
        root_path=root_path,
    )


def mount_pages(app: FastAPI, blocks: gr.Blocks, sessions: PageSessions, streams: AnswerStreams, *, root_path: str = "") -> None:
    """Mount Gradio's part, with its doors shut."""
    guard_handlers(blocks, sessions)
    # Mounting does not set it, and as long as it is false Gradio takes any path in a request for a file of its own.
    blocks.has_launched = True
    blocks = blocks.queue(default_concurrency_limit=8, api_open=False)
    keep_events(blocks, streams)
    gr.mount_gradio_app(  # pyright: ignore[reportUnknownMemberType]  # gradio's types are partial
        app,
        blocks,
        path="/",
        root_path=root_path,
        theme=make_theme(),
        css_paths=STYLE,
        favicon_path=str(LOGO),
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        ssr_mode=False,
    )


def measure_work(blocks: gr.Blocks, services: Services) -> None:
    """Let the metrics tell of the queue and of long jobs, whenever they are read."""
    metrics.measure(metrics.QUEUE_EVENTS, {"waiting": lambda: queue_load(blocks)[0], "running": lambda: queue_load(blocks)[1]})
    metrics.measure(
        metrics.JOBS,
        {
            "import": lambda: sum(state.is_running for state in services.imports.states()),
            "grouping": services.groupings.count_running,
            "comparison": services.comparisons.count_running,
        },
    )


def add_routes(app: FastAPI, bench: Workbench) -> None:
    """Serve Plotly's script from its package, and each scene's room as JSON."""
    plotly = Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))

    @app.get(PLOTLY_ROUTE)
    def send_plotly(request: Request) -> Response:
        return send_compressed_file(request, plotly, "text/javascript", max_age_s=DAY_S)

    @app.get(CLOUD_ROUTE + "{scene:path}")
    def send_cloud(request: Request, scene: str) -> Response:
        try:
            cloud = bench.room(scene)
        except MaskgroupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        if cloud is None:
            return JSONResponse({"error": "This scene has no mesh, depth or poses, so there is no 3D view."}, status_code=404)
        return send_compressed(request, to_json_text(room_values(cloud)), "application/json")


def _warm_up(bench: Workbench, groupings: GroupingRuns) -> None:
    """Load the model, the first room and its groups while the browser is still opening, so that the first click does not wait."""
    try:
        first = bench.scene_names()[0]
        bench.room(first)
        bench.judge()
        rival = bench.judges.rival()
        if rival is not None:
            bench.judge(rival)
        if bench.is_bundled(first):
            groupings.open_or_start(first)
    except MaskgroupError:
        # The page says so itself when the person gets there.
        return
