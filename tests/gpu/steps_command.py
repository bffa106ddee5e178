"""`maskgroup train` as a person types it: from a scene's folder to an adapter that was measured before and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

from tests.gpu.measuring import seconds
from tests.gpu.step import Figures, Missing, Setting
from tests.training_room import write_training_room

NEEDED = ("sqlmodel", "alembic", "typer", "embreex")
TINY = ("--pairs", "4", "--epochs", "1", "--evaluation-pairs", "4", "--rank", "2", "--batch", "4", "--language-only")
USUAL = ("--pairs", "120", "--epochs", "1", "--evaluation-pairs", "60")


def run_train_command(setting: Setting) -> Figures:
    """Train the bundled model on a room from a seed; returns the run's accuracy before and after, and how long it took."""
    if missing := [package for package in NEEDED if find_spec(package) is None]:
        raise Missing(f"{missing[0]} is not installed")
    room = write_training_room(setting.folder / "scenes")
    command = [sys.executable, "-m", "ui", "train", str(room), "--name", "proved", "--device", setting.device, "--no-labels"]
    command += ["--promotion", "never", "--json", *(TINY if setting.tiny else USUAL)]
    environment = {**os.environ, "MASKGROUP_DB": str(setting.folder / "labels.db"), "XDG_DATA_HOME": str(setting.folder)}
    printed: list[str] = []

    def train() -> None:
        printed.append(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)

    took = seconds(train)
    verdict = json.loads(printed[0])
    accuracy = verdict["metrics"]["accuracy"]
    return {
        "device": setting.device,
        "status": verdict["status"],
        "frozen_pairs": verdict["pairs"],
        "accuracy_before": accuracy["before"],
        "accuracy_after": accuracy["after"],
        "seconds": took,
        "training_seconds": verdict["seconds"],
    }
