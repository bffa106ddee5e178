"""Runs of long work are kept by kind and name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import RunError

pytest_plugins = ["tests.databases"]


@pytest.fixture
def runs(database: str) -> Iterator[RunStore]:
    engine = open_database(database)
    yield RunStore(engine)
    engine.dispose()


def test_run_is_kept_as_it_was_asked(runs: RunStore) -> None:
    added = runs.add("grouping", "first", scene="room", config={"budget": 5, "evidence": ["vlm"]})
    assert added == runs.get(added.id) == runs.find("grouping", "first")
    assert (added.status, added.config, added.result, added.note) == ("queued", {"budget": 5, "evidence": ["vlm"]}, {}, None)
    assert runs.find("training", "first") is None
    assert runs.get(added.id + 1) is None


def test_update_changes_only_what_is_given(runs: RunStore) -> None:
    added = runs.add("training", "adapter", config={"seed": 1})
    changed = runs.update(added.id, status="done", result={"accuracy": 0.5})
    assert (changed.status, changed.config, changed.result) == ("done", {"seed": 1}, {"accuracy": 0.5})
    assert runs.update(added.id, note="kept").result == {"accuracy": 0.5}
    assert changed.updated_at >= added.updated_at
    with pytest.raises(RunError, match="no run"):
        runs.update(added.id + 1, status="done")


def test_newest_comes_first_by_kind_and_scene(runs: RunStore) -> None:
    for kind, name, scene in (("grouping", "a", "room"), ("grouping", "b", "hall"), ("comparison", "a", "room")):
        runs.add(kind, name, scene=scene)  # pyright: ignore[reportArgumentType]
    assert [run.name for run in runs.list("grouping")] == ["b", "a"]
    assert [run.name for run in runs.list("grouping", scene="room")] == ["a"]
    assert runs.delete(runs.list("grouping")[0].id)
    assert [run.name for run in runs.list("grouping")] == ["a"]
    assert not runs.delete(12345)


def test_bad_runs_are_refused(runs: RunStore) -> None:
    runs.add("grouping", "a")
    with pytest.raises(RunError, match="already"):
        runs.add("grouping", "a")
    with pytest.raises(RunError, match="characters"):
        runs.add("grouping", "")
    with pytest.raises(RunError, match="JSON"):
        runs.add("grouping", "b", config={"x": float("nan")})
    assert [run.name for run in runs.list("grouping")] == ["a"]
