"""Calls what might wait or read for ever: a pipe, /dev/zero. Tells only whether it ends, not how long it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 240.0


def that_ends(call: Callable[[], T], what: object = "") -> T:
    """Return what a call returns, or raise what it raises; fails if it goes on and on.

    Args:
        call: What to call, in a thread that does not keep the process alive.
        what: What it was about, for the message.
    """
    ended: Future[T] = Future()

    def work() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:  # noqa: BLE001  # whatever it is, the caller gets it
            ended.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return ended.result(timeout=PATIENCE_S)
    except TimeoutError as error:
        if ended.done():
            raise
        raise AssertionError(f"{what} does not end") from error
