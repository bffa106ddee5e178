"""How long people wait: from starting the app to a usable page, and for each click, on this machine in one run.

`python -m tests.bench.bench_app`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.judging.registry import load_judge
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.browser.app_process import browser, find_chromium, running_app
from ui.pages.judge import handlers as page
from ui.services.workbench import Workbench

REPEATS = 20


def bench_start(*flags: str) -> None:
    """Print the seconds from starting the process to each thing that a person sees."""
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium: the start of the page is not measured")
        return
    with tempfile.TemporaryDirectory() as scratch, browser(chromium) as opened:
        tab = opened.new_context(viewport={"width": 1280, "height": 900}).new_page()
        started = time.perf_counter()
        with running_app(Path(scratch) / "labels.db", *flags) as address:
            print(f"{'server answers':24} {time.perf_counter() - started:6.1f} s")
            tab.goto(address, wait_until="commit")
            for name, selector in (
                ("buttons to press", "#mg-next"),
                ("masks to click", "#mg-image-a img"),
                ("first verdict", "#mg-verdict .mg-headline"),
                ("room in 3D", "#mg-room canvas"),
            ):
                tab.wait_for_selector(selector, timeout=480_000)
                print(f"{name:24} {time.perf_counter() - started:6.1f} s after start")


def ask(bench: Workbench, choice: page.Choice) -> None:
    """Ask the judge about a choice, once both of its masks are picked."""
    if choice.pair is not None:
        bench.verdict(choice.scene, choice.pair)


def bench_clicks(scenes: Path, repeats: int) -> None:
    """Print what one click costs on the server, part by part, as the median of different masks."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = Workbench(scenes, LabelStore(open_database(str(Path(scratch) / "labels.db"))), lambda: load_judge("base"))
        choice = page.first_choice(bench, {})
        ask(bench, choice)
        page.show_room(bench, choice)
        masks = [mask for _, mask in bench.mask_choices(choice.scene, choice.view_a)][:repeats]
        choices = [page.choose_mask(choice, "a", mask) for mask in masks]
        parts: dict[str, Callable[[page.Choice], object]] = {
            "picture, crop and list": lambda c: page.show_side(bench, c, "a"),
            "verdict": lambda c: ask(bench, c),
            "room overlays": lambda c: page.show_room(bench, c),
        }
        total = 0.0
        for name, part in parts.items():
            median = statistics.median(_time(part, c) for c in choices)
            total += median
            print(f"{name:24} {median * 1000:6.1f} ms")
        print(f"{'a mask click in all':24} {total * 1000:6.1f} ms")


def _time(part: Callable[[page.Choice], object], choice: page.Choice) -> float:
    started = time.perf_counter()
    part(choice)
    return time.perf_counter() - started


def main(given: Sequence[str] | None = None) -> None:
    """Run both halves."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_app", description=__doc__)
    parser.add_argument("--clicks", type=int, default=REPEATS, help="masks to click")
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    if not arguments.tiny:
        bench_clicks(SCENES_DIR, arguments.clicks)
        bench_start()
        return
    with tiny_scene() as scene:
        bench_clicks(scene.parent, 2)
        bench_start("--scenes", str(scene.parent))


if __name__ == "__main__":
    main()
