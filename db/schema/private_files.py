"""Folders and files that only their owner may read. They are made so; nothing is open to others even for a moment."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
BESIDE = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a database; it gives them the database's own rights."""


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner alone; one that is there stays as it is.

    Raises:
        OSError: If it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=PRIVATE_FOLDER)


def tighten(path: Path, mode: int) -> None:
    """Take a file's or folder's rights away from others, where it is ours and they have any; nothing is opened."""
    with contextlib.suppress(OSError):
        found = path.stat()
        now = stat.S_IMODE(found.st_mode)
        if now & 0o077 and found.st_uid == os.geteuid():
            os.chmod(path, now & mode)
            log.info("%s was open to other users of this machine; now it is yours alone.", path)


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner alone, unless there is one.

    It is made under another name and linked: a database is never opened except by SQLite, not even for a moment, since a
    descriptor that is closed would take SQLite's locks with it.
    """
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        # A link, unlike a rename, fails if somebody made the file meanwhile.
        os.link(unfinished, path)
    except FileExistsError:
        return
    except OSError:
        # No links here, or no right to write: SQLite makes the file, or says why it cannot; then it is tightened.
        return
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def make_private_database(path: Path) -> None:
    """Make a database's file before SQLite opens it, so that it is born private; tighten one that is there, and its neighbours."""
    make_private_file(path)
    for place in (path, *(path.with_name(path.name + ending) for ending in BESIDE)):
        tighten(place, PRIVATE_FILE)
