"""Told to end, the real app finishes what it has acknowledged, and open pages do not hold it up."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from tests.browser.app_process import start_app
from tests.e2e.test_label_durability import ask_for_pairs
from tests.http_attacker import Attacker
from tests.tiny_room import NAME, write_tiny_room

CALLS = 30
WAIT_S = 240


def open_stream(attacker: Attacker, path: str) -> http.client.HTTPConnection:
    """Open a stream as a page does, and read its beginning."""
    connection = http.client.HTTPConnection(attacker.host, attacker.port, timeout=WAIT_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read(5) == b"data:"
    return connection


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_was_acknowledged_is_finished(sign: signal.Signals, tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    database = tmp_path / "data" / "labels.db"
    process, address = start_app(database, "--scenes", str(tmp_path / "scenes"), program="tests.e2e.patient_app")
    try:
        attacker = Attacker(address)
        (pair, *_) = ask_for_pairs(attacker)
        streams = [open_stream(attacker, f"/gradio_api/heartbeat/page{number}") for number in range(3)]
        taken = 0
        for number in range(CALLS):
            request = {"scene": NAME, "queue": "random", "annotator": f"person {number}", "pair": pair, "decision": "same"}
            begun = attacker.post("/gradio_api/call/review_answer", {"data": [request]})
            # From here on the label counts as taken, though nobody has asked for the result.
            taken += begun.status == 200 and bool(begun.json["event_id"])
        process.send_signal(sign)
        assert process.wait(timeout=WAIT_S) == 0
    finally:
        process.kill()
    assert taken == CALLS
    assert len(LabelStore(open_database(str(database))).history()) == CALLS
    # Its private folders are gone, as after any orderly end.
    assert [folder.name for name in ("served", "uploads") for folder in (tmp_path / "data" / name).glob("app-*")] == []
    for stream in streams:
        stream.close()
