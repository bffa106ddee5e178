"""Walks Review, History and People by keyboard and mouse, in real browsers against the real app, database and model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app_process import running_app

pytestmark = pytest.mark.browser

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("review") / "labels.db"


@pytest.fixture(scope="module")
def app(database: Path) -> Iterator[str]:
    with running_app(database) as address:
        yield address


def open_page(chromium: Browser, address: str, query: str = "?tab=review", name: str = "") -> Page:
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.problems = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # type: ignore[attr-defined]
    page.goto(f"{address}/{query}")
    if "review" in query:
        wait_for_card(page)
    if name:
        field = page.locator("#mg-review-annotator textarea, #mg-review-annotator input")
        field.fill(name)
        field.press("Enter")
        page.wait_for_function("name => mgReview.state.aim.annotator === name && mgReview.state.current", arg=name)
        field.blur()
        wait_for_card(page)
    return page


def wait_for_card(page: Page) -> None:
    page.wait_for_function("window.mgReview && mgReview.state.current && document.querySelector('.rv').dataset.pair")


def pair_of(page: Page) -> str:
    return page.locator(".rv").get_attribute("data-pair") or ""


def press(page: Page, key: str) -> str:
    """Press a key that decides, and return the pair that comes then."""
    before = pair_of(page)
    page.wait_for_function("mgReview.state.cards.length > 0")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('.rv').dataset.pair !== before", arg=before)
    return pair_of(page)


def wait_until_saved(page: Page) -> None:
    page.wait_for_function("mgReview.state.unsaved === 0")


def rows(database: Path, where: str = "1") -> list[tuple[str, ...]]:
    with sqlite3.connect(database) as connection:
        query = f"SELECT annotator, decision, scene, view_a, mask_a, view_b, mask_b FROM decisions WHERE {where} ORDER BY id"
        return connection.execute(query).fetchall()


def test_by_keyboard_alone(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="ann")
    seen = [pair_of(page)]
    for key in "sduk":
        seen.append(press(page, key))
    assert len(set(seen)) == 5
    wait_until_saved(page)
    assert [row[1] for row in rows(database, "annotator = 'ann'")] == ["same", "different", "unsure", "skip"]
    # Nothing had to be fetched between a key and the next pair.
    assert page.evaluate("mgReview.latencies.length") == 4

    page.keyboard.press("z")
    page.wait_for_function("pair => document.querySelector('.rv').dataset.pair === pair", arg=seen[3])
    assert len(rows(database, "annotator = 'ann' AND undoes IS NOT NULL")) == 1

    crop = page.locator(".rv-a .rv-crop")
    left = crop.get_attribute("src")
    page.keyboard.press("x")
    expect(crop).not_to_have_attribute("src", left or "")
    page.keyboard.press("x")
    expect(crop).to_have_attribute("src", left or "")
    page.keyboard.press("f")
    assert "rv-big" in (page.locator(".rv-pair").get_attribute("class") or "")
    page.keyboard.press("f")
    page.keyboard.press("?")
    expect(page.locator(".rv-help")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator(".rv-help")).to_be_hidden()
    expect(page.locator(".rv-hint")).to_contain_text("The judge leans to")
    page.keyboard.press("j")
    expect(page.locator(".rv-hint")).to_have_text("")
    page.keyboard.press("j")
    page.keyboard.press("p")
    expect(page.locator(".rv-saving")).to_contain_text("Paused")
    page.keyboard.press("s")
    page.keyboard.press("p")
    wait_for_card(page)

    field = page.locator("#mg-review-annotator textarea, #mg-review-annotator input")
    field.focus()
    page.keyboard.type("sduk")
    assert field.input_value().endswith("sduk")
    assert len(rows(database, "annotator LIKE 'ann%' AND undoes IS NULL")) == 4
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_random_queue_hides_the_hint_and_holding_a_view_shows_the_mask_alone(
    chromium: Browser, app: str, database: Path
) -> None:
    page = open_page(chromium, app, name="bob")
    view = page.locator(".rv-a .rv-view")
    box = view.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    expect(page.locator(".rv-over img")).to_have_attribute("src", view.get_attribute("data-alone") or "")
    page.mouse.up()
    page.mouse.move(0, 0)
    expect(page.locator(".rv-over")).to_be_hidden()

    page.locator("#mg-review-queue input").click()
    page.get_by_role("option", name="by chance").first.click()
    page.wait_for_function("mgReview.state.aim.queue === 'random' && mgReview.state.aim.blind && mgReview.state.current")
    expect(page.locator("#mg-review-blind input")).to_be_checked()
    press(page, "s")
    wait_until_saved(page)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT queue FROM decisions WHERE annotator = 'bob'").fetchall() == [("random blind",)]
    assert page.problems == []  # type: ignore[attr-defined]


def test_reload_in_mid_session_loses_nothing_and_keeps_the_name(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="eve")
    first = {pair_of(page)}
    first.add(press(page, "s"))
    press(page, "d")
    wait_until_saved(page)
    page.reload()
    page.wait_for_function("window.mgReview && mgReview.state.current && mgReview.state.aim.annotator === 'eve'")
    assert pair_of(page) not in first
    expect(page.locator(".rv-progress")).to_contain_text("in all 2")
    assert len(rows(database, "annotator = 'eve'")) == 2


def test_two_browsers_never_get_one_pair(chromium: Browser, app: str, database: Path) -> None:
    people = {name: open_page(chromium, app, name=name) for name in ("bea", "cy")}
    labelled: dict[str, list[str]] = {name: [] for name in people}
    for _ in range(6):
        for name, page in people.items():
            labelled[name].append(pair_of(page))
            press(page, "d")
    for page in people.values():
        wait_until_saved(page)
    assert not set(labelled["bea"]) & set(labelled["cy"])
    for name in people:
        assert len(rows(database, f"annotator = '{name}'")) == 6


def test_permalinks_history_and_a_settled_disagreement(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="dan")
    pair = pair_of(page)
    link = page.locator(".rv-link").get_attribute("href") or ""
    press(page, "s")
    wait_until_saved(page)
    other = open_page(chromium, app, link)
    assert pair_of(other) == pair
    other.close()
    number = sqlite3.connect(database).execute("SELECT id FROM decisions WHERE annotator = 'dan'").fetchone()[0]

    history = open_page(chromium, app, "?" + urlencode({"tab": "history", "label": number}))
    details = history.locator("#mg-history-details")
    expect(details).to_contain_text(f"row {number}: the same object, dan")
    expect(details.locator("img")).to_have_count(4)
    search = history.locator("#mg-history-text textarea, #mg-history-text input")
    search.fill("dan")
    search.press("Enter")
    expect(history.locator("#mg-history")).to_contain_text("dan")
    expect(history.locator("#mg-history")).not_to_contain_text("bea")
    search.fill("nobody of this name")
    search.press("Enter")
    expect(history.locator("#mg-history")).not_to_contain_text("dan")
    history.locator("#mg-history-different").click()
    expect(history.locator("#mg-history-changed")).to_contain_text("written")
    assert [row[1] for row in rows(database, f"id > {number}")] == ["different"]
    history.close()

    # Another person is asked by link, and says otherwise.
    who = rows(database, f"id > {number}")[0][0]
    second = open_page(chromium, app, link, name=f"not {who}")
    if pair_of(second) != pair:
        second.goto(f"{app}/{link}")
        second.wait_for_function("pair => window.mgReview && document.querySelector('.rv').dataset.pair === pair", arg=pair)
    press(second, "s")
    wait_until_saved(second)
    second.get_by_role("tab", name="People").click()
    expect(second.locator("#mg-people-shown")).to_contain_text("1 of")
    expect(second.locator("#mg-people-shown img").first).to_be_visible(timeout=WAIT_MS)
    second.locator("#mg-settle-different").click()
    expect(second.locator("#mg-people-shown")).to_contain_text("People agree")
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT decision FROM decisions WHERE is_gold").fetchall() == [("different",)]
