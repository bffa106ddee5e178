"""The Review page's handlers on a tiny room and a real database, without Gradio. The judge is a ruler of colours, not a model."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from db.labels.choices import OVERLAP_SHARE
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.types import MaskKey, MaskPair
from tests.stub_judge import StubJudge
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, write_tiny_room
from ui.pages.review import handlers as page
from ui.services import review_service
from ui.services.grouping_runs import GroupingRuns
from ui.services.review_service import ReviewService, share_of
from ui.services.workbench import Workbench


def make_desk(tmp_path: Path, scenes: Path) -> ReviewService:
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    bench = Workbench(scenes, store, lambda: StubJudge(name="colour"))
    return ReviewService(bench, GroupingRuns(bench))


@pytest.fixture
def service(tmp_path: Path) -> ReviewService:
    write_tiny_room(tmp_path / "scenes")
    made = make_desk(tmp_path, tmp_path / "scenes")
    made.evidence.wait(NAME)
    return made


def wanted(**more: Any) -> dict[str, Any]:
    return {"scene": NAME, "queue": "random", "annotator": "Ada", "session": "one", "count": 8} | more


def cards(service: ReviewService, **more: Any) -> list[dict[str, Any]]:
    got = page.next_cards(service, wanted(**more))
    assert "error" not in got, got
    json.dumps(got)
    return got["cards"]


def unordered(pair: Sequence[Any]) -> frozenset[tuple[Any, Any]]:
    return frozenset([(pair[0], pair[1]), (pair[2], pair[3])])


def truly_same(service: ReviewService, pair: Sequence[Any]) -> bool:
    found = page.read_pair(service.bench, NAME, list(pair))
    return found.a.mask == found.b.mask


def test_cards_are_pairs_of_two_views_and_carry_what_the_page_shows(service: ReviewService) -> None:
    listed = cards(service)
    assert len({unordered(card["pair"]) for card in listed}) == len(listed) > 3
    for card in listed:
        assert card["pair"][0] != card["pair"][2]
        assert card["reason"]
        assert str(RED_BOX) not in json.dumps(card), "ids would give the truth away"


def test_answer_is_stored_with_its_hint_only_where_it_was_shown(service: ReviewService) -> None:
    first, second = cards(service, count=2)
    saw = page.hints(service, wanted(pairs=[first["pair"]]))["verdicts"][0]
    got = page.answer(service, wanted(pair=first["pair"], decision="same", seconds=1.5, saw=saw))
    page.answer(service, wanted(pair=second["pair"], decision="unsure", seconds=None, saw=saw, blind=True))
    assert got["progress"]["total"] == 1
    one, two = service.bench.labels.current(NAME)
    assert (one.id, one.annotator, one.decision, one.seconds, one.model, one.queue) == (
        got["label"],
        "Ada",
        "same",
        1.5,
        "colour",
        "random",
    )
    assert (two.decision, two.model, two.p_same, two.queue) == ("unsure", None, None, "random blind")
    assert page.read_pair(service.bench, NAME, first["pair"]) == one.pair
    assert one.p_same == saw["p_same"] == service.bench.verdict(NAME, one.pair).p_same


def test_undo_gives_the_pair_back(service: ReviewService) -> None:
    (card,) = cards(service, count=1)
    label = page.answer(service, wanted(pair=card["pair"], decision="different"))["label"]
    assert unordered(card["pair"]) not in {unordered(other["pair"]) for other in cards(service)}
    assert page.undo(service, wanted(label=label))["progress"]["total"] == 0
    assert unordered(card["pair"]) in {unordered(other["pair"]) for other in cards(service)}
    assert "undone before" in page.undo(service, wanted(label=label))["error"]


def test_two_pages_never_hold_the_same_pair_also_of_one_person(service: ReviewService) -> None:
    held: dict[str, set[frozenset[Any]]] = {}

    def take(session: str) -> None:
        held[session] = {unordered(card["pair"]) for card in cards(service, session=session, count=2)}

    workers = [threading.Thread(target=take, args=(name,)) for name in ("one", "two", "three")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set.union(*held.values())) == sum(len(pairs) for pairs in held.values()) >= 5


def test_pause_lets_others_have_the_pairs(service: ReviewService) -> None:
    mine = cards(service, count=8)
    left = cards(service, session="two", annotator="Bob")
    assert not {unordered(card["pair"]) for card in mine} & {unordered(card["pair"]) for card in left}
    assert page.pause(service, wanted(avoid=[card["pair"] for card in mine])) == {}
    again = cards(service, session="two", annotator="Bob")
    assert {unordered(card["pair"]) for card in mine} & {unordered(card["pair"]) for card in again}


def test_shared_pairs_go_to_everybody_and_others_to_one(service: ReviewService) -> None:
    service.choices.set_number(OVERLAP_SHARE, 0.5)
    while mine := cards(service):
        for card in mine:
            page.answer(service, wanted(pair=card["pair"], decision="unsure"))
    seen = [
        page.read_pair(service.bench, NAME, card["pair"]).canonical() for card in cards(service, annotator="Bob", session="two")
    ]
    assert seen, "half of the pairs are for everybody"
    assert all(share_of(pair) < 0.5 for pair in seen)


def test_queues_say_what_they_hold_and_shrink(service: ReviewService) -> None:
    before = {state.kind: state for state in service.queues(NAME, annotator="Ada")}
    assert before["random"].count > 3
    assert "tuned model" in page.describe_queue(before["disagreement"])
    (card,) = cards(service, count=1)
    page.answer(service, wanted(pair=card["pair"], decision="same" if truly_same(service, card["pair"]) else "different"))
    after = {state.kind: state for state in service.queues(NAME, annotator="Ada")}
    assert after["random"].count == before["random"].count - 1


def test_labels_change_the_groups_that_queues_go_by(service: ReviewService) -> None:
    before = service.evidence.wait(NAME)
    for card in cards(service):
        page.answer(service, wanted(pair=card["pair"], decision="same" if truly_same(service, card["pair"]) else "different"))
    after = service.evidence.wait(NAME)
    assert after.version > before.version
    assert after.pool.values.is_told.sum() > 3


def test_contradictions_come_as_a_cycle_until_they_are_gone(service: ReviewService) -> None:
    masks = [MaskKey("0", RED_BOX), MaskKey("2", RED_BOX), MaskKey("10", RED_BOX)]
    store = service.bench.labels
    for a, b in ((0, 1), (1, 2)):
        store.add(NewLabel("Ada", NAME, MaskPair(masks[a], masks[b]), "same"))
    store.add(NewLabel("Ada", NAME, MaskPair(masks[0], masks[2]), "different"))
    listed = cards(service, queue="contradictions")
    assert len(listed) == 3
    assert all(len(card["cycle"]) == 3 for card in listed)
    page.answer(service, wanted(queue="contradictions", pair=listed[0]["pair"], decision="same"))
    assert cards(service, queue="contradictions") == []


def test_judge_queues_ask_the_judge_and_hold_what_geometry_denies(tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    made = make_desk(tmp_path, tmp_path / "scenes")
    snapshot = made.evidence.wait(NAME, probe=True)
    assert (~np.isnan(snapshot.pool.p_same)).any()
    assert snapshot.probed[0] == snapshot.probed[1] > 0
    assert "geometry" in {state.kind for state in made.queues(NAME)}


def test_only_one_object(service: ReviewService) -> None:
    values = [value for _, value in service.groups(NAME)]
    blue = f"class:{BLUE_BOX // 1000}"
    assert blue in values
    assert cards(service, only="group:0")
    assert "cannot be narrowed" in page.next_cards(service, wanted(only="group:x; drop"))["error"]


def test_address_puts_its_pair_first(service: ReviewService) -> None:
    card = cards(service)[-1]
    sides = (f"{card['pair'][0]}:{card['pair'][1]}", f"{card['pair'][2]}:{card['pair'][3]}")
    first = page.first_pair(*sides)
    assert cards(service, first=first, session="two")[0]["pair"] == card["pair"]
    assert page.first_pair("no colon", sides[1]) is None


HUGE = 10**30
MALFORMED = [None, [], {}, 5, 1.5, True, HUGE, -1, float("nan"), float("inf"), "x" * 5000, "\0", "\ud800", ["0", 1], {"a": [1]}]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scene": "../etc"}, "no scene"),
        ({"queue": "best"}, "no queue"),
        ({"count": 99}, "1 to 8"),
        ({"count": True}, "whole number"),
        ({"avoid": "all"}, "list of pairs"),
        ({"avoid": [["0", 1]]}, "names no two masks"),
        ({"first": ["0", 1]}, "names no two masks"),
        ({"first": False}, "names no two masks"),
        ({"annotator": 5}, "expected text"),
        ({"blind": 1}, "true or false"),
        ({"only": "group:\u00b2"}, "cannot be narrowed"),
        ({"only": "group:" + "9" * 70}, "cannot be narrowed"),
    ],
)
def test_malformed_requests_get_a_sentence(service: ReviewService, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in page.next_cards(service, wanted(**changes))["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pair": ["0", 1, "0", 1]},
        {"pair": ["0", 99, "2", 1]},
        {"pair": ["0", True, "2", 1]},
        {"pair": ["0", HUGE, "2", 1]},
        {"pair": None},
        {"decision": "maybe"},
        {"decision": None},
        {"seconds": "soon"},
        {"seconds": -1.0},
        {"seconds": 10**400},
        {"saw": {"model": "m", "p_same": 2}},
        {"saw": {"p_same": 0.5}},
        {"saw": "tuned"},
        {"id": "1"},
        {"id": 5},
        {"token": "of another pair"},
    ],
)
def test_malformed_answers_store_nothing(service: ReviewService, changes: dict[str, Any]) -> None:
    (card,) = cards(service, count=1)
    got = page.answer(service, wanted(pair=card["pair"], decision="same") | changes)
    assert got["error"]
    assert "again" not in got, "it would be sent for ever"
    assert service.bench.labels.history() == []


def test_whatever_comes_is_answered_by_an_object_that_json_can_hold(
    service: ReviewService, caplog: pytest.LogCaptureFixture
) -> None:
    """Every field of every request, with every value of the list: none is a mistake of the program."""
    (card,) = cards(service, count=1)
    whole = wanted(
        pair=card["pair"], decision="same", seconds=1.0, pairs=[card["pair"]], label=1, avoid=[], first=None, blind=False
    )
    whole |= {"only": "", "saw": None, "token": card["token"], "id": str(uuid4()), "undoes": str(uuid4())}
    for handler in (page.next_cards, page.hints, page.answer, page.undo, page.pause):
        for value in MALFORMED:
            if not isinstance(value, dict):
                assert "expected an object" in handler(service, value)["error"]
            for name in whole:
                got = handler(service, whole | {name: value})
                json.dumps(got, allow_nan=False).encode()
                assert len(got.get("error", "")) < 1000
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("label", [True, None, HUGE, -1, 0, 1.0, "1", [1], 2**31])
def test_only_a_label_that_is_named_is_taken_back(service: ReviewService, label: Any) -> None:
    (card,) = cards(service, count=1)
    stored = page.answer(service, wanted(pair=card["pair"], decision="same"))["label"]
    assert stored == 1
    assert page.undo(service, wanted(label=label))["error"]
    assert len(service.bench.labels.current()) == 1


def test_an_answer_sent_again_is_stored_once_and_taken_back_by_its_name(service: ReviewService) -> None:
    (card,) = cards(service, count=1)
    answering, undoing = str(uuid4()), str(uuid4())
    request = wanted(pair=card["pair"], token=card["token"], decision="same", id=answering)
    first, again = page.answer(service, request), page.answer(service, request)
    assert (again["label"], again["id"]) == (first["label"], answering)
    taken = [page.undo(service, wanted(undoes=answering, id=undoing)) for _ in range(2)]
    assert taken[0]["label"] == taken[1]["label"]
    assert len(service.bench.labels.history()) == 2
    assert service.bench.labels.current() == []
    assert "never saved" in page.undo(service, wanted(undoes=str(uuid4()), id=str(uuid4())))["error"]


def test_a_database_that_cannot_be_written_is_asked_again(service: ReviewService) -> None:
    (card,) = cards(service, count=1)
    request = wanted(pair=card["pair"], decision="same", id=str(uuid4()))
    with service.bench.labels.database.begin() as connection:
        connection.execute(text("CREATE TRIGGER full BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'disk full'); END"))
    assert page.answer(service, request)["again"]
    with service.bench.labels.database.begin() as connection:
        connection.execute(text("DROP TRIGGER full"))
    assert page.answer(service, request)["label"] == 1


def test_a_number_that_names_another_mask_by_now_is_refused(tmp_path: Path, service: ReviewService) -> None:
    card = next(card for card in cards(service) if card["pair"][1] != card["pair"][3])
    request = wanted(pair=card["pair"], token=card["token"], decision="same", id=str(uuid4()))
    labels = tmp_path / "scenes" / "ground_truth" / f"{NAME}.txt"
    swapped = {str(RED_BOX): str(BLUE_BOX), str(BLUE_BOX): str(RED_BOX)}
    labels.write_text("\n".join(swapped.get(line, line) for line in labels.read_text().split("\n")))
    later = make_desk(tmp_path, tmp_path / "scenes")
    assert "not those that the page showed" in page.answer(later, request)["error"]
    assert later.bench.labels.history() == []


def test_leases_are_a_pages_whatever_name_it_goes_by(service: ReviewService) -> None:
    # Everybody keeps the default name; one forges the holder that names and sessions made once.
    people = [{"annotator": "me", "session": session} for session in ("one", "two", "me#one", "")]
    held = [{unordered(card["pair"]) for card in cards(service, count=1, **person)} for person in people]
    assert len(set.union(*held)) == len(people)
    page.pause(service, wanted(annotator="me", session="", avoid=[list(sum(sorted(pair), ())) for pair in held[0]]))
    assert not held[0] & {unordered(card["pair"]) for card in cards(service, annotator="me", session="two")}


def test_without_a_session_each_request_is_a_page_of_its_own(service: ReviewService) -> None:
    got = [page.next_cards(service, wanted(session="", count=1)) for _ in range(2)]
    assert got[0]["session"] != got[1]["session"]
    assert got[0]["cards"][0]["pair"] != got[1]["cards"][0]["pair"]
    again = page.next_cards(service, wanted(session=got[0]["session"], count=1))
    assert again["cards"][0]["pair"] == got[0]["cards"][0]["pair"]


def test_pairs_for_everybody_go_to_one_page_of_a_name(service: ReviewService) -> None:
    service.choices.set_number(OVERLAP_SHARE, 1.0)
    one, two = ({unordered(card["pair"]) for card in cards(service, session=session, count=2)} for session in ("one", "two"))
    other = {unordered(card["pair"]) for card in cards(service, session="three", annotator="Bob", count=2)}
    assert not one & two
    assert other == one, "another person gets them too"


def test_leases_that_ran_out_are_cleared(service: ReviewService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_service, "LEASE_S", -1.0)
    cards(service, count=2)
    monkeypatch.setattr(review_service, "LEASE_S", 60.0)
    monkeypatch.setattr(review_service, "CLEAR_S", 0.0)
    cards(service, session="two", count=1)
    with service.bench.labels.database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM leases")) == 1


def test_stale_labels_are_counted_and_stop_nothing(tmp_path: Path, service: ReviewService) -> None:
    store = service.bench.labels
    store.add(NewLabel("Ada", NAME, MaskPair(MaskKey("77", RED_BOX), MaskKey("2", RED_BOX)), "same"))
    store.add(NewLabel("Ada", NAME, MaskPair(MaskKey("77", RED_BOX), MaskKey("10", 9999)), "same"))
    store.add(NewLabel("Ada", NAME, MaskPair(MaskKey("2", RED_BOX), MaskKey("10", 9999)), "different"))
    store.add(NewLabel("Ada", "gone", MaskPair(MaskKey("2", RED_BOX), MaskKey("10", 9999)), "different"))
    got = page.next_cards(service, wanted())
    assert got["stale"] == 3
    assert got["cards"]
    assert page.next_cards(service, wanted(queue="contradictions"))["cards"] == []
    assert page.next_cards(service, wanted(avoid=[["77", 1, "2", 1]]))["cards"]


def test_pictures_show_the_mask(service: ReviewService) -> None:
    sizes = {}
    for kind in page.KINDS:
        picture = np.asarray(Image.open(io.BytesIO(page.draw_picture(service.bench, NAME, "0", 1, kind=kind, side=0))))
        sizes[kind] = picture.shape
        if kind == "alone":
            mask = service.bench.mask_by_number(NAME, "0", 1)
            outside = service.bench.frame(NAME, "0").instance_map != mask
            assert picture[outside].mean() < 20 < picture[~outside].mean()
    assert max(sizes["crop"][:2]) == page.CROP_PX
    assert sizes["view"] == sizes["alone"]


def test_first_pairs_do_not_wait_for_the_queue(tmp_path: Path) -> None:
    made = make_desk(tmp_path, SCENES_DIR)
    got = page.next_cards(made, {"scene": "sh3d_living", "queue": "impact", "annotator": "Ada", "session": "one", "blind": True})
    assert got["cards"], got


def test_one_request_asks_the_database_once_for_what_it_needs_once(service: ReviewService, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    stores: tuple[tuple[Any, str], ...] = (
        (service.bench.labels, "newest_id"),
        (service.bench.labels, "people_by_pair"),
        (service.bench.labels, "current"),
        (service.choices, "number"),
    )

    def counting(ask: Any, name: str) -> Any:
        def counted(*given: Any) -> Any:
            asked.append(name)
            return ask(*given)

        return counted

    for store, name in stores:
        monkeypatch.setattr(store, name, counting(getattr(store, name), name))
    assert cards(service, count=2)
    # The newest row is asked for once more after the pairs were leased: another process may have labelled one meanwhile.
    assert sorted(asked) == ["newest_id", "newest_id", "number", "people_by_pair"]
    # A tick of the page: the contradictions are looked for once until somebody labels, and the groups until others are found.
    asked.clear()
    for _ in range(3):
        service.queues(NAME)
    assert asked.count("current") == 1
    assert "people_by_pair" not in asked
    listed = service.groups(NAME)
    assert service.groups(NAME) is listed
    page.answer(service, wanted(pair=cards(service, count=1, session="two")[0]["pair"], decision="same"))
    service.evidence.wait(NAME)
    asked.clear()
    service.queues(NAME)
    assert asked.count("current") == asked.count("people_by_pair") == 1
    assert service.groups(NAME) is not listed


def test_a_pair_that_another_process_labelled_meanwhile_is_not_handed_out(
    service: ReviewService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that everybody gets once: the same person may have answered it elsewhere."""
    for share in (0.0, 1.0):
        service.choices.set_number(OVERLAP_SHARE, share)
        first = cards(service, count=1, session=f"look {share}")[0]["pair"]
        page.pause(service, wanted(session=f"look {share}", avoid=[first]))
        lease_all = service.leases.lease_all

        def late(*given: Any, first: list[Any] = first, lease_all: Any = lease_all, **more: Any) -> Any:
            pair = page.read_pair(service.bench, NAME, first)
            LabelStore(service.bench.labels.database).add(NewLabel("Ada", NAME, pair, "same"))
            return lease_all(*given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(service.leases, "lease_all", late)
            got = cards(service, count=1, session=f"take {share}")
        assert unordered(got[0]["pair"]) != unordered(first)
        assert page.pause(service, wanted(session=f"take {share}", avoid=[card["pair"] for card in got])) == {}
