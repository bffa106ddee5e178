"""Every handler and route passes through the one place that says who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from gradio.processing_utils import async_move_files_to_cache
from starlette.routing import Mount

from engine.errors import MaskgroupError
from tests.tiny_room import write_tiny_room
from ui.app import build_app
from ui.settings import Settings
from ui.web.guard import Guard
from ui.web.hosts import AllowedHosts
from ui.web.kept_events import AnswerStreams
from ui.web.off_loop import write_pictures
from ui.web.page_session import PageSessions
from ui.web.permissions import HANDLERS, OPEN_TO_PROGRAMS, ROUTES, Action, check_routes, guard_handlers, handler_name
from ui.web.uploads import UploadQuota


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    folder = tmp_path_factory.mktemp("guarded")
    with pytest.MonkeyPatch.context() as patch:
        # Building the app sets them for its process.
        for name in ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE"):
            patch.setenv(name, "")
        yield build_app(Settings(scenes=write_tiny_room(folder / "scenes").parent, db=str(folder / "data" / "labels.db")))


@pytest.fixture(scope="module")
def blocks(guard: Guard) -> gr.Blocks:
    return next(route.app.get_blocks() for route in guard.app.routes if isinstance(route, Mount))


def test_every_handler_asks_first_and_the_list_names_no_other(blocks: gr.Blocks) -> None:
    handlers = [entry.fn for entry in blocks.fns.values() if entry.fn is not None]
    called = [
        function
        for block in blocks.blocks.values()
        for function in vars(block).values()
        if getattr(function, "_is_server_fn", False)
    ]
    assert len(called) == 9
    for handler in [*handlers, *called]:
        assert handler.maskgroup_action is HANDLERS[handler_name(handler)]
    assert {handler_name(handler) for handler in [*handlers, *called]} == set(HANDLERS)


def test_what_is_not_open_to_programs_is_refused_without_a_page(blocks: gr.Blocks) -> None:
    refused: set[Action] = set()
    for entry in blocks.fns.values():
        action = getattr(entry.fn, "maskgroup_action", None)
        if action is not None and action not in OPEN_TO_PROGRAMS:
            with pytest.raises(gr.Error, match="Only the app"):
                entry.fn()
            refused.add(action)
    assert refused == set(Action) - OPEN_TO_PROGRAMS - {Action.READ_METRICS}


def test_an_error_of_any_handler_is_a_toast(tmp_path: Path) -> None:
    """Also of one that a script calls; the handlers themselves know nothing of toasts."""

    def refresh(*_: Any) -> None:
        raise MaskgroupError("It has <b>no</b> end.")

    refresh.__qualname__ = "build_people_tab.<locals>.refresh"
    with gr.Blocks() as page:
        gr.Button().click(refresh)
        script = gr.HTML(server_functions=[refresh])
    guard_handlers(page, PageSessions(tmp_path))
    for guarded in (next(iter(page.fns.values())).fn, script.refresh):  # type: ignore[attr-defined]
        with pytest.raises(gr.Error, match=r"It has .*no.* end") as caught:
            guarded()
        assert "<b>" not in caught.value.message


def test_a_handler_or_route_that_is_not_listed_stops_the_start(tmp_path: Path) -> None:
    def forgotten() -> None:
        """It is in no list."""

    with gr.Blocks() as page:
        gr.Button().click(forgotten)
    with pytest.raises(LookupError, match="forgotten is not listed"):
        guard_handlers(page, PageSessions(tmp_path))
    app = FastAPI()
    app.get("/forgotten")(forgotten)
    with pytest.raises(LookupError, match="forgotten is not listed"):
        check_routes(app)


def test_routes_are_all_listed(guard: Guard) -> None:
    named = {handler_name(route.endpoint) for route in guard.app.routes if isinstance(route, APIRoute)}
    assert named == set(ROUTES)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "pyproject.toml", "/dev/zero"])
def test_gradio_itself_takes_no_file_either(blocks: gr.Blocks, path: str) -> None:
    """The guard refuses them before; this is the wall behind it, for Gradio's next version."""
    from gradio.context import LocalContext
    from gradio.exceptions import InvalidPathError

    assert blocks.has_launched
    payload = {"path": path, "meta": {"_type": "gradio.FileData"}}

    async def preprocess(component: Any) -> None:
        LocalContext.blocks.set(blocks)
        await async_move_files_to_cache([{"x": payload}], component, check_in_upload_folder=True)

    inputs = {component for entry in blocks.fns.values() for component in entry.inputs}
    assert len(inputs) > 50
    # In a thread of its own: in this one, the loop of a browser test may be running.
    with ThreadPoolExecutor(1) as pool:
        for component in inputs:
            with pytest.raises(InvalidPathError):
                pool.submit(asyncio.run, preprocess(component)).result()


def test_pictures_in_updates_are_files_before_they_reach_the_event_loop(blocks: gr.Blocks) -> None:
    gallery = next(block for block in blocks.blocks.values() if isinstance(block, gr.Gallery))
    image = next(block for block in blocks.blocks.values() if isinstance(block, gr.Image))
    pixels = np.zeros((8, 8, 3), np.uint8)
    given = (gr.update(value=[(pixels, "caption")]), gr.update(value=pixels, visible=True), 3)
    listed, one, number = write_pictures([gallery, image, None], given)
    assert listed["value"][0][1] == "caption"
    assert all(
        Path(path).is_file() and Path(path).is_relative_to(gallery.GRADIO_CACHE) for path in (listed["value"][0][0], one["value"])
    )
    assert one["visible"] is True
    assert number == 3
    assert write_pictures([gallery], gr.update(value=None))["value"] is None


def test_what_a_script_is_answered_stays_as_it_is() -> None:
    assert write_pictures([], {"cards": []}) == {"cards": []}
    assert write_pictures([], []) == []


@pytest.mark.parametrize("root", ["/assets", "/gradio_api/call/x", "/maskgroup/cloud", "/review/picture", "/config", "/static/x"])
def test_a_root_path_is_no_address_of_the_apps_own(guard: Guard, root: str, tmp_path: Path) -> None:
    parts = {"hosts": AllowedHosts(["localhost"]), "sessions": PageSessions(tmp_path), "uploads": UploadQuota(tmp_path)}
    with pytest.raises(MaskgroupError, match="is an address of the app itself"):
        Guard(guard.app, **parts, streams=AnswerStreams(), root_path=root)
    Guard(guard.app, **parts, streams=AnswerStreams(), root_path="/maskgroup")
