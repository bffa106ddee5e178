"""Lets a test see what permissions forbid, also where the tests run as root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Give a folder that everybody may enter, which pytest's own are not; deleted afterwards whatever its permissions are."""
    with tempfile.TemporaryDirectory(prefix="maskgroup-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def without_rights() -> Iterator[None]:
    """Do something as a user whom permissions stop: root may write whatever the permissions say."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
