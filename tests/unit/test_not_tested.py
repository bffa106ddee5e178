"""A run of tests says at its end what it skipped and why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tests.conftest

SKIPPING = """
import pytest

def test_that_passes():
    pass

@pytest.mark.parametrize("i", range(3))
def test_that_needs_a_moon(i):
    pytest.skip("there is no moon tonight")

@pytest.mark.skipif(True, reason="there is no sun")
def test_that_needs_a_sun():
    pass
"""


def run(folder: Path, *args: str) -> str:
    """Run the tests of a folder with this project's summary."""
    # Only the hook: the project's fixtures have nothing to do here.
    (folder / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary as pytest_terminal_summary\n")
    (folder / "test_skipping.py").write_text(SKIPPING)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -q\n")
    root = str(Path(tests.conftest.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
        cwd=folder,
    )
    return done.stdout


def test_skipped_tests_are_listed_by_reason(tmp_path: Path) -> None:
    for args in ((), ("-n", "2")):
        said = run(tmp_path, *args)
        assert "not tested" in said
        assert "3 skipped: there is no moon tonight\n    3 in test_skipping.py\n" in said
        assert "1 skipped: there is no sun\n    1 in test_skipping.py\n" in said


def test_tests_left_out_are_counted(tmp_path: Path) -> None:
    assert "3 left out by the choice of tests" in run(tmp_path, "-k", "not moon")
