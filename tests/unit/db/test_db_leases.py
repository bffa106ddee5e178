"""A pair is handed to one person at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

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
    assert leases.lease("room", PAIR, "Ada", seconds=60)
    assert leases.lease("room", PAIR, "Ada", seconds=60)
    assert not leases.lease("room", PAIR.swapped(), "Bob", seconds=60)
    assert leases.lease("hall", PAIR, "Bob", seconds=60)
    leases.release("room", PAIR, "Bob")
    assert not leases.lease("room", PAIR, "Bob", seconds=60)
    assert leases.taken_keys("room", others_than="Bob") == {pair_key(PAIR)}
    assert leases.taken_keys("room", others_than="Ada") == set()
    leases.release("room", PAIR, "Ada")
    assert leases.lease("room", PAIR, "Bob", seconds=60)


def test_lease_that_ran_out_is_free(leases: LeaseStore) -> None:
    assert leases.lease("room", PAIR, "Ada", seconds=-1)
    assert leases.taken_keys("room", others_than="Bob") == set()
    assert leases.lease("room", PAIR, "Bob", seconds=-1)
    assert leases.forget_expired() == 1
    assert leases.forget_expired() == 0


def test_of_many_at_once_one_gets_the_pair(leases: LeaseStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: leases.lease("room", PAIR, f"p{i}", seconds=60), range(16)))
    assert sum(got) == 1


def test_nameless_annotator_gets_none(leases: LeaseStore) -> None:
    with pytest.raises(LabelError, match="1 to 80"):
        leases.lease("room", PAIR, "", seconds=60)
