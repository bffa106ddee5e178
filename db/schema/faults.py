"""Says in one sentence what a database could not do. The only place where a driver's error becomes a message for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import URL, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from db.schema.urls import hide_secrets, show_url
from engine.errors import NotSavedError, RunError

BUSY_TIMEOUT_MS = 10_000
"""How long a transaction waits for others before it gives up."""


class DatabaseError(NotSavedError, RunError):
    """The database cannot be opened, read or written: whoever handles labels or runs handles this too."""


class StoredValueError(ValueError):
    """A stored value that this package cannot have written, so the database is damaged; `in_words` says so."""


class ConflictError(DatabaseError):
    """A row is already there, or what it names is not."""


@contextmanager
def in_words(engine: Engine, *, writes: bool) -> Generator[None]:
    """Turn every database error in the block into a `DatabaseError`; what else goes wrong in it is no fault of the database.

    Args:
        engine: The database that the statement was for.
        writes: Whether the block changes it; only for the message.
    """
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(
            _sentence(engine.url, "already holds such a row, or lacks one that this names", writes, "look again")
        ) from cause_to_show(error, engine.url)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DatabaseError(explain(error, engine.url, writes=writes)) from cause_to_show(error, engine.url)
    except (StoredValueError, UnicodeDecodeError) as error:
        # The second comes from the driver, where SQLite quotes damaged bytes in its message.
        what, advice = _DAMAGED
        raise DatabaseError(
            _sentence(engine.url, f"{what} (a stored value cannot be read: {_first_line(error)})", writes, advice)
        ) from cause_to_show(error, engine.url)


def explain(error: BaseException, url: URL, *, writes: bool) -> str:
    """Return one sentence about an error of SQLAlchemy or of a driver: what happened, whether anything was written, what to do."""
    origin = getattr(error, "orig", None) or error
    what, advice = _of_sqlite(origin) if isinstance(origin, sqlite3.Error) else _of_server(origin)
    return _sentence(url, what, writes, advice)


def cause_to_show(error: BaseException, url: URL) -> BaseException | None:
    """Return what a database's error may name as its cause: none for a server's, as drivers quote the URL with its password."""
    return error if url.get_backend_name() == "sqlite" else None


def sqlite_code(error: BaseException | None) -> int:
    """Return SQLite's primary result code of an error or of what caused it, 0 if there is none."""
    while error is not None:
        origin = getattr(error, "orig", None) or error
        if isinstance(origin, sqlite3.Error):
            return (getattr(origin, "sqlite_errorcode", None) or 0) & 0xFF
        error = error.__cause__
    return 0


_DAMAGED = ("is damaged", "restore the newest backup, or recover what is left with SQLite's own `sqlite3 FILE .recover`")
_READ_ONLY = ("can only be read", "get write permission for the file and its folder")
_LOCKED = (
    f"is held by another program, which did not let go of it for {BUSY_TIMEOUT_MS / 1000:g} s",
    "wait until that program is done or close it, then try again",
)
_BY_SQLITE_CODE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        "cannot be opened: the file is not a database",
        "it was left as it is; give a SQLite file or a URL with --db",
    ),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space, then try again"),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "look whether the file and its folder are still there and may be read and written",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error",
        "look at the disk and its free space, then try again",
    ),
    sqlite3.SQLITE_NOMEM: ("needs more memory than there is", "close other programs, then try again"),
    sqlite3.SQLITE_TOOBIG: ("cannot hold so large a value", "give a shorter one"),
}
_BY_SQLSTATE: dict[str, tuple[str, str]] = {
    "28P01": ("refuses the password", "correct the URL given with --db"),
    "28000": ("refuses the user", "correct the URL given with --db"),
    "3D000": ("does not exist on its server", "create it, or correct the URL given with --db"),
    "42501": ("does not permit this to its user", "ask whoever runs the server for the right"),
    "42P01": ("lacks a table of maskgroup's", "restore the newest backup"),
    "42703": ("lacks a column of maskgroup's", "restore the newest backup"),
    "25006": ("can only be read", "give the URL of the server that may be written"),
    "53100": ("cannot grow: the server's disk is full", "free some space there, then try again"),
    "53300": ("has as many connections as its server allows", "close other programs that use it, then try again"),
    "55P03": _LOCKED,
    "40P01": ("was being changed by somebody else in the same moment", "try again"),
    "40001": ("was being changed by somebody else in the same moment", "try again"),
    "57014": ("did not answer in time", "try again"),
    "XX001": ("is damaged", "restore the newest backup"),
    "XX002": ("is damaged", "restore the newest backup"),
}


def _of_sqlite(error: sqlite3.Error) -> tuple[str, str]:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _BY_SQLITE_CODE:
        return _BY_SQLITE_CODE[code]
    said = _first_line(error)
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return f"is not whole ({said})", "restore the newest backup"
    if "decode" in said:
        return _DAMAGED
    return f"reports: {said}", "try again"


def _of_server(error: BaseException) -> tuple[str, str]:
    said = _first_line(error)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    # Before there is a connection, the driver gives only the server's message, without a code.
    for words, code in (("password", "28P01"), ("does not exist", "3D000"), ("too many clients", "53300")):
        state = state or (code if words in said else None)
    if state in _BY_SQLSTATE:
        what, advice = _BY_SQLSTATE[state]
        return f"{what} ({said})", advice
    return f"cannot be used: {said}", "look whether its server runs and can be reached, then try again"


def _sentence(url: URL, what: str, writes: bool, advice: str) -> str:
    return f"The database {show_url(url)} {hide_secrets(what, url)}; {'nothing was written; ' if writes else ''}{advice}."


def _first_line(error: BaseException) -> str:
    said = str(error).strip()
    return said.splitlines()[0].rstrip(".;") if said else type(error).__name__
