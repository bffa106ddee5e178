"""Everybody can use the pages: axe finds nothing on any, light or dark; each has an address that reload, back and forward open."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import Browser, Page, expect

from tests.browser.app_process import WAIT_MS

pytestmark = pytest.mark.browser

READY = {
    "Judge": "#mg-verdict .mg-headline",
    "Scenes": ".mg-scene img",
    "Review": ".rv-crop",
    "History": "#mg-history",
    "People": "#mg-people",
    "3D grouping": "#mg-group-room canvas",
    "Retrain": "#mg-train-start",
    "Compare": "#mg-compare-tables table",
}
SETTLES_MS = 1000
PICTURES = ".thumbnail-item img"
"""What the gallery of the 3D grouping page shows once there are groups."""


def open_page(chromium: Browser, address: str) -> Page:
    # The policy of the pages lets no script in that is not theirs, and axe is one.
    page = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    expect(page.locator(READY["Judge"]).first).to_be_visible()
    return page


def violations(page: Page) -> list[str]:
    """Return what axe finds: the rule and the element, for each."""
    answer: dict[str, Any] = Axe().run(page).response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # axe: untyped
    return [f"{fault['id']}: {node['html'][:200]}" for fault in answer["violations"] for node in fault["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(chromium: Browser, app_address: str, theme: str) -> None:
    page = open_page(chromium, f"{app_address}/?__theme={theme}")
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")
    found: list[str] = []
    for name, ready in READY.items():
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(ready).first).to_be_visible()
        if name == "3D grouping":
            page.locator("#mg-group-run").click()
            expect(page.locator(PICTURES).first).to_be_visible()
            expect(page.locator("#mg-group-cancel")).to_be_disabled()
            expect(page.locator("#mg-group-run")).to_be_enabled()
        page.wait_for_timeout(SETTLES_MS)
        found += [f"{name}: {fault}" for fault in violations(page)]
    assert found == []


def test_a_picture_that_repeats_its_caption_is_never_met(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, app_address)
    page.get_by_role("tab", name="3D grouping", exact=True).click()
    page.locator("#mg-group-run").click()
    expect(page.locator(PICTURES).first).to_be_visible()
    drawn_anew = """async (pictures) => {
        const picture = document.querySelector(pictures), button = picture.closest('button'), gallery = button.parentElement;
        const caption = button.querySelector('.caption-label').textContent.trim(), seen = [picture.alt];
        const now = async () => { await Promise.resolve(); seen.push(gallery.querySelector(pictures).alt); };
        picture.alt = caption;
        await now();
        const again = button.cloneNode(true);
        again.querySelector('img').alt = caption;
        button.replaceWith(again);
        await now();
        again.querySelector('img').alt = 'told otherwise';
        again.querySelector('.caption-label').firstChild.data = 'told otherwise';
        await now();
        return seen;
    }"""
    assert page.evaluate(drawn_anew, PICTURES) == ["", "", "", ""]


def test_axe_would_find_a_fault(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, app_address)
    page.evaluate("document.querySelector('#mg-same').style.setProperty('color', '#f0a060', 'important')")
    assert any(fault.startswith("color-contrast") for fault in violations(page))


def test_every_page_has_an_address(chromium: Browser, app_address: str) -> None:
    page = open_page(chromium, app_address)
    chosen = page.locator("[role=tab][aria-selected=true]")
    pair = page.url
    assert "scene=" in pair
    for name in READY:
        page.get_by_role("tab", name=name, exact=True).click()
        expect(chosen).to_have_text(name)
        if name != "Judge":
            page.reload()
            expect(chosen).to_have_text(name)
    page.go_back()
    expect(chosen).to_have_text("Retrain")
    page.go_back()
    expect(chosen).to_have_text("3D grouping")
    page.go_forward()
    expect(chosen).to_have_text("Retrain")
    page.get_by_role("tab", name="Judge", exact=True).click()
    page.wait_for_function("!location.search.includes('tab=')")
