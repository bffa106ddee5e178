"""Walks the 3D grouping page as a person does, on a tiny room, in a real browser against the real app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app_process import running_app
from tests.tiny_room import write_tiny_room

pytestmark = pytest.mark.browser

WAIT_MS = 120_000


@pytest.fixture(scope="module")
def tiny_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("grouping")
    write_tiny_room(folder / "scenes")
    with running_app(folder / "labels.db", "--scenes", str(folder / "scenes")) as address:
        yield address


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    yield opened
    context.close()


def open_grouping_page(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("tab", name="3D grouping").click()
    expect(page.locator("#mg-group-run")).to_be_enabled(timeout=WAIT_MS)


def test_person_runs_picks_merges_undoes_and_reloads(page: Page, tiny_app: str, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    open_grouping_page(page, tiny_app)
    page.locator("#mg-group-run").click()
    summary = page.locator("#mg-group-summary")
    expect(summary).to_contain_text("2 groups of 6 masks in 3 views; ARI 1.000", timeout=WAIT_MS)
    expect(page.locator("#mg-group-room canvas").first).to_be_visible(timeout=WAIT_MS)

    listed = page.locator("#mg-group-list button.thumbnail-item, #mg-group-list .thumbnail-lg")
    expect(listed).to_have_count(2, timeout=WAIT_MS)
    listed.nth(0).click()
    expect(page.locator("#mg-group-details")).to_contain_text("group 1: 3 masks", timeout=WAIT_MS)
    listed.nth(1).click()
    expect(page.locator("#mg-group-details")).to_contain_text("Picked before: group 1", timeout=WAIT_MS)
    page.screenshot(path=tmp_path / "grouping.png", full_page=True)

    page.locator("#mg-group-merge").click()
    expect(summary).to_contain_text("3 masks moved, ARI 1.000 → 0.000", timeout=WAIT_MS)
    page.locator("#mg-group-undo").click()
    expect(summary).to_contain_text(re.compile("Undone: 3 masks moved, ARI 0.000 → 1.000"), timeout=WAIT_MS)

    page.reload()
    page.get_by_role("tab", name="3D grouping").click()
    expect(page.locator("#mg-group-summary")).to_contain_text("2 groups of 6 masks", timeout=WAIT_MS)
    assert problems == []
