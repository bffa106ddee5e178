"""Keeps what a page asked for when the stream of its answers ends.

Gradio's client closes the stream once nothing is left to answer, and opens another with the next question. Gradio's server takes
the end of a stream for the end of the page: it drops all that the page has asked for and not got. A question that came between the
two was dropped without a word, so a click did nothing. Here a page has gone only when it opens no other stream in `GONE_AFTER_S`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
from gradio.queueing import Queue
from gradio.utils import LRUCache

STREAM = "/gradio_api/queue/data"
GONE_AFTER_S = 10.0


class AnswerStreams:
    """The open streams of answers, by the page's session hash."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def opened(self, query: bytes) -> Generator[None]:
        """Count a stream while it is open.

        Args:
            query: What follows the "?" in its address.
        """
        session = parse_qs(query.decode("latin-1")).get("session_hash", [""])[0]
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]

    def is_open(self, session: str) -> bool:
        """Return whether a page has a stream."""
        return session in self._open


class _Messages(LRUCache[str, Any]):
    """Answers that wait for their page's stream. Gradio deletes them when a stream is cut; here that is done by `forget`."""

    def __delitem__(self, session: str) -> None:
        pass

    def forget(self, session: str) -> None:
        """Delete the answers of a page that has gone."""
        if session in self:
            super().__delitem__(session)  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped


def keep_events(blocks: gr.Blocks, streams: AnswerStreams, *, gone_after_s: float = GONE_AFTER_S) -> None:
    """Let the queue of `blocks`, which is there already, drop what a page asked for only when the page has gone."""
    queue: Queue = blocks._queue  # pyright: ignore[reportPrivateUsage]  # gradio: there is no other way to it
    drop = queue.clean_events
    messages = _Messages(queue.pending_messages_per_session.max_size)
    queue.pending_messages_per_session = messages
    waiting: set[asyncio.Task[None]] = set()

    async def drop_later(session: str) -> None:
        await asyncio.sleep(gone_after_s)
        if not streams.is_open(session):
            await drop(session_hash=session)
            messages.forget(session)

    async def clean_events(*, session_hash: str | None = None, event_id: str | None = None) -> None:
        if session_hash is None:
            await drop(event_id=event_id)
            return
        task = asyncio.create_task(drop_later(session_hash))
        # A task that nobody holds may be collected before it has run.
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    queue.clean_events = clean_events
