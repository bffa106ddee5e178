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
    assert imported_by("ui.cli", SLOW) == []


def test_pages_are_built_without_what_models_and_figures_need() -> None:
    """PyTorch and its kin take longer to import than all else: they come once the server answers, in the background."""
    assert imported_by("ui.app", tuple(name for name in SLOW if name != "gradio")) == []


def imported_by(module: str, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that are imported together with a module."""
    asked = f"import sys, {module}; print(*(name for name in {names} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout.split()


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = run_command("--help").out.split()
    assert [name for name in COMMANDS if name not in shown] == []
