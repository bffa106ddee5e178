"""A backup is a whole database, or there is none; one that exists is never touched."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db.backup import back_up
from db.labels.store import LabelStore
from db.schema.faults import DatabaseError
from db.schema.session import open_database
from engine.errors import LabelError
from tests.database_calls import fill
from ui.commands.labels import labels

INSIDE_LIMIT = """
import resource, sys
from pathlib import Path
from db.backup import back_up
from db.schema.session import open_database
engine = open_database(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    back_up(engine, Path(sys.argv[2]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with 60 labels, which nobody has open."""
    engine = open_database(str(tmp_path / "labels.db"))
    fill(engine, labels=60)
    engine.dispose()
    return tmp_path / "labels.db"


def spoil_an_index(file: Path) -> None:
    """Take an entry out of an index: every query by it goes on working, and finds too little."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        (sql,) = connection.execute("select sql from sqlite_master where name like 'ix_decisions_scene%'").fetchone()
        connection.execute("pragma writable_schema=on")
        connection.execute("update sqlite_master set sql = ? where sql = ?", (f"{sql} where id > 1", sql))
        connection.execute("pragma writable_schema=off")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("reindex")
        connection.execute("pragma writable_schema=on")
        connection.execute("update sqlite_master set sql = ? where sql = ?", (sql, f"{sql} where id > 1"))


def spoil_a_page(file: Path) -> None:
    """Write nonsense over a page of a table."""
    content = bytearray(file.read_bytes())
    content[-4096:] = random.Random(0).randbytes(4096)
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    """Lose the end of the file."""
    os.truncate(file, file.stat().st_size - 4096)


def lose_what_is_named(file: Path) -> None:
    """Let an undo name a row that is not there."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("update decisions set undoes = 999 where id = 3")


@pytest.mark.parametrize("spoil", [spoil_an_index, spoil_a_page, cut_off, lose_what_is_named])
def test_damaged_database_is_not_backed_up(file: Path, tmp_path: Path, spoil: object) -> None:
    copies = tmp_path / "copies"
    older = CliRunner().invoke(labels, ["backup", str(copies / "monday.db"), "--db", str(file)])
    assert older.exit_code == 0
    good = (copies / "monday.db").read_bytes()
    spoil(file)  # type: ignore[operator]
    done = CliRunner().invoke(labels, ["backup", str(copies / "tuesday.db"), "--db", str(file)])
    assert isinstance(done.exception, LabelError)
    assert "damaged" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert "Backup written" not in done.output
    assert [path.name for path in copies.iterdir()] == ["monday.db"]
    assert (copies / "monday.db").read_bytes() == good


def test_sound_index_is_backed_up(file: Path, tmp_path: Path) -> None:
    # Else the test above would pass by a refusal of everything.
    back_up(open_database(str(file)), tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert copy.execute("pragma journal_mode").fetchone() == ("delete",)


def test_copy_that_comes_out_damaged_gets_no_name(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from db import backup

    check, asked = backup.check_whole, list[str]()

    def spoil_the_copy(connection: sqlite3.Connection, place: str) -> None:
        asked.append(place)
        if place.startswith("copy"):
            connection.execute("pragma foreign_keys=off")
            connection.execute("update decisions set undoes = 999 where id = 3")
        check(connection, place)

    monkeypatch.setattr(backup, "check_whole", spoil_the_copy)
    with pytest.raises(DatabaseError, match=r"No backup was written\. The database copy .* names a row of decisions"):
        back_up(open_database(str(file)), tmp_path / "copies" / "backup.db")
    assert len(asked) == 2
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_that_is_there_is_written_over(file: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "taken.db"
    if kind == "file":
        target.write_bytes(b"an older backup")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "not plugged in")
    with pytest.raises(LabelError, match="exists already and is not overwritten"):
        back_up(open_database(str(file)), target)
    assert target.is_symlink() or target.is_dir() or target.read_bytes() == b"an older backup"
    assert not (tmp_path / "not plugged in").exists()


def test_name_that_is_taken_meanwhile(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "copies" / "backup.db"
    link = os.link

    def somebody_was_quicker(source: Path, name: Path) -> None:
        name.write_bytes(b"somebody else's")
        link(source, name)

    monkeypatch.setattr(os, "link", somebody_was_quicker)
    with pytest.raises(LabelError, match="exists already"):
        back_up(open_database(str(file)), target)
    assert target.read_bytes() == b"somebody else's"
    assert list(target.parent.iterdir()) == [target]


def test_file_system_without_links(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "copies" / "backup.db"
    back_up(open_database(str(file)), target)
    assert list(target.parent.iterdir()) == [target]
    assert LabelStore(open_database(str(target))).counts()["same"] == 60
    target.write_bytes(b"an older backup")
    with pytest.raises(LabelError, match="exists already"):
        back_up(open_database(str(file)), target)
    assert target.read_bytes() == b"an older backup"


def test_place_with_no_room(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "backup.db"
    done = subprocess.run([sys.executable, "-c", INSIDE_LIMIT, str(file), str(target)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"LabelError The backup {target} could not be written")
    assert len(done.stdout.splitlines()) == 1
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("target", ["labels.db/inside/backup.db", "n" * 300])
def test_place_that_cannot_be(file: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(LabelError, match="could not be written"):
        back_up(open_database(str(file)), tmp_path / target)


def test_backup_of_a_backup(file: Path, tmp_path: Path) -> None:
    rows = LabelStore(open_database(str(file))).history()
    back_up(open_database(str(file)), tmp_path / "one.db")
    back_up(open_database(str(tmp_path / "one.db")), tmp_path / "two.db")
    assert LabelStore(open_database(str(shutil.move(tmp_path / "two.db", tmp_path / "moved.db")))).history() == rows
