"""The ramp of requests at once: where it ends on servers of known limits, without looking at a real clock."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count

import numpy as np
import pytest

from engine.judging.base import CropPair, load_prompt
from engine.judging.served.endpoint import load_endpoint
from engine.judging.served.http_client import EndpointSettings, HttpClient
from engine.judging.served.pace import FEWEST, MOST, ROUNDS, Pace
from tests.faulty_server import YES, Reply, serve_faults
from tests.threaded_server import serving

WHOLE_RAMP = sum(n + ROUNDS * n for n in (8, 16, 32, 64)) + MOST
"""Requests that are surely enough for the whole ramp."""


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answer_all(pace: Pace, clock: Clock, requests: int, *, limit: int) -> list[int]:
    """Let a server answer `requests`, as fast as it can with `limit` of them at once; returns the steps that were taken."""
    steps = [pace.at_once]
    pace.begin()
    for left in range(requests - 1, -1, -1):
        under_way = min(pace.at_once, left + 1)
        clock.now += 1 / min(under_way, limit)
        pace.answered(is_waiting=left >= under_way)
        if pace.at_once != steps[-1]:
            steps.append(pace.at_once)
    return steps


@pytest.mark.parametrize(
    ("limit", "steps"),
    [
        (1, [8, 16, 8]),
        (8, [8, 16, 8]),
        (9, [8, 16, 8]),
        (16, [8, 16, 32, 16]),
        # 24 at once gain a half over 16, but 64 nothing over 32.
        (24, [8, 16, 32, 64, 32]),
        (40, [8, 16, 32, 64]),
        (1000, [8, 16, 32, 64]),
    ],
)
def test_it_ends_where_more_is_no_faster(limit: int, steps: list[int]) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    assert answer_all(pace, clock, WHOLE_RAMP, limit=limit) == steps
    assert pace.is_settled


def test_a_number_that_was_set_stays() -> None:
    clock = Clock()
    pace = Pace(3, clock=clock)
    assert answer_all(pace, clock, 1000, limit=1000) == [3]
    pace.is_too_much()
    assert (pace.at_once, pace.is_settled) == (3, True)


def test_few_requests_tell_nothing() -> None:
    """Nothing waits for its turn, so an idle server is not taken for a slow one; what full series tell adds up over them."""
    clock = Clock()
    pace = Pace(clock=clock)
    for _ in range(50):
        assert answer_all(pace, clock, FEWEST, limit=1) == [8]
        clock.now += 1000
    assert not pace.is_settled
    assert answer_all(pace, clock, FEWEST + 10, limit=1000) == [8]
    clock.now += 1000
    assert answer_all(pace, clock, FEWEST + 10, limit=1000) == [8, 16]


def test_a_server_that_has_too_much_to_do_gets_less() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    pace.is_too_much()
    assert (pace.at_once, pace.is_settled) == (8, False)
    assert answer_all(pace, clock, 30, limit=1000) == [8, 16]
    pace.is_too_much()
    pace.is_too_much()
    assert (pace.at_once, pace.is_settled) == (8, True)


@contextmanager
def saturating(limit: int, requests: int, clock: Clock, client: list[HttpClient]) -> Iterator[tuple[str, list[int]]]:
    """Serve on loopback as a server that does `limit` requests at once; yields its address and the most that were ever under way.

    It answers one request at a time, each once as many are under way as the client sends at once, and moves the clock by what that
    answer would have taken. So the outcome depends on no real time.
    """
    state, under_way, answered, most = threading.Condition(), 0, 0, [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            nonlocal under_way, answered
            self.rfile.read(int(self.headers["content-length"]))
            with state:
                under_way += 1
                most[0] = max(most[0], under_way)
                state.notify_all()
                # Looked at again and again, because nobody tells when the client takes a step back.
                while not state.wait_for(lambda: under_way >= min(client[0].pace.at_once, requests - answered), timeout=0.01):
                    pass
                clock.now += 1 / min(under_way, limit)
                under_way -= 1
                answered += 1
                state.notify_all()
            payload = json.dumps({"n": answered}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/v1", most


@pytest.mark.parametrize(("limit", "found", "tried", "requests"), [(8, 8, 16, 120), (16, 16, 32, 240)])
def test_a_real_server_is_asked_as_many_as_it_can_do(limit: int, found: int, tried: int, requests: int) -> None:
    clock = Clock()
    client: list[HttpClient] = []
    with saturating(limit, requests, clock, client) as (base, most):
        client.append(HttpClient(base, EndpointSettings(endpoint_timeout_s=60), clock=clock))
        answers = asyncio.run(client[0].each([{}] * requests, lambda reply: reply["n"]))
    assert len(answers) == requests
    assert (client[0].pace.at_once, client[0].pace.is_settled) == (found, True)
    assert most[0] == tried


def test_a_refusal_for_too_much_takes_a_step_back() -> None:
    numbers = count()
    with serve_faults(lambda n, body: Reply(429, {"error": "slow down"}) if next(numbers) == 60 else Reply()) as (base, _):
        settings = EndpointSettings(endpoint_backoff_s=0.01, endpoint_timeout_s=20)
        judge = load_endpoint(f"{base}#m", prompt=load_prompt("original"), settings=settings)
        pace = judge._client.pace  # pyright: ignore[reportPrivateUsage]
        pace.at_once = 32
        crop = np.zeros((4, 4, 3), np.uint8)
        verdicts = judge.judge([CropPair(crop, crop)] * 80)
    assert (len(verdicts), YES["choices"][0]["message"]["content"]) == (80, "yes")
    assert (pace.at_once, pace.is_settled) == (16, True)
