"""Takes the pictures of README and docs from the running app: `python -m tests.browser.take_screenshots docs/images [NAME ...]`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

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
COLORS = 256
"""Of a picture: a third of the file, and the eye sees no difference."""
SHOW_ALL_PICTURES = """async () => {
  for (const picture of document.querySelectorAll('img')) {
    if (!picture.offsetParent) continue;
    picture.scrollIntoView({ block: 'center' });
    for (let tries = 0; tries < 50 && !picture.complete; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // Galleries scroll too: back to their beginnings, as a visitor finds them.
  for (const box of document.querySelectorAll('*')) if (box.scrollTop) box.scrollTop = 0;
  window.scrollTo(0, 0);
}"""


def shoot(page: Page, path: Path) -> None:
    """Write the whole page as a PNG of few colours, with the pictures that load only when they are scrolled to."""
    page.evaluate(SHOW_ALL_PICTURES)
    page.wait_for_timeout(500)
    taken = Image.open(io.BytesIO(page.screenshot(full_page=True, timeout=120_000)))
    # Dithering would only add noise to the file.
    few = taken.convert("RGB").quantize(COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main(folder: Path, names: list[str]) -> None:
    """Write one PNG for each of `SHOTS`, or for those that are named."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium found: run tests/browser/install_chromium.sh first.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_app(Path(scratch) / "labels.db") as address, browser(chromium) as opened:
        for name, width, height, theme, tab, ready in SHOTS:
            if names and name not in names:
                continue
            page = opened.new_context(viewport={"width": width, "height": height}).new_page()
            page.goto(f"{address}/?__theme={theme}&tab={tab}")
            if tab == "grouping":
                page.get_by_role("tab", name="3D grouping").click()
            page.locator(ready).locator("visible=true").first.wait_for(timeout=120_000)
            page.wait_for_timeout(ROOM_SETTLES_MS)
            shoot(page, folder / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
