"""Starts the real app as its own process and opens it in a real browser; shared by the browser tests and the screenshots."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

WAIT_MS = 240_000
"""For whatever a page is waited for: enough for a machine that is four times slower and busy. What is well never waits it out."""
START_TIMEOUT_S = 480
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


def start_app(database: Path, *flags: str, program: str = "ui") -> tuple[subprocess.Popen[str], str]:
    """Start `maskgroup app` on a free port; returns its process, which the caller must end, and its address once it answers.

    Args:
        database: The database's file.
        flags: What else stands on the command line.
        program: The module that is run.
    """
    command = [sys.executable, "-m", program, "app", "--db", str(database), "--port", "0", *flags]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    lines: list[str] = []
    address: list[str] = []

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line)
            found = re.search(r"http://\S+:\d+", line)
            if found and not address:
                address.append(found.group())

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not address:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError("The app did not start:\n" + "".join(lines))
        time.sleep(0.05)
    _wait_until_open(address[0], deadline)
    return process, address[0]


@contextmanager
def running_app(database: Path, *flags: str, program: str = "ui") -> Iterator[str]:
    """Run `maskgroup app` on a free port, as `start_app` does, and yield its address; the process is stopped afterwards."""
    process, address = start_app(database, *flags, program=program)
    try:
        yield address
    finally:
        end_process(process)


def end_process(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and kill it if it does not."""
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_until_open(address: str, deadline: float) -> None:
    """Wait until the port answers: the address is printed just before the server begins to listen."""
    host, port = address.removeprefix("http://").split(":")
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=60).close()
            return
        except OSError:
            time.sleep(0.05)


@contextmanager
def browser(chromium: str) -> Iterator[Browser]:
    """Yield a headless Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        try:
            yield launched
        finally:
            launched.close()
