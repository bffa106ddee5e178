"""Whatever goes wrong with a database is one sentence, and nothing that was there is lost."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from db.labels.choices import ChoiceStore
from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema import faults
from db.schema.faults import DatabaseError
from db.schema.session import open_database, read_session, reading, write_session, writing
from engine.errors import LabelError, RunError
from tests.database_calls import LABEL, READS, STORES, WRITES, backup_into, fill
from tests.postgres_server import password_server, stopped_server, why_no_postgres
from tests.that_ends import that_ends

pytest_plugins = ["tests.databases"]

CALLS = READS | WRITES


@pytest.fixture
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "BUSY_TIMEOUT_MS", 100)


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "labels.db"
    engine = open_database(str(path))
    fill(engine, labels=60)
    engine.dispose()
    return path


@pytest.fixture
def file(filled_file: Path, tmp_path: Path) -> Path:
    """A SQLite file of its own with 60 labels, which nobody has open."""
    return Path(shutil.copy(filled_file, tmp_path / "labels.db"))


def complaint(call: Callable[[], Any]) -> str:
    """Return the sentence with which a call fails."""
    with pytest.raises(DatabaseError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def offers_another_file(said: str) -> bool:
    return re.search(r"--db|another (file|URL|place|name)", said) is not None


def test_every_public_function_is_called_here() -> None:
    methods = {
        f"{store.__name__}.{name}"
        for store in STORES
        for name in vars(store)
        if not name.startswith("_") and name != "database" and callable(getattr(store, name))
    }
    assert methods <= set(CALLS)


def test_all_of_them_work_on_a_sound_database(filled: Engine) -> None:
    for call in CALLS.values():
        call(filled)


def test_error_is_one_for_labels_and_for_runs() -> None:
    assert issubclass(DatabaseError, LabelError)
    assert issubclass(DatabaseError, RunError)


def test_missing_tables(filled: Engine) -> None:
    with filled.begin() as connection:
        for table in ("choices", "runs", "leases", "decisions"):
            connection.execute(text(f"drop table {table}"))
    for name, call in CALLS.items():
        assert "restore the newest backup" in complaint(partial(call, filled)), name


def test_database_held_by_another_program(file: Path, quick_to_give_up: None) -> None:
    engine = open_database(str(file))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        for name, write in WRITES.items():
            said = complaint(partial(write, engine))
            assert "held by another program" in said, name
            assert "nothing was written" in said, name
            assert not offers_another_file(said), name
        for name, read in READS.items():
            assert read(engine) is not None, name
        # Whoever only reads opens it all the same.
        assert LabelStore(open_database(str(file))).counts()["same"] == 60
        other.execute("rollback")
    for write in WRITES.values():
        write(engine)


def test_database_that_lets_nobody_in(file: Path, quick_to_give_up: None) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("pragma journal_mode=delete")
        other.execute("begin exclusive")
        said = complaint(lambda: open_database(str(file)))
        assert "held by another program" in said
        assert "wait until that program is done" in said
        assert not offers_another_file(said)
    assert LabelStore(open_database(str(file))).counts()["same"] == 60


@pytest.mark.parametrize("how", ["deleted", "exchanged"])
def test_file_that_is_taken_away_in_the_midst_of_work(file: Path, how: str) -> None:
    engine = open_database(str(file))
    LabelStore(engine).counts()
    kept = file.rename(file.with_name("kept.db"))
    if how == "exchanged":
        open_database(str(file)).dispose()
    for _ in range(2):
        # A connection that is open already, then a new one.
        for name, call in CALLS.items():
            said = complaint(partial(call, engine))
            assert ("deleted or moved" if how == "deleted" else "exchanged") in said, name
        engine.dispose()
    assert file.exists() == (how == "exchanged")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("select count(*) from decisions").fetchone() == (60,)


def test_pages_that_are_damaged_in_the_midst_of_work(file: Path) -> None:
    engine = open_database(str(file))
    engine.dispose()
    content = bytearray(file.read_bytes())
    # All but the first page, which says what tables there are.
    content[4096:] = random.Random(0).randbytes(len(content) - 4096)
    file.write_bytes(content)
    for name, call in CALLS.items():
        said = complaint(partial(call, engine))
        assert "damaged" in said, name
        assert "restore the newest backup" in said, name


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("decisions", "created_at", "yesterday"),
        ("decisions", "created_at", 7.5),
        ("decisions", "mask_a", "five"),
        ("decisions", "view_b", b"\xff\x00"),
        ("decisions", "decision", "perhaps"),
        ("decisions", "p_same", "often"),
        ("decisions", "beside", "no JSON"),
        ("decisions", "beside", "[5]"),
        ("runs", "config", "no JSON"),
        ("runs", "config", "[1]"),
        ("runs", "status", "asleep"),
        ("runs", "created_at", "yesterday"),
        ("choices", "value", "[]"),
        ("choices", "value", "no JSON"),
    ],
)
def test_cells_that_hold_nonsense(file: Path, tmp_path: Path, table: str, column: str, value: object) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("pragma ignore_check_constraints=on")
        connection.execute(f"update {table} set {column} = ?", (value,))
    engine = open_database(str(file))
    read: dict[str, Callable[[], Any]] = {
        "decisions": LabelStore(engine).history,
        "runs": lambda: RunStore(engine).list("grouping"),
        "choices": lambda: ChoiceStore(engine).number("overlap_share", 0.0),
    }
    assert "damaged" in complaint(read[table])
    if table != "choices":
        assert complaint(lambda: backup_into(tmp_path / "copies")(engine)).startswith("No backup was written.")
        assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "calls"),
    [
        ("mask_a", "five", ["LabelStore.pairs_labelled", "LabelStore.people_by_pair", "LabelStore.undo"]),
        ("view_b", b"\xff\x00", ["LabelStore.pairs_labelled", "LabelStore.people_by_pair", "search"]),
        ("created_at", "yesterday", ["tally", "LabelStore.add", "LabelStore.undo", "import_rows"]),
        ("beside", "no JSON", ["search", "LabelStore.undo", "LabelStore.settled"]),
    ],
)
def test_nonsense_is_noticed_by_whatever_reads_it(file: Path, column: str, value: object, calls: list[str]) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"update decisions set {column} = ?", (value,))
    engine = open_database(str(file))
    for name in calls:
        assert "damaged" in complaint(partial(CALLS[name], engine)), name


@pytest.mark.parametrize("give", [reading, writing, read_session, write_session])
@pytest.mark.parametrize("mistake", [ValueError("a mistake of ours"), TypeError("a mistake of ours"), KeyError("a mistake")])
def test_mistakes_in_our_own_code_are_not_called_damage(
    filled: Engine, give: Callable[[Engine], AbstractContextManager[Any]], mistake: Exception
) -> None:
    with pytest.raises(type(mistake)) as caught, give(filled):
        raise mistake
    assert caught.value is mistake


@pytest.mark.parametrize("call", ["LabelStore.add", "RunStore.add", "import_rows"])
def test_full_disk(file: Path, call: str) -> None:
    engine = open_database(str(file))
    engine.dispose()

    @event.listens_for(engine, "connect")
    def fill_up(connection: Any, _record: Any) -> None:
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count={pages}")

    rows = LabelStore(engine).history()

    def write_on() -> None:
        # Some rows still fit into the pages that there are.
        for _ in range(400):
            WRITES[call](engine)

    said = complaint(write_on)
    assert "the disk is full; nothing was written; free some space" in said
    assert not offers_another_file(said)
    assert LabelStore(engine).history()[: len(rows)] == rows


def sentence_of(call: Callable[[], Any]) -> str | None:
    """Return the sentence with which a call fails, None if it does not; anything else than a sentence fails the test."""
    try:
        call()
    except (LabelError, RunError) as error:
        return str(error)
    return None


def spoil(file: Path, seed: int) -> None:
    """Change bytes of a file by chance; cut it off sometimes."""
    chance = random.Random(seed)
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 20, 400))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if chance.random() < 0.3:
        del content[chance.randrange(len(content)) :]
    file.write_bytes(content)


@pytest.mark.parametrize("seed", [*range(16), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(16, 400))])
def test_bytes_changed_by_chance_are_never_more_than_a_sentence(file: Path, tmp_path: Path, seed: int) -> None:
    spoil(file, seed)
    try:
        engine = open_database(str(file))
    except LabelError:
        return
    for name, call in CALLS.items():
        assert "\n" not in (sentence_of(partial(call, engine)) or ""), name
    refused = sentence_of(lambda: backup_into(tmp_path / "copies")(engine))
    copies = list((tmp_path / "copies").glob("*"))
    assert len(copies) == (refused is None)
    for copy in copies:
        assert LabelStore(open_database(str(copy))).history() == LabelStore(engine).history()


def test_places_where_no_database_can_be(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "words.db").write_text("these are words, not a database " * 100)
    (tmp_path / "short.db").write_bytes(b"SQLite")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = [
        str(tmp_path),
        str(tmp_path / "pipe"),
        "/dev/null",
        "/dev/zero",
        "",
        " ",
        "a\0b",
        "\ud800",
        "~nobody-of-this-name/l.db",
    ]
    places += [str(tmp_path / name) for name in ("words.db", "short.db", "words.db/inside.db", "loop", "n" * 300)]
    places += [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "://",
        "nonsense://host/x",
        "mysql+nothing://h/x",
    ]
    places += [
        "postgresql+psycopg://host:port/x",
        "postgresql+psycopg://[::1/x",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path}/pipe",
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for place in places:
        with pytest.raises(LabelError) as caught:
            that_ends(partial(open_database, place), place)
        assert "\n" not in str(caught.value), place
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "words.db").read_text().startswith("these are words")


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table bookmarks (url text)")
        connection.commit()
    with pytest.raises(LabelError, match="another program's: it holds 'bookmarks'"):
        open_database(str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select name from sqlite_master").fetchall() == [("bookmarks",)]


@pytest.mark.parametrize(
    "statements",
    [
        ["update alembic_version set version_num = '9999'"],
        ["insert into alembic_version values ('0001')"],
        ["delete from alembic_version"],
        ["update alembic_version set version_num = '0001'"],
    ],
)
def test_schema_that_does_not_fit(file: Path, statements: list[str]) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    with pytest.raises(LabelError) as caught:
        open_database(str(file))
    assert "\n" not in str(caught.value)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("select count(*) from decisions").fetchone() == (60,)


# PostgreSQL


def test_server_that_does_not_let_us_in() -> None:
    if why_no_postgres():
        pytest.skip(str(why_no_postgres()))
    with password_server() as (port, password):
        good = f"postgresql+psycopg://maskgroup:{password}@127.0.0.1:{port}/postgres"
        engine = open_database(good)
        assert LabelStore(engine).history() == []
        engine.dispose()
        cases = {
            good.replace(password, "wr0ng-s3cret"): "refuses the password",
            good.replace("/postgres", "/nowhere"): "does not exist",
            good.replace(f":{port}", ":1"): "cannot be used",
        }
        for url, words in cases.items():
            with pytest.raises(DatabaseError, match=words) as caught:
                open_database(url)
            assert "\n" not in str(caught.value)
            assert password not in str(caught.value)
            assert "wr0ng-s3cret" not in str(caught.value)


def test_server_that_stops_in_the_midst_of_work() -> None:
    if why_no_postgres():
        pytest.skip(str(why_no_postgres()))
    with stopped_server() as (url, stop):
        engine = open_database(url)
        fill(engine)
        stop()
        for name, call in CALLS.items():
            said = complaint(partial(call, engine))
            assert "server" in said, name


def test_transaction_that_somebody_forgot(postgres_database: str, quick_to_give_up: None) -> None:
    engine = open_database(postgres_database)
    fill(engine)
    with engine.connect() as other:
        other.execute(text("lock table decisions in exclusive mode"))
        said = complaint(lambda: LabelStore(engine).add(LABEL))
        assert "held by another program" in said
        assert not offers_another_file(said)
        assert LabelStore(engine).counts()["same"] == 1
