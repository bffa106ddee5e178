"""Labels are append-only, undo is a row, and the latest that is not undone counts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from db.labels.rows import row_of
from db.labels.store import LabelStore, NewLabel, ShownVerdict
from db.schema.models import metadata
from db.schema.session import open_database
from engine.errors import LabelError, NotSavedError
from engine.types import Decision, MaskKey, MaskPair

pytest_plugins = ["tests.databases"]

PAIR = MaskPair(MaskKey("2", 5), MaskKey("10", 7))
OTHER = MaskPair(MaskKey("2", 6), MaskKey("10", 7))


@pytest.fixture
def store(database: str) -> Iterator[LabelStore]:
    engine = open_database(database)
    yield LabelStore(engine)
    engine.dispose()


def mask_pair(i: int) -> MaskPair:
    return MaskPair(MaskKey("1", i), MaskKey("2", i))


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


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"decision": "maybe"}, "expected one of same, different"),
        ({"pair": MaskPair(MaskKey("2", 5), MaskKey("2", 5))}, "no comparison with itself"),
        ({"pair": MaskPair(MaskKey("2", 5), MaskKey("3", 2**31))}, "int32"),
        ({"pair": MaskPair(MaskKey("", 5), MaskKey("3", 1))}, "view's name"),
        ({"scene": "s" * 201}, "1 to 200 characters"),
        ({"queue": "a\0b"}, "NUL"),
        ({"p_same": 1.5}, "expected 0 to 1"),
        ({"ambiguity": float("nan")}, "expected 0 to 1"),
        ({"seconds": -1.0}, "0 or more seconds"),
    ],
)
def test_malformed_label_is_refused(store: LabelStore, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence):
        store.add(replace(label(), **wrong))
    assert store.history() == []


def test_database_itself_refuses_what_is_no_decision(store: LabelStore) -> None:
    row = row_of(label("maybe"), datetime.now(UTC))  # type: ignore[arg-type]
    with Session(store.database) as session:
        session.add(row)
        with pytest.raises(IntegrityError):
            session.commit()


def test_decision_after_the_clock_was_set_back_still_counts(store: LabelStore) -> None:
    with Session(store.database) as session:
        session.add(row_of(label("same"), datetime.now(UTC) + timedelta(hours=1)))
        session.commit()
    second = store.add(label("different"))
    assert store.current() == [second]


def test_history_limit_keeps_the_newest(store: LabelStore) -> None:
    rows = [store.add(label(pair=pair)) for pair in (PAIR, OTHER, PAIR)]
    assert store.history(limit=2) == rows[1:]
    assert store.history("hall") == []


def test_label_undone_by_many_at_once_is_undone_once(store: LabelStore) -> None:
    stored = store.add(label())

    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(store.undo, stored.id, f"p{i}") for i in range(16)]
    errors = [str(attempt.exception()) for attempt in attempts if attempt.exception()]
    assert len(errors) == 15
    assert all("undone before" in error for error in errors)
    assert len(store.history()) == 2


def test_threads_that_label_at_once_lose_nothing(store: LabelStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda i: store.add(label(annotator=f"p{i % 4}", pair=mask_pair(i))), range(100)))
    assert sorted(row.uuid for row in store.history()) == sorted(row.uuid for row in stored)


def test_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    store.add(label())
    with store.database.begin() as writer:
        writer.execute(text("update decisions set queue = 'being written'"))
        assert [row.queue for row in store.current()] == ["judge-page"]


def test_schema_of_migrations_equals_models(store: LabelStore) -> None:
    with store.database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


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


def test_a_label_keeps_every_verdict_that_was_shown(store: LabelStore) -> None:
    beside = (ShownVerdict("tuned", "original", 0.75, 0.125), ShownVerdict("server", None, None, None))
    stored = store.add(replace(label(), beside=beside))
    assert store.current() == [stored]
    assert stored.shown == (ShownVerdict("base", "original", 0.25, None), *beside)
    assert store.undo(stored.id, "Bob").beside == beside
    assert store.add(label(pair=OTHER)).shown == (ShownVerdict("base", "original", 0.25, None),)


@pytest.mark.parametrize("bad", [ShownVerdict(""), ShownVerdict("m", p_same=1.5), ShownVerdict("m" * 201), ShownVerdict("m\0")])
def test_a_verdict_beside_is_checked_like_the_first(store: LabelStore, bad: ShownVerdict) -> None:
    with pytest.raises(LabelError):
        store.add(replace(label(), beside=(bad,)))
    assert store.history() == []


def test_what_is_sent_again_is_stored_once(store: LabelStore) -> None:
    first, second = str(uuid4()), str(uuid4())
    stored = store.add(label(), identity=first)
    assert stored.uuid == first
    assert store.add(label(), identity=first) == stored
    undone = store.undo(stored.id, "Ada", identity=second)
    assert store.undo(stored.id, "Ada", identity=second) == undone
    assert store.add(label(), identity=first) == stored, "also once it was taken back"
    assert store.history() == [stored, undone]
    assert store.current() == []


def test_many_sendings_of_one_decision_at_once_are_one_row(store: LabelStore) -> None:
    identity = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        ids = {row.id for row in pool.map(lambda _: store.add(label(), identity=identity), range(16))}
        (number,) = ids
        undoing = str(uuid4())
        undos = {row.id for row in pool.map(lambda _: store.undo(number, "Ada", identity=undoing), range(16))}
    assert len(undos) == 1
    assert len(store.history()) == 2


def test_one_id_never_names_two_decisions(store: LabelStore) -> None:
    identity, other = str(uuid4()), str(uuid4())
    stored, kept = store.add(label(), identity=identity), store.add(label(pair=OTHER), identity=other)
    with pytest.raises(LabelError, match="another decision"):
        store.add(label("different"), identity=identity)
    with pytest.raises(LabelError, match="another decision"):
        store.undo(kept.id, "Ada", identity=identity)
    with pytest.raises(LabelError, match="UUID"):
        store.add(label(), identity="1 OR 1")
    assert store.history() == [stored, kept]


@pytest.mark.parametrize("number", [0, -1, 10**30, 2**31])
def test_no_number_of_a_row_is_too_large_to_be_unknown(store: LabelStore, number: int) -> None:
    assert store.get(number) is None
    with pytest.raises(LabelError, match="no label"):
        store.undo(number, "Ada")


def test_a_database_that_cannot_be_written_asks_to_send_again(store: LabelStore) -> None:
    store.add(label())
    with store.database.begin() as connection:
        connection.execute(text("alter table decisions rename to away"))
    with pytest.raises(NotSavedError, match="nothing was written"):
        store.add(label(), identity=str(uuid4()))
