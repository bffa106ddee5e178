"""`maskgroup evaluate` on a served model whose server is killed in mid-run: the run resumes, nothing lost or judged twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.judging.base import load_prompt
from tests.boxes_room import write_boxes
from tests.command_line import run_command
from tests.model_process import free_port, model_server
from tests.rounding import but_rounding

PAIRS = 48


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A small scene in the processed format: six coloured boxes that wander through eight views."""
    folder = tmp_path / "scenes" / "boxes"
    write_boxes(folder, views=8, grid=(2, 3), cell=(40, 50), box=(24, 28))
    return folder


def arguments(room: Path, out: Path, address: str) -> list[str]:
    return ["evaluate", str(room), "--out", str(out), "--model", address, "--pairs", str(PAIRS)]


def start(*command: str) -> subprocess.Popen[str]:
    quick = {"MASKGROUP_ENDPOINT_TRIES": "2", "MASKGROUP_ENDPOINT_BACKOFF_S": "0.01", "MASKGROUP_ENDPOINT_AT_ONCE": "2"}
    process = [sys.executable, "-m", "ui", *command]
    return subprocess.Popen(process, env={**os.environ, **quick}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def first_questions(journal: Path) -> int:
    """How many questions the server was asked, those after an ambiguous answer left out."""
    return sum(line["question"] == load_prompt("original").text for line in lines(journal))


def test_a_run_survives_its_server(room: Path, tmp_path: Path) -> None:
    """Kill the server without warning once some pairs are judged, start it again on its port, and run the command again."""
    port, journal = free_port(), tmp_path / "journal"
    address, out = f"http://127.0.0.1:{port}/v1#base", tmp_path / "run"
    predictions = out / "boxes" / "predictions.jsonl"
    with model_server("--journal", str(journal), port=port) as server:
        first = start(*arguments(room, out, address))
        while first.poll() is None and not (predictions.exists() and predictions.read_bytes().count(b"\n") >= 16):
            time.sleep(0.005)
        server.send_signal(signal.SIGKILL)
        _, said = first.communicate(timeout=300)
    assert first.returncode == 2, said
    assert said.splitlines()[-1].startswith(f"maskgroup: The server at http://127.0.0.1:{port}/v1 ")
    assert "what is done is kept" in said
    before = predictions.read_bytes()
    assert 16 <= len(lines(predictions)) < PAIRS
    asked_before = first_questions(journal)
    with model_server("--journal", str(journal), port=port):
        for folder in (out, tmp_path / "whole"):
            done = run_command(*arguments(room, folder, address))
            assert done.code == 0, done.err
    # What was there stands, every pair is there once and in order, and a run without a kill says the same.
    assert predictions.read_bytes().startswith(before)
    resumed, whole = lines(predictions), lines(tmp_path / "whole" / "boxes" / "predictions.jsonl")
    assert len(resumed) == len(whole) == PAIRS
    for ours, expected in zip(resumed, whole, strict=True):
        for timed in (ours, expected):
            timed.pop("latency_s", None)
        # The server's cache was empty again, so its vision tower met these crops in other batches.
        assert ours == but_rounding(expected)
    # Only what was not written yet was asked again: two orders of each pair left, and one question to see that the server answers.
    left = PAIRS - before.count(b"\n")
    assert first_questions(journal) - asked_before == 2 * left + 1 + 2 * PAIRS + 1
