"""A page of a browser whose scripts are watched for errors; all browser tests open theirs so."""

from __future__ import annotations

from playwright.sync_api import Browser, Page

from tests.browser.app_process import WAIT_MS


def watched_page(chromium: Browser) -> Page:
    """Open an empty page in a context of its own; what its scripts fail with is collected in `problems`."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.problems = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # type: ignore[attr-defined]
    return page
