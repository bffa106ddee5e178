"""`maskgroup train` and the registry with real worker processes: killed, found dead, resumed; cancelled; queued; promoted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from db.runs import FINISHED, Run, RunStore
from db.schema.session import open_database
from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError, RunError
from engine.judging.registry import load_judge
from finetune.config import TrainConfig
from finetune.runs.events import EventWriter
from finetune.runs.export import export_adapter, export_merged
from finetune.runs.processes import request_cancel, worker_state
from finetune.runs.registry import Registry, active_of
from finetune.training.before_and_after import decide
from tests.training_room import write_training_room

WAIT_S = 240
QUICK = {"pairs": 16, "epochs": 1, "evaluation_pairs": 12, "validation_pairs": 6, "batch_pairs": 4, "language_only": True}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_room(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(RunStore(open_database(str(tmp_path / "labels.db"))), tmp_path / "runs")


def wait_for(registry: Registry, name: str, is_so: Callable[[Run], bool]) -> Run:
    deadline = time.monotonic() + WAIT_S
    while not is_so(run := registry.get(name)):
        log = registry.folder(name) / "worker.log"
        assert time.monotonic() < deadline, f"{run}\n{log.read_text() if log.exists() else ''}"
        time.sleep(0.1)
    return run


def is_over(run: Run) -> bool:
    return run.status in FINISHED


def test_command_trains_and_its_run_can_judge(room: Path, tmp_path: Path) -> None:
    sizes = ["--pairs", "16", "--epochs", "1", "--batch", "4", "--evaluation-pairs", "12"]
    flags = [*sizes, "--promotion", "always", "--name", "first", "--json"]
    environment = {**os.environ, "MASKGROUP_DB": str(tmp_path / "labels.db")}
    command = [sys.executable, "-m", "ui", "train", str(room), *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["status"], report["tuned"], report["promoted"]) == ("done", "first", True)
    assert report["counts"]["training"] == 16
    folder = Path(report["folder"])
    assert {"dataset.json", "samples.png", "verdict.json", "events.jsonl"} <= {path.name for path in folder.iterdir()}
    card = (folder / "adapter" / "README.md").read_text()
    assert report["data_hash"] in card
    assert str(room) not in card

    registry = Registry(RunStore(open_database(str(tmp_path / "labels.db"))), tmp_path / "runs")
    source = registry.resolve("tuned")
    assert (source.kind, source.name, source.base) == ("run", "first", BUNDLED_MODEL)
    assert load_judge(source).name == "first"
    export_adapter(folder, tmp_path / "out")
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= {p.name for p in (tmp_path / "out").iterdir()}
    with pytest.raises(RunError, match="holds something already"):
        export_adapter(folder, tmp_path / "out")
    merged = export_merged(folder, tmp_path / "merged")
    assert load_judge(str(merged)).name == "merged"
    with pytest.raises(RunError, match="tuned model now"):
        registry.delete("first")
    assert registry.roll_back() is None
    registry.delete("first")
    assert not folder.exists()
    assert registry.list() == []


def test_killed_worker_is_found_and_its_run_resumed(registry: Registry, room: Path) -> None:
    run = registry.start(TrainConfig(scenes=(str(room),), checkpoint_every=1, **{**QUICK, "epochs": 40}), [], name="long")
    checkpoints = registry.folder("long") / "checkpoints"
    wait_for(registry, "long", lambda run: is_over(run) or any(checkpoints.glob("step-*")))
    pid = worker_state(registry.folder("long")).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    dead = wait_for(registry, "long", is_over)
    assert dead.status == "failed"
    assert "killed" in (dead.note or "")
    assert active_of(registry.list()) is None

    # What the app would find after a restart: another registry on the same files.
    again = Registry(RunStore(open_database(str(registry.runs_dir.parent / "labels.db"))), registry.runs_dir)
    again.resume("long")
    wait_for(again, "long", lambda run: is_over(run) or any("going on from step" in e.text for e in again.events("long")))
    again.cancel("long")
    stopped = wait_for(again, "long", is_over)
    assert stopped.status == "cancelled"
    assert any(checkpoints.glob("step-*"))
    assert run.id == stopped.id


def test_second_training_waits_and_a_waiting_one_can_be_cancelled(registry: Registry, room: Path) -> None:
    registry.start(TrainConfig(scenes=(str(room),), **{**QUICK, "epochs": 40}), [], name="one")
    wait_for(registry, "one", lambda run: run.status == "running")
    registry.start(TrainConfig(scenes=(str(room),), **QUICK), [], name="two")
    assert registry.get("two").status == "queued"
    active = active_of(registry.list())
    assert active is not None
    assert active.name == "one"
    with pytest.raises(RunError, match="cancel it first"):
        registry.delete("one")
    registry.cancel("two")
    assert wait_for(registry, "two", is_over).status == "cancelled"
    assert registry.get("one").status == "running"
    registry.cancel("one")
    assert wait_for(registry, "one", is_over).status == "cancelled"
    with pytest.raises(ModelError, match="was not finished"):
        registry.resolve("one")


def test_wrong_input_is_said_and_marks_the_run_failed(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    registry.start(TrainConfig(scenes=(str(tmp_path / "nothing"),), **QUICK), [], name="bad")
    failed = wait_for(registry, "bad", is_over)
    assert failed.status == "failed"
    assert str(tmp_path / "nothing") in (failed.note or "")
    with pytest.raises(RunError, match="already"):
        registry.create(TrainConfig(scenes=("x",)), [], name="bad")


def test_history_of_promotions(registry: Registry) -> None:
    for name in ("a", "b"):
        registry.create(TrainConfig(scenes=("x",)), [], name=name)
        with pytest.raises(RunError, match="no adapter"):
            registry.promote(name)
        adapter = registry.folder(name) / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text("{}")
        EventWriter(registry.folder(name)).write("end", "done", outcome="done")
        registry.promote(name)
    assert registry.tuned() == "b"
    assert registry.roll_back() == "a"
    registry.promote("b")
    registry.delete("a")
    assert registry.roll_back() is None
    with pytest.raises(RunError, match="nothing to roll back"):
        registry.roll_back()


def test_cancel_flag_of_a_run_without_process_harms_nothing(registry: Registry) -> None:
    registry.create(TrainConfig(scenes=("x",)), [], name="idle")
    request_cancel(registry.folder("idle"))
    assert worker_state(registry.folder("idle")).life == "none"


@pytest.mark.parametrize(
    ("fixed", "broken", "recall", "rule", "is_promoted"),
    [
        (30, 5, 0.0, "mcnemar", True),
        (6, 5, 0.0, "mcnemar", False),
        (30, 5, -0.05, "mcnemar", False),
        (30, 5, 0.0, "interval", True),
        (5, 30, 0.0, "interval", False),
        (5, 30, -0.5, "always", True),
        (30, 5, 0.0, "never", False),
    ],
)
def test_promotion_rules(fixed: int, broken: int, recall: float, rule: str, is_promoted: bool) -> None:
    from engine.evaluation.comparison.paired import MetricDifference, SceneComparison, mcnemar
    from engine.evaluation.metrics import Estimate

    gain = (fixed - broken) / 200
    metrics = {
        "accuracy": MetricDifference(0.7, 0.7 + gain, Estimate(gain, gain - 0.05, gain + 0.05)),
        "recall": MetricDifference(0.9, 0.9 + recall, Estimate(recall, None, None)),
    }
    found = SceneComparison("all", 200, 0, 0, metrics, mcnemar(fixed, broken), (), (), ())
    decision = decide(found, TrainConfig(scenes=("x",), promotion=rule))  # type: ignore[arg-type]
    assert decision.is_promoted == is_promoted
    assert decision.reason.endswith(".")
