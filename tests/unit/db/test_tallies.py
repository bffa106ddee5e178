"""How much a person has labelled: today, in all and a minute, found in one look at the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import Session

from db.labels.rows import row_of
from db.labels.store import LabelStore, NewLabel
from db.labels.tallies import Tally, tally
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair

pytest_plugins = ["tests.databases"]

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    opened = open_database(database)
    yield opened
    opened.dispose()


def add(engine: Engine, *moments: datetime, annotator: str = "Ada") -> None:
    """Store a label at each moment, each on the next pair."""
    with Session(engine) as session:
        for number, moment in enumerate(moments):
            pair = MaskPair(MaskKey("1", number), MaskKey("2", number))
            session.add(row_of(NewLabel(annotator, "room", pair, "same"), moment))
        session.commit()


def test_labels_are_counted_today_in_all_and_a_minute(engine: Engine) -> None:
    minutes_ago = [timedelta(minutes=minutes) for minutes in (4, 3, 1)]
    add(engine, NOON - timedelta(days=2), NOON - timedelta(hours=11), *(NOON - ago for ago in minutes_ago))
    add(engine, NOON, annotator="Bob")
    # Two more labels since the first of the last five minutes, four minutes ago.
    assert tally(engine, "Ada", now=NOON) == Tally(today=4, total=5, per_minute=2 / 4)
    assert tally(engine, "Bob", now=NOON) == Tally(today=1, total=1, per_minute=0.0)
    assert tally(engine, "nobody", now=NOON) == Tally(today=0, total=0, per_minute=0.0)


def test_rate_goes_over_midnight_and_the_count_of_today_does_not(engine: Engine) -> None:
    midnight = NOON.replace(hour=0)
    add(engine, midnight - timedelta(minutes=1), midnight + timedelta(minutes=1))
    assert tally(engine, "Ada", now=midnight + timedelta(minutes=1)) == Tally(today=1, total=2, per_minute=1 / 2)


def test_what_was_replaced_or_undone_is_not_counted(engine: Engine) -> None:
    add(engine, NOON - timedelta(minutes=4), NOON - timedelta(minutes=2))
    add(engine, NOON - timedelta(minutes=1))
    assert tally(engine, "Ada", now=NOON) == Tally(today=2, total=2, per_minute=1 / 2)
    store = LabelStore(engine)
    store.undo(store.history()[1].id, "Ada")
    assert tally(engine, "Ada", now=NOON) == Tally(today=1, total=1, per_minute=0.0)


def test_all_figures_come_from_one_query(engine: Engine) -> None:
    add(engine, NOON)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    tally(engine, "Ada", now=NOON)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1
