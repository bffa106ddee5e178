"""A run of tests says at its end what it skipped and why."""

from __future__ import annotations

import pytest

import tests.conftest
import tests.not_tested

pytest_plugins = ["pytester"]

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


def run(pytester: pytest.Pytester, *args: str) -> str:
    """Run a file of tests with this project's summary; returns what is printed."""
    # Only the hook: the project's fixtures have nothing to do here.
    pytester.makeconftest("from tests.not_tested import pytest_terminal_summary as pytest_terminal_summary\n")
    pytester.makepyfile(test_skipping=SKIPPING)
    return "\n".join(pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", *args).outlines)


def test_this_project_uses_it() -> None:
    assert tests.conftest.pytest_terminal_summary is tests.not_tested.pytest_terminal_summary


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.soak)])
def test_skipped_tests_are_listed_by_reason(pytester: pytest.Pytester, workers: str) -> None:
    said = run(pytester, "-n", workers)
    assert "not tested" in said
    assert "3 skipped: there is no moon tonight\n    3 in test_skipping.py\n" in said
    assert "1 skipped: there is no sun\n    1 in test_skipping.py\n" in said


def test_tests_left_out_are_counted(pytester: pytest.Pytester) -> None:
    assert "3 left out by the choice of tests" in run(pytester, "-k", "not moon")


def test_nothing_is_said_where_everything_ran(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_skipping="def test_that_passes(): pass")
    pytester.makeconftest("from tests.not_tested import pytest_terminal_summary as pytest_terminal_summary\n")
    assert "not tested" not in "\n".join(pytester.runpytest_inprocess("-q").outlines)
