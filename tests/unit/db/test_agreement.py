"""Agreement of people: Cohen's and Fleiss' kappa against worked examples, speed, agreement with gold."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.agreement import cohen_kappa, fleiss_kappa, measure_agreement
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.types import Decision, MaskKey, MaskPair

FLEISS_1971 = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]
"""Ten subjects, fourteen raters, five categories: the usual worked example, kappa 0.210."""


def test_fleiss_gives_the_published_figure() -> None:
    items = [["abcde"[k] for k, count in enumerate(row) for _ in range(count)] for row in FLEISS_1971]
    assert fleiss_kappa(items) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_of_two_raters_each_is_as_computed_by_hand() -> None:
    assert fleiss_kappa([["x", "x"], ["x", "y"], ["y", "y"], ["y", "y"]]) == pytest.approx((0.75 - 34 / 64) / (1 - 34 / 64))


@pytest.mark.parametrize("items", [[], [["x", "x"], ["x", "x", "x"]]])
def test_fleiss_is_not_defined_without_variety(items: list[list[str]]) -> None:
    assert fleiss_kappa(items) is None


def test_cohen_is_as_computed_by_hand() -> None:
    both: list[tuple[Decision, Decision]] = [("same", "same")] * 20 + [("same", "different")] * 5
    both += [("different", "same")] * 10 + [("different", "different")] * 15
    assert cohen_kappa(both) == pytest.approx(0.4)
    assert cohen_kappa([("same", "same")] * 3) is None


def test_people_are_compared_on_what_both_rated(tmp_path: Path) -> None:
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    said: list[tuple[str, int, Decision, float]] = [
        ("Ada", 1, "same", 1.0),
        ("Ada", 2, "different", 3.0),
        ("Ada", 3, "skip", 2.0),
        ("Bob", 1, "same", 4.0),
        ("Bob", 2, "same", 4.0),
        ("Bob", 3, "same", 4.0),
        ("Cleo", 9, "unsure", 5.0),
    ]
    for name, mask, decision, seconds in said:
        pair = MaskPair(MaskKey("1", mask), MaskKey("2", mask))
        store.add(NewLabel(name, "room", pair if name == "Ada" else pair.swapped(), decision, seconds=seconds))
    store.add(NewLabel("Cleo", "room", MaskPair(MaskKey("1", 2), MaskKey("2", 2)), "different", is_gold=True))
    found = measure_agreement(store.current())
    ada, bob, cleo = found.people
    assert (ada.labels, ada.median_s, ada.gold, ada.gold_right) == (3, 2.0, 1, 1)
    assert (bob.gold_share, cleo.gold_share) == (0.0, None)
    (both,) = found.between
    assert (both.first, both.second, both.pairs, both.agreed) == ("Ada", "Bob", 2, 1)
    assert both.kappa == pytest.approx(0.0)
    assert found.fleiss_pairs == 2
