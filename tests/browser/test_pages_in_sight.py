"""Review's decisions and Judge's verdict are in sight, keys can be one's own, and nothing is offered that cannot be done."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from finetune.config import TrainConfig
from tests.browser.watched_page import watched_page

pytestmark = pytest.mark.browser

PAGES = 8
SIZES = [(1280, 800), (390, 844), (640, 400)]
"""A laptop, a phone, and the laptop at twice the size."""


def open_page(chromium: Browser, address: str, width: int, height: int, ready: str) -> Page:
    page = watched_page(chromium)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    expect(page.locator(ready).first).to_be_visible()
    return page


def is_in_sight(one: Locator, height: int) -> bool:
    box = one.bounding_box()
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_decisions_are_always_in_sight(chromium: Browser, app_address: str, width: int, height: int) -> None:
    page = open_page(chromium, f"{app_address}/?tab=review", width, height, ".rv-crop")
    for at in (0, 60, 150):
        page.evaluate("top => window.scrollTo(0, top)", at)
        for name in ("same", "different", "unsure", "skip", "undo", "help"):
            assert is_in_sight(page.locator(f".rv-bar [data-do={name}]"), height), (name, at)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_keys_can_be_ones_own(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=review", 1280, 800, ".rv-crop")
    page.wait_for_function("mgReview.state.current && mgReview.state.cards.length > 0")
    on_button, said = page.locator(".rv-bar [data-do=same] kbd"), page.locator(".rv-keys-said")
    expect(on_button).to_have_text("S")
    page.keyboard.press("?")
    expect(page.locator(".rv-help")).to_be_visible()
    page.keyboard.press("d")
    assert page.evaluate("mgReview.state.done.length") == 0, "nothing is decided behind the help"
    page.locator("[data-key=same]").click()
    page.keyboard.press("d")
    expect(said).to_contain_text('already means "different objects"')
    page.keyboard.press("Enter")
    expect(said).to_contain_text("Only letters, digits and signs")
    page.keyboard.press("Escape")
    expect(said).to_have_text("Left as it is.")
    expect(page.locator(".rv-help")).to_be_visible()
    page.locator("[data-key=same]").click()
    page.keyboard.press("1")
    expect(on_button).to_have_text("1")
    page.keyboard.press("Escape")
    expect(page.locator(".rv-help")).to_be_hidden()

    page.reload()
    page.wait_for_function("window.mgReview && mgReview.state.current && document.querySelector('.rv').dataset.pair")
    expect(on_button).to_have_text("1")
    before = page.locator(".rv").get_attribute("data-pair")
    page.keyboard.press("s")
    assert page.evaluate("mgReview.state.done.length") == 0, "the usual key means nothing now"
    page.keyboard.press("1")
    page.wait_for_function("before => document.querySelector('.rv').dataset.pair !== before", arg=before)
    page.wait_for_function("mgReview.outbox.waiting.length === 0")

    # What another program wrote there counts for nothing.
    page.evaluate("localStorage.setItem('maskgroup-review-keys', JSON.stringify({ same: 'd', different: 'd', undo: 5 }))")
    page.reload()
    expect(on_button).to_have_text("S")
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_tab_key_opens_nothing(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=review", 1280, 800, ".rv-crop")
    page.get_by_role("tab", name="Compare").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('role')") == "combobox"
        expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_be_visible()


def test_the_verdict_stands_beside_the_masks_on_a_phone_and_nothing_jumps(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, app_address, 390, 844, "#mg-verdict .mg-headline")
    # All pages can be seen, none behind "…".
    for tab in page.get_by_role("tablist").get_by_role("tab").all():
        expect(tab).to_be_in_viewport()
    assert page.get_by_role("tablist").get_by_role("tab").count() == PAGES
    view = page.locator("#mg-image-a").bounding_box()
    verdict = page.locator("#mg-verdict .mg-headline").first.bounding_box()
    assert view is not None
    assert verdict is not None
    assert 0 < verdict["y"] - view["y"] < 700
    page.close()
    page = open_page(chromium, app_address, 1280, 800, "#mg-verdict .mg-headline")
    top = "Math.round(document.getElementById(id).getBoundingClientRect().top + scrollY)"
    places = f"['mg-same', 'mg-verdict', 'mg-room'].map((id) => {top})"
    shown = page.locator("#mg-judge-shown textarea, #mg-judge-shown input")
    before, pair = page.evaluate(places), shown.input_value()
    page.locator("#mg-next").click()
    expect(shown).not_to_have_value(pair)
    assert page.evaluate(places) == before
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
    assert page.evaluate(places) == before
    page.locator("#mg-skip").click()
    expect(page.locator("#mg-saved")).to_contain_text("Saved:")
    assert page.evaluate(places) == before


def test_nothing_is_offered_that_cannot_be_done(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=people", 1280, 800, "#mg-people-next")
    for name in ("settle-same", "settle-different", "settle-unsure", "people-next"):
        expect(page.locator(f"#mg-{name}")).to_be_disabled()
    page.get_by_role("tab", name="Retrain").click()
    expect(page.locator("#mg-train-table")).to_contain_text("No training has been started yet")
    for name in ("promote", "back", "delete", "compare", "export", "merged"):
        expect(page.locator(f"#mg-train-{name}")).to_be_hidden()
    page.get_by_role("tab", name="3D grouping").click()
    says = "getComputedStyle(document.querySelector('#mg-group-crops .empty'), '::after').content"
    assert "Pick a group" in page.evaluate(says)


def test_the_tour_is_offered_once(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=people", 1280, 800, "#mg-people-next")
    offer, tour = page.locator(".mg-new"), page.locator(".mg-tour")
    offer.locator("[data-open=tour]").click()
    for step in range(1, 6):
        expect(tour.locator(".mg-step")).to_have_text(f"{step} of 5")
        tour.locator('[data-go="1"]').click()
    expect(tour).to_be_hidden()
    expect(offer).to_be_hidden()
    page.reload()
    expect(page.locator(".mg-head-links")).to_be_visible()
    expect(offer).to_be_hidden()
    page.locator(".mg-head-links [data-open=words]").click()
    expect(page.locator(".mg-words")).to_contain_text("adjusted Rand index")
    page.keyboard.press("Escape")
    expect(page.locator(".mg-words")).to_be_hidden()


def test_a_comparison_opens_with_its_sentence_and_what_proves_it(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=compare", 1280, 800, "#mg-compare-tables .mg-compared")
    order = page.locator("#mg-compare-tables").evaluate(
        "box => ['.mg-compared', '.mg-proof img', 'table'].map((one) => box.querySelector(one).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    expect(page.locator("#mg-compare-tables .mg-proof")).to_contain_text("13 put right by tuned")


def test_a_preset_and_the_settings_behind_it_are_kept_over_a_reload(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, f"{app_address}/?tab=train", 1280, 800, "#mg-train-start")
    page.get_by_label("thorough").click()
    page.locator("#mg-train-settings > button").click()
    pairs = page.locator("#mg-train-pairs input")
    expect(pairs).to_have_value(str(2 * TrainConfig.pairs))
    page.locator("#mg-train-frozen input").fill("123")
    page.locator("#mg-train-frozen input").blur()
    page.wait_for_function("(localStorage.getItem('maskgroup-train-settings') || '').includes('123')")
    page.reload()
    expect(page.locator("#mg-train-start")).to_be_visible()
    page.locator("#mg-train-settings > button").click()
    expect(pairs).to_have_value(str(2 * TrainConfig.pairs))
    expect(page.locator("#mg-train-frozen input")).to_have_value("123")
