"""A small sample of tests/fuzz; all of it: make fuzz."""

from __future__ import annotations

import pytest

from tests.fuzz.run import run_reader
from tests.fuzz.whole_scenes import READERS


@pytest.mark.parametrize("reader", READERS)
def test_broken_folders_are_read_or_refused(reader: str) -> None:
    found = run_reader(reader, 25, seed=1)
    wrong = [(number, done, outcome) for number, done, outcome in found if outcome.ending not in ("read", "refused")]
    assert wrong == []
    assert {outcome.ending for _, _, outcome in found} >= {"read"}
