"""Walks Review, History and People by keyboard and mouse, in real browsers against the real app, database and model."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.assets import SCENES_DIR
from tests.browser.app_process import running_app
from tests.browser.watched_page import watched_page
from tests.tiny_room import NAME, write_tiny_room

pytestmark = pytest.mark.browser

HOLD_PICTURES = """
const decode = HTMLImageElement.prototype.decode;
window.pictures = new Promise((go) => { window.showPictures = go; });
HTMLImageElement.prototype.decode = function () { return window.pictures.then(() => decode.call(this)); };
"""
HOLD_REQUESTS = """
const send = window.fetch;
Object.assign(window, { hold: '', held: [], fails: false, sent: [] });
window.fetch = async (...request) => {
  const body = request[1] && typeof request[1].body === 'string' ? request[1].body : '';
  window.sent.push(body);
  if (window.hold && body.includes(window.hold)) {
    await new Promise((go) => window.held.push(go));
    if (window.fails) return new Response('{}', { status: 500 });
  }
  return send(...request);
};
window.letGo = () => { window.hold = ''; window.held.splice(0).forEach((go) => go()); };
"""
"""In the page, as a handler of Playwright's that waits would hold up the test itself: requests whose body holds `hold` wait."""


LOSE_ANSWERS = """
const send = window.fetch;
Object.assign(window, { loses: 0, lost: 0 });
window.fetch = async (...request) => {
  const body = request[1] && typeof request[1].body === 'string' ? request[1].body : '';
  const answer = await send(...request);
  if (window.loses > 0 && /"fn_name":"(answer|undo)"/.test(body)) {
    window.loses -= 1;
    window.lost += 1;
    throw new TypeError('the connection broke');
  }
  return answer;
};
"""
"""The server gets an answer, and the page does not hear so."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("review") / "labels.db"


@pytest.fixture(scope="module")
def app(database: Path) -> Iterator[str]:
    # A second scene beside the shipped one, as cards must not cross.
    scenes = database.parent / "scenes"
    write_tiny_room(scenes)
    shutil.copytree(SCENES_DIR, scenes, dirs_exist_ok=True)
    with running_app(database, "--scenes", str(scenes)) as address:
        yield address


def open_page(chromium: Browser, address: str, query: str = "?tab=review", name: str = "", script: str = "") -> Page:
    page = watched_page(chromium)
    if script:
        page.add_init_script(script)
    page.goto(f"{address}/{query}")
    if "review" in query and script != HOLD_PICTURES:
        wait_for_card(page)
    if name:
        take_name(page, name)
    return page


def take_name(page: Page, name: str) -> None:
    field = page.locator("#mg-review-annotator textarea, #mg-review-annotator input")
    field.fill(name)
    field.press("Enter")
    page.wait_for_function("name => mgReview.state.aim.annotator === name && mgReview.state.current", arg=name)
    field.blur()
    wait_for_card(page)


def choose(page: Page, chooser: str, words: str) -> None:
    page.locator(f"#mg-review-{chooser} input").click()
    page.get_by_role("option", name=words).first.click()


def wait_for_card(page: Page) -> None:
    page.wait_for_function("window.mgReview && mgReview.state.current && document.querySelector('.rv').dataset.pair")


def pair_of(page: Page) -> str:
    return page.locator(".rv").get_attribute("data-pair") or ""


def press(page: Page, key: str, *, is_ahead: bool = False) -> str:
    """Press a key that decides, and return the pair that comes then; with `is_ahead` that must be there already."""
    before = pair_of(page)
    if is_ahead:
        assert page.evaluate("mgReview.state.cards.length") > 0
    page.wait_for_function("mgReview.state.cards.length > 0")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('.rv').dataset.pair !== before", arg=before)
    return pair_of(page)


def wait_until_saved(page: Page) -> None:
    # The page may be opening itself anew: the server was away.
    page.wait_for_function("window.mgReview && mgReview.state.unsaved === 0 && mgReview.outbox.waiting.length === 0")


def rows(database: Path, where: str = "1") -> list[tuple[str, ...]]:
    with sqlite3.connect(database) as connection:
        query = f"SELECT annotator, decision, scene, view_a, mask_a, view_b, mask_b FROM decisions WHERE {where} ORDER BY id"
        return connection.execute(query).fetchall()


def test_by_keyboard_alone(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="ann")
    seen = [pair_of(page)]
    for key in "sduk":
        seen.append(press(page, key, is_ahead=True))
    assert len(set(seen)) == 5
    wait_until_saved(page)
    # Answers are written side by side, so that their rows need not be in the order of the keys.
    written = page.evaluate("Promise.all(mgReview.state.done.map((entry) => entry.label))")
    assert [rows(database, f"id = {number}")[0][:2] for number in written] == [
        ("ann", decision) for decision in ("same", "different", "unsure", "skip")
    ]
    assert len(rows(database, "annotator = 'ann'")) == 4
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
    standing = "[document.querySelector('.rv').dataset.pair, mgReview.state.done.length, mgReview.state.unsaved]"
    before = page.evaluate(standing)
    page.keyboard.type("sduk")
    assert field.input_value().endswith("sduk")
    assert page.evaluate(standing) == before
    assert before[2] == 0
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

    choose(page, "queue", "by chance")
    page.wait_for_function("mgReview.state.aim.queue === 'random' && mgReview.state.aim.blind && mgReview.state.current")
    wait_for_card(page)
    expect(page.locator("#mg-review-blind input")).to_be_checked()
    press(page, "s")
    wait_until_saved(page)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT queue FROM decisions WHERE annotator = 'bob'").fetchall() == [("random blind",)]
    assert page.problems == []  # type: ignore[attr-defined]


def test_no_key_decides_a_pair_whose_pictures_are_not_there_yet(chromium: Browser, app: str) -> None:
    page = open_page(chromium, app, script=HOLD_PICTURES)
    page.wait_for_function("window.mgReview && mgReview.state.current")
    for key in "xsd":
        page.keyboard.press(key)
    assert page.evaluate("[mgReview.state.done.length, mgReview.state.unsaved, mgReview.state.swapped]") == [0, 0, False]
    waiting = page.evaluate("mgReview.state.current.link")
    page.evaluate("showPictures()")
    wait_for_card(page)
    expect(page.locator(".rv-link")).to_have_attribute("href", waiting)
    press(page, "k")
    assert page.evaluate("mgReview.state.done.length") == 1
    wait_until_saved(page)
    assert page.problems == []  # type: ignore[attr-defined]


def test_pairs_of_one_scene_never_come_back_in_another(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="gus", script=HOLD_REQUESTS)
    home = page.evaluate("mgReview.state.aim.scene")

    def go_on_in(scene: str) -> None:
        page.wait_for_function("held.length === 1")
        choose(page, "scene", scene)
        page.wait_for_function("scene => mgReview.state.aim.scene === scene && mgReview.state.current", arg=scene)
        wait_for_card(page)
        page.evaluate("letGo()")
        wait_until_saved(page)
        links = page.evaluate("[mgReview.state.current, ...mgReview.state.cards].map((card) => card.link)")
        assert all(urlencode({"scene": scene}) in link for link in links)

    press(page, "s")
    wait_until_saved(page)
    page.evaluate("hold = '\"undo\"'")
    page.keyboard.press("z")
    go_on_in(NAME)
    assert [row[2] for row in rows(database, "annotator = 'gus'")] == [home, home]
    press(page, "d")
    wait_until_saved(page)
    assert rows(database, "annotator = 'gus'")[-1][1:3] == ("different", NAME)

    # One that fails is sent again, and is still of the scene in which it was given.
    page.evaluate("hold = '\"answer\"'; fails = true")
    press(page, "s")
    go_on_in(home)
    assert [row[1:3] for row in rows(database, "annotator = 'gus'")[3:]] == [("same", NAME)]
    assert page.problems == []  # type: ignore[attr-defined]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nothing_is_lost_while_the_server_is_stopped(chromium: Browser, tmp_path: Path) -> None:
    database, flags = tmp_path / "labels.db", ("--port", str(free_port()))
    with running_app(database, *flags) as address:
        page = open_page(chromium, address, name="joy")
        page.wait_for_function("mgReview.state.cards.length >= 5")
        press(page, "s")
        wait_until_saved(page)
    # Stopped. Five more decisions, one of which is taken back, and the one that was saved before too.
    seen = [pair_of(page)]
    for key in "sdusd":
        page.keyboard.press(key)
        page.wait_for_function("before => document.querySelector('.rv').dataset.pair !== before", arg=seen[-1])
        seen.append(pair_of(page))
    expect(page.locator(".rv-saving")).to_contain_text("5 answers are not sent yet: the server does not answer")
    page.keyboard.press("z")
    expect(page.locator(".rv-saving")).to_contain_text("4 answers are not sent yet")
    assert pair_of(page) == seen[4], "taken back, it can be decided again"
    assert len(rows(database)) == 1
    with running_app(database, *flags) as address:
        page.goto(f"{address}/?tab=review")
        wait_for_card(page)
        wait_until_saved(page)
        assert [row[:2] for row in rows(database)] == [
            ("joy", decision) for decision in ("same", "same", "different", "unsure", "same")
        ]
        assert page.evaluate("Object.keys(localStorage).filter((name) => name.includes('unsent'))") == []
        expect(page.locator(".rv-saving")).to_contain_text("Saved 4")
        take_name(page, "joy")
        press(page, "s")
        wait_until_saved(page)
        page.keyboard.press("z")
        page.wait_for_function("mgReview.state.done.length === 0")
        wait_until_saved(page)
        assert rows(database, "undoes IS NOT NULL AND annotator = 'joy'")
    # The page goes on by itself once the server is back, also without a reload.
    before = len(rows(database))
    last = pair_of(page)
    page.keyboard.press("d")
    page.wait_for_function("before => document.querySelector('.rv').dataset.pair !== before", arg=last)
    expect(page.locator(".rv-saving")).to_contain_text("1 answer is not sent yet")
    with running_app(database, *flags):
        page.wait_for_function("!Object.keys(localStorage).some((name) => name.includes('unsent'))")
        wait_until_saved(page)
        assert len(rows(database)) == before + 1
    assert page.problems == []  # type: ignore[attr-defined]


def test_an_answer_whose_acknowledgement_is_lost_is_stored_once(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="kit", script=LOSE_ANSWERS)
    page.evaluate("loses = 1")
    press(page, "s")
    page.wait_for_function("lost === 1")
    wait_until_saved(page)
    assert [row[1] for row in rows(database, "annotator = 'kit'")] == ["same"]
    page.evaluate("loses = 1")
    page.keyboard.press("z")
    page.wait_for_function("lost === 2")
    wait_until_saved(page)
    assert len(rows(database, "annotator = 'kit' AND undoes IS NOT NULL")) == 1
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_refused_answer_is_listed_until_it_is_dropped(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="lea")
    # As if the mask had gone between the key and the server.
    page.evaluate("mgReview.state.current.token = 'of a mask that is gone'")
    refused = pair_of(page)
    press(page, "s")
    press(page, "d")
    wait_until_saved(page)
    panel = page.locator(".rv-refused li")
    expect(panel).to_have_count(1)
    expect(panel).to_contain_text("not those that the page showed any more")
    page.reload()
    wait_for_card(page)
    expect(panel).to_have_count(1)
    assert pair_of(page) != refused
    panel.get_by_role("button", name="Try again").click()
    wait_until_saved(page)
    expect(panel).to_contain_text("not those that the page showed any more")
    panel.get_by_role("button", name="Drop it").click()
    expect(panel).to_have_count(0)
    page.reload()
    wait_for_card(page)
    expect(page.locator(".rv-refused")).to_be_hidden()
    assert [row[1] for row in rows(database, "annotator = 'lea'")] == ["different"]
    assert page.problems == []  # type: ignore[attr-defined]


def test_two_browsers_of_one_name_never_get_one_pair(chromium: Browser, app: str) -> None:
    pages = [open_page(chromium, app) for _ in range(2)]
    assert [page.evaluate("mgReview.state.aim.annotator") for page in pages] == ["me", "me"]
    held = [set(page.evaluate("[mgReview.state.current, ...mgReview.state.cards].map((c) => c.pair.join())")) for page in pages]
    assert held[0]
    assert held[1]
    assert not held[0] & held[1]


def test_choices_hold_at_once_and_no_late_answer_takes_them_back(chromium: Browser, app: str) -> None:
    page = open_page(chromium, app, name="hal", script=HOLD_REQUESTS)
    queue, only, blind = (page.locator(f"#mg-review-{name} input") for name in ("queue", "only", "blind"))
    only.click()
    expect(page.get_by_role("option").nth(1)).to_be_attached()
    only.blur()
    press(page, "k")
    wait_until_saved(page)

    # The lists ask for themselves with what is chosen now; their answer comes after the next choices.
    page.evaluate("hold = 'fn_index'")
    page.wait_for_function("held.length > 0")
    choose(page, "queue", "by chance")
    only.click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_function("mgReview.state.aim.queue === 'random' && mgReview.state.aim.only")
    assert page.evaluate("mgReview.state.aim.blind")
    expect(blind).to_be_checked()
    narrowed = only.input_value()
    page.evaluate("sent.length = 0; letGo()")
    page.wait_for_function("sent.some((body) => body.includes('\"random\"') && body.includes('fn_index'))")
    assert "by chance" in queue.input_value()
    assert only.input_value() == narrowed

    # Shown again, the hint stays, and so do the cards, where a list is left without a choice.
    blind.uncheck()
    page.wait_for_function("!mgReview.state.aim.blind")
    wait_for_card(page)
    standing = "[mgReview.state.round, document.querySelector('.rv').dataset.pair, mgReview.state.aim.blind]"
    before = page.evaluate(standing)
    queue.click()
    page.keyboard.press("Escape")
    queue.blur()
    page.wait_for_timeout(1000)
    assert page.evaluate(standing) == before
    expect(blind).not_to_be_checked()

    # Objects of the scene before, listed late, are none of the scene now.
    page.evaluate("hold = 'fn_index'")
    page.wait_for_function("held.length > 0")
    choose(page, "scene", NAME)
    page.wait_for_function("scene => mgReview.state.aim.scene === scene && mgReview.state.aim.only === ''", arg=NAME)
    expect(only).to_have_value("all pairs")
    page.evaluate("window.lists = []")
    page.evaluate(
        """setInterval(() => {
          const list = document.querySelector('#mg-review-listed textarea, #mg-review-listed input').value;
          if (list) lists.push(JSON.parse(list).scene);
        }, 1)"""
    )
    page.evaluate("letGo()")
    page.wait_for_function("lists.length > 0")
    assert set(page.evaluate("lists")) == {NAME}
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_name_is_kept_where_the_page_is_left_before_any_answer(chromium: Browser, app: str) -> None:
    page = open_page(chromium, app, script=HOLD_REQUESTS)
    page.evaluate("hold = 'fn_index'")
    field = page.locator("#mg-review-annotator textarea, #mg-review-annotator input")
    kept = "localStorage.getItem('maskgroup-annotator')"
    before = page.evaluate(kept)
    field.fill("ida")
    page.wait_for_function(f"before => {kept} !== before", arg=before)
    page.reload()
    page.wait_for_function("window.mgReview && mgReview.state.aim && mgReview.state.aim.annotator === 'ida'")


def test_reload_in_mid_session_loses_nothing_and_keeps_the_name(chromium: Browser, app: str, database: Path) -> None:
    page = open_page(chromium, app, name="eve")
    first = {pair_of(page)}
    first.add(press(page, "s"))
    press(page, "d")
    wait_until_saved(page)
    page.reload()
    page.wait_for_function("window.mgReview && mgReview.state.current && mgReview.state.aim.annotator === 'eve'")
    wait_for_card(page)
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
    page = open_page(chromium, app, name="fay")
    press(page, "u")
    wait_until_saved(page)
    take_name(page, "dan")
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
    expect(history.locator("#mg-history")).to_contain_text("fay")
    search.fill("dan")
    search.press("Enter")
    expect(history.locator("#mg-history")).to_contain_text("dan")
    expect(history.locator("#mg-history")).not_to_contain_text("fay")
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
    expect(second.locator("#mg-people-shown img").first).to_be_visible()
    second.locator("#mg-settle-different").click()
    expect(second.locator("#mg-people-shown")).to_contain_text("People agree")
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT decision FROM decisions WHERE is_gold").fetchall() == [("different",)]
