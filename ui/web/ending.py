"""Ends the app when it is told to, within 3 s: what was acknowledged is finished, and open pages do not hold it up.

Told to end, the app takes no more work and ends the streams that pages keep open for good. Calls that it has taken may take
`FINISH_S` still, answers on their way another `ANSWER_S`. What is not done by `END_S` is broken off: nothing of that was
acknowledged, and files and rows are written whole or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from ui.web.guard import Guard

FINISH_S = 1.5
ANSWER_S = 1
END_S = 2.8
LOOK_S = 0.02


class EndingServer(uvicorn.Server):
    """A web server that ends so, on Ctrl+C and SIGTERM.

    Args:
        config: Of the server.
        guard: The application.
        clean_up: Called at the very end.
    """

    def __init__(self, config: uvicorn.Config, *, guard: Guard, clean_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._guard, self._clean_up = guard, clean_up

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; Ctrl+C once more ends at once."""
        if not self.should_exit:
            threading.Thread(target=self._end_for_good, daemon=True, name="end").start()
        elif sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was acknowledged, then close."""
        for server in self.servers:
            server.close()
        self._guard.end()
        last = time.monotonic() + FINISH_S
        while self._guard.is_busy() and not self.force_exit and time.monotonic() < last:
            await asyncio.sleep(LOOK_S)
        await super().shutdown(sockets)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end; then the program ends too."""
        super().run(sockets)
        if self.should_exit:
            self._leave()

    def _end_for_good(self) -> None:
        time.sleep(END_S)
        self._leave()

    def _leave(self) -> None:
        # Python would wait for calls that go on, and take seconds to free what models hold.
        self._clean_up()
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
