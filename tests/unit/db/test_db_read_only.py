"""A database that cannot be written is read, exported, audited and copied elsewhere; writing to it is refused in one sentence."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from db.labels.audit import audit
from db.labels.store import Label, LabelStore
from db.schema.faults import DatabaseError
from db.schema.session import open_database
from engine.errors import LabelError
from tests.database_calls import READS, WRITES, backup_into, fill
from tests.rights import folder_for_all, without_rights
from ui.commands.labels import labels


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_all() as made:
        yield made


def lock_up(folder: Path, *, files: int = 0o444) -> None:
    for path in folder.iterdir():
        path.chmod(files)
    folder.chmod(0o555)


def make(folder: Path, name: str) -> tuple[Path, Engine, list[Label]]:
    """Return the folder of a new database, its engine and its rows."""
    own = folder / name
    own.mkdir()
    engine = open_database(str(own / "labels.db"))
    fill(engine, labels=5)
    return own, engine, LabelStore(engine).history()


def check_reads_and_refuses(folder: Path, database: Path, rows: list[Label]) -> None:
    copies = folder / "copies"
    copies.mkdir()
    copies.chmod(0o777)
    before = sorted(path.name for path in database.parent.iterdir())
    with without_rights():
        engine = open_database(str(database))
        assert LabelStore(engine).history() == rows
        assert audit(LabelStore(engine).current(), rows).n_labels == 5
        for name, read in READS.items():
            assert read(engine) is not None, name
        for name, write in WRITES.items():
            with pytest.raises(DatabaseError, match=r"can only be read; nothing was written; get write permission") as caught:
                write(engine)
            assert "--db" not in str(caught.value), name
        backup_into(copies)(engine)
        engine.dispose()
    (copy,) = copies.iterdir()
    assert LabelStore(open_database(str(copy))).history() == rows
    assert sorted(path.name for path in database.parent.iterdir()) == before


def test_file_and_folder_without_write_permission(folder: Path) -> None:
    own, engine, rows = make(folder, "locked")
    engine.dispose()
    lock_up(own)
    check_reads_and_refuses(folder, own / "labels.db", rows)


def test_backup_on_a_medium_that_cannot_be_written(folder: Path) -> None:
    own, engine, rows = make(folder, "original")
    medium = folder / "medium"
    partial(backup_into(medium), engine)()
    engine.dispose()
    (copy,) = medium.iterdir()
    lock_up(medium)
    check_reads_and_refuses(folder, copy, rows)
    assert own.exists()


def test_folder_alone_without_write_permission(folder: Path) -> None:
    own, engine, rows = make(folder, "folder")
    engine.dispose()
    lock_up(own, files=0o666)
    check_reads_and_refuses(folder, own / "labels.db", rows)


def test_while_somebody_with_the_right_has_it_open(folder: Path) -> None:
    own, engine, _ = make(folder, "open")
    lock_up(own)
    with engine.connect():
        # What the log beside the file holds is seen too.
        WRITES["LabelStore.undo"](engine)
        rows = LabelStore(engine).history()
        assert rows[-1].undoes == 1
        with without_rights():
            reader = open_database(str(own / "labels.db"))
            assert LabelStore(reader).history() == rows
            reader.dispose()


def test_log_that_a_kill_left_behind_is_read_and_not_lost(folder: Path) -> None:
    own, engine, rows = make(folder, "running")
    left = folder / "left"
    left.mkdir()
    # As a kill leaves it, copied without its index to where nothing can be written.
    for name in ("labels.db", "labels.db-wal"):
        shutil.copy(own / name, left / name)
    assert (left / "labels.db-wal").stat().st_size > 0
    engine.dispose()
    lock_up(left)
    check_reads_and_refuses(folder, left / "labels.db", rows)


def test_older_schema_that_cannot_be_brought_up_to_date(folder: Path) -> None:
    own, engine, _ = make(folder, "old")
    engine.dispose()
    with closing(sqlite3.connect(own / "labels.db", isolation_level=None)) as connection:
        connection.execute("update alembic_version set version_num = '0003'")
        connection.execute("pragma journal_mode=delete")
    lock_up(own)
    with without_rights(), pytest.raises(LabelError, match="can only be read"):
        open_database(str(own / "labels.db"))


def test_file_that_may_not_even_be_read(folder: Path) -> None:
    own, engine, _ = make(folder, "secret")
    engine.dispose()
    lock_up(own, files=0o000)
    with without_rights(), pytest.raises(LabelError) as caught:
        open_database(str(own / "labels.db"))
    assert "\n" not in str(caught.value)
    own.chmod(0o000)
    with without_rights(), pytest.raises(LabelError) as caught:
        open_database(str(own / "labels.db"))
    assert "ermission" in str(caught.value)


def test_commands_that_only_read(folder: Path) -> None:
    own, engine, rows = make(folder, "locked")
    engine.dispose()
    lock_up(own)
    copies = folder / "copies"
    copies.mkdir()
    copies.chmod(0o777)
    database = str(own / "labels.db")
    with without_rights():
        exported = CliRunner().invoke(labels, ["export", "--out", str(copies / "labels.jsonl"), "--db", database])
        audited = CliRunner().invoke(labels, ["audit", "--db", database])
        copied = CliRunner().invoke(labels, ["backup", str(copies / "backup.db"), "--db", database])
        imported = CliRunner().invoke(labels, ["import", str(copies / "labels.jsonl"), "--db", database])
    for done in (exported, audited, copied):
        assert done.exit_code == 0, (done.output, done.exception)
    assert len((copies / "labels.jsonl").read_text().splitlines()) == len(rows)
    assert isinstance(imported.exception, DatabaseError)
