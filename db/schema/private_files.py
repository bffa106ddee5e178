"""Folders and files that only their owner may read, from the moment they are made."""

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
    """Make a folder and missing parents for its owner alone; an existing folder stays unchanged.

    Raises:
        OSError: If it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=PRIVATE_FOLDER)


def tighten(path: Path, mode: int) -> None:
    """Remove other users' rights to a file or folder, if it is ours. Nothing is opened."""
    with contextlib.suppress(OSError):
        found = path.stat()
        now = stat.S_IMODE(found.st_mode)
        if now & 0o077 and found.st_uid == os.geteuid():
            os.chmod(path, now & mode)
            log.info("%s was open to other users of this machine; now it is yours alone.", path)


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner alone, unless there is one.

    It is made under another name and then linked. Only SQLite may open a database, because closing any other descriptor of the
    file would drop SQLite's locks.
    """
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        # Unlike a rename, a link fails if somebody has made the file in the meantime.
        os.link(unfinished, path)
    except FileExistsError:
        return
    except OSError:
        # No links here, or no right to write: SQLite makes the file, or says why it cannot. It is tightened afterwards.
        return
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def make_private_database(path: Path) -> None:
    """Make a database's file before SQLite does, so that it is private; tighten an existing one and the files beside it."""
    make_private_file(path)
    for place in (path, *(path.with_name(path.name + ending) for ending in BESIDE)):
        tighten(place, PRIVATE_FILE)
