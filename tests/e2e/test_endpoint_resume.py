"""`maskgroup evaluate` on a served model whose server is killed in mid-run: the run resumes, nothing lost or judged twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.judging.base import load_prompt
from tests.model_process import free_port, model_server
from tests.rounding import but_rounding
from ui.cli import main

PAIRS = 48


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A small scene in the processed format: six coloured boxes that wander through eight views."""
    folder = tmp_path / "scenes" / "boxes"
    rng = np.random.default_rng(5)
    colors = rng.integers(40, 255, (6, 3))
    for view in range(8):
        rgb = rng.integers(0, 30, (80, 150, 3)).astype(np.uint8)
        ids = np.full((80, 150), -1, np.int32)
        for i in range(6):
            row, column = 40 * (i // 3) + rng.integers(2, 12), 50 * (i % 3) + rng.integers(2, 15)
            ids[row : row + 24, column : column + 28] = 20000 + i
            rgb[ids == 20000 + i] = colors[i]
        (folder / str(view)).mkdir(parents=True)
        Image.fromarray(rgb).save(folder / str(view) / "rgb.png")
        np.save(folder / str(view) / "instance_mask.npy", ids)
        np.save(folder / str(view) / "unique_instances.npy", np.unique(ids[ids >= 0]))
    return folder


def arguments(room: Path, out: Path, address: str) -> list[str]:
    return ["evaluate", str(room), "--out", str(out), "--model", address, "--pairs", str(PAIRS)]


def start(*command: str) -> subprocess.Popen[str]:
    quick = {"MASKGROUP_ENDPOINT_TRIES": "2", "MASKGROUP_ENDPOINT_BACKOFF_S": "0.01", "MASKGROUP_ENDPOINT_AT_ONCE": "2"}
    process = [sys.executable, "-m", "ui", *command]
    return subprocess.Popen(process, env={**os.environ, **quick}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*command: str) -> None:
    """Run a command to its end in this process, which has everything imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["maskgroup", *command])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert not stopped.value.code


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
        finish(*arguments(room, out, address))
        finish(*arguments(room, tmp_path / "whole", address))
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
