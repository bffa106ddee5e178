"""What was acknowledged is in the database and nothing is there by halves, whatever happens to the processes that wrote it."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from db.labels.choices import ChoiceStore
from db.labels.leases import LeaseStore
from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair
from tests.crash_writers import Writer, add_labels, change_all_tables, copy, in_turn, kill_at_work, open_new
from tests.label_records import label_record
from tests.postgres_server import fresh_database

pytest_plugins = ["tests.databases"]

ROUNDS = 10
MIXED_ROUNDS = 5
BATCH_ROWS = 20


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, memory_folder: Path) -> str:
    """Where a new database is whose writers are killed; SQLite's in memory, as a killed process loses nothing of the system's."""
    return (
        str(memory_folder / "labels.db") if request.param == "sqlite" else fresh_database(request.getfixturevalue("postgres_host"))
    )


def test_killed_writers_lose_no_acknowledged_label(place: str) -> None:
    moments = random.Random(0)
    acknowledged: set[str] = set()
    for writer in in_turn(ROUNDS, lambda i: Writer(add_labels, place, 10**6, f"writer {i}")):
        acknowledged |= set(writer.next())
        time.sleep(moments.uniform(0, 0.1))
        acknowledged |= {uuid for (uuid,) in writer.kill()}
        assert writer.process.exitcode == -signal.SIGKILL
    engine = open_database(place)
    stored = {row.uuid for row in LabelStore(engine).history()}
    assert acknowledged <= stored
    assert len(acknowledged) >= ROUNDS
    # One more row per kill may be stored, its acknowledgement having been cut off; no row is made up.
    assert len(stored) - len(acknowledged) <= ROUNDS
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    engine.dispose()


def test_processes_that_open_and_write_a_new_database_at_once_lose_nothing(place: str) -> None:
    writers = [Writer(add_labels, place, 40, f"writer {i}") for i in range(4)]
    acknowledged = {uuid for writer in writers for (uuid,) in writer.rest()}
    assert [writer.process.exitcode for writer in writers] == [0] * 4
    assert {row.uuid for row in LabelStore(open_database(place)).history()} == acknowledged
    assert len(acknowledged) == 160


def test_every_change_is_there_whole_or_not_at_all(place: str) -> None:
    rows = [label_record(uuid=f"BATCH/{i}", scene="BATCH", mask_a=i, mask_b=i) for i in range(BATCH_ROWS)]
    batch = "\n".join(map(json.dumps, rows))
    moments = random.Random(1)
    said: list[list[str]] = []
    for writer in in_turn(MIXED_ROUNDS, lambda i: Writer(change_all_tables, place, f"w{i}", batch)):
        said += [writer.next() for _ in range(3)]
        time.sleep(moments.uniform(0, 0.4))
        said += writer.kill()
    engine = open_database(place)
    history = LabelStore(engine).history()
    by_uuid = {row.uuid: row for row in history}
    scenes = [row.scene for row in history]
    runs = {run.name: run for run in RunStore(engine).list("training")}
    assert {what for what, *_ in said} >= {"open", "undone", "imported"}
    for what, *names in said:
        if what == "undone":
            assert by_uuid[names[1]].undoes == by_uuid[names[0]].id
        elif what == "imported":
            assert scenes.count(names[0]) == BATCH_ROWS
        elif what == "leased":
            assert len(LeaseStore(engine).taken_keys(names[0], others_than="nobody")) == 5
        elif what == "ran":
            assert (runs[names[0]].status, list(runs[names[0]].result)) == ("done", ["i"])
    # Also what was not acknowledged is there whole or not at all.
    assert {scenes.count(scene) for scene in set(scenes) - {"room"}} <= {BATCH_ROWS}
    for scene in {f"w{i}-{j}" for i in range(MIXED_ROUNDS) for j in range(100)}:
        assert len(LeaseStore(engine).taken_keys(scene, others_than="nobody")) in (0, 5)
    assert all((run.status, run.result) in (("queued", {}), ("done", run.config)) for run in runs.values())
    assert 0.0 <= ChoiceStore(engine).number("overlap_share", 0.0) < 1.0
    # The database goes on working.
    assert LeaseStore(engine).lease_all("after", [MaskPair(MaskKey("1", 1), MaskKey("2", 1))], "Ada", seconds=1)
    engine.dispose()


def test_killed_while_the_schema_is_made(place: str) -> None:
    moments = random.Random(2)
    for _ in range(10):
        kill_at_work(Writer(open_new, place), moments.uniform(0, 0.1))
    engine = open_database(place)
    assert LabelStore(engine).history() == []
    engine.dispose()


def test_killed_in_a_backup_leaves_a_whole_one_or_none(memory_folder: Path) -> None:
    path = str(memory_folder / "labels.db")
    engine = open_database(path)
    RunStore(engine).add("training", "large", config={"x": "x" * 2_000_000})
    engine.dispose()
    moments = random.Random(3)
    copies = memory_folder / "copies"
    for i in range(6):
        kill_at_work(Writer(copy, path, str(copies / f"{i}.db")), moments.uniform(0, 0.03))
    for backup in copies.glob("*.db"):
        with closing(sqlite3.connect(backup)) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            assert connection.execute("select count(*) from runs").fetchone() == (1,)
    assert len(RunStore(open_database(path)).list("training")) == 1
