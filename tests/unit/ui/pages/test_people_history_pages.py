"""The People and History pages' handlers on a tiny room and a real database, without Gradio."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from db.labels.search import Filter, names_in_use, search
from db.labels.store import LabelStore, NewLabel, ShownVerdict
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, write_tiny_room
from ui.pages.history import handlers as history
from ui.pages.people import handlers as people
from ui.pages.review import handlers as review
from ui.services.grouping_runs import GroupingRuns
from ui.services.review_service import ReviewService
from ui.services.workbench import Workbench

RED = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", RED_BOX))
MIXED = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", BLUE_BOX))

pytest_plugins = ["tests.databases"]


def unused_judge() -> None:
    raise AssertionError("these pages ask no judge")


@pytest.fixture
def service(tmp_path: Path) -> ReviewService:
    write_tiny_room(tmp_path / "scenes")
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    bench = Workbench(tmp_path / "scenes", store, unused_judge)  # type: ignore[arg-type]
    return ReviewService(bench, GroupingRuns(bench))


def say(service: ReviewService, annotator: str, pair: MaskPair, decision: Decision, *, scene: str = NAME) -> int:
    return service.bench.labels.add(NewLabel(annotator, scene, pair, decision, seconds=2.0)).id


def test_disagreement_is_shown_and_settled_by_gold(service: ReviewService) -> None:
    service.evidence.wait(NAME)
    say(service, "Ada", RED, "same")
    say(service, "<b>Bob", RED.swapped(), "different")
    number, key, shown = people.show_disagreement(service, 5)
    assert number == 0
    assert "&lt;b&gt;Bob" in shown
    assert "<b>Bob" not in shown
    assert str(RED_BOX) not in shown + key
    effect = people.settle(service, key, "same", annotator="Cleo")
    assert "group" in effect
    assert people.disagreements(service) == []
    assert service.bench.labels.settled(NAME)[0].basis == "gold"
    table, _, between, *_ = people.show_page(service, 0)
    rows = {row[0]: row for row in table}
    assert (rows["Ada"][4:], rows["<b>Bob"][4:]) == (["1", "100%", "0"], ["1", "0%", "0"])
    assert between == [["<b>Bob", "Ada", "1", "0%", "0.00"]]
    with pytest.raises(LabelError, match="no disagreement"):
        people.settle(service, key, "same", annotator="Cleo")


def test_gold_goes_to_the_pair_that_was_shown_or_to_none(service: ReviewService) -> None:
    service.evidence.wait(NAME)
    for pair in (RED, MIXED):
        say(service, "Ada", pair, "same")
        say(service, "Bob", pair, "different")
    _, first, _ = people.show_disagreement(service, 0)
    _, second, _ = people.show_disagreement(service, 1)
    # Somebody else settles the pair on screen: the list shrinks, and the other pair, which nobody has seen, takes its place.
    people.settle(service, first, "same", annotator="Cleo")
    for key in (first, "", "x", "-1", "99999999"):
        with pytest.raises(LabelError, match="settled meanwhile"):
            people.settle(service, key, "different", annotator="Dan")
    assert [found.pair for found in people.disagreements(service)] == [MIXED.canonical()]
    # Labels that came since then do not matter, in whatever order they name the masks.
    say(service, "Eve", MIXED.swapped(), "same")
    people.settle(service, second, "different", annotator="Dan")
    gold = [(label.pair, label.decision) for label in service.bench.labels.current(NAME) if label.is_gold]
    assert gold == [(RED.canonical(), "same"), (MIXED.canonical(), "different")]


def test_the_page_reads_the_labels_once(service: ReviewService, monkeypatch: pytest.MonkeyPatch) -> None:
    say(service, "Ada", RED, "same")
    say(service, "Bob", RED, "different")
    reads: list[str] = []
    for name in ("current", "get"):
        read = getattr(service.bench.labels, name)
        monkeypatch.setattr(service.bench.labels, name, lambda *given, read=read, name=name: (reads.append(name), read(*given))[1])
    *_, shown = people.show_page(service, 0)
    assert "Ada" in shown
    assert reads == ["current"]


def test_what_people_are_told_is_shown_to_all_as_text(service: ReviewService) -> None:
    assert people.instructions(service) == review.show_instructions(service) == ""
    people.set_instructions(service, "  Drawers are <b>one</b> object.\nSo are doors.  ")
    assert people.instructions(service) == "Drawers are <b>one</b> object.\nSo are doors."
    assert "Drawers are &lt;b&gt;one&lt;/b&gt; object.\nSo are doors." in review.show_instructions(service)
    with pytest.raises(LabelError, match="instructions"):
        people.set_instructions(service, "x" * 2001)
    people.set_instructions(service, " ")
    assert review.show_instructions(service) == ""
    service.choices.set_number("instructions", 3)
    with pytest.raises(LabelError, match="no text"):
        people.instructions(service)


def test_overlap_share_holds_for_all(service: ReviewService) -> None:
    people.set_overlap_share(service, 30)
    assert people.overlap_share(service) == 30
    with pytest.raises(LabelError, match="0 to 100"):
        people.set_overlap_share(service, 101)


def test_history_finds_and_filters(database: str) -> None:
    store = LabelStore(open_database(database))
    first = store.add(NewLabel("Ada", "room_1", RED, "same"))
    second = store.add(NewLabel("Ada", "room_1", RED, "different", queue="impact"))
    other = store.add(NewLabel("Bob", "hall", MIXED, "skip"))

    def found(**wanted: object) -> list[int]:
        return [entry.label.id for entry in search(store.database, Filter(**wanted))]  # type: ignore[arg-type]

    assert found() == [other.id, second.id, first.id]
    assert found(only_counting=True) == [other.id, second.id]
    assert found(scene="hall") == found(annotator="Bob") == found(decision="skip") == [other.id]
    assert found(text="IMPACT") == [second.id]
    assert found(text="room_") == [second.id, first.id]
    assert found(text="%") == []
    assert found(text=str(first.id), scene="room_1", limit=1, decision="same") == [first.id]
    assert [entry.counts for entry in search(store.database, Filter())] == [True, True, False]
    assert names_in_use(store.database) == (["hall", "room_1"], ["Ada", "Bob"])


def test_changing_ones_mind_keeps_the_row_and_tells_the_effect(service: ReviewService) -> None:
    service.evidence.wait(NAME)
    wrong = say(service, "Ada", RED, "different")
    new, words = history.change(service, wrong, "same", annotator="Ada")
    assert "change their group" in words or "changes its group" in words
    assert [row.id for row in service.bench.labels.history(NAME)] == [wrong, new]
    assert [row.decision for row in service.bench.labels.current(NAME)] == ["same"]
    undone, words = history.change(service, new, None, annotator="Ada")
    assert service.bench.labels.get(undone).undoes == new
    assert [row.decision for row in service.bench.labels.current(NAME)] == ["different"]
    with pytest.raises(LabelError, match="undone before"):
        history.change(service, new, None, annotator="Ada")


def test_details_hold_all_that_was_said_and_links_that_open_it(service: ReviewService) -> None:
    first = say(service, "Ada", RED, "same")
    second = say(service, "<script>", RED.swapped(), "different")
    shown = str(history.details(service, first))
    assert f"row {second}" in shown
    assert "&lt;script&gt;" in shown
    assert str(RED_BOX) not in shown
    told = NewLabel("Eve", NAME, RED, "same", model="<m>", p_same=0.25, beside=(ShownVerdict("two", None, 1.0, 0.0),))
    third = service.bench.labels.add(told).id
    after = history.details(service, third)
    assert "; shown beside it: 25% to the same (&lt;m&gt;), 100% to the same (two)</li>" in after
    assert after.count("shown beside it") == after.count("class='mg-this'") == 1
    links = [part.split("'")[0] for part in shown.replace("&amp;", "&").split("href='")[1:]]
    opened = [
        history.read_address(service.bench, {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()})
        for link in links
    ]
    assert any(address.pair == RED for address in opened)
    assert any(address.scene == NAME and address.pair is None for address in opened)
    assert {address.label for address in opened} >= {first, second}


@pytest.mark.parametrize(
    "query", [{"label": "x"}, {"scene": "nowhere", "a": "0:1", "b": "2:1"}, {"scene": NAME, "a": "0:1", "b": "2:x"}, {}]
)
def test_address_of_what_does_not_exist_opens_the_plain_page(service: ReviewService, query: dict[str, str]) -> None:
    address = history.read_address(service.bench, query)
    assert (address.label, address.pair) == (None, None)


def test_rows_of_scenes_and_masks_that_are_gone_are_still_listed(service: ReviewService) -> None:
    gone = say(service, "Ada", MaskPair(MaskKey("0", 5), MaskKey("99", 6)), "same", scene="gone")
    lost = say(service, "Ada", MaskPair(MaskKey("0", 5), MaskKey("2", RED_BOX)), "same")
    rows = history.table(service.bench, history.find(service, Filter()))
    assert [row[0] for row in rows] == [str(lost), str(gone)]
    assert all("not there now" in row[3] for row in rows)
    assert "not there now" in history.details(service, gone)
