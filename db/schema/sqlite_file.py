"""Opens a SQLite file for writing if possible, else for reading; notices if the file is replaced or deleted."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, QueuePool, create_engine, event, text

from db.schema import faults
from db.schema.faults import DatabaseError
from db.schema.private_files import make_private_database, make_private_folder
from engine.errors import LabelError

READ_ONLY_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
"""What SQLite answers where it may not write."""


def file_engine(url: URL) -> Engine:
    """Return an engine that reads and writes a file, which is made by the first connection.

    Raises:
        LabelError: If there is something else in its place, or its folder cannot be made.
    """
    assert url.database is not None
    is_uri = url.database.startswith("file:")
    if not is_uri:
        check_place(Path(url.database))
        make_private_database(Path(url.database))
    # One connection for each thread, so that no thread waits for another's.
    engine = create_engine(url, poolclass=QueuePool, max_overflow=-1)
    if not is_uri:
        _watch(engine, Path(url.database))
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def read_only_engine(url: URL) -> Engine | None:
    """Return an engine that reads a file that cannot be written, None if there is none or it cannot be read either.

    In a read-only folder, SQLite cannot make the files that it needs beside a database with a write-ahead log. If the log is empty,
    SQLite is told that nobody changes the file; otherwise file and log are copied, so that nothing in the log is missed.
    """
    assert url.database is not None
    path = Path(url.database)
    if not path.is_file():
        return None
    log = path.with_name(f"{path.name}-wal")
    try:
        has_log = log.stat().st_size > 0
    except OSError:
        has_log = False
    for query in ("mode=ro",) if has_log else ("mode=ro", "mode=ro&immutable=1"):
        engine = _reader(url, path, query)
        if _is_readable(engine):
            return engine
    return _copied_reader(url, path, log) if has_log else None


def check_place(path: Path) -> None:
    """Refuse a path that cannot be a database file before anything opens it; make its folder if it is missing.

    Raises:
        LabelError: If a folder, a pipe, a device or the like has this name, or the folder cannot be made.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise LabelError(
                f"The database {path} cannot be opened: its folder cannot be made ({error.strerror}); give another place with --db."
            ) from error
        return
    except OSError as error:
        raise LabelError(f"The database {path} cannot be opened: {error.strerror}; look at its folder's permissions.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise LabelError(f"The database {path} cannot be opened: it is {kind}, expected a SQLite file; give one with --db.")


def _reader(url: URL, path: Path, query: str) -> Engine:
    address = f"file:{quote(str(path))}?{query}"
    engine = create_engine(
        url,
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False),
        poolclass=QueuePool,
        max_overflow=-1,
    )
    event.listen(engine, "connect", _prepare_reader)
    event.listen(engine, "begin", _begin)
    return engine


def _copied_reader(url: URL, path: Path, log: Path) -> Engine | None:
    # Nobody is writing now: a writer would keep an index beside the log, and we could have read through that.
    folder = tempfile.TemporaryDirectory(prefix="maskgroup-read-", ignore_cleanup_errors=True)
    try:
        copy = Path(folder.name) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
    except OSError:
        folder.cleanup()
        return None
    engine = _reader(url, copy, "mode=rw")
    weakref.finalize(engine, folder.cleanup)
    return engine if _is_readable(engine) else None


def _is_readable(engine: Engine) -> bool:
    try:
        with faults.in_words(engine, writes=False), engine.execution_options(reads_only=True).connect() as connection:
            connection.execute(text("SELECT count(*) FROM sqlite_master"))
    except DatabaseError as error:
        engine.dispose()
        if faults.sqlite_code(error) in READ_ONLY_CODES:
            return False
        raise
    return True


def _watch(engine: Engine, path: Path) -> None:
    """Refuse transactions once the file was deleted or replaced: their rows would be in a file that nobody finds."""
    first: list[tuple[int, int]] = []

    def check() -> None:
        # `stat` opens nothing: closing a second descriptor of the file would drop SQLite's locks in this process.
        try:
            found = path.stat()
        except OSError:
            found = None
        if first and (found is None or (found.st_dev, found.st_ino) != first[0]):
            raise DatabaseError(
                f"The database {path} was {'exchanged for another file' if found else 'deleted or moved'} while it was in use; "
                "nothing was written; put the file back, or start the program again."
            )
        if found is not None and not first:
            first.append((found.st_dev, found.st_ino))

    def before_connect(*_: Any) -> None:
        # SQLite would make a new, empty file.
        if first:
            check()

    def before_work(_connection: Any) -> None:
        check()

    event.listen(engine, "do_connect", before_connect)
    event.listen(engine, "begin", before_work)
    event.listen(engine, "commit", before_work)


def _prepare(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling commits behind our back before schema changes; we begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={faults.BUSY_TIMEOUT_MS}")
    _use_write_ahead_log(cursor)
    # FULL: what was acknowledged is on disk, even if the power fails right after.
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    give_up_at = time.monotonic() + faults.BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # If several processes make a new database, SQLite lets one switch the mode, and fails for the others without waiting.
            if faults.sqlite_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)


def _prepare_reader(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={faults.BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin(connection: Any) -> None:
    # IMMEDIATE takes the write lock at once, so two writers queue instead of failing halfway; readers need no lock at all.
    reads = connection.get_execution_options().get("reads_only", False)
    connection.execute(text("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE"))


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a loss of power, if the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
