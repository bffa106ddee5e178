"""What a first visit waits for and fetches, in a real browser: `python -m tests.bench.bench_pages`.

From the start of the process to an answer, the shell, the pictures, the verdict and the room; how long changing pages takes, first
and again; bytes (as they travel) and requests until the verdict and the room are there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page

from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.browser.app_process import WAIT_MS, browser, find_chromium, running_app

PAGES = (
    ("Review", ".rv-crop"),
    ("History", "#mg-history"),
    ("People", "#mg-people-next"),
    ("3D grouping", "#mg-group-room canvas"),
    ("Retrain", "#mg-train-start"),
    ("Compare", "#mg-compare-form"),
    ("Judge", "#mg-verdict"),
)
VISIT = (
    ("shell", "#mg-next"),
    ("pictures", "#mg-image-a img"),
    ("verdict", "#mg-verdict .mg-headline"),
    ("room", "#mg-room canvas"),
)


def say(name: str, value: float, unit: str) -> None:
    """Print one row."""
    print(f"{name:32} {value:9.2f} {unit}", flush=True)


def bench_visit(chromium: str, *flags: str) -> None:
    """Print what a first visit waits for, right after the start, and what it fetches."""
    with tempfile.TemporaryDirectory() as scratch, browser(chromium) as opened:
        tab = opened.new_context(viewport={"width": 1280, "height": 800}).new_page()
        tab.set_default_timeout(WAIT_MS)
        started = time.perf_counter()
        with running_app(Path(scratch) / "labels.db", *flags) as address:
            say("process start to answer", time.perf_counter() - started, "s")
            sizes = _count_bytes(tab)
            opened_at = time.perf_counter()
            tab.goto(address, wait_until="commit")
            for name, ready in VISIT:
                tab.locator(ready).locator("visible=true").first.wait_for()
                say(name, time.perf_counter() - opened_at, "s")
            say("bytes of the first visit", sum(sizes.values()) / 1e6, "MB")
            say("requests of the first visit", len(sizes), "")
            for again in ("first change to", "again to"):
                for name, ready in PAGES:
                    changed_at = time.perf_counter()
                    tab.get_by_role("tab", name=name, exact=True).click()
                    tab.locator(ready).locator("visible=true").first.wait_for()
                    say(f"{again} {name}", time.perf_counter() - changed_at, "s")
            tab.close()


def _count_bytes(tab: Page) -> dict[str, float]:
    """Return a table that fills with each request's bytes as they travel."""
    sizes: dict[str, float] = {}
    session = tab.context.new_cdp_session(tab)
    session.send("Network.enable")
    session.on("Network.requestWillBeSent", lambda event: sizes.setdefault(event["requestId"], 0.0))
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    return sizes


def main(given: Sequence[str] | None = None) -> None:
    """Visit the bundled scene's pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_pages", description=__doc__)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium found: run tests/browser/install_chromium.sh first.")
    if not arguments.tiny:
        bench_visit(chromium)
        return
    with tiny_scene() as scene:
        bench_visit(chromium, "--scenes", str(scene.parent))


if __name__ == "__main__":
    main()
