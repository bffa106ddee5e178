"""Takes the pictures of README and docs from the running app: `python -m tests.browser.take_screenshots docs/images`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.app_process import browser, find_chromium, running_app

SHOTS = (("judge-light", 1280, 900, "light"), ("judge-dark", 1280, 900, "dark"), ("judge-phone", 390, 844, "light"))
ROOM_SETTLES_MS = 6000


def main(folder: Path) -> None:
    """Write one PNG for each of `SHOTS`."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium found: run tests/browser/install_chromium.sh first.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_app(Path(scratch) / "labels.db") as address, browser(chromium) as opened:
        for name, width, height, theme in SHOTS:
            page = opened.new_context(viewport={"width": width, "height": height}).new_page()
            page.goto(f"{address}/?__theme={theme}")
            page.wait_for_selector("#mg-verdict .mg-headline", timeout=120_000)
            page.wait_for_timeout(ROOM_SETTLES_MS)
            page.screenshot(path=folder / f"{name}.png", full_page=True, timeout=120_000)
            page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
