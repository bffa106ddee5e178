"""A real HTTP server on loopback that answers as a test tells it to: wrong keys, nonsense, silence, trouble that passes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.threaded_server import serving

YES = {
    "choices": [{"message": {"content": "yes"}, "logprobs": {"content": [{"token": "yes", "logprob": -0.01, "top_logprobs": []}]}}]
}


@dataclass
class Reply:
    """What to answer.

    Attributes:
        status: HTTP status.
        body: JSON value, or raw bytes.
        headers: Extra headers.
        wait_s: Seconds of silence first.
    """

    status: int = 200
    body: Any = field(default_factory=lambda: YES)
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


@dataclass
class Seen:
    """What was asked: (method, path, body, headers) of each request, and the most requests that were under way at once."""

    requests: list[tuple[str, str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    at_once: int = 0


@contextmanager
def serve_faults(answer: Callable[[int, dict[str, Any]], Reply]) -> Iterator[tuple[str, Seen]]:
    """Serve what `answer(number of the request, its body)` says; yields the base address and what was seen."""
    seen, lock, under_way = Seen(), threading.Lock(), [0]
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(content or b"{}")
            with lock:
                number = len(seen.requests)
                seen.requests.append((self.command, self.path, body, dict(self.headers.items())))
                under_way[0] += 1
                seen.at_once = max(seen.at_once, under_way[0])
            reply = answer(number, body)
            deadline = time.monotonic() + reply.wait_s
            while time.monotonic() < deadline and not stop.is_set():
                time.sleep(0.01)
            with lock:
                under_way[0] -= 1
            payload = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except OSError:
                self.close_connection = True

    with serving(Handler) as port:
        try:
            yield f"http://127.0.0.1:{port}/v1", seen
        finally:
            stop.set()
