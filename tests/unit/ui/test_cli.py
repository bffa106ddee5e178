"""The command line starts without the packages that take long to import, and lists every command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command_line import run_command

SLOW = ("torch", "transformers", "gradio", "scipy.stats", "sklearn")
COMMANDS = [
    "app",
    "scenes",
    "check",
    "render",
    "group",
    "export",
    "judge",
    "evaluate",
    "compare",
    "ablation",
    "agree",
    "reproduce",
    "calibrate",
    "train",
    "doctor",
    "labels",
]


def test_starting_imports_no_slow_package() -> None:
    asked = f"import sys, ui.cli; print(*(name for name in {SLOW} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [], "importing ui.cli imports these"


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = run_command("--help").out.split()
    assert [name for name in COMMANDS if name not in shown] == []
