"""Where a database is: reads the value of --db. `db.schema.urls` shows it to people."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from db.schema.urls import show_url
from engine.errors import LabelError


def read_place(target: str) -> URL:
    """Return the URL of a database.

    Args:
        target: Path of a SQLite file, or a SQLAlchemy URL.

    Raises:
        LabelError: If it is neither.
    """
    if "://" not in target:
        try:
            if not target.strip():
                raise ValueError("it is empty")
            path = Path(target).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise LabelError(
                f"The path of the database, {target[:200]!r}, cannot be used ({error}); give another one with --db."
            ) from error
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(target)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        # Without the cause, which may quote parts of the URL and of a password.
        raise LabelError(
            f"{show_url(target)[:200]} is no database URL; expected DIALECT://USER:PASSWORD@HOST:PORT/NAME with special "
            "characters in the password as %XX; correct it with --db."
        ) from None
    if backend == "sqlite" and (url.database in (None, "", ":memory:") or "mode=memory" in target):
        raise LabelError("A database in memory would lose every label at the end; give a file with --db.")
    return url
