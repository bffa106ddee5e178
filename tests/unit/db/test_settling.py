"""What a pair counts as when several people labelled it: gold, majority, latest; gold stands beside ordinary labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.audit import audit
from db.labels.choices import ChoiceStore
from db.labels.exchange import export_rows, import_rows
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair

pytest_plugins = ["tests.databases"]

PAIR = MaskPair(MaskKey("1", 5), MaskKey("2", 6))


@pytest.fixture
def store(database: str) -> LabelStore:
    return LabelStore(open_database(database))


def say(store: LabelStore, annotator: str, decision: Decision, *, gold: bool = False, pair: MaskPair = PAIR) -> int:
    return store.add(NewLabel(annotator, "room", pair, decision, is_gold=gold)).id


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((("Ada", "same"),), ("same", "majority")),
        ((("Ada", "same"), ("Bob", "different")), ("different", "latest")),
        ((("Ada", "different"), ("Bob", "same"), ("Cleo", "different")), ("different", "majority")),
        ((("Ada", "same"), ("Bob", "unsure"), ("Cleo", "unsure")), ("same", "majority")),
        ((("Ada", "unsure"), ("Bob", "skip")), ("unsure", "majority")),
        ((("Ada", "skip"),), ("skip", "majority")),
    ],
)
def test_majority_then_latest(tmp_path: Path, said: tuple[tuple[str, Decision], ...], expected: tuple[str, str]) -> None:
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    for number, (annotator, decision) in enumerate(said):
        say(store, annotator, decision, pair=PAIR if number % 2 else PAIR.swapped())
    (settled,) = store.settled("room")
    assert (settled.decision, settled.basis) == expected
    assert settled.label.decision == settled.decision


def test_gold_outweighs_all_and_comes_and_goes(store: LabelStore) -> None:
    for name in ("Ada", "Bob", "Cleo"):
        say(store, name, "same")
    gold = say(store, "Ada", "different", gold=True)
    (settled,) = store.settled()
    assert (settled.decision, settled.basis, settled.said) == ("different", "gold", {"same": 3})
    say(store, "Ada", "unsure")
    assert store.settled()[0].basis == "gold", "an ordinary label replaces no gold one"
    store.undo(gold, "Bob")
    assert (store.settled()[0].decision, store.settled()[0].basis) == ("same", "majority")


def test_gold_settles_a_disagreement_and_its_contradiction(store: LabelStore) -> None:
    second, third = MaskPair(MaskKey("2", 6), MaskKey("3", 7)), MaskPair(MaskKey("1", 5), MaskKey("3", 7))
    for pair in (PAIR, second):
        say(store, "Ada", "same", pair=pair)
    say(store, "Ada", "different", pair=third)
    say(store, "Bob", "different")
    report = audit(store.current(), store.history())
    assert (len(report.disagreements), len(report.contradictions)) == (1, 0)
    say(store, "Cleo", "same", gold=True)
    report = audit(store.current(), store.history())
    assert (len(report.disagreements), len(report.contradictions)) == (0, 1)


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_gold_survives_a_file(store: LabelStore, tmp_path: Path, file_format: str) -> None:
    say(store, "Ada", "same")
    say(store, "Ada", "same", gold=True)
    text = "".join(export_rows(store.history(), file_format))
    other = LabelStore(open_database(str(tmp_path / "other.db")))
    assert import_rows(other.database, text, file_format, strict=True).added == 2
    assert other.history() == store.history()


def test_gold_is_no_skip(store: LabelStore) -> None:
    with pytest.raises(LabelError, match="settles a pair"):
        say(store, "Ada", "skip", gold=True)


def test_choices_hold_for_all(store: LabelStore) -> None:
    choices = ChoiceStore(store.database)
    assert choices.number("overlap_share", 0.0) == 0.0
    choices.set_number("overlap_share", 0.2)
    choices.set_number("overlap_share", 0.3)
    assert ChoiceStore(store.database).number("overlap_share", 0.0) == 0.3
