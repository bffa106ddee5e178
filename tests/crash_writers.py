"""Processes that work on a database until they are killed; forked from one that has loaded the modules, they start at once."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from db.backup import back_up
from db.labels.choices import ChoiceStore
from db.labels.exchange import import_rows
from db.labels.leases import LeaseStore
from db.labels.store import LabelStore, NewLabel
from db.runs import RunStore
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


class Writer:
    """One such process, and what it has said so far that it did."""

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        self._hears, says = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=work, args=(says, *args), daemon=True)
        self.process.start()
        says.close()

    def next(self) -> list[str]:
        """Wait for the next thing that it says."""
        return self._hears.recv().split()

    def rest(self) -> list[list[str]]:
        """Return all that it says until it ends; what a kill cut off was not said."""
        said: list[list[str]] = []
        while True:
            try:
                said.append(self.next())
            except (EOFError, OSError):
                self.process.join()
                return said

    def kill(self) -> list[list[str]]:
        """Kill it; returns the rest of what it said."""
        self.process.kill()
        return self.rest()


def in_turn(rounds: int, start: Callable[[int], Writer]) -> Iterator[Writer]:
    """Yield writers one after the other, each to be killed before the next; that one starts up meanwhile, so it is under load.

    Args:
        rounds: How many.
        start: Starts one, by its number.
    """
    waiting = [start(i) for i in range(min(2, rounds))]
    for i in range(rounds):
        yield waiting.pop(0)
        if i + 2 < rounds:
            waiting.append(start(i + 2))


def kill_at_work(writer: Writer, after_s: float) -> None:
    """Kill a writer some time after it has said the first thing."""
    writer.next()
    time.sleep(after_s)
    writer.kill()


def add_labels(say: Connection, place: str, count: int, annotator: str) -> None:
    """Store labels one by one, each said as soon as it is acknowledged."""
    store = LabelStore(open_database(place))
    for i in range(count):
        pair = MaskPair(MaskKey("1", i), MaskKey("2", i))
        say.send(store.add(NewLabel(annotator=annotator, scene="room", pair=pair, decision="same")).uuid)


def change_all_tables(say: Connection, place: str, name: str, batch: str) -> None:
    """Make every kind of change in turn, for ever."""
    engine = open_database(place)
    labels, leases, runs, choices = LabelStore(engine), LeaseStore(engine), RunStore(engine), ChoiceStore(engine)
    say.send("open")
    for i in range(sys.maxsize):
        pairs = [MaskPair(MaskKey("1", i), MaskKey("2", j)) for j in range(5)]
        stored = labels.add(NewLabel(annotator=name, scene="room", pair=pairs[0], decision="same"))
        undo = labels.undo(stored.id, name)
        say.send(f"undone {stored.uuid} {undo.uuid}")
        import_rows(engine, batch.replace("BATCH", f"{name}-{i}"), "jsonl", strict=True)
        say.send(f"imported {name}-{i}")
        leases.lease_all(f"{name}-{i}", pairs, name, seconds=600)
        say.send(f"leased {name}-{i}")
        run = runs.add("training", f"{name}-{i}", config={"i": i})
        runs.update(run.id, status="done", result={"i": i})
        say.send(f"ran {run.name}")
        choices.set_number("overlap_share", i / 10**6)
        say.send(f"chose {i}")


def open_new(say: Connection, place: str) -> None:
    """Make a new database."""
    say.send("start")
    open_database(place)


def copy(say: Connection, place: str, target: str) -> None:
    """Back a database up."""
    engine = open_database(place)
    say.send("open")
    back_up(engine, Path(target))
