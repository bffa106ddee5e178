"""Checks that a path is a file that can be read, and not too large, before anything opens it. Knows no scene format."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.errors import SceneError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_file(path: Path, what: str, *, limit: int | None = None) -> int:
    """Check that `path` is a regular file of at most `limit` bytes; returns its size.

    Nothing is opened: opening a pipe would wait for ever, and opening some devices has effects.

    Raises:
        SceneError: If it is anything else, or larger.
    """
    try:
        found = path.stat()
    except PermissionError as error:
        raise SceneError(f"{path}: cannot be looked at ({error.strerror}), expected {what}; check its permissions.") from error
    except (OSError, ValueError):
        raise SceneError(f"{path}: found no file, expected {what}; add the file or remove what refers to it.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in _KINDS if test(found.st_mode)), "something else")
        raise SceneError(f"{path}: found {kind}, expected {what}; add the file or remove what refers to it.")
    if limit is not None and found.st_size > limit:
        raise SceneError(
            f"{path}: found {found.st_size:,} bytes, expected {what} of at most {limit:,} bytes; is it the right file?"
        )
    return found.st_size


def read_bytes(path: Path, what: str, *, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        SceneError: If it is no such file or cannot be read.
    """
    require_file(path, what, limit=limit)
    try:
        # Not blocking, so that a pipe that replaces the file just now cannot hang the program.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror}), expected {what}; check its permissions.") from error
    if len(data) > limit:
        raise SceneError(f"{path}: found more than {limit:,} bytes, expected {what}; is it the right file?")
    return data
