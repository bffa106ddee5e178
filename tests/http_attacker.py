"""Speaks HTTP to an app as an attacker does: any header, any body, no browser; and a server that must never be asked anything."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.threaded_server import serving

TIMEOUT_S = 120.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Attacker:
    """Sends requests to one app."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port

    def send(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = TIMEOUT_S,
    ) -> Answer:
        """Send one request on a connection of its own; the path and headers go out as they are."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            given = {name.lower() for name in headers or {}}
            connection.putrequest(method, path, skip_host="host" in given, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            content = body.encode() if isinstance(body, str) else body
            if content is not None and "content-length" not in given:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, headers=_dashed(headers))

    def post(self, path: str, values: Any, **headers: str) -> Answer:
        return self.send("POST", path, json.dumps(values), {**JSON, **_dashed(headers)})

    def call(self, name: str, data: list[Any], **headers: str) -> str:
        """Call a handler by its name and wait for what it says: the event as text."""
        begun = self.post(f"/gradio_api/call/{name}", {"data": data}, **headers)
        if begun.status != 200:
            return begun.body.decode()
        return self.get(f"/gradio_api/call/{name}/{begun.json['event_id']}", **headers).body.decode()

    def ask(self, name: str, request: Any, *, element: str = "mg-review", **headers: str) -> dict[str, Any]:
        """Ask the functions of a page's script as it does, those of the Review page if no other is named."""
        return self.ask_element(name, request, element, **headers).json

    def ask_element(self, name: str, request: Any, element: str, **headers: str) -> Answer:
        """Ask a function of an element's script, and take what comes, if only a refusal."""
        config = self.get("/config").json
        card = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == element)
        values = {"data": request, "component_id": card, "session_hash": "attacker", "fn_name": name}
        return self.post("/gradio_api/component_server", values, **headers)

    def page_cookie(self) -> str:
        """Open the page and return its cookie."""
        return self.get("/").headers["set-cookie"].partition(";")[0]


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """Run a server that notes who asks for what; yields its address and the list."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/svg+xml")
            self.end_headers()
            self.wfile.write(b"<svg xmlns='http://www.w3.org/2000/svg'/>")

        do_HEAD = do_POST = do_OPTIONS = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}", asked
