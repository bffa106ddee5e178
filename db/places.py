"""Where a database is: reads what --db gives, and shows it without its password."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from engine.errors import LabelError

SECRET = "***"


def show_place(target: str | URL) -> str:
    """Return a database's place as people may see it: a file's path, or a URL without its password.

    Args:
        target: Path or URL as it was given, also one that cannot be read as a URL.
    """
    if isinstance(target, str):
        if "://" not in target:
            return target
        try:
            target = make_url(target)
        except (ArgumentError, ValueError):
            # Up to the last @: a password with characters that should have been escaped is why it cannot be read.
            return re.sub(r"(?i)(pass\w*=)[^&]*", rf"\1{SECRET}", re.sub(r"://.*@", f"://{SECRET}@", target))
    if target.get_backend_name() == "sqlite":
        return target.database or ":memory:"
    hidden = {key: SECRET if "pass" in key.lower() else value for key, value in target.query.items()}
    return target.set(query=hidden).render_as_string(hide_password=True)


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
    except (ArgumentError, ValueError) as error:
        raise LabelError(
            f"{show_place(target)[:200]} is no database URL; expected DIALECT://USER:PASSWORD@HOST:PORT/NAME with special "
            "characters in the password as %XX; correct it with --db."
        ) from error
    if backend == "sqlite" and (url.database in (None, "", ":memory:") or "mode=memory" in target):
        raise LabelError("A database in memory would lose every label at the end; give a file with --db.")
    return url
