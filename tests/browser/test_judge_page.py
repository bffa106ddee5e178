"""Walks the Judge page as a person does, in a real browser against the real app, database and model."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.app_process import WAIT_MS
from tests.browser.held_answers import answers_held

pytestmark = pytest.mark.browser

LOCAL = ("127.0.0.1", "localhost", "")


@pytest.fixture
def page(page: Page) -> Page:
    page.requested = []  # type: ignore[attr-defined]
    page.on("request", lambda request: page.requested.append(request.url))  # type: ignore[attr-defined]
    return page


def open_judge_page(page: Page, address: str, query: str = "") -> None:
    page.goto(f"{address}/{query}")
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()


def chosen(page: Page) -> dict[str, str]:
    """Return the pair that the address names, once the page has written it there."""
    page.wait_for_url(re.compile(r"[?&]a="))
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def shown_pair(page: Page) -> str:
    """Return the address of the pair on the screen, whether or not the model has answered."""
    return page.locator("#mg-judge-shown").locator("input, textarea").input_value()


def wait_for_answer(page: Page) -> None:
    """Wait until the address, written together with the model's answer, is that of the pair on the screen."""
    page.wait_for_function("document.querySelector('#mg-judge-shown :is(input, textarea)').value === location.search")


def click_another_mask(page: Page, side: str) -> None:
    """Click points of a view until another mask than the picked one is under the mouse."""
    before = chosen(page)[side]
    image = page.locator(f"#mg-image-{side} img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    assert box is not None
    for x, y in ((0.5, 0.6), (0.3, 0.5), (0.7, 0.5), (0.5, 0.3), (0.2, 0.8), (0.8, 0.8)):
        with page.expect_response("**/queue/join*"):
            image.click(position={"x": box["width"] * x, "y": box["height"] * y})
        # A click beside all masks brings the verdict back that stood there.
        expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
        if parse_qs(shown_pair(page)[1:])[side] != [before]:
            wait_for_answer(page)
            return
    pytest.fail(f"no click on side {side} picked another mask")


def saved_rows(database: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(
            "select view_a, mask_a, view_b, mask_b, decision, annotator, model, p_same, beside, id from decisions order by id"
        ).fetchall()


def pair_of_row(row: tuple[str, ...]) -> tuple[str, str]:
    return row[0], row[2]


def views_of(address: str) -> tuple[str, str]:
    """Return the views that the address of a pair names."""
    named = {name: values[0] for name, values in parse_qs(address[1:]).items()}
    return named["a"].rpartition(":")[0], named["b"].rpartition(":")[0]


def choose_model(page: Page, chooser: str, name: str) -> None:
    field = page.locator(f"#mg-{chooser} input")
    field.click()
    # The list of a field that was left a moment ago may still stand there.
    page.locator(f"#{field.get_attribute('aria-controls')}").get_by_role("option", name=name, exact=True).click()


def places(page: Page) -> list[dict[str, float] | None]:
    """Return where the buttons are that decide."""
    return [page.locator(f"#mg-{name}").bounding_box() for name in ("same", "different", "unsure", "skip")]


def test_person_clicks_two_masks_reads_verdict_and_saves_label(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    click_another_mask(page, "a")
    click_another_mask(page, "b")
    expect(page.locator("#mg-verdict .mg-headline").first).to_have_text(re.compile("Same|Different"))
    expect(page.locator("#mg-verdict")).to_contain_text("first, then view")
    pair = chosen(page)
    before = len(saved_rows(database_path))

    page.locator("#mg-annotator textarea, #mg-annotator input").first.fill("Ada")
    page.locator("#mg-different").click()
    expect(page.locator("#mg-saved")).to_contain_text("different objects")
    page.reload()
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()

    assert chosen(page) == pair, "a reload opens the same pair again"
    expect(page.locator("#mg-annotator textarea, #mg-annotator input").first).to_have_value("Ada")
    rows = saved_rows(database_path)
    assert len(rows) == before + 1
    view_a, mask_a, view_b, mask_b, decision, annotator, model, p_same, *_ = rows[-1]
    assert {view_a, view_b} == {pair["a"].split(":")[0], pair["b"].split(":")[0]}
    assert int(mask_a) > 0
    assert int(mask_b) > 0
    assert (decision, annotator, model) == ("different", "Ada", "base")
    assert 0 <= float(p_same) <= 1


def test_pair_picked_while_the_model_answers_gets_its_own_answer(page: Page, app_address: str) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    pairs = [shown_pair(page)]
    # "Next" is three calls: a pair is found, it is shown, the model is asked. The last one is held.
    with answers_held(page, after=2) as held:
        page.keyboard.press("n")
        held.wait_for_one()
        pairs.append(shown_pair(page))
        page.keyboard.press("n")
        page.wait_for_function(
            "(before) => document.querySelector('#mg-judge-shown :is(input, textarea)').value !== before", arg=pairs[1]
        )
        pairs.append(shown_pair(page))
    wait_for_answer(page)
    assert len(set(pairs)) == 3
    assert shown_pair(page) == pairs[2]


def test_no_verdict_stands_beside_another_pair_and_no_button_moves(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    expect(page.locator("#mg-verdict .mg-headline")).to_have_count(2)
    old, stood = shown_pair(page), places(page)

    def is_asking() -> bool:
        text = page.locator("#mg-verdict .mg-verdict").inner_text()
        return text == "asking …" and page.locator("#mg-verdict .mg-headline").count() == 0

    before = len(saved_rows(database_path))
    with answers_held(page, after=2) as held:
        page.keyboard.press("n")
        # In the browser itself: no answer of the server is waited for.
        assert is_asking()
        held.wait_for_one()
        new = shown_pair(page)
        assert new != old
        assert is_asking()
        assert places(page) == stood
        page.keyboard.press("d")
        expect(page.locator("#mg-saved")).to_contain_text("different objects")
    wait_for_answer(page)
    expect(page.locator("#mg-verdict .mg-headline")).to_have_count(2)
    assert places(page) == stood
    (row,) = saved_rows(database_path)[before:]
    assert (pair_of_row(row), row[6:9]) == (views_of(new), (None, None, None)), (
        "the pair on the screen, and no verdict: none stood there"
    )


def test_a_decision_is_of_the_pair_on_the_screen_or_refused(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    old, before = shown_pair(page), len(saved_rows(database_path))
    # The server has gone on to another pair; the page does not show it yet.
    with answers_held(page, after=1) as held:
        page.keyboard.press("n")
        held.wait_for_one()
        assert shown_pair(page) == old
        # Until the server has gone on, the old pair is labelled, which is right: it is on the screen.
        for _ in range(200):
            page.keyboard.press("s")
            expect(page.locator("#mg-saved")).to_contain_text(re.compile("Not saved|the same object"))
            if "Not saved" in page.locator("#mg-saved").inner_text():
                break
        expect(page.get_by_text("nothing was saved; look at it, then answer").first).to_be_visible()
        assert {pair_of_row(row) for row in saved_rows(database_path)[before:]} <= {views_of(old)}
        before = len(saved_rows(database_path))
    page.wait_for_function("(before) => document.querySelector('#mg-judge-shown :is(input, textarea)').value !== before", arg=old)
    assert len(saved_rows(database_path)) == before
    page.keyboard.press("s")
    expect(page.locator("#mg-saved")).to_contain_text("the same object")
    assert [pair_of_row(row) for row in saved_rows(database_path)[before:]] == [views_of(shown_pair(page))]


def test_a_late_answer_is_not_shown_beside_another_pair(page: Page, app_address: str) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    with answers_held(page, after=2) as held:
        page.keyboard.press("n")
        held.wait_for_one()
        late = shown_pair(page)
        page.evaluate(
            """(late) => {
                window.mixed = 0;
                setInterval(() => {
                    const shown = document.querySelector('#mg-judge-shown :is(input, textarea)').value;
                    const isTold = document.querySelector('#mg-verdict .mg-headline');
                    if (shown !== late && isTold && location.search === late) window.mixed += 1;
                }, 1);
            }""",
            late,
        )
        page.keyboard.press("n")
        page.wait_for_function("(late) => document.querySelector('#mg-judge-shown :is(input, textarea)').value !== late", arg=late)
    wait_for_answer(page)
    assert page.evaluate("window.mixed") == 0


def test_label_stores_the_model_that_is_chosen(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["base", "tuned"])
    page.keyboard.press("s")
    expect(page.locator("#mg-saved")).to_contain_text("the same object")
    both = saved_rows(database_path)[-1]
    choose_model(page, "rival", "base")
    choose_model(page, "model", "tuned")
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["tuned", "base"])
    page.keyboard.press("d")
    expect(page.locator("#mg-saved")).to_contain_text("different objects")
    turned = saved_rows(database_path)[-1]
    choose_model(page, "rival", "tuned")
    expect(page.locator("#mg-verdict .mg-headline")).to_have_count(1)
    expect(page.locator("#mg-verdict")).to_contain_text("model tuned")
    page.keyboard.press("u")
    expect(page.locator("#mg-saved")).to_contain_text("not sure")
    alone = saved_rows(database_path)[-1]

    (second,), (first,) = json.loads(both[8]), json.loads(turned[8])
    assert (both[6], second["model"]) == ("base", "tuned")
    assert (turned[6], turned[7]) == (second["model"], second["p_same"])
    assert (first["model"], first["p_same"]) == (both[6], both[7])
    assert (alone[6], alone[7], alone[8]) == ("tuned", second["p_same"], None)
    page.locator("#mg-truth-box button").first.click()
    page.locator("#mg-show-truth").click()
    says_same = float(second["p_same"]) >= 0.5
    is_same = both[1] == both[3]
    expect(page.locator("#mg-truth")).to_contain_text(f"The model is {'right' if says_same == is_same else 'wrong'} here")


def test_undo_takes_back_the_label_that_the_page_names(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    page.keyboard.press("s")
    expect(page.locator("#mg-saved")).to_contain_text("the same object")
    first = saved_rows(database_path)[-1][9]
    with answers_held(page) as held:
        page.keyboard.press("d")
        held.wait_for_one()
        # The page does not name the second label yet: it can be taken back once it does.
        expect(page.locator("#mg-saved")).to_contain_text("Saving")
        expect(page.locator("#mg-undo")).to_be_disabled()
        page.keyboard.press("z")
    expect(page.locator("#mg-saved")).to_contain_text("different objects")
    second = saved_rows(database_path)[-1][9]
    assert second == first + 1
    page.keyboard.press("z")
    expect(page.locator("#mg-saved")).to_contain_text("Undone")
    with sqlite3.connect(database_path) as connection:
        assert connection.execute("select undoes from decisions where id > ?", [second]).fetchall() == [(second,)]


def test_keys_alone_label_and_move_on(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    first = chosen(page)
    before = len(saved_rows(database_path))
    page.keyboard.press("s")
    expect(page.locator("#mg-saved")).to_contain_text("the same object")
    page.keyboard.press("z")
    expect(page.locator("#mg-saved")).to_contain_text("Undone")
    page.keyboard.press("n")
    expect(page).not_to_have_url(re.compile(re.escape(page.url) + "$"))
    assert chosen(page) != first
    assert len(saved_rows(database_path)) == before + 2, "the undo is a row of its own"


def test_keys_typed_into_a_field_do_nothing_else(page: Page, app_address: str, database_path: Path) -> None:
    open_judge_page(page, app_address)
    before = len(saved_rows(database_path))
    field = page.locator("#mg-annotator textarea, #mg-annotator input").first
    field.click()
    field.press_sequentially("sdunk")
    expect(field).to_have_value(re.compile("sdunk$"))
    field.blur()
    # What comes after them in the page's queue is saved, so they were not on their way.
    page.keyboard.press("u")
    expect(page.locator("#mg-saved")).to_contain_text("not sure")
    assert [row[4] for row in saved_rows(database_path)[before:]] == ["unsure"]


def test_ground_truth_stays_hidden_until_asked(page: Page, app_address: str) -> None:
    open_judge_page(page, app_address)
    expect(page.get_by_text("Ground truth:")).to_have_count(0)
    page.locator("#mg-truth-box button").first.click()
    page.locator("#mg-show-truth").click()
    expect(page.locator("#mg-truth")).to_contain_text("Ground truth")
    page.keyboard.press("x")
    expect(page.get_by_text("Ground truth:")).to_have_count(0)


def test_click_in_the_room_names_an_instance(page: Page, app_address: str) -> None:
    open_judge_page(page, app_address)
    plot = page.locator("#mg-room .mg-plot canvas").first
    plot.scroll_into_view_if_needed()
    expect(page.locator("#mg-room .mg-plot-count")).not_to_be_empty()
    box = page.locator("#mg-room .mg-plot").bounding_box()
    assert box is not None
    for dx, dy in ((0.5, 0.5), (0.45, 0.55), (0.55, 0.6), (0.4, 0.5), (0.6, 0.45), (0.5, 0.65)):
        page.mouse.move(box["x"] + box["width"] * dx, box["y"] + box["height"] * dy)
        page.wait_for_timeout(400)
        page.mouse.click(box["x"] + box["width"] * dx, box["y"] + box["height"] * dy, delay=100)
        try:
            page.wait_for_function("document.querySelector('#mg-point').innerText.includes('This point')", timeout=WAIT_MS / 6)
        except PlaywrightTimeout:
            continue
        return
    pytest.fail("no click in the 3D view reached the server")


def test_nothing_is_fetched_from_elsewhere_and_no_script_fails(page: Page, app_address: str) -> None:
    open_judge_page(page, app_address)
    wait_for_answer(page)
    expect(page.locator("#mg-room .mg-plot-count")).not_to_be_empty()
    hosts = {urlsplit(url).hostname or "" for url in page.requested}  # type: ignore[attr-defined]
    assert hosts <= set(LOCAL), f"requests left this machine: {hosts}"
    assert page.problems == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_page_fits_the_screen(page: Page, app_address: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_judge_page(page, app_address)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0] + 1
