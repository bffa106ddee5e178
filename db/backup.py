"""Copies a database while it is in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from db.session import for_reading
from engine.errors import LabelError


def back_up(engine: Engine, target: Path) -> None:
    """Write a consistent copy of a SQLite database to a new file; others may read and write meanwhile.

    The file appears under its name only when it is whole.

    Raises:
        LabelError: If the file exists or cannot be written, or the database is not SQLite.
    """
    if engine.dialect.name != "sqlite":
        raise LabelError(f"A {engine.dialect.name} database is not backed up from here; use its own tool, such as pg_dump.")
    if target.exists():
        raise LabelError(f"{target} exists already and is not overwritten; give another name.")
    unfinished = target.with_name(f"{target.name}.{uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with for_reading(engine).connect() as connection, closing(sqlite3.connect(unfinished)) as copy:
            # The copy is one file: it does not use the write-ahead log that the original has beside it.
            source: Any = connection.connection.driver_connection
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        # A link, unlike a rename, fails if somebody made the file meanwhile.
        os.link(unfinished, target)
    except (OSError, sqlite3.Error) as error:
        raise LabelError(f"The backup {target} could not be written: {error}; give another place.") from error
    finally:
        unfinished.unlink(missing_ok=True)
