"""Whatever is read from an app while people label, and however it ends: no label that it acknowledged is lost."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer

from db.backup import back_up
from db.labels.store import LabelStore
from db.schema.session import open_database
from tests.browser.app_process import start_app
from tests.http_attacker import Attacker
from tests.tiny_room import NAME, write_tiny_room

LABELS = 1000
CREWS = 4
WORK_S = 1800.0
"""By when a crew has done its work, also on a machine that is four times slower and busy."""
GONE = (OSError, http.client.HTTPException)
"""What a request ends with if the app is killed."""


def read_everything(attacker: Attacker, database: Path, done: threading.Event) -> None:
    """Try every way in which the app could be made to open the database's files, again and again, until told or it is dead."""
    files = [database, database.with_name(database.name + "-wal"), database.with_name(database.name + "-shm")]
    handlers = [entry["api_name"] for entry in attacker.get("/config").json["dependencies"] if entry["api_name"]]
    while not done.is_set():
        try:
            for file in files:
                attacker.get(f"/gradio_api/file={file}")
                attacker.get(f"/gradio_api/file/{file}")
                payload = {"path": str(file), "meta": {"_type": "gradio.FileData"}}
                for name in handlers:
                    attacker.post(f"/gradio_api/call/{name}", {"data": [payload, {"x": [payload]}]})
            for path in ("/config", "/maskgroup/report/shipped", f"/maskgroup/cloud/{NAME}", "/maskgroup/cloud/..%2Fdata", "/"):
                attacker.get(path)
            attacker.post("/gradio_api/call/list_names", {"data": []})
            attacker.post("/gradio_api/call/find", {"data": ["", "", "", "", False]})
        except GONE:
            return


def label_on(attacker: Attacker, who: str, pairs: list[Any], enough: int, acknowledged: list[int]) -> None:
    """Label as fast as the app acknowledges, until it has acknowledged enough or is dead."""
    wanted = {"scene": NAME, "queue": "random", "annotator": who, "session": who, "blind": True}
    config = attacker.get("/config").json
    card = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "mg-review")
    try:
        while len(acknowledged) < enough:
            request = {**wanted, "pair": pairs[len(acknowledged) % len(pairs)], "decision": "same", "seconds": 1.0}
            values = {"data": request, "component_id": card, "session_hash": who, "fn_name": "answer"}
            acknowledged.append(attacker.post("/gradio_api/component_server", values).json["label"])
    except GONE:
        return


def ask_for_pairs(attacker: Attacker) -> list[Any]:
    """Return pairs of the room to label."""
    wanted = {"scene": NAME, "queue": "random", "annotator": "first", "session": "first", "count": 4, "blind": True}
    give_up_at = time.monotonic() + WORK_S
    while time.monotonic() < give_up_at:
        cards = attacker.ask("next_cards", wanted)["cards"]
        if cards:
            return [card["pair"] for card in cards]
        time.sleep(0.1)
    raise RuntimeError("the app handed out no pairs")


def test_no_acknowledged_label_is_lost_while_everything_is_read_and_the_app_is_killed(tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    database = tmp_path / "data" / "labels.db"
    told: list[list[int]] = []
    for crew in range(2):
        process, address = start_app(database, "--scenes", str(tmp_path / "scenes"))
        mine: list[list[int]] = [[] for _ in range(CREWS)]
        done = threading.Event()
        with ThreadPoolExecutor(CREWS + 1) as pool:
            try:
                attacker = Attacker(address)
                pairs = ask_for_pairs(attacker)
                enough = LABELS // (2 * CREWS)
                reader = pool.submit(read_everything, attacker, database, done)
                first, *others = (
                    pool.submit(label_on, attacker, f"person {crew}-{i}", pairs, 10**9 if i == 0 else enough, mine[i])
                    for i in range(CREWS)
                )
                for labeller in others:
                    labeller.result(timeout=WORK_S)
                give_up_at = time.monotonic() + WORK_S
                while len(mine[0]) < enough and not first.done() and time.monotonic() < give_up_at:
                    time.sleep(0.05)
                # The first one goes on labelling, and somebody reading, in the moment of the kill.
                for worker in (first, reader):
                    assert not worker.done(), worker.exception()
            finally:
                # Whoever still waits for the app is freed by its end.
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                done.set()
            first.result()
            reader.result()
        told += mine
    acknowledged = [number for numbers in told for number in numbers]
    stored = {row.id for row in LabelStore(open_database(str(database))).history()}
    assert len(acknowledged) >= LABELS
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) <= stored
    # A kill may come between a row and its acknowledgement, once for each app.
    assert len(stored) <= len(acknowledged) + 2
    audit = [sys.executable, "-m", "ui", "labels", "audit", "--db", str(database), "--scenes", str(tmp_path / "scenes")]
    told_by_audit = subprocess.run(audit, capture_output=True, text=True, timeout=600, check=False)
    assert told_by_audit.returncode == 0, told_by_audit.stdout + told_by_audit.stderr
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


OPENED: list[str] = []


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        OPENED.append(os.fsdecode(arguments[0]))


def test_nothing_but_sqlite_opens_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor of our own on the file would, when it is closed, take the locks of SQLite's with it."""
    from db.labels.store import NewLabel
    from engine.types import MaskKey, MaskPair
    from ui.commands.labels import audit_labels, backup_labels, export_labels

    sys.addaudithook(_note_open)
    database = tmp_path / "data" / "labels.db"
    monkeypatch.setenv("MASKGROUP_DB", str(database))
    engine = open_database(str(database))
    store = LabelStore(engine)
    store.add(NewLabel("ann", "room", MaskPair(MaskKey("1", 1), MaskKey("2", 1)), "same"))
    open_database(str(database)).dispose()
    back_up(engine, tmp_path / "copy.db")
    backup_labels(tmp_path / "copy2.db")
    export_labels(tmp_path / "labels.csv", "csv")
    with pytest.raises(typer.Exit):
        audit_labels()
    beside = {str(database), *(f"{database}-{ending}" for ending in ("wal", "shm", "journal"))}
    # The export is written under another name in its folder, and renamed.
    assert any(".labels.csv." in path for path in OPENED), "the hook notes what is opened"
    assert beside.isdisjoint(os.path.abspath(path) for path in OPENED)
