"""A database of every version that was ever used comes up to date with its data."""

from __future__ import annotations

import pytest
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from db.labels.choices import ChoiceStore
from db.labels.leases import LeaseStore
from db.labels.store import LabelStore, ShownVerdict
from db.runs import RunStore
from db.schema.session import MIGRATIONS, migrate, newest_revision, open_database
from engine.types import MaskKey, MaskPair

pytest_plugins = ["tests.databases"]

INSERT = (
    "insert into decisions"
    " (uuid, created_at, annotator, scene, pair_key, view_a, mask_a, view_b, mask_b, decision, undoes, queue, source)"
    " values (:uuid, '2026-01-02 03:04:05.000000+00:00', 'Ada', 'room', :key, '10', :mask, '2', 5, 'same', :undoes, 'q', 's')"
)


def insert(engine: Engine, *rows: tuple[str, int, int | None]) -> None:
    with engine.begin() as connection:
        for uuid, mask, undoes in rows:
            values = {"uuid": uuid, "mask": mask, "undoes": undoes, "key": f'[["10", {mask}], ["2", 5]]'}
            connection.execute(text(INSERT), values)


def fill_0001(engine: Engine) -> None:
    """Two labels; one undone, by two people in the same moment, which this version let through."""
    insert(engine, ("kept", 7, None), ("taken back", 8, None), ("undo", 8, 2), ("undo again", 8, 2))


def fill_0002(engine: Engine) -> None:
    """Two labels, one undone; a lease."""
    insert(engine, ("kept", 7, None), ("taken back", 8, None), ("undo", 8, 2))
    LeaseStore(engine).lease_all("room", [MaskPair(MaskKey("10", 9), MaskKey("2", 5))], "Ada", seconds=600)


def fill_0003(engine: Engine) -> None:
    """As before, and a run."""
    fill_0002(engine)
    RunStore(engine).add("grouping", "first", scene="room")


def fill_0004(engine: Engine) -> None:
    """As before, and a choice."""
    fill_0003(engine)
    ChoiceStore(engine).set_number("overlap_share", 0.25)


def fill_0005(engine: Engine) -> None:
    """As before, and what a second model said of the label that is kept."""
    fill_0004(engine)
    with engine.begin() as connection:
        told = """[{"model": "tuned", "prompt": null, "p_same": 0.25, "ambiguity": 0.0}]"""
        connection.execute(text("update decisions set beside = :told where uuid = 'kept'"), {"told": told})


FILLERS = {"0001": fill_0001, "0002": fill_0002, "0003": fill_0003, "0004": fill_0004, "0005": fill_0005}


def as_url(database: str) -> str:
    return database if "://" in database else f"sqlite:///{database}"


def test_every_version_has_its_data_here() -> None:
    assert {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()} == set(FILLERS)


@pytest.mark.parametrize("version", FILLERS)
def test_a_database_of_an_older_version_comes_up_to_date(database: str, version: str) -> None:
    if "://" not in database:
        open_database(database).dispose()
    old = create_engine(as_url(database))
    with old.begin() as connection:
        for table in ("choices", "runs", "leases", "decisions", "alembic_version"):
            connection.execute(text(f"drop table if exists {table}"))
    migrate(old, version)
    FILLERS[version](old)
    old.dispose()
    engine = open_database(database)
    store = LabelStore(engine)
    assert [row.uuid for row in store.history()] == ["kept", "taken back", "undo"]
    (kept,) = store.current("room")
    assert not kept.is_gold
    assert ChoiceStore(engine).number("overlap_share", 0.0) == (0.25 if version >= "0004" else 0.0)
    assert kept.beside == ((ShownVerdict("tuned", None, 0.25, 0.0),) if version >= "0005" else ())
    assert (kept.uuid, kept.pair, kept.created_at.isoformat()) == (
        "kept",
        MaskPair(MaskKey("10", 7), MaskKey("2", 5)),
        "2026-01-02T03:04:05+00:00",
    )
    store.undo(kept.id, "Bob")
    assert store.current() == []
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == newest_revision()
    engine.dispose()
