"""Files and folders that are there whole or not at all: the one place where the program writes what others may be reading."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from engine.strict_json import to_json_text

UNFINISHED = ".part"


def write_atomically(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON to a temporary file and rename it when it is complete, so a reader sees the old file or the new one.

    Args:
        path: The file; its folder exists.
        content: JSON values; numbers that are not finite become null.

    Raises:
        OSError: If it cannot be written; the old file stays.
    """
    write_text_atomically(path, to_json_text(content, indent=2) + "\n")


def write_text_atomically(path: Path, text: str) -> None:
    """Write text as UTF-8, its line ends as they are; a reader sees the old file or the new one.

    Raises:
        OSError: If it cannot be written; the old file stays.
    """
    with writing_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="")


@contextmanager
def writing_file(path: Path) -> Generator[Path]:
    """Give the name under which to write a file; it becomes `path` at the end of the block, and is deleted if that fails.

    Raises:
        OSError: If it cannot be put in place; what was there stays.
    """
    unfinished = _unfinished(path)
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def writing_folder(folder: Path, *, replaces: bool = False, is_sole_writer: bool = False) -> Generator[Path]:
    """Make an empty folder to write into; it becomes `folder` at the end of the block, and is deleted if that fails.

    Args:
        folder: The folder; those above it are made.
        replaces: Whether a folder of that name is replaced; otherwise one that holds something is an error.
        is_sole_writer: Whether nobody else writes this folder at the same time: what a writer that was killed has left is deleted.

    Raises:
        OSError: If it cannot be made or put in place.
    """
    if is_sole_writer:
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*{UNFINISHED}"):
            shutil.rmtree(left, ignore_errors=True)
    unfinished = _unfinished(folder)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if replaces and folder.exists():
            shutil.rmtree(folder)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(f".{path.name}.{uuid4().hex}{UNFINISHED}")
