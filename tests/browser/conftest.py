"""One app and one browser for all browser tests of a process.

Both end with the last browser test: Playwright keeps an event loop running in the thread, in which other tests could not start one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app_process import WAIT_MS, browser, find_chromium, running_app
from tests.browser.watched_page import watched_page

# Playwright's own 5 s are too few on a busy two-core machine: a page that answers late is slow, not wrong.
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="package")
def database_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser") / "labels.db"


@pytest.fixture(scope="package")
def app_address(database_path: Path) -> Iterator[str]:
    with running_app(database_path) as address:
        yield address


@pytest.fixture(autouse=True)
def no_page_stays_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what a test leaves open: an open page goes on asking the app for news, and keeps it from stopping for 20 s."""
    yield
    if "chromium" in request.fixturenames:
        chromium: Browser = request.getfixturevalue("chromium")
        for context in chromium.contexts:
            context.close()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine; tests/browser/install_chromium.sh says how to get one")
    with browser(path) as launched:
        yield launched


@pytest.fixture
def page(chromium: Browser) -> Page:
    return watched_page(chromium)
