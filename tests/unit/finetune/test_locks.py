"""Locks: one training at a time, one writer at a time, and none outlives a process that is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.evaluation.predictions import EvaluationError, PredictionWriter
from finetune.runs.processes import turn
from finetune.runs.promotion import promote, promoted_runs

HOLD = {
    "training": "from finetune.runs.processes import turn\nwith turn(path, is_cancelled=lambda: False) as got:\n    hold(got)",
    "writer": "from engine.evaluation.predictions import PredictionWriter\nwith PredictionWriter(path):\n    hold(True)",
}


@contextmanager
def holder(what: str, path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is killed."""
    start = "import sys, time\nfrom pathlib import Path\npath = Path(sys.argv[1])\n"
    start += "def hold(got):\n    print(got, flush=True)\n    time.sleep(600)\n"
    process = subprocess.Popen([sys.executable, "-c", start + HOLD[what], str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_training_waits_for_another_one_and_goes_on_when_that_is_killed(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    asked = 0

    def is_cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with holder("training", other) as process:
        with turn(mine, is_cancelled=is_cancelled) as is_ours:
            assert not is_ours
        assert asked == 4
        process.kill()
        process.wait()
        with turn(mine, is_cancelled=lambda: False) as is_ours:
            assert is_ours
    with turn(other, is_cancelled=lambda: False) as is_ours:  # and given back at the end of the block
        assert is_ours


def test_predictions_are_free_again_when_their_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with holder("writer", path) as process:
        with pytest.raises(EvaluationError, match="another process"):
            PredictionWriter(path)
        process.kill()
        process.wait()
        with PredictionWriter(path) as writer:
            assert writer.kept == []
    assert list(tmp_path.iterdir()) == [path]  # the lock leaves no file of its own


def test_no_promotion_of_many_at_once_is_lost(tmp_path: Path) -> None:
    names = [f"run-{i}" for i in range(6)]
    for name in names:
        (tmp_path / name / "adapter").mkdir(parents=True)
        (tmp_path / name / "adapter" / "adapter_config.json").touch()
    code = (
        "import sys\nfrom pathlib import Path\nfrom finetune.runs.promotion import promote\n"
        "for name in sys.argv[2:]:\n    promote(Path(sys.argv[1]), name)"
    )
    halves = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *half], stderr=subprocess.PIPE)
        for half in (names[:3], names[3:])
    ]
    for process in halves:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert sorted(promoted_runs(tmp_path)) == names
    promote(tmp_path, names[0])
    assert promoted_runs(tmp_path)[-1] == names[0]
