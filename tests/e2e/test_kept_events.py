"""What a page has asked for is not lost with the stream of its answers, against a real server."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI

from tests.http_attacker import JSON, TIMEOUT_S, Attacker
from ui.web.kept_events import STREAM, AnswerStreams, keep_events

PAGE = "one-page"
SOON_S = 0.2


class Desk:
    """Answers one question after the other, once it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.answered: list[str] = []

    def answer(self, question: str) -> str:
        assert self.may_answer.wait(TIMEOUT_S)
        self.answered.append(question)
        return question


@contextmanager
def serving(desk: Desk, *, gone_after_s: float) -> Iterator[tuple[Attacker, AnswerStreams]]:
    with gr.Blocks(analytics_enabled=False) as blocks:
        box = gr.Textbox()
        box.submit(desk.answer, box, box, concurrency_limit=1)
    streams = AnswerStreams()
    keep_events(blocks.queue(), streams, gone_after_s=gone_after_s)
    app = FastAPI()
    gr.mount_gradio_app(app, blocks, path="/", ssr_mode=False)  # pyright: ignore[reportUnknownMemberType]  # gradio: partial types

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == STREAM:
            with streams.opened(scope["query_string"]):
                await app(scope, receive, send)
        else:
            await app(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(counted, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        try:
            yield Attacker(f"http://127.0.0.1:{listener.getsockname()[1]}"), streams
        finally:
            desk.may_answer.set()
            server.should_exit = True
            thread.join(TIMEOUT_S)


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(attacker: Attacker, question: str) -> str:
    values = {"data": [question], "fn_index": 0, "session_hash": PAGE}
    return attacker.send("POST", "/gradio_api/queue/join", json.dumps(values), JSON).json["event_id"]


def open_stream(attacker: Attacker) -> http.client.HTTPConnection:
    stream = http.client.HTTPConnection(attacker.host, attacker.port, timeout=TIMEOUT_S)
    stream.request("GET", f"{STREAM}?session_hash={PAGE}")
    return stream


def cut_stream(attacker: Attacker, streams: AnswerStreams) -> None:
    stream = open_stream(attacker)
    wait_for(lambda: streams.is_open(PAGE))
    stream.close()
    wait_for(lambda: not streams.is_open(PAGE))


def answers(stream: http.client.HTTPConnection) -> list[str]:
    told = stream.getresponse().read().decode()
    messages = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    return [one["event_id"] for one in messages if one["msg"] == "process_completed"]


def test_questions_outlive_the_stream() -> None:
    desk = Desk()
    with serving(desk, gone_after_s=60) as (attacker, streams):
        asked = [ask(attacker, question) for question in ("first", "second")]
        cut_stream(attacker, streams)
        asked.append(ask(attacker, "third"))
        stream = open_stream(attacker)
        desk.may_answer.set()
        assert answers(stream) == asked
    assert desk.answered == ["first", "second", "third"]


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_page_that_has_gone_gets_nothing_more(comes_back: bool) -> None:
    desk = Desk()
    with serving(desk, gone_after_s=SOON_S) as (attacker, streams):
        asked = [ask(attacker, question) for question in ("first", "second")]
        cut_stream(attacker, streams)
        stream = open_stream(attacker) if comes_back else None
        if comes_back:
            wait_for(lambda: streams.is_open(PAGE))
        time.sleep(10 * SOON_S)
        desk.may_answer.set()
        if stream is not None:
            assert answers(stream) == asked
        wait_for(lambda: len(desk.answered) >= len(asked[: 1 + comes_back]))
        time.sleep(SOON_S)
    assert desk.answered == ["first", "second"][: 1 + comes_back]
