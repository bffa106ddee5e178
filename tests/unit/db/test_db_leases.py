"""A pair is handed to one person at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from db.labels.leases import LeaseStore
from db.labels.rows import pair_key
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import MaskKey, MaskPair

pytest_plugins = ["tests.databases"]

PAIR = MaskPair(MaskKey("2", 5), MaskKey("10", 7))


@pytest.fixture
def leases(database: str) -> Iterator[LeaseStore]:
    engine = open_database(database)
    yield LeaseStore(engine)
    engine.dispose()


def test_pair_is_one_persons_until_given_back(leases: LeaseStore) -> None:
    assert leases.lease_all("room", [PAIR], "Ada", seconds=60)
    assert leases.lease_all("room", [PAIR], "Ada", seconds=60)
    assert not leases.lease_all("room", [PAIR.swapped()], "Bob", seconds=60)
    assert leases.lease_all("hall", [PAIR], "Bob", seconds=60)
    leases.release_all("room", [PAIR], "Bob")
    assert not leases.lease_all("room", [PAIR], "Bob", seconds=60)
    assert leases.taken_keys("room", others_than="Bob") == {pair_key(PAIR)}
    assert leases.taken_keys("room", others_than="Ada") == set()
    leases.release_all("room", [PAIR], "Ada")
    assert leases.lease_all("room", [PAIR], "Bob", seconds=60)


def test_pairs_are_given_back_at_once_and_nobody_elses(database: str) -> None:
    engine = open_database(database)
    leases = LeaseStore(engine)
    pairs = [MaskPair(MaskKey("2", 5), MaskKey("10", number)) for number in range(40)]
    assert leases.lease_all("room", pairs[:30], "Ada", seconds=60) == pairs[:30]
    assert leases.lease_all("room", pairs[30:], "Bob", seconds=60) == pairs[30:]
    assert leases.lease_all("room", pairs[:2], "Ada", seconds=60, among="crew") == pairs[:2]
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    leases.release_all("room", [*pairs[:20], *pairs[30:]], "Ada", among="crew")
    assert len([text for text in statements if text.startswith("DELETE")]) == 1
    assert leases.taken_keys("room", others_than="nobody") == {pair_key(pair) for pair in pairs[20:]}
    statements.clear()
    leases.release_all("room", [], "Ada")
    assert statements == []
    engine.dispose()


def test_lease_that_ran_out_is_free(leases: LeaseStore) -> None:
    assert leases.lease_all("room", [PAIR], "Ada", seconds=-1)
    assert leases.taken_keys("room", others_than="Bob") == set()
    assert leases.lease_all("room", [PAIR], "Bob", seconds=-1)
    assert leases.forget_expired() == 1
    assert leases.forget_expired() == 0


def test_of_many_at_once_one_gets_the_pair(leases: LeaseStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: leases.lease_all("room", [PAIR], f"p{i}", seconds=60), range(16)))
    assert sum(map(len, got)) == 1


def test_nameless_annotator_gets_none(leases: LeaseStore) -> None:
    with pytest.raises(LabelError, match="1 to 80"):
        leases.lease_all("room", [PAIR], "", seconds=60)
