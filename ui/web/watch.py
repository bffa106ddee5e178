"""Counts, times and logs requests. Knows their kind and their sender's address, never what is in them."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from ui.web.metrics import OPEN_REQUESTS, REQUEST_SECONDS, REQUESTS

log = logging.getLogger(__name__)

KINDS = (
    ("page", r"/?"),
    ("ask", r"/gradio_api/(queue/join|cancel|reset|component_server)/?"),
    ("api", r"/gradio_api/(call/.+|info/?)"),
    ("answers", r"/gradio_api/(queue/data|heartbeat/[^/]+)/?"),
    ("upload", r"/gradio_api/upload/?|/maskgroup/scenes/upload"),
    ("file", r"/gradio_api/file=.+"),
    ("picture", r"/review/picture|/maskgroup/.+"),
    ("health", r"/(healthz|readyz|metrics)"),
    ("static", r"/(assets|static|svelte)/.+|/(gradio_api/)?[a-z._-]+/?"),
)
"""Of addresses; whatever fits none is "other"."""
UNTIMED = ("answers", "upload", "api")
"""Those that last as long as the other side wants."""
METHODS = ("GET", "HEAD", "POST")
MOST_PATH = 200

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class WatchedRequest:
    """One request, from its first byte to its last; use it in a `with` block, and send through it.

    Args:
        method: Its method.
        path: Its path within the app, without the query: that may hold what nobody else should see.
        client: Its sender's address, "" if it is not known.
    """

    def __init__(self, method: str, path: str, *, client: str) -> None:
        self._method = method if method in METHODS else "other"
        self._path, self._client, self._kind = path, client, kind_of(path)
        self._status, self._begun = 0, perf_counter()

    def listen_to(self, send: Send) -> Send:
        """Return what sends the answer, with its status noted."""

        async def send_on(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._status = int(message["status"])
            await send(message)

        return send_on

    def __enter__(self) -> WatchedRequest:
        OPEN_REQUESTS.labels(self._kind).inc()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        OPEN_REQUESTS.labels(self._kind).dec()
        # What failed before anything was sent is answered by the server, with 500.
        status = self._status or (500 if isinstance(error, Exception) else 499)
        seconds = perf_counter() - self._begun
        REQUESTS.labels(self._method, self._kind, str(status)).inc()
        if self._kind not in UNTIMED:
            REQUEST_SECONDS.labels(self._kind).observe(seconds)
        level = logging.DEBUG if status < 400 else logging.INFO if status < 500 else logging.WARNING
        if log.isEnabledFor(level):
            path = self._path[:MOST_PATH].encode("ascii", "backslashreplace").decode()
            path = re.sub(r"[\x00-\x1f\x7f]", "?", path)
            fields = {"method": self._method, "path": path, "status": status, "seconds": round(seconds, 4), "client": self._client}
            log.log(level, "%s %s: %d", self._method, path, status, extra={"fields": fields})


def kind_of(path: str) -> str:
    """Return what kind of address a path is."""
    return next((kind for kind, pattern in KINDS if re.fullmatch(pattern, path)), "other")
