"""Takes the pictures of README and docs from the running app: `python -m tests.browser.take_screenshots docs/images`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.app_process import browser, find_chromium, running_app

SHOTS = (
    # file, width, height, theme, tab, what is there when the page is ready
    ("judge-light", 1280, 900, "light", "judge", "#mg-verdict .mg-headline"),
    ("judge-dark", 1280, 900, "dark", "judge", "#mg-verdict .mg-headline"),
    ("judge-phone", 390, 844, "light", "judge", "#mg-verdict .mg-headline"),
    ("review-light", 1280, 900, "light", "review", "text=Same"),
    ("grouping-light", 1280, 900, "light", "grouping", "text=groups of"),
    ("compare-light", 1280, 900, "light", "compare", "text=McNemar"),
)
ROOM_SETTLES_MS = 8000


def main(folder: Path) -> None:
    """Write one PNG for each of `SHOTS`."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium found: run tests/browser/install_chromium.sh first.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_app(Path(scratch) / "labels.db") as address, browser(chromium) as opened:
        for name, width, height, theme, tab, ready in SHOTS:
            page = opened.new_context(viewport={"width": width, "height": height}).new_page()
            page.goto(f"{address}/?__theme={theme}&tab={tab}")
            if tab == "grouping":
                page.get_by_role("tab", name="3D grouping").click()
            page.locator(ready).locator("visible=true").first.wait_for(timeout=120_000)
            page.wait_for_timeout(ROOM_SETTLES_MS)
            page.screenshot(path=folder / f"{name}.png", full_page=True, timeout=120_000)
            page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
