"""Trainings that are started at once all get names, each its own, whoever starts them."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import RunError
from finetune.config import CONFIG_FILE, TrainConfig
from finetune.runs.registry import Registry

CONFIG = TrainConfig(scenes=("small",))
CREATOR = """
import sys
from pathlib import Path
from db.runs import RunStore
from db.schema.session import open_database
from finetune.runs.registry import Registry
from finetune.config import TrainConfig
registry = Registry(RunStore(open_database(sys.argv[1])), Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    print(registry.create(TrainConfig(scenes=("small",)), []).name, flush=True)
"""


def open_registry(folder: Path) -> Registry:
    return Registry(RunStore(open_database(str(folder / "labels.db"))), folder / "runs")


def test_threads_that_start_unnamed_trainings_at_once_all_get_a_name(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    together = threading.Barrier(8)

    def create(_: int) -> str:
        together.wait()
        return registry.create(CONFIG, []).name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(create, range(8)))
    assert sorted(names) == [f"run-{number}" for number in range(1, 9)]
    assert {run.name for run in RunStore(open_database(str(tmp_path / "labels.db"))).list("training")} == set(names)
    assert all((registry.folder(name) / CONFIG_FILE).is_file() for name in names)


def test_processes_that_start_unnamed_trainings_at_once_all_get_a_name(tmp_path: Path) -> None:
    open_registry(tmp_path)
    command = [sys.executable, "-c", CREATOR, str(tmp_path / "labels.db"), str(tmp_path / "runs")]
    creators = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for creator in creators:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write("\n")
        creator.stdin.flush()
    names = [name for creator in creators for name in creator.communicate(timeout=300)[0].split()]
    assert [creator.returncode for creator in creators] == [0, 0]
    assert sorted(names, key=lambda name: int(name[4:])) == [f"run-{number}" for number in range(1, 11)]


def test_of_many_who_want_one_name_one_gets_it(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    together = threading.Barrier(6)

    def create(_: int) -> str:
        together.wait()
        try:
            return registry.create(CONFIG, [], name="mine").name
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(create, range(6)))
    assert told.count("mine") == 1
    assert all("already; give another name" in words for words in told if words != "mine")
    assert (registry.folder("mine") / CONFIG_FILE).is_file()


def test_a_row_or_folder_without_the_other_keeps_its_name(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    RunStore(open_database(str(tmp_path / "labels.db"))).add("training", "run-2", config=CONFIG.to_json())
    assert registry.create(CONFIG, []).name == "run-3"
    with pytest.raises(RunError, match="already"):
        registry.create(CONFIG, [], name="run-2")
    assert not (tmp_path / "runs" / "run-2").exists(), "the refusal leaves no folder behind"
