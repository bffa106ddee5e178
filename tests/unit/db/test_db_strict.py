"""The stores take numbers, names and decisions of the right type and size only; what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from db.labels.choices import ChoiceStore
from db.labels.leases import LeaseStore
from db.labels.search import Filter, search
from db.labels.store import LabelStore
from db.labels.tallies import tally
from db.runs import RunStore
from engine.errors import LabelError, RunError
from engine.types import MaskKey, MaskPair
from tests.database_calls import LABEL, PAIR

pytest_plugins = ["tests.databases"]

NO_IDS: list[Any] = [True, False, 0, -1, 2**31, 2**63, 10**30, 1.0, 1.5, float("nan"), "1", None, [1], {"id": 1}, b"1"]
NO_NAMES: list[Any] = [None, 1, True, [], ["Ada"], {}, b"Ada", "a\0b", "\ud800"]


@pytest.fixture
def engine(filled: Engine) -> Engine:
    return filled


def snapshot(engine: Engine) -> tuple[Any, ...]:
    return LabelStore(engine).history(), RunStore(engine).list("grouping"), RunStore(engine).list("training")


def test_numbers_that_no_row_has(engine: Engine) -> None:
    before = snapshot(engine)
    labels, runs = LabelStore(engine), RunStore(engine)
    for value in NO_IDS:
        with pytest.raises(LabelError, match="no label"):
            labels.undo(value, "Ada")
        with pytest.raises(RunError, match="no run"):
            runs.update(value, note="x")
        assert labels.get(value) is None
        assert runs.get(value) is None
        assert not runs.delete(value)
    assert snapshot(engine) == before
    assert labels.undo(1, "Ada").undoes == 1


def test_limits_that_are_none(engine: Engine) -> None:
    for value in [True, -1, 2**31, 10**30, 1.5, "3", [3]]:
        refused: list[Callable[[], Any]] = [
            lambda value=value: LabelStore(engine).history(limit=value),
            lambda value=value: LabelStore(engine).latest(value),
            lambda value=value: search(engine, Filter(limit=value)),
        ]
        for call in refused:
            with pytest.raises(LabelError, match="expected a whole number"):
                call()
    assert LabelStore(engine).history(limit=0) == []


def test_names_that_are_none(engine: Engine) -> None:
    before = snapshot(engine)
    labels, leases, runs, choices = LabelStore(engine), LeaseStore(engine), RunStore(engine), ChoiceStore(engine)
    for value in NO_NAMES:
        calls: list[Callable[[Any], Any]] = [
            lambda name: labels.undo(1, name),
            lambda name: labels.add(replace(LABEL, annotator=name)),
            lambda name: labels.add(replace(LABEL, scene=name)),
            lambda name: labels.add(replace(LABEL, queue=name)),
            lambda name: labels.add(replace(LABEL, pair=MaskPair(MaskKey(name, 1), MaskKey("2", 2)))),
            lambda name: leases.lease_all(name, [PAIR], "Ada", seconds=1),
            lambda name: leases.lease_all("room", [PAIR], name, seconds=1),
            lambda name: leases.release_all(name, [PAIR], "Ada"),
            lambda name: leases.taken_keys(name, others_than="Ada"),
            lambda name: leases.taken_keys("room", others_than=name),
            lambda name: runs.add("training", name),
            lambda name: runs.find("training", name),
            lambda name: choices.number(name, 0.0),
            lambda name: choices.set_number(name, 0.0),
            lambda name: tally(engine, name),
        ]
        if value is not None:
            calls += [
                lambda name: labels.add(replace(LABEL, model=name)),
                lambda name: labels.current(name),
                lambda name: labels.current(annotator=name),
                lambda name: labels.history(name),
                lambda name: labels.counts(name),
                lambda name: labels.pairs_labelled(name),
                lambda name: labels.people_by_pair(name),
                lambda name: runs.add("training", "new", scene=name),
                lambda name: runs.list("training", scene=name),
                lambda name: runs.update(1, note=name),
                lambda name: search(engine, Filter(text=name)),
                lambda name: search(engine, Filter(scene=name)),
                lambda name: search(engine, Filter(annotator=name)),
            ]
        for number, call in enumerate(calls):
            with pytest.raises((LabelError, RunError)) as caught:
                call(value)
            assert "damaged" not in str(caught.value), (value, number)
    assert snapshot(engine) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": True},
        {"decision": ["same"]},
        {"decision": None},
        {"is_gold": 1},
        {"is_gold": "true"},
        {"p_same": True},
        {"p_same": "0.5"},
        {"p_same": 10**30},
        {"ambiguity": float("inf")},
        {"seconds": True},
        {"seconds": 10**400},
        {"annotator": "a" * 81},
        {"pair": MaskPair(MaskKey("1", True), MaskKey("2", 5))},
        {"pair": MaskPair(MaskKey("1", 10**30), MaskKey("2", 5))},
        {"pair": MaskPair(MaskKey("1", 1.0), MaskKey("2", 5))},  # pyright: ignore[reportArgumentType]
        {"pair": MaskPair(MaskKey("v" * 201, 1), MaskKey("2", 5))},
        {"pair": MaskPair(MaskKey("ö" * 100, 1), MaskKey("2", 5))},
    ],
)
def test_labels_of_wrong_types_and_sizes(engine: Engine, wrong: dict[str, Any]) -> None:
    before = snapshot(engine)
    with pytest.raises(LabelError) as caught:
        LabelStore(engine).add(replace(LABEL, **wrong))
    assert len(str(caught.value)) < 300
    if "pair" in wrong:
        with pytest.raises(LabelError):
            LeaseStore(engine).lease_all("room", [wrong["pair"]], "Ada", seconds=1)
        with pytest.raises(LabelError):
            LabelStore(engine).history(pair=wrong["pair"])
    assert snapshot(engine) == before


def test_longest_names_fit_both_databases(engine: Engine) -> None:
    pair = MaskPair(MaskKey("v" * 200, -(2**31)), MaskKey("w" * 200, 2**31 - 1))
    stored = LabelStore(engine).add(replace(LABEL, annotator="ö" * 80, scene="s" * 200, pair=pair))
    assert LabelStore(engine).get(stored.id) == stored
    assert LeaseStore(engine).lease_all("s" * 200, [pair], "ö" * 80, seconds=1)


def test_runs_and_choices_of_wrong_types(engine: Engine) -> None:
    before = snapshot(engine)
    runs: Any = RunStore(engine)
    for call in (
        lambda: runs.add("dancing", "new"),
        lambda: runs.add(None, "new"),
        lambda: runs.add(["training"], "new"),
        lambda: runs.add("training", "new", status="asleep"),
        lambda: runs.add("training", "new", config={"x": object()}),
        lambda: runs.update(1, status="asleep"),
        lambda: runs.update(1, result={"x": float("nan")}),
    ):
        with pytest.raises(RunError):
            call()
    for value in (True, None, "0.5", float("nan"), float("inf"), [0.5]):
        with pytest.raises(LabelError, match="expected a number"):
            ChoiceStore(engine).set_number("overlap_share", value)  # pyright: ignore[reportArgumentType]
    for seconds in (None, True, "60", float("nan"), float("inf")):
        with pytest.raises(LabelError, match="expected seconds"):
            LeaseStore(engine).lease_all("room", [PAIR], "Ada", seconds=seconds)  # pyright: ignore[reportArgumentType]
    assert snapshot(engine) == before
    assert ChoiceStore(engine).number("overlap_share", 0.0) == 0.25
