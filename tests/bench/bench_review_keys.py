"""Prints how long a key on the Review page takes to show the next pair: `python -m tests.bench.bench_review_keys [--keys 20]`.

A real browser against the real app; the page itself measures from the key to the frame in which the next pair is drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.browser.app_process import browser, find_chromium, running_app

SETTLES_MS = 25_000
"""By then the queue of the bundled scene is made, and what is measured is labelling."""


def main(given: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_review_keys", description=__doc__)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two keys")
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    settles_ms = SETTLES_MS
    if arguments.tiny:
        arguments.keys, settles_ms = 2, 0
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium found: run tests/browser/install_chromium.sh first.")
    with (
        tempfile.TemporaryDirectory() as scratch,
        tiny_scene() as small,
        running_app(Path(scratch) / "labels.db", *(("--scenes", str(small.parent)) if arguments.tiny else ())) as address,
        browser(chromium) as opened,
    ):
        page = opened.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(360_000)
        page.goto(f"{address}/?tab=review")
        page.wait_for_function("window.mgReview && mgReview.state.current")
        page.wait_for_timeout(settles_ms)
        for place in range(arguments.keys):
            page.wait_for_function("mgReview.state.cards.length > 0")
            page.keyboard.press("sd"[place % 2])
            page.wait_for_timeout(1000 * arguments.pause)
        took = np.asarray(page.evaluate("mgReview.latencies"))
    print(f"{len(took)} keys, {arguments.pause:g} s apart: median {np.median(took):.0f} ms, slowest {took.max():.0f} ms")


if __name__ == "__main__":
    main()
