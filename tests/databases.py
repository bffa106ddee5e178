"""Fixtures for tests of the database: `database` runs a test once on each kind. Test modules list this one in `pytest_plugins`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.schema.session import open_database
from tests.database_calls import fill
from tests.postgres_server import fresh_database, running_server, why_no_postgres


@pytest.fixture(scope="session")
def postgres_host() -> Iterator[str]:
    """A PostgreSQL server for all tests of this process; skips where there can be none."""
    reason = why_no_postgres()
    if reason:
        pytest.skip(reason)
    with running_server() as host:
        yield host


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database is that does not exist yet (SQLite: in a folder that does not exist) or is empty (PostgreSQL)."""
    if request.param == "sqlite":
        return str(tmp_path / "new folder" / "labels.db")
    return fresh_database(request.getfixturevalue("postgres_host"))


@pytest.fixture
def filled(database: str) -> Iterator[Engine]:
    """A database with a row in every table, opened."""
    engine = open_database(database)
    fill(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what a killed process wrote survives there as on a disk, without its waits."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="maskgroup-") as name:
        yield Path(name)


@pytest.fixture
def postgres_database(postgres_host: str) -> str:
    """Where an empty PostgreSQL database is."""
    return fresh_database(postgres_host)
