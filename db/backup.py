"""Copies a database while it is in use, after checking that it is sound."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from db.labels.store import LabelStore
from db.runs import KINDS, RunStore
from db.schema.faults import DatabaseError
from db.schema.session import reading
from db.schema.sqlite_file import sync_folder
from db.schema.urls import show_url
from engine.errors import LabelError


def back_up(engine: Engine, target: Path) -> None:
    """Write a consistent copy of a SQLite database to a new file; others may read and write meanwhile.

    The database is checked before it is copied, and the copy before it gets its name. So a backup is sound, or there is none.

    Raises:
        LabelError: If the database is damaged or not SQLite, or the file exists or cannot be written.
    """
    if engine.dialect.name != "sqlite":
        raise LabelError(f"A {engine.dialect.name} database is not backed up from here; use its own tool, such as pg_dump.")
    if os.path.lexists(target):
        raise _taken(target)
    unfinished = target.with_name(f"{target.name}.{uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_rows(engine)
        _copy(engine, unfinished, target)
        _give_name(unfinished, target)
    except DatabaseError as error:
        raise DatabaseError(f"No backup was written. {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabelError(f"The backup {target} could not be written: {reason}; give another place.") from error
    finally:
        _remove(unfinished)


def _check_rows(engine: Engine) -> None:
    # SQLite's own check looks at pages and indexes; a damaged value is only noticed by reading it.
    LabelStore(engine).history()
    for kind in KINDS:
        RunStore(engine).list(kind)


def _copy(engine: Engine, unfinished: Path, target: Path) -> None:
    with reading(engine) as connection:
        # One transaction for the check and the copy: what was checked is what is copied.
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        source: Any = connection.connection.driver_connection
        try:
            check_whole(source, show_url(engine.url))
        except sqlite3.Error as error:
            raise _damaged(show_url(engine.url), str(error)) from error
        try:
            with closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
                # The copy is one file: it does not use the write-ahead log that the original has beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
                check_whole(copy, f"copy {unfinished}")
        except sqlite3.Error as error:
            # The original has just been read from end to end, so it is the other place that fails.
            raise LabelError(
                f"The backup {target} could not be written ({error}); free some space there, or give another place."
            ) from error


def check_whole(connection: sqlite3.Connection, place: str) -> None:
    """Refuse a SQLite database with damaged pages, indexes or references.

    Args:
        connection: A connection to it.
        place: Where it is, for the message.

    Raises:
        DatabaseError: If it is damaged.
        sqlite3.Error: If it cannot even be checked.
    """
    with closing(connection.cursor()) as cursor:
        found = [str(row[0]) for row in cursor.execute("PRAGMA integrity_check(5)")]
        broken = cursor.execute("PRAGMA foreign_key_check").fetchmany(5)
    if found != ["ok"]:
        raise _damaged(place, " ".join(" ".join(found).split())[:300])
    if broken:
        raise _damaged(place, ", ".join(f"row {row[1]} of {row[0]} names a row of {row[2]} that is not there" for row in broken))


def _give_name(unfinished: Path, target: Path) -> None:
    try:
        # Unlike a rename, a link fails if somebody has made the file in the meantime.
        os.link(unfinished, target)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        # Some USB sticks and network shares have no links; there, the name is checked once more just before.
        if os.path.lexists(target):
            raise _taken(target) from error
        os.rename(unfinished, target)
    sync_folder(target.parent)


def _remove(unfinished: Path) -> None:
    for left in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
        try:
            left.unlink(missing_ok=True)
        except OSError:
            # The folder is gone or read-only; the error was already reported.
            continue


def _taken(target: Path) -> LabelError:
    return LabelError(f"{target} exists already and is not overwritten; give another name.")


def _damaged(place: str, what: str) -> DatabaseError:
    return DatabaseError(
        f"The database {place} is damaged ({what}); older backups are as they were; restore the newest one, or recover what is "
        "left with SQLite's own `sqlite3 FILE .recover`."
    )
