"""How many requests are under way at once: 8, 16, 32 or 64, found by a short ramp that ends where more make a server no faster.

Servers that batch, such as vLLM, need many requests to be busy; others answer one after the other, and more requests only wait.
Knows nothing of HTTP: it is told when answers come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

FEWEST, MOST = 8, 64
GROWTH = 1.15
"""By how much twice as many requests must raise the answers a second to be worth it."""
ROUNDS = 2
"""Answers that a step is judged by, as multiples of the requests under way."""

logger = logging.getLogger(__name__)


class Pace:
    """The number of requests under way at once for one server; shared by all who ask it.

    Only times in which requests had to wait for their turn count: an idle server says nothing about how much it can do.

    Args:
        fixed: A number that was set; None = found by the ramp.
        clock: Gives the time in seconds.
    """

    def __init__(self, fixed: int | None = None, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.at_once = fixed or FEWEST
        """Requests that may be under way at once."""
        self.is_settled = fixed is not None
        """Whether the number is final."""
        self._clock = clock
        self._lock = Lock()
        self._answers, self._seconds, self._rate_before = 0, 0.0, 0.0
        self._to_skip = 0
        self._since: float | None = None

    def begin(self) -> None:
        """Note that a new series of requests starts, with all places taken."""
        with self._lock:
            self._since, self._to_skip = self._clock(), 0

    def answered(self, *, is_waiting: bool) -> None:
        """Note an answer.

        Args:
            is_waiting: Whether another request was waiting for the place that became free.
        """
        with self._lock:
            if self.is_settled:
                return
            now = self._clock()
            since, self._since = self._since, now if is_waiting else None
            if since is None or not is_waiting:
                return
            if self._to_skip:
                # Asked before the step up, with fewer requests beside it.
                self._to_skip -= 1
                return
            self._answers += 1
            self._seconds += now - since
            if self._answers >= ROUNDS * self.at_once:
                self._decide()

    def is_too_much(self) -> None:
        """Note that the server has too much to do: it refused a request, or gave no answer. One step back, and none up any more.

        At the lowest step nothing is concluded: a server that is just starting refuses too.
        """
        with self._lock:
            if not self.is_settled and self.at_once > FEWEST:
                self._settle(self.at_once // 2)

    def _decide(self) -> None:
        rate = self._answers / max(self._seconds, 1e-9)
        if self._rate_before and rate < GROWTH * self._rate_before:
            self._settle(self.at_once // 2)
            return
        if self.at_once == MOST:
            self._settle(MOST)
            return
        self._rate_before, self._to_skip = rate, self.at_once
        self.at_once *= 2
        self._answers, self._seconds = 0, 0.0

    def _settle(self, at_once: int) -> None:
        self.at_once, self.is_settled = at_once, True
        logger.info("%d requests at once from now on", at_once)
