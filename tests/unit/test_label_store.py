"""Labels are append-only, undo is a row, and the latest that is not undone counts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from db.labels import LabelStore, NewLabel
from db.models import metadata
from db.session import migrate, newest_revision, open_database
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair

PAIR = MaskPair(MaskKey("2", 5), MaskKey("10", 7))
OTHER = MaskPair(MaskKey("2", 6), MaskKey("10", 7))


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(open_database(str(tmp_path / "new folder" / "labels.db")))


def label(decision: Decision = "same", *, annotator: str = "Ada", pair: MaskPair = PAIR, scene: str = "room") -> NewLabel:
    return NewLabel(annotator=annotator, scene=scene, pair=pair, decision=decision, model="base", prompt="original", p_same=0.25)


def test_label_comes_back_as_it_was_given(store: LabelStore) -> None:
    stored = store.add(label())
    assert store.current() == [stored]
    assert (stored.annotator, stored.pair, stored.decision, stored.p_same) == ("Ada", PAIR, "same", 0.25)
    assert stored.created_at.utcoffset() is not None


def test_latest_decision_counts_and_history_keeps_all(store: LabelStore) -> None:
    store.add(label("same"))
    second = store.add(label("different", pair=PAIR.swapped()))
    assert store.current("room") == [second]
    assert [row.decision for row in store.history(pair=PAIR)] == ["same", "different"]


def test_undo_brings_the_earlier_label_back(store: LabelStore) -> None:
    first = store.add(label("same"))
    second = store.add(label("different"))
    store.undo(second.id, "Ada")
    assert store.current() == [first]
    assert [row.undoes for row in store.history()] == [None, None, second.id]


def test_undo_twice_or_of_nothing_is_refused(store: LabelStore) -> None:
    stored = store.add(label())
    undone = store.undo(stored.id, "Ada")
    with pytest.raises(LabelError, match="undone before"):
        store.undo(stored.id, "Ada")
    for missing in (999, undone.id):
        with pytest.raises(LabelError, match="no label"):
            store.undo(missing, "Ada")


def test_annotators_do_not_overwrite_each_other(store: LabelStore) -> None:
    store.add(label("same", annotator="Ada"))
    store.add(label("different", annotator="Bob"))
    assert {(row.annotator, row.decision) for row in store.current()} == {("Ada", "same"), ("Bob", "different")}
    assert [row.annotator for row in store.current(annotator="Bob")] == ["Bob"]


def test_pairs_and_counts_are_of_one_scene(store: LabelStore) -> None:
    store.add(label("same", pair=PAIR.swapped()))
    store.add(label("unsure", pair=OTHER, scene="hall"))
    assert store.pairs_labelled("room") == {PAIR.canonical()}
    assert store.counts("hall") == {"same": 0, "different": 0, "unsure": 1, "skip": 0}
    assert [row.scene for row in store.latest(5)] == ["hall", "room"]


def test_nameless_annotator_is_refused(store: LabelStore) -> None:
    with pytest.raises(LabelError, match="1 to 80 characters"):
        store.add(label(annotator=""))
    assert store.history() == []


def test_database_refuses_what_is_no_decision(store: LabelStore) -> None:
    with pytest.raises(LabelError, match="could not be saved"):
        store.add(label("maybe"))  # type: ignore[arg-type]
    assert store.history() == []


def test_schema_of_migrations_equals_models(tmp_path: Path) -> None:
    engine = open_database(str(tmp_path / "labels.db"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_first_schema_with_data_migrates_to_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    engine = create_engine(f"sqlite:///{path}")
    migrate(engine, "0001")
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into decisions"
                " (uuid, created_at, annotator, scene, pair_key, view_a, mask_a, view_b, mask_b, decision, queue, source)"
                " values ('u', '2026-01-02 03:04:05.000000', 'Ada', 'room', :key, '10', 7, '2', 5, 'same', 'q', 's')"
            ),
            {"key": '[["10", 7], ["2", 5]]'},
        )
    engine.dispose()
    (kept,) = LabelStore(open_database(str(path))).current("room")
    assert (kept.pair.canonical(), kept.decision, kept.created_at.isoformat()) == (
        PAIR.canonical(),
        "same",
        "2026-01-02T03:04:05+00:00",
    )
    with open_database(str(path)).connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == newest_revision()


def test_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    path.write_text("these are words, not a database " * 100)
    with pytest.raises(LabelError, match="file is not a database"):
        open_database(str(path))
    assert path.read_text().startswith("these are words")


def test_database_of_a_newer_version(tmp_path: Path) -> None:
    path = str(tmp_path / "labels.db")
    with open_database(path).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(LabelError, match="update maskgroup"):
        open_database(path)


def add_many(path: str, annotator: str, count: int) -> None:
    store = LabelStore(open_database(path))
    for i in range(count):
        store.add(label(annotator=annotator, pair=MaskPair(MaskKey("1", i), MaskKey("2", i))))


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "labels.db")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_many, args=(path, name, 60)) for name in ("Ada", "Bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    assert len(LabelStore(open_database(path)).history()) == 120


WRITER = """
import sys
from db.labels import LabelStore, NewLabel
from db.session import open_database
from engine.types import MaskKey, MaskPair
store = LabelStore(open_database(sys.argv[1]))
for i in range(10**6):
    stored = store.add(NewLabel(annotator="Ada", scene="room", pair=MaskPair(MaskKey("1", i), MaskKey("2", i)), decision="same"))
    print(stored.uuid, flush=True)
"""


def test_killed_writer_loses_no_acknowledged_label(tmp_path: Path) -> None:
    path = str(tmp_path / "labels.db")
    acknowledged: set[str] = set()
    for round_number in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged.add(writer.stdout.readline().strip())
        time.sleep(0.05 + 0.07 * round_number)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        writer.wait()
    stored = {row.uuid for row in LabelStore(open_database(path)).history()}
    assert acknowledged <= stored
    assert len(acknowledged) >= 4
