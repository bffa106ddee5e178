"""The comparison that overlooks rounding overlooks nothing else."""

from __future__ import annotations

import pytest

from tests.rounding import ROUNDING, but_rounding

SAID = {"ece": 0.05232755140, "pairs": 120, "flips": [{"p": 0.25, "view": "1"}], "none": None, "is_same": True}


def test_rounding_is_overlooked() -> None:
    assert but_rounding(SAID) == {**SAID, "ece": 0.05232755948, "flips": [{"p": 0.25 - ROUNDING / 2, "view": "1"}]}


@pytest.mark.parametrize(
    "change",
    [
        {"ece": 0.0533},
        {"pairs": 121},
        {"flips": []},
        {"flips": [{"p": 0.25, "view": "2"}]},
        {"flips": [{"p": 0.26, "view": "1"}]},
        {"none": 0},
        {"ece": None},
        {"more": 1},
    ],
)
def test_all_else_is_not(change: dict[str, object]) -> None:
    assert {**SAID, **change} != but_rounding(SAID)
