"""Kept runs: what the database holds opens again as it was, and what cannot be opened is a sentence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import MaskgroupError, RunError
from engine.grouping.constraints import Constraint
from engine.grouping.pipeline import GroupingRun
from engine.types import MaskKey
from tests.stub_judge import StubJudge, refuse
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX
from ui.pages.grouping import corrections, words
from ui.pages.grouping import handlers as page
from ui.pages.grouping.handlers import Pick
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.stores import groupings as grouping_store
from ui.stores.groupings import Corrections, GroupingStore, pack_corrections, unpack_corrections

WAIT_S = 120


@pytest.fixture
def store(tiny_room: Path) -> RunStore:
    return RunStore(open_database(str(tiny_room.parent.parent / "labels.db")))


def start_app(tiny_room: Path) -> GroupingRuns:
    """What a start of the app makes: new runs over the same database."""
    engine = open_database(str(tiny_room.parent.parent / "labels.db"))
    bench = Workbench(tiny_room.parent, LabelStore(engine), lambda: StubJudge(before=refuse))
    return GroupingRuns(bench, GroupingStore(RunStore(engine)))


def wait(worker: object) -> None:
    assert worker is not None, "nothing was started"
    worker.join(WAIT_S)  # type: ignore[attr-defined]


def test_run_is_in_the_database_and_opens_after_a_restart(tiny_room: Path, store: RunStore) -> None:
    first = start_app(tiny_room)
    wait(first.start(NAME))
    before = first.result(NAME)
    row = store.list("grouping", scene=NAME)[0]
    assert (row.status, row.config["evidence"]) == ("done", "geometry")
    assert row.result["summary"] == {"masks": 6, "groups": 2, "ari": 1.0, "calls": 0}

    second = start_app(tiny_room)
    wait(second.resume(NAME))
    after = second.result(NAME)
    assert after.kept_as == row.id
    assert after.grouping.labels.tolist() == before.grouping.labels.tolist()
    assert np.allclose(after.grouping.confidences, before.grouping.confidences)
    assert after.run.graph.keys == before.run.graph.keys
    for field in ("geometry", "p_same"):
        assert np.array_equal(getattr(after.run.graph, field), getattr(before.run.graph, field), equal_nan=True)
    assert after.ari == before.ari
    assert after.run.seconds == before.run.seconds
    assert before.run.findings is not None
    assert after.run.findings == before.run.findings
    assert second.resume(NAME) is None, "it is open already"


def test_what_is_new_in_answers_is_kept(tiny_room: Path, store: RunStore) -> None:
    app = start_app(tiny_room)
    wait(app.start(NAME))
    kept = app.result(NAME).run
    assert isinstance(kept, GroupingRun)
    runs = GroupingStore(store)
    number = runs.begin(NAME, kept.options, model=None)
    runs.finish(number, replace(kept, graph=replace(kept.graph, novelty=0.4)))
    assert runs.open(number, NAME)[0].graph.novelty == 0.4


def test_run_of_a_version_without_findings_opens(tiny_room: Path, store: RunStore) -> None:
    first = start_app(tiny_room)
    wait(first.start(NAME))
    row = store.list("grouping", scene=NAME)[0]
    result = dict(row.result)
    del result["found"]
    store.update(row.id, result=result)
    second = start_app(tiny_room)
    wait(second.resume(NAME))
    assert second.result(NAME).run.findings is None
    assert "2 groups</b> of 6 masks" in words.show_summary(second.result(NAME))


def test_corrections_survive_a_restart_and_can_be_undone_then(tiny_room: Path) -> None:
    first = start_app(tiny_room)
    wait(first.start(NAME))
    both = page.pick_group(first, page.pick_group(first, Pick(NAME), MaskKey("0", RED_BOX)), MaskKey("0", BLUE_BOX))
    corrections.merge(first, both)
    assert "1 groups, ARI 0.000, 1 corrections" in words.name_kept_run(first.kept(NAME)[0])

    second = start_app(tiny_room)
    wait(second.resume(NAME))
    assert len(second.result(NAME).grouping.groups) == 1
    assert second.result(NAME).constraints == first.result(NAME).constraints
    second.undo(NAME)
    assert len(second.result(NAME).grouping.groups) == 2

    third = start_app(tiny_room)
    wait(third.resume(NAME))
    assert len(third.result(NAME).grouping.groups) == 2
    with pytest.raises(MaskgroupError, match="no correction to undo"):
        third.undo(NAME)


def test_new_run_keeps_what_people_said(tiny_room: Path) -> None:
    runs = start_app(tiny_room)
    wait(runs.start(NAME))
    both = page.pick_group(runs, page.pick_group(runs, Pick(NAME), MaskKey("0", RED_BOX)), MaskKey("0", BLUE_BOX))
    corrections.merge(runs, both)
    wait(runs.start(NAME))
    assert len(runs.result(NAME).grouping.groups) == 1
    kept = runs.kept(NAME)
    assert len(kept) == 2
    wait(runs.open_kept(NAME, kept[1].id))
    assert runs.result(NAME).kept_as == kept[1].id


def test_failed_and_forgotten_runs_are_marked(tiny_room: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = start_app(tiny_room)
    wait(runs.start(NAME, "vlm"))
    row = store.list("grouping")[0]
    assert (row.status, row.note) == ("failed", "Nobody should be asked.")
    stopped = store.add("grouping", "an app that was killed", scene=NAME, status="running")
    assert runs.kept(NAME) == []
    assert store.get(stopped.id).status == "running"  # type: ignore[union-attr]
    monkeypatch.setattr(grouping_store, "SILENT_FOR", timedelta(seconds=-1))
    assert runs.kept(NAME) == []
    assert store.get(stopped.id).status == "failed"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("""{"layout": 99}""", "another version"),
        ("""{"layout": 2, "arrays": "no archive"}""", "cannot be read"),
        ("""{}""", "cannot be read"),
    ],
)
def test_broken_run_is_a_sentence(tiny_room: Path, store: RunStore, damage: str, sentence: str) -> None:
    runs = start_app(tiny_room)
    wait(runs.start(NAME))
    engine = open_database(str(tiny_room.parent.parent / "labels.db"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE runs SET result = :damage"), {"damage": damage})
    again = start_app(tiny_room)
    wait(again.resume(NAME))
    assert sentence in words.show_progress(again.state(NAME))
    with pytest.raises(RunError, match="no finished run 77"):
        GroupingStore(store).open(77, NAME)


def test_scene_that_changed_is_a_sentence(tiny_room: Path) -> None:
    runs = start_app(tiny_room)
    wait(runs.start(NAME))
    for folder in ("poses", "color", "depth"):
        next((tiny_room / folder).glob("10.*")).unlink()
    again = start_app(tiny_room)
    wait(again.resume(NAME))
    assert "not those of the kept run any more" in words.show_progress(again.state(NAME))
    shutil.rmtree(tiny_room)


def test_corrections_pack_each_constraint_once() -> None:
    a, b, c = MaskKey("0", 1), MaskKey("1", 2), MaskKey("2", 3)
    first, second = Constraint(a, b, True, "2026-11-23"), Constraint(b, c, False)
    said = Corrections((first, second), ((), (first,)))
    packed = pack_corrections(said)
    assert len(packed["said"]) == 2
    opened = unpack_corrections(packed)
    assert opened == said
    assert opened.constraints[0].said_on == "2026-11-23"
    assert unpack_corrections({}) == Corrections()
