"""What was acknowledged is in the database, whatever happens to the processes that wrote it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import text

from db.labels import LabelStore
from db.session import open_database

pytest_plugins = ["tests.databases"]

WRITER = """
import sys
from db.labels import LabelStore, NewLabel
from db.session import open_database
from engine.types import MaskKey, MaskPair
store = LabelStore(open_database(sys.argv[1]))
for i in range(int(sys.argv[2])):
    pair = MaskPair(MaskKey("1", i), MaskKey("2", i))
    stored = store.add(NewLabel(annotator=sys.argv[3], scene="room", pair=pair, decision="same"))
    print(stored.uuid, flush=True)
"""
ROUNDS = 10


def start_writer(path: str, count: int, annotator: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, path, str(count), annotator]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_writers_lose_no_acknowledged_label(memory_folder: Path) -> None:
    path = str(memory_folder / "labels.db")
    moments = random.Random(0)
    acknowledged: set[str] = set()
    # The next writer starts up while this one writes, and is killed in turn: there is always one under load.
    writers = [start_writer(path, 10**6, f"writer {i}") for i in range(2)]
    for i in range(ROUNDS):
        writer = writers.pop(0)
        assert writer.stdout is not None
        acknowledged.add(writer.stdout.readline().strip())
        time.sleep(moments.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        # A line cut off by the kill was not acknowledged.
        acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        assert writer.wait() == -signal.SIGKILL
        if i < ROUNDS - 2:
            writers.append(start_writer(path, 10**6, f"writer {i + 2}"))
    engine = open_database(path)
    stored = {row.uuid for row in LabelStore(engine).history()}
    assert acknowledged <= stored
    assert len(acknowledged) >= ROUNDS
    # One more row per kill may be stored, its acknowledgement having been cut off; no row is made up.
    assert len(stored) - len(acknowledged) <= ROUNDS
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"


def test_processes_that_open_and_write_a_new_database_at_once_lose_nothing(memory_folder: Path) -> None:
    path = str(memory_folder / "new" / "labels.db")
    writers = [start_writer(path, 40, f"writer {i}") for i in range(4)]
    acknowledged = {line.strip() for writer in writers for line in writer.communicate(timeout=120)[0].splitlines()}
    assert [writer.returncode for writer in writers] == [0] * 4
    assert {row.uuid for row in LabelStore(open_database(path)).history()} == acknowledged
    assert len(acknowledged) == 160
