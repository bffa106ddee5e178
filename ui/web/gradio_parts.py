"""The few parts of Gradio that ship without full types, given types here so that the pages need no exceptions for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from gradio.components import Component
from gradio.events import Dependency
from gradio.queueing import Queue
from gradio.routes import App
from starlette.routing import Mount


def read_query(request: gr.Request) -> dict[str, str]:
    """Return what follows the "?" in the address with which a page was opened."""
    # Gradio makes the request's fields up as they are asked for.
    return dict(cast("dict[str, str]", request.query_params))  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped


def read_cookies(request: gr.Request) -> dict[str, str]:
    """Return the cookies that a request came with."""
    return dict(cast("dict[str, str]", request.cookies))  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped


def mounted_pages(app: FastAPI) -> list[App]:
    """Return Gradio's own applications that are mounted in one of ours."""
    return [route.app for route in app.router.routes if isinstance(route, Mount) and isinstance(route.app, App)]


def queue_load(blocks: gr.Blocks) -> tuple[int, int]:
    """Return how many calls are in the queue: those that wait, and those that are worked on."""
    queue: Queue = blocks._queue  # pyright: ignore[reportPrivateUsage]  # gradio: there is no other way to it
    waiting = sum(len(one.queue) for one in list(queue.event_queue_per_concurrency_id.values()))
    return waiting, sum(len(events) for events in list(queue.active_jobs) if events)


def leave_as_is() -> dict[str, Any]:
    """Return the value that leaves a component as it is."""
    return cast("dict[str, Any]", gr.skip())  # pyright: ignore[reportUnknownMemberType]  # gradio: a bare dict


def event_of(component: Component, name: str) -> Callable[..., Dependency]:
    """Return the listener of an event by its name, such as "pick", which the 3D room's own script triggers."""
    return getattr(component, name)
