"""Opens a database: a SQLite file, or any SQLAlchemy URL; brings its schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from db.private_files import make_private_database, make_private_folder
from db.urls import hide_secrets, show_url
from engine.errors import LabelError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 10_000
MIGRATION_LOCK = 0x6D61736B
"""Number of PostgreSQL's advisory lock under which migrations run."""


def open_database(target: str) -> Engine:
    """Open a database and migrate it to the newest schema.

    A SQLite file, and the folder that is made for it, are its owner's alone; see `db.private_files`.

    Args:
        target: Path of a SQLite file (its folder is made), or a SQLAlchemy URL such as "postgresql+psycopg://...".

    Raises:
        LabelError: If it cannot be opened or written, is no database, or was written by a newer version.
    """
    url = target if "://" in target else f"sqlite:///{Path(target).expanduser().resolve()}"
    try:
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            if "://" not in target:
                make_private_folder(Path(target).expanduser().resolve().parent)
            file = engine.url.database
            if file and file != ":memory:" and not file.startswith("file:"):
                make_private_database(Path(file))
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        migrate(engine)
    except CommandError as error:
        words = hide_secrets(str(error), target)
        raise LabelError(
            f"The database {show_url(target)} has a schema this version does not know ({words}); update maskgroup."
        ) from error
    except ValueError:
        # SQLAlchemy's words quote pieces of it, which may be pieces of a password with a character that is not escaped.
        raise LabelError(
            f"{show_url(target)} is no address of a database; expected a file, or DRIVER://USER:PASSWORD@HOST:PORT/NAME, with @, : "
            "and / in the password written as %40, %3A and %2F."
        ) from None
    except (SQLAlchemyError, OSError, ImportError) as error:
        words = hide_secrets(_cause(error), target)
        # Without the cause: drivers put the address with its password into theirs, and a log would print it.
        raise LabelError(
            f"The database {show_url(target)} cannot be opened: {words}; give another file or URL with --db."
        ) from None
    return engine


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to `revision`; one process at a time, the others wait for it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def for_reading(engine: Engine) -> Engine:
    """Return the same engine for work that only reads: on SQLite it then neither waits for writers nor holds them up."""
    return engine.execution_options(reads_only=True)


def newest_revision() -> str:
    """Return the name of the newest schema."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling commits behind our back before schema changes; we begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: what was acknowledged is on disk, even if the power fails in the next moment.
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # IMMEDIATE takes the write lock at once, so two writers queue instead of failing halfway; readers need no lock at all.
    reads = connection.get_execution_options().get("reads_only", False)
    connection.execute(text("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE"))


def _cause(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().splitlines()[0] if str(origin).strip() else type(origin).__name__
