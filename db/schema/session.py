"""Opens a database, a SQLite file or any SQLAlchemy URL, and brings its schema up to date; gives out its transactions.

Every error in `reading`, `writing`, `read_session` and `write_session` becomes a `db.schema.faults.DatabaseError`, one sentence.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from db.schema import faults
from db.schema.faults import DatabaseError, cause_to_show, explain, in_words, sqlite_code
from db.schema.places import read_place
from db.schema.sqlite_file import READ_ONLY_CODES, file_engine, read_only_engine
from db.schema.urls import hide_secrets, show_url
from engine.errors import LabelError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
MIGRATION_LOCK = 0x6D61736B
"""Number of PostgreSQL's advisory lock under which migrations run."""


def open_database(target: str) -> Engine:
    """Open a database and migrate it to the newest schema.

    A read-only SQLite file is opened for reading; writing to it is then an error.
    A new file and a new folder for it are private to their owner; see `db.schema.private_files`.

    Args:
        target: Path of a SQLite file (its folder is made), or a SQLAlchemy URL such as "postgresql+psycopg://...".

    Raises:
        LabelError: If it cannot be opened, is not a database, or was written by another program or a newer version.
    """
    url = read_place(target)
    if url.get_backend_name() != "sqlite":
        return _open(lambda: _server_engine(url), url)
    try:
        return _open(lambda: file_engine(url), url)
    except DatabaseError as error:
        reader = read_only_engine(url) if sqlite_code(error) in READ_ONLY_CODES else None
        if reader is None:
            raise
    return _open(lambda: reader, url, can_write=False)


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
    """Return the same engine for reading only: on SQLite it then neither waits for writers nor blocks them."""
    return engine.execution_options(reads_only=True)


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """Give a connection that only reads."""
    with in_words(engine, writes=False), for_reading(engine).connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """Give a connection in a transaction that is committed at the end of the block, or rolled back if that fails."""
    with in_words(engine, writes=True), engine.begin() as connection:
        yield connection


@contextmanager
def read_session(engine: Engine) -> Generator[Session]:
    """Give a session that only reads."""
    with in_words(engine, writes=False), Session(for_reading(engine)) as session:
        yield session


@contextmanager
def write_session(engine: Engine) -> Generator[Session]:
    """Give a session that writes; the block must commit, or its changes are rolled back."""
    with in_words(engine, writes=True), Session(engine) as session:
        yield session


def newest_revision() -> str:
    """Return the name of the newest schema."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head


def _open(make: Any, url: URL, *, can_write: bool = True) -> Engine:
    place = show_url(url)
    engine: Engine | None = None
    try:
        engine = make()
        assert engine is not None
        _bring_up_to_date(engine, can_write=can_write)
    except BaseException as error:
        if engine is not None:
            engine.dispose()
        if isinstance(error, CommandError):
            raise LabelError(
                f"The database {place} has a schema this version does not know ({hide_secrets(str(error), url)}); update maskgroup."
            ) from cause_to_show(error, url)
        if isinstance(error, ImportError):
            raise LabelError(
                f"The database {place} needs a driver that is not installed ({hide_secrets(str(error), url)}); install it, such as "
                "psycopg[binary] for postgresql+psycopg://."
            ) from cause_to_show(error, url)
        if isinstance(error, SQLAlchemyError | OSError):
            raise DatabaseError(explain(error, url, writes=False)) from cause_to_show(error, url)
        raise
    return engine


def _bring_up_to_date(engine: Engine, *, can_write: bool) -> None:
    # Checked before the write lock is taken, so that readers need not wait for writers.
    with reading(engine) as connection:
        versions = MigrationContext.configure(connection).get_current_heads()
        tables = [] if versions else inspect(connection).get_table_names()
    if versions == (newest_revision(),):
        return
    place = show_url(engine.url)
    if engine.dialect.name == "sqlite" and tables and "alembic_version" not in tables:
        raise LabelError(
            f"The database {place} is another program's: it holds {', '.join(map(repr, tables[:3]))} and no labels; it was left as "
            "it is; give a new file or one of maskgroup's with --db."
        )
    if not can_write:
        raise LabelError(
            f"The database {place} has the schema of another version and can only be read, so it cannot be brought up to date; "
            "copy it to where you may write and give the copy with --db."
        )
    with in_words(engine, writes=True):
        migrate(engine)


def _server_engine(url: URL) -> Engine:
    is_postgres = url.get_backend_name() == "postgresql"
    waits = (
        {"connect_timeout": max(2, faults.BUSY_TIMEOUT_MS // 1000)} if is_postgres and "connect_timeout" not in url.query else {}
    )
    # Checked before use, because a connection does not survive a restart of the server.
    engine = create_engine(url, pool_pre_ping=True, max_overflow=-1, connect_args=waits)
    if is_postgres:
        event.listen(engine, "connect", _prepare_postgres)
    return engine


def _prepare_postgres(connection: Any, _record: Any) -> None:
    # Without a limit, somebody's forgotten transaction would block everybody without a reason.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {faults.BUSY_TIMEOUT_MS}")
    connection.commit()
