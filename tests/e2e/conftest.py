"""One app for all attacks over HTTP, with things beside it that it must not give away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.app_process import running_app
from tests.http_attacker import Attacker
from tests.tiny_room import write_tiny_room

SECRET = "only-for-the-owner-5f2c"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies beside the app: a secret, a pipe that nobody writes to, and a file of two gigabytes."""
    folder = tmp_path_factory.mktemp("attacked")
    write_tiny_room(folder / "scenes")
    (folder / "secret.txt").write_text(SECRET)
    os.mkfifo(folder / "fifo")
    with (folder / "huge").open("wb") as file:
        file.truncate(2 * 2**30)
    return folder


@pytest.fixture(scope="session")
def attacker(folder: Path) -> Iterator[Attacker]:
    """Somebody who can reach the app."""
    names = ("--allowed-host", "Lab.Example", "--allowed-host", "fd00::1")
    with running_app(folder / "data" / "labels.db", "--scenes", str(folder / "scenes"), *names) as address:
        yield Attacker(address)
