"""A person names a group on the 3D grouping page, finds it by its name, and has a name proposed, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.app_process import running_app
from tests.tiny_room import write_tiny_room

pytestmark = pytest.mark.browser

ITEMS = "button.thumbnail-item, .thumbnail-lg"


def test_a_group_is_named_and_found(page: Page, tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    with running_app(tmp_path / "labels.db", "--scenes", str(tmp_path / "scenes")) as address:
        page.goto(f"{address}/?tab=grouping&scene=tiny")
        listed = page.locator("#mg-group-list").locator(ITEMS)
        expect(listed).to_have_count(2)
        name = page.locator("#mg-group-name").get_by_role("textbox")
        expect(name).to_be_disabled()
        listed.nth(0).click()
        expect(name).to_have_value("bed")
        name.fill("Aunt's <b>box</b>")
        page.locator("#mg-group-name-it").click()
        expect(page.locator("#mg-group-details")).to_contain_text("Aunt's <b>box</b>, group 1: 3 masks")
        expect(page.locator("#mg-group-list")).to_contain_text("Aunt's <b>box</b> 1: 3 masks")

        page.locator("#mg-group-find").get_by_role("textbox").fill("aunt")
        expect(listed).to_have_count(1)
        page.locator("#mg-group-coloring").get_by_label("name or class").click()
        page.locator("#mg-group-propose").click()
        expect(page.get_by_text("was trained to answer yes and no alone and cannot name things")).to_be_visible()

        # Another page, and the app's next start, show the same.
        page.goto(f"{address}/?tab=grouping&scene=tiny")
        expect(page.locator("#mg-group-list")).to_contain_text("Aunt's <b>box</b> 1: 3 masks")
        expect(listed).to_have_count(2)
        listed.nth(1).click()
        expect(name).to_have_value("bed")
