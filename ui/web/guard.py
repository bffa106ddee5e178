"""The gate before the app: what does not belong to its pages never reaches Gradio, and every answer has its security headers.

Gradio has many more addresses than the pages use: some fetch from other servers, run programs or write files. Only those that are
listed here are let through, with bodies of a size that is read in no time, and with no file in them except an upload of this app.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast
from urllib.parse import unquote

from anyio import to_thread
from fastapi import FastAPI
from starlette.requests import cookie_parser
from starlette.routing import Match, Mount

from engine.errors import MaskgroupError
from engine.strict_json import as_object, to_json_text
from ui.web.compressed import LEVEL, takes_gzip
from ui.web.content_policy import PLAIN_HEADERS, secure_page
from ui.web.gradio_parts import mounted_pages, queue_load
from ui.web.hosts import AllowedHosts
from ui.web.kept_events import STREAM, AnswerStreams
from ui.web.page_session import PageSessions
from ui.web.proxies import OUTSIDE, PROXY_HEADERS, Outside, TrustedProxies, below, clean_root_path
from ui.web.uploads import MAX_REQUEST_BYTES, SCENE_UPLOAD, UploadQuota
from ui.web.watch import WatchedRequest

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_JSON_BYTES = 2**20
MAX_DEPTH = 40
MAX_ADDRESS = 16_384
GZIP_FROM_BYTES = 1024
UPLOAD = "/gradio_api/upload"
FILE = "/gradio_api/file="
_NAME = r"[A-Za-z0-9_.-]+"
READS = re.compile(
    r"/|/(config|theme\.css|robots\.txt|favicon\.ico|manifest\.json)/?|/(assets|static|svelte)/.+"
    rf"|/gradio_api/(info|app_id|login_check|user|theme\.css|startup-events|queue/status|queue/data|upload_progress)/?"
    rf"|/gradio_api/heartbeat/{_NAME}|/gradio_api/call/(v2/)?{_NAME}/{_NAME}|/gradio_api/file=.+"
)
"""Addresses of Gradio that are read."""
WRITES = re.compile(rf"/gradio_api/(queue/join|cancel|reset|component_server|upload|call/(v2/)?{_NAME})/?")
"""Addresses of Gradio that are posted to."""
FILE_KEYS = ("path", "url", "meta")
NOT_HERE = "This app has no such address."
FILE_REFUSED = "The request names a file or an address; this app reads none on request."


class Guard:
    """Wraps the whole application.

    Args:
        app: The pages and their routes.
        hosts: The names that it answers to.
        sessions: Gives browsers their cookies.
        uploads: Bounds the served folder.
        streams: Is told which pages are being answered.
        first_script: What runs in the page before all other scripts.
        proxies: Whose word is taken for what a request was before it was passed on.
        root_path: Below which path a proxy serves the app, "" for none. Whether it takes that path off or not is the same.

    Raises:
        MaskgroupError: If `root_path` is no path, or an address of the app's own.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        hosts: AllowedHosts,
        sessions: PageSessions,
        uploads: UploadQuota,
        streams: AnswerStreams,
        first_script: str = "",
        proxies: TrustedProxies | None = None,
        root_path: str = "",
    ) -> None:
        self.app = app
        self._hosts, self._sessions, self._uploads, self._streams = hosts, sessions, uploads, streams
        self._first_script = first_script
        self._proxies, self._root_path = proxies or TrustedProxies(), clean_root_path(root_path)
        self._check_root_path()
        self._is_ending = False

    def end(self) -> None:
        """Take no more work, and end the streams that pages keep open for good."""
        self._is_ending = True
        for page in mounted_pages(self.app):
            page.stop_event.set()

    def is_busy(self) -> bool:
        """Return whether calls that were taken are waiting or being worked on."""
        return any(sum(queue_load(page.get_blocks())) > 0 for page in mounted_pages(self.app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _with_headers(send)
        headers = _by_name(scope)
        outside = self._proxies.look_from_outside((scope.get("client") or ("",))[0], scope.get("scheme", "http"), headers)
        scope = {**scope, "path": self._inner_path(scope), OUTSIDE: outside}
        method, path = str(scope["method"]), str(scope["path"])
        with WatchedRequest(method, path, client=str(outside.client or "")) as watched:
            await self._answer(scope, receive, watched.listen_to(send), headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, list[str]]) -> None:
        method, path, outside = str(scope["method"]), str(scope["path"]), cast("Outside", scope[OUTSIDE])
        refusal = self._hosts.refuse({**headers, "host": [outside.host]}, method)
        if refusal is None and not path and method in ("GET", "HEAD"):
            await _redirect(send, self._root_path + "/", scope.get("query_string") or b"")
            return
        refusal = refusal or self._refuse_address(scope, method, path)
        scope = _seen_from(scope, outside.seen_from(headers.get("origin", [None])[0]))
        if refusal is not None:
            await _refuse(send, *refusal)
        elif method == "POST":
            await self._post(scope, receive, send, headers, path)
        elif path == "/":
            await self._send_page(scope, receive, send, headers)
        elif path.rstrip("/") == STREAM:
            with self._streams.opened(scope.get("query_string") or b""):
                await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refuse_address(self, scope: Scope, method: str, path: str) -> tuple[int, str] | None:
        if method not in ("GET", "HEAD", "POST"):
            return 405, f"This app answers to GET, HEAD and POST, not to {method[:20]}."
        target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        if target > MAX_ADDRESS or not path.startswith("/") or any(ord(character) < 32 for character in path):
            return 400, "The request's address is too long or malformed."
        if method == "POST" and self._is_ending:
            return 503, "The app is being stopped and takes nothing more; try again when it runs."
        if method == "POST":
            return None if WRITES.fullmatch(path) or path == SCENE_UPLOAD else (404, NOT_HERE)
        if path.startswith(FILE):
            return None if self.is_served(path.removeprefix(FILE)) else (403, "This file is not served.")
        return None if READS.fullmatch(path) or self._is_own(scope) else (404, NOT_HERE)

    def _inner_path(self, scope: Scope) -> str:
        """Return a request's path within the app: one below `root_path` as if it were not."""
        inner = below(self._root_path, str(scope["path"]))
        # A proxy may have taken `root_path` off already, and an address of our own may begin like it.
        return str(scope["path"]) if inner is None or self._is_own(scope) else inner

    def _check_root_path(self) -> None:
        for path in (self._root_path, self._root_path + "/", self._root_path + "/x"):
            if self._root_path and (READS.fullmatch(path) or self._is_own({"type": "http", "method": "GET", "path": path})):
                raise MaskgroupError(f"--root-path {self._root_path} is an address of the app itself; choose another one.")

    def _is_own(self, scope: Scope) -> bool:
        """Return whether one of our own routes, not Gradio behind them, answers."""
        routes = (route for route in self.app.router.routes if not isinstance(route, Mount))
        return any(route.matches(scope)[0] == Match.FULL for route in routes)

    def is_served(self, path: str) -> bool:
        """Return whether a path lies in the served folder, as text: nothing is opened or looked up."""
        folder = str(self._uploads.folder)
        return "\0" not in path and os.path.normpath(path).startswith(folder + os.sep)

    async def _post(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, list[str]], path: str) -> None:
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        is_upload = path.rstrip("/") == UPLOAD
        expected = "multipart/form-data" if is_upload else "application/json"
        if path == SCENE_UPLOAD:
            # Bytes of a file and nothing else; a page of another site cannot send this type without being asked first.
            expected = "application/octet-stream"
        if kind != expected:
            await _refuse(send, 415, f"The request's content is {kind[:60] or 'of no stated type'}, expected {expected}.")
            return
        if path == SCENE_UPLOAD:
            # Not read here: its route writes it to disk as it comes, and counts.
            await self.app(scope, receive, send)
            return
        body = await _read(receive, MAX_REQUEST_BYTES if is_upload else MAX_JSON_BYTES)
        if body is None:
            most = (MAX_REQUEST_BYTES if is_upload else MAX_JSON_BYTES) / 2**20
            await _refuse(send, 413, f"The request is larger than {most:.0f} MB; send less at once.")
            return
        if is_upload:
            await self._upload(scope, body, receive, send)
            return
        try:
            # Written anew, so that Gradio reads exactly what was checked.
            values = json.loads(body, parse_constant=_no_constant)
            self._check(values)
            body = to_json_text(values, escape=False).encode()
        except ForbiddenFileError:
            await _refuse(send, 403, FILE_REFUSED)
            return
        except (ValueError, RecursionError):
            await _refuse(send, 400, "The request's content is no JSON that can be read, or is nested too deeply.")
            return
        await self.app(_with_length(scope, len(body)), _replay(body, receive), send)

    async def _upload(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        ticket = object()
        full = await to_thread.run_sync(self._uploads.make_room, ticket, len(body))
        if full is not None:
            await _refuse(send, 413, full)
            return
        try:
            await self.app(_with_length(scope, len(body)), _replay(body, receive), send)
        finally:
            self._uploads.done(ticket)

    def _check(self, value: Any, depth: int = 0) -> None:
        """Refuse what Gradio could take for a file: no page sends any but its own uploads."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if (fields := as_object(value)) is not None:
            self._check_file(fields)
            for inner in fields.values():
                self._check(inner, depth + 1)
        elif isinstance(value, list):
            for inner in cast("list[Any]", value):
                self._check(inner, depth + 1)

    def _check_file(self, value: dict[str, Any]) -> None:
        if not any(key in value for key in FILE_KEYS):
            return
        path, url = value.get("path"), value.get("url")
        is_own_path = isinstance(path, str) and self.is_served(path)
        is_own_url = url is None or (isinstance(url, str) and self._is_served_url(url))
        if not (is_own_path and is_own_url) or value.get("is_stream"):
            raise ForbiddenFileError

    def _is_served_url(self, url: str) -> bool:
        address, found, path = url.partition(FILE)
        is_here = re.fullmatch(r"(https?://[A-Za-z0-9_.:\[\]-]+)?", address.removesuffix(self._root_path)) is not None
        return bool(found) and is_here and self.is_served(unquote(path))

    async def _send_page(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, list[str]]) -> None:
        """Send the page with its own policy, and a cookie to browsers that have none."""
        is_packed = takes_gzip(",".join(headers.get("accept-encoding", [])))
        # Plain, as the page is to be changed; compressed again below.
        inner = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]}
        start: Message = {}
        parts: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.app(inner, receive, keep)
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in (b"content-length", b"content-encoding")]
        body = b"".join(parts)
        if dict(kept).get(b"content-type", b"").startswith(b"text/html") and body:
            page, rules = secure_page(body.decode(), first_script=self._first_script)
            body = page.encode()
            kept += [(b"content-security-policy", rules.encode()), (b"cache-control", b"no-store"), (b"vary", b"Accept-Encoding")]
            cookies = cookie_parser("; ".join(headers.get("cookie", [])))
            if self._sessions.read(cookies) is None:
                where = f"Path={self._root_path or '/'}{'; Secure' if scope['scheme'] == 'https' else ''}"
                cookie = f"{self._sessions.cookie}={self._sessions.new()}; {where}; HttpOnly; SameSite=Strict"
                kept.append((b"set-cookie", cookie.encode()))
            if is_packed and len(body) > GZIP_FROM_BYTES:
                body = gzip.compress(body, LEVEL)
                kept.append((b"content-encoding", b"gzip"))
        if parts:
            kept.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": kept})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class ForbiddenFileError(Exception):
    """A request's content names a file or an address."""


def _seen_from(scope: Scope, outside: Outside) -> Scope:
    """Return a request with the address that its sender sees, of which Gradio builds others, and without headers of proxies."""
    dropped = ("host", *PROXY_HEADERS)
    kept = [(name, value) for name, value in scope["headers"] if not name.decode("latin-1").lower().startswith(dropped)]
    return {**scope, "scheme": outside.scheme, "root_path": "", "headers": [*kept, (b"host", outside.host.encode("latin-1"))]}


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _by_name(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


_PLAIN_HEADERS = tuple((name.lower().encode(), value.encode()) for name, value in PLAIN_HEADERS.items())


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            have = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _PLAIN_HEADERS if name not in have]
            if dict(headers).get(b"content-type", b"").startswith(b"text/event-stream"):
                # nginx would keep answers back until they fill a page.
                headers.append((b"x-accel-buffering", b"no"))
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers


async def _read(receive: Receive, most: int) -> bytes | None:
    """Return a request's body, None where it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            # The other side has gone.
            return b"".join(parts)
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def receive_again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _with_length(scope: Scope, length: int) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}


async def _redirect(send: Send, path: str, query: bytes) -> None:
    """Send a browser from the root path to the page below it: without the slash, its relative addresses would lead elsewhere."""
    location = path.encode() + (b"?" + query if query else b"")
    await send({"type": "http.response.start", "status": 307, "headers": [(b"location", location), (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = to_json_text({"error": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
