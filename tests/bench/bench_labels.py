"""How long the label store takes with 100,000 labels in it: `python -m tests.bench.bench_labels [ROWS]`."""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import Session

from db.labels.audit import audit
from db.labels.exchange import export_rows, import_rows
from db.labels.rows import row_of
from db.labels.store import LabelStore, NewLabel
from db.labels.tallies import tally
from db.schema.session import open_database
from engine.types import Decision, MaskKey, MaskPair
from tests.bench.tiny_sizes import add_tiny_option

DECISIONS: tuple[Decision, ...] = ("same", "different", "unsure", "skip")


def fill(store: LabelStore, count: int) -> None:
    """Store labels of 4 annotators in 10 scenes, one in ten a second decision on its pair, one in ten of them undone."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with Session(store.database) as session:
        for i in range(count):
            pair_number = i - 40 if i // 40 % 10 == 9 else i
            pair = MaskPair(MaskKey(str(pair_number // 40 % 200), pair_number), MaskKey("200", pair_number // 2))
            label = NewLabel(f"annotator {i % 4}", f"room {i // 4 % 10}", pair, DECISIONS[i % 3])
            undoes = i - 49 if i % 100 == 99 else None
            session.add(row_of(label, start + timedelta(seconds=i), undoes=undoes))
            if i % 100 == 98:
                session.flush()
        session.commit()


def measure(what: str, call: Callable[[], object], repeats: int = 3) -> None:
    """Print the best of some runs, in milliseconds."""
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    print(f"{what:<32} {min(times) * 1000:9.1f} ms")


def main(given: Sequence[str] | None = None) -> None:
    """Fill a database and time what the app and the command line do with it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_labels", description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    count = 400 if arguments.tiny else arguments.rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.db"
        store = LabelStore(open_database(str(path)))
        fill(store, count)
        print(f"{count} rows, {os.path.getsize(path) / 2**20:.0f} MiB, {len(store.current())} labels count")
        label = NewLabel("annotator 1", "room 1", MaskPair(MaskKey("1", 1), MaskKey("2", 2)), "same")
        measure("add (flushed to disk)", lambda: store.add(label), repeats=20)
        measure("latest(10)", lambda: store.latest(10))
        measure("latest(10) of a scene", lambda: store.latest(10, "room 3"))
        measure("counts of a scene", lambda: store.counts("room 3"))
        measure("counts", store.counts)
        measure("pairs_labelled of a scene", lambda: store.pairs_labelled("room 3"))
        measure("people_by_pair of a scene", lambda: store.people_by_pair("room 3"))
        measure("tally of a person", lambda: tally(store.database, "annotator 1"))
        measure("current of a scene", lambda: store.current("room 3"))
        measure("current", store.current)
        current, history = store.current(), store.history()
        exported = "".join(export_rows(history, "jsonl"))
        copies = (open_database(str(Path(folder) / f"copy {number}.db")) for number in itertools.count())
        measure("import into a new database", lambda: import_rows(next(copies), exported, "jsonl"), repeats=1)
        measure("audit (rows in memory)", lambda: audit(current, history), repeats=1)


if __name__ == "__main__":
    main()
