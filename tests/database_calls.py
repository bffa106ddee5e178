"""Every public function that works on a database, as one call each: for tests of what they do when the database fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from db.backup import back_up
from db.labels.choices import ChoiceStore
from db.labels.exchange import import_rows
from db.labels.leases import LeaseStore
from db.labels.search import Filter, names_in_use, search
from db.labels.store import LabelStore, NewLabel
from db.labels.tallies import tally
from db.runs import RunStore
from engine.types import MaskKey, MaskPair
from tests.label_records import label_record

STORES = (LabelStore, LeaseStore, RunStore, ChoiceStore)
PAIR = MaskPair(MaskKey("2", 5), MaskKey("10", 7))
LABEL = NewLabel("Ada", "room", PAIR, "same", model="base", p_same=0.25)


def imported() -> str:
    """Return a file of one row that no database holds."""
    return json.dumps(label_record(uuid=str(uuid4())))


WRITES: dict[str, Callable[[Engine], Any]] = {
    "LabelStore.add": lambda engine: LabelStore(engine).add(LABEL),
    "LabelStore.undo": lambda engine: LabelStore(engine).undo(1, "Bob"),
    "LeaseStore.lease_all": lambda engine: LeaseStore(engine).lease_all("room", [PAIR], "Ada", seconds=60),
    "LeaseStore.release_all": lambda engine: LeaseStore(engine).release_all("room", [PAIR], "Ada"),
    "LeaseStore.forget_expired": lambda engine: LeaseStore(engine).forget_expired(),
    "RunStore.add": lambda engine: RunStore(engine).add("training", str(uuid4())),
    "RunStore.update": lambda engine: RunStore(engine).update(1, note="a note"),
    "RunStore.delete": lambda engine: RunStore(engine).delete(1),
    "ChoiceStore.set_number": lambda engine: ChoiceStore(engine).set_number("overlap_share", 0.5),
    "ChoiceStore.set_text": lambda engine: ChoiceStore(engine).set_text("told", "all drawers are one", most=80),
    "import_rows": lambda engine: import_rows(engine, imported(), "jsonl"),
}
READS: dict[str, Callable[[Engine], Any]] = {
    "LabelStore.has_any": lambda engine: LabelStore(engine).has_any(),
    "LabelStore.current": lambda engine: LabelStore(engine).current(),
    "LabelStore.settled": lambda engine: LabelStore(engine).settled(),
    "LabelStore.history": lambda engine: LabelStore(engine).history(),
    "LabelStore.latest": lambda engine: LabelStore(engine).latest(5),
    "LabelStore.pairs_labelled": lambda engine: LabelStore(engine).pairs_labelled("room"),
    "LabelStore.people_by_pair": lambda engine: LabelStore(engine).people_by_pair("room"),
    "LabelStore.newest_id": lambda engine: LabelStore(engine).newest_id(),
    "LabelStore.get": lambda engine: LabelStore(engine).get(1),
    "LabelStore.find": lambda engine: [LabelStore(engine).find(str(uuid4()))],
    "LabelStore.counts": lambda engine: LabelStore(engine).counts(),
    "LeaseStore.taken_keys": lambda engine: LeaseStore(engine).taken_keys("room", others_than="Bob"),
    "RunStore.get": lambda engine: RunStore(engine).get(1),
    "RunStore.find": lambda engine: RunStore(engine).find("grouping", "first"),
    "RunStore.list": lambda engine: RunStore(engine).list("grouping"),
    "ChoiceStore.number": lambda engine: ChoiceStore(engine).number("overlap_share", 0.0),
    "ChoiceStore.text": lambda engine: ChoiceStore(engine).text("told"),
    "search": lambda engine: search(engine, Filter(text="room")),
    "names_in_use": names_in_use,
    "tally": lambda engine: tally(engine, "Ada"),
}


def backup_into(folder: Path) -> Callable[[Engine], Any]:
    """Return the call of a backup into a new file of a folder."""
    return lambda engine: back_up(engine, folder / f"{uuid4()}.db")


def fill(engine: Engine, labels: int = 1) -> None:
    """Put a row into every table, more into that of the labels."""
    store = LabelStore(engine)
    for i in range(labels):
        store.add(NewLabel("Ada", "room", MaskPair(MaskKey("2", i), MaskKey("10", 7)), "same", model="m" * 100))
    LeaseStore(engine).lease_all("room", [PAIR], "Ada", seconds=600)
    RunStore(engine).add("grouping", "first", scene="room", config={"budget": 5})
    ChoiceStore(engine).set_number("overlap_share", 0.25)
