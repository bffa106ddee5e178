"""Sends JSON to a server and gets JSON back: time limits, retries with backoff, many requests at once, errors in one sentence.

The key comes from the environment only and is never logged. Knows nothing about what is asked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import httpx
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import ModelError
from engine.judging.served.pace import Pace
from engine.strict_json import as_object, to_json_text

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be another one a moment later."""
TOO_MUCH = frozenset({429, 503})
"""HTTP answers that say that a server has too much to do."""
CONNECT_TIMEOUT_S = 10.0
LONGEST_WAIT_S = 30.0
LARGEST_REPLY = 4 * 2**20
"""Bytes; an answer of one token has a few thousand."""

CHAT, CLASSIFY = "/chat/completions", "/classify"

Route = Literal["auto", "chat", "classify"]
ReadT = TypeVar("ReadT")

logger = logging.getLogger(__name__)


class EndpointSettings(BaseSettings):
    """How a server is asked; from the environment: MASKGROUP_API_KEY, MASKGROUP_ENDPOINT_TIMEOUT_S and so on.

    Attributes:
        api_key: Sent as a bearer token; empty = none.
        endpoint_timeout_s: Most seconds for one answer.
        endpoint_tries: How often a request is sent before it counts as failed.
        endpoint_at_once: Requests under way at once; None = found by a short ramp.
        endpoint_backoff_s: Seconds before the second try; doubled for each one after.
        endpoint_route: "chat" = as an answer in a chat, "classify" = as a class, "auto" = as a class where there is no chat.
        endpoint_classes: What the classes of a server spell, with commas between, in the order in which it was started with them.
    """

    model_config = SettingsConfigDict(env_prefix="MASKGROUP_", extra="ignore")

    api_key: SecretStr = SecretStr("")
    endpoint_timeout_s: float = Field(default=120.0, gt=0)
    endpoint_tries: int = Field(default=5, ge=1)
    endpoint_at_once: int | None = Field(default=None, ge=1)
    endpoint_backoff_s: float = Field(default=0.5, ge=0)
    endpoint_route: Route = "auto"
    endpoint_classes: str = "yes,Yes,Ġyes,ĠYes,YES,no,No,Ġno,ĠNo,NO"

    @classmethod
    def from_environment(cls) -> EndpointSettings:
        """Read the environment.

        Raises:
            ModelError: If a value there is no such number.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            variable = f"MASKGROUP_{'_'.join(str(part) for part in first['loc']).upper()}"
            raise ModelError(f"{variable}={first['input']!r} cannot be used ({first['msg']}); correct it.") from error


class Refusal(ModelError):
    """The server refused, and would refuse again.

    Attributes:
        status: HTTP status.
        said: What it said, shortened.
    """

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


class HttpClient:
    """Talks to one server.

    Args:
        base: Root of its API, without a slash at the end.
        settings: The server's key, and limits of time and tries.
        clock: Gives the time in seconds, for the ramp.

    Raises:
        ModelError: If the key contains characters that no key has.
    """

    def __init__(self, base: str, settings: EndpointSettings, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.base = base
        self.settings = settings
        self.pace = Pace(settings.endpoint_at_once, clock=clock)
        """How many requests are under way at once."""
        key = settings.api_key.get_secret_value().strip()
        if not key.isascii() or not key.isprintable():
            raise ModelError("MASKGROUP_API_KEY holds characters that no key has; set it again.")
        self._has_key = bool(key)
        host = urlsplit(base).hostname or ""
        is_here = host == "localhost" or host.startswith("127.") or host == "::1"
        if key and base.startswith("http://") and not is_here:
            logger.warning("The key goes to %s unencrypted; use https if others can listen.", host)
        self._options: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx.Timeout(settings.endpoint_timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
            # The pace limits them; connections that are closed and made again would only cost time.
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None),
            # No proxy for this machine itself.
            "trust_env": not is_here,
            "verify": httpx.create_ssl_context() if base.startswith("https://") else True,
        }

    async def get(self, path: str) -> Mapping[str, Any]:
        """Get a JSON object.

        Raises:
            ModelError: As `each`.
        """
        async with httpx.AsyncClient(**self._options) as client:
            return await self._send(client, "GET", path, None)

    async def each(
        self, bodies: Sequence[Mapping[str, object]], read: Callable[[Mapping[str, Any]], ReadT], *, path: str = CHAT
    ) -> list[tuple[ReadT, float]]:
        """Post each body to a path, some at once; return what `read` makes of each reply, and the seconds each took.

        Raises:
            ModelError: If one of them fails for good; the others are given up then.
        """
        waiting = deque(enumerate(bodies))
        answers: list[tuple[ReadT, float] | None] = [None] * len(bodies)
        under_way = 0

        async def one(client: httpx.AsyncClient, place: int, body: Mapping[str, object]) -> None:
            nonlocal under_way
            started = time.perf_counter()
            reply = await self._send(client, "POST", path, body)
            answers[place] = read(reply), time.perf_counter() - started
            under_way -= 1
            self.pace.answered(is_waiting=bool(waiting))
            send_more(client)

        def send_more(client: httpx.AsyncClient) -> None:
            nonlocal under_way
            while waiting and under_way < self.pace.at_once:
                under_way += 1
                group.create_task(one(client, *waiting.popleft()))

        try:
            async with httpx.AsyncClient(**self._options) as client, asyncio.TaskGroup() as group:
                self.pace.begin()
                send_more(client)
        except ExceptionGroup as failures:
            failure = failures.exceptions[0]
            if isinstance(failure, ModelError):
                raise failure from failure.__cause__
            raise
        return [answer for answer in answers if answer is not None]

    async def _send(
        self, client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, object] | None
    ) -> Mapping[str, Any]:
        """Send a request, and retry until it is answered or cannot succeed."""
        # vLLM's own paths are beside those of the OpenAI protocol, not under their root.
        address = (self.base.removesuffix("/v1") if path == CLASSIFY else self.base) + path
        why = ""
        for tried in range(self.settings.endpoint_tries):
            wait_s = random.uniform(0.5, 1.0) * self.settings.endpoint_backoff_s * 2**tried
            try:
                async with asyncio.timeout(self.settings.endpoint_timeout_s):
                    status, asked_wait_s, content = await _exchange(client, method, address, body)
            except (TimeoutError, httpx.TimeoutException):
                self.pace.is_too_much()
                why = f"gave no answer within {self.settings.endpoint_timeout_s:g} s"
            except httpx.ConnectError as error:
                why = f"cannot be reached ({_first_line(error)})"
            except httpx.TransportError as error:
                why = f"broke the connection ({_first_line(error)})"
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
                raise ModelError(f"{self.base!r} is no address of a model server ({_first_line(error)}).") from error
            else:
                if status not in AGAIN:
                    return self._accept(status, path, content)
                if status in TOO_MUCH:
                    self.pace.is_too_much()
                why = f"answered HTTP {status} ({said_in(content)})"
                wait_s = max(wait_s, asked_wait_s)
            if tried + 1 < self.settings.endpoint_tries:
                logger.info("%s %s; trying again in %.1f s", self.base, why, min(wait_s, LONGEST_WAIT_S))
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        tries = self.settings.endpoint_tries
        raise ModelError(
            f"The server at {self.base} {why}, {f'{tries} times in a row' if tries > 1 else 'once'}; "
            "see that it runs, then try again: what is done is kept."
        )

    def _accept(self, status: int, path: str, content: bytes) -> Mapping[str, Any]:
        said = said_in(content)
        if status in (401, 403):
            fault = "refuses the key in MASKGROUP_API_KEY" if self._has_key else "wants a key"
            raise Refusal(
                f"The server at {self.base} {fault} (HTTP {status}); set MASKGROUP_API_KEY to one that it knows.", status, said
            )
        if status == 404:
            advice = "start it with --runner pooling" if path == CLASSIFY else "give an address such as http://HOST:PORT/v1"
            raise Refusal(
                f"The server at {self.base} has no {path} (HTTP 404: {said}); {advice}.",
                404,
                said,
            )
        if status >= 300 or status < 200:
            raise Refusal(f"The server at {self.base} refused the request (HTTP {status}: {said}); see its log.", status, said)
        try:
            reply = json.loads(content)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise ModelError(
                f"The server at {self.base} answered {said!r}, expected a JSON object; is it an OpenAI-compatible server?"
            )
        return cast("dict[str, Any]", reply)


async def _exchange(
    client: httpx.AsyncClient, method: str, url: str, body: Mapping[str, object] | None
) -> tuple[int, float, bytes]:
    """Return the status, the seconds to wait that the server asks for, and the body, cut at `LARGEST_REPLY`."""
    async with client.stream(method, url, json=body) as response:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > LARGEST_REPLY:
                break
        wait = response.headers.get("retry-after", "")
        return response.status_code, float(wait) if wait.isdigit() else 0.0, bytes(content[:LARGEST_REPLY])


def said_in(content: bytes) -> str:
    """Return what an error's body says in a few words: its message where it has one, else its beginning; printable only."""
    text = content[:2000].decode("utf-8", "replace")
    try:
        found: Any = json.loads(text)
        while (told := as_object(found)) is not None:
            found = next((told[key] for key in ("error", "message", "detail") if told.get(key)), text)
        text = found if isinstance(found, str) else to_json_text(found)
    except ValueError:
        pass
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words[:160] + "…" if len(words) > 160 else words or "nothing"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
