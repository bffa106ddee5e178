"""History and People in a real browser while answers are slow: what one says is said of what one sees."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.labels.choices import OVERLAP_SHARE, ChoiceStore
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.types import Decision, MaskKey, MaskPair
from tests.browser.app_process import WAIT_MS, running_app
from tests.browser.held_answers import sent_late
from tests.browser.watched_page import watched_page
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, VIEWS, write_tiny_room

pytestmark = pytest.mark.browser

SETTLES_MS = 1_000
BOXES = [MaskKey(view, box) for box in (RED_BOX, BLUE_BOX) for view in VIEWS]
PAIRS = [MaskPair(a, b) for i, a in enumerate(BOXES) for b in BOXES[i + 1 :]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LabelStore:
    return LabelStore(open_database(str(tmp_path_factory.mktemp("history") / "labels.db")))


@pytest.fixture(scope="module")
def app(store: LabelStore) -> Iterator[str]:
    database = Path(store.database.url.database or "")
    write_tiny_room(database.parent / "scenes")
    with running_app(database, "--scenes", str(database.parent / "scenes")) as address:
        yield address


def say(store: LabelStore, who: str, pair: MaskPair, decision: Decision) -> int:
    return store.add(NewLabel(who, NAME, pair, decision)).id


def open_page(chromium: Browser, address: str) -> Page:
    page = watched_page(chromium)
    page.goto(address)
    return page


def click_row(page: Page, number: int) -> None:
    page.locator("#mg-history").get_by_role("gridcell", name=str(number), exact=True).first.click()


def test_a_change_is_of_the_row_on_screen(chromium: Browser, app: str, store: LabelStore) -> None:
    first, second, third = (say(store, "me", pair, "same") for pair in PAIRS[:3])
    page = open_page(chromium, f"{app}/?tab=history&label={first}")
    details, differ = page.locator("#mg-history-details"), page.locator("#mg-history-different")
    expect(details).to_contain_text(f"row {first}:")
    expect(page.locator("#mg-history").get_by_role("gridcell", name=str(third), exact=True).first).to_be_visible()
    expect(differ).to_be_enabled()
    with sent_late(page) as late:
        click_row(page, second)
        expect(differ).to_be_disabled()
        click_row(page, third)
        page.wait_for_function("window.lateCalls.waiting.length === 2")
    late.send_one()
    expect(details).to_contain_text(f"row {second}:")
    # The last click counts: nothing can be said of the row in between.
    page.wait_for_timeout(SETTLES_MS)
    assert differ.is_disabled()
    late.send_one()
    expect(details).to_contain_text(f"row {third}:")
    expect(differ).to_be_enabled()
    differ.click()
    expect(page.locator("#mg-history-changed")).to_contain_text("written")
    (new,) = [row for row in store.history(NAME) if row.id > third]
    assert (new.pair.canonical(), new.decision) == (PAIRS[2].canonical(), "different")
    expect(details).to_contain_text(f"row {new.id}:")
    expect(page.locator("#mg-history")).to_contain_text(str(new.id))
    assert page.problems == []  # type: ignore[attr-defined]


def test_rows_are_those_of_the_last_filter(chromium: Browser, app: str, store: LabelStore) -> None:
    said: list[tuple[str, Decision]] = [("fay", "unsure"), ("gus", "same"), ("gus", "unsure")]
    for who, decision in said:
        say(store, who, PAIRS[3], decision)
    page = open_page(chromium, f"{app}/?tab=history")
    rows = page.locator("#mg-history")
    expect(rows).to_contain_text("fay")
    with sent_late(page) as late:
        for chooser, option in (("person", "fay"), ("person", "gus"), ("decision", "not sure")):
            page.locator(f"#mg-history-{chooser} input").click()
            page.get_by_role("option", name=option, exact=True).click()
    late.send()
    expect(rows.get_by_role("gridcell", name="gus")).to_have_count(1)
    expect(rows).not_to_contain_text("fay")
    page.wait_for_timeout(SETTLES_MS)
    expect(rows.get_by_role("gridcell", name="gus")).to_have_count(1)
    # The row that is shown next, and what is said of it, leave the filters as they are.
    rows.get_by_role("gridcell", name="gus").click()
    page.locator("#mg-history-same").click()
    expect(page.locator("#mg-history-changed")).to_contain_text("written")
    expect(rows).not_to_contain_text("fay")
    assert page.problems == []  # type: ignore[attr-defined]


def test_gold_is_of_the_pair_on_screen(chromium: Browser, app: str, store: LabelStore) -> None:
    for pair in PAIRS[4:7]:
        say(store, "ann", pair, "same")
        say(store, "bob", pair, "different")
    page = open_page(chromium, f"{app}/?tab=people")
    shown = page.locator("#mg-people-shown")
    expect(shown).to_contain_text("1 of 3")
    # Somebody else settles the pair on screen.
    store.add(NewLabel("eve", NAME, PAIRS[4], "same", is_gold=True))
    page.locator("#mg-settle-different").click()
    expect(page.get_by_text("This pair was settled meanwhile")).to_be_visible()
    expect(shown).to_contain_text("1 of 2")
    # "Next one" is on its way, the answer is about what is seen still.
    with sent_late(page) as late:
        page.locator("#mg-people-next").click()
    page.locator("#mg-settle-same").click()
    expect(shown).to_contain_text("1 of 1")
    late.send()
    gold = [(row.annotator == "eve", row.pair.canonical(), row.decision) for row in store.history(NAME) if row.is_gold]
    assert gold == [(True, PAIRS[4].canonical(), "same"), (False, PAIRS[5].canonical(), "same")]
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_last_share_is_kept(chromium: Browser, app: str, store: LabelStore) -> None:
    page = open_page(chromium, f"{app}/?tab=people")
    # The tables come with the slider's value, and push the slider to where it stays.
    expect(page.locator("#mg-people-kappa")).not_to_be_empty()
    share = page.locator("#mg-people-share input[type=range]")
    share.scroll_into_view_if_needed()
    expect(share).to_have_value("0")
    box = share.bounding_box()
    assert box is not None
    with sent_late(page) as late:
        for part in (0.3, 0.6, 0.9):
            page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
    percent = share.input_value()
    assert int(percent) > 80
    late.send()
    choices, deadline = ChoiceStore(store.database), time.monotonic() + WAIT_MS / 1000
    while choices.number(OVERLAP_SHARE, 0.0) != int(percent) / 100 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert choices.number(OVERLAP_SHARE, 0.0) == int(percent) / 100
    page.reload()
    expect(share).to_have_value(percent)
