"""Tests see a GPU only where they are chosen for it."""

from __future__ import annotations

import pytest

import tests.conftest
import tests.hidden_gpu
from tests.hidden_gpu import chooses_gpu

pytest_plugins = ["pytester"]

LOOKING = """
import os, subprocess, sys
import pytest

def seen():
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()

def test_plain():
    assert (os.environ.get("CUDA_VISIBLE_DEVICES"), seen()) == ("", "")

@pytest.mark.gpu
def test_on_a_gpu():
    assert (os.environ.get("CUDA_VISIBLE_DEVICES"), seen()) == ("0,1", "0,1")
"""


def test_this_project_uses_it() -> None:
    assert tests.conftest.pytest_configure is tests.hidden_gpu.pytest_configure


@pytest.mark.parametrize(
    ("marks", "is_chosen"),
    [
        ("gpu", True),
        ("gpu and not soak", True),
        ("gpu or browser", True),
        ("(gpu)", True),
        ("", False),
        ("not soak", False),
        ("not gpu", False),
        ("soak", False),
        ("browser", False),
        ("not soak and not gpu", False),
        ("gpu or not soak", False),
    ],
)
def test_which_choices_are_for_the_gpu(marks: str, is_chosen: bool) -> None:
    assert chooses_gpu(marks) == is_chosen


@pytest.mark.parametrize(("marks", "passed", "failed"), [("gpu", 1, 0), ("not gpu", 1, 0), ("not soak", 1, 1), ("", 1, 1)])
def test_what_tests_and_their_processes_see(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, marks: str, passed: int, failed: int
) -> None:
    """Where GPU tests run among others, the GPU stays hidden: the one that needs it fails here, and is skipped in this project."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    pytester.makeini("[pytest]\nmarkers =\n    gpu\n    soak\n")
    pytester.makeconftest("from tests.hidden_gpu import pytest_configure as pytest_configure\n")
    pytester.makepyfile(test_looking=LOOKING)
    pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-m", marks).assert_outcomes(
        passed=passed, failed=failed, deselected=2 - passed - failed
    )
