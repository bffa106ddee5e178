"""Every benchmark is started at its smallest, in this process, and must print what it promises: numbers, and sane ones.

What a new benchmark must print is added to `PRINTS`; without an entry, or without `--tiny`, it fails here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.browser.app_process import find_chromium

FOLDER = Path(__file__).parent
BENCHES = sorted(path.stem for path in FOLDER.glob("bench_*.py"))
NEED_BROWSER = ("bench_app", "bench_pages", "bench_review_keys", "bench_room_page")


def cells(text: str, row: str) -> list[str]:
    """The cells of the first row of a table that begins with `row`, without it."""
    found = next((line for line in text.splitlines() if line.startswith(f"| {row} |")), None)
    assert found is not None, f"no row {row!r} in:\n{text}"
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def number(text: str, before: str) -> float:
    """The number that follows some words."""
    found = re.search(rf"{re.escape(before)}\s*(-?[\d.]+)", text)
    assert found is not None, f"no {before!r} in:\n{text}"
    return float(found[1])


def check_app(text: str) -> None:
    parts = [number(text, name) for name in ("picture, crop and list", "verdict", "room overlays")]
    assert 0 < sum(parts) == pytest.approx(number(text, "a mask click in all"), abs=0.3)
    starts = [number(text, name) for name in ("server answers", "buttons to press", "masks to click", "room in 3D")]
    assert starts == sorted(starts), "a page is usable after its server answers"


def check_pages(text: str) -> None:
    waits = [number(text, name) for name in ("shell", "pictures", "verdict", "room")]
    assert 0 < waits[0] <= waits[1] <= waits[2] <= waits[3]
    assert number(text, "process start to answer") > 0
    assert number(text, "bytes of the first visit") > 0.1
    assert number(text, "requests of the first visit") > 10
    assert number(text, "again to Judge") > 0


def check_floor(text: str) -> None:
    mean, largest, bound, same = cells(text, "20 tokens")
    assert 0 <= float(mean) <= float(largest) <= float(bound) + 1e-4
    assert 0 < float(same.rstrip("%")) <= 100


def check_large(text: str) -> None:
    assert "12 views of 64x48, a mesh of 1,600 vertices" in text
    for name in ("listed and open", "a click into another view, median", "room in 3D", "points of the room"):
        assert number(text, name) > 0
    assert 0.01 < number(text, "memory after the clicks") <= number(text, "peak of memory")


def check_grouping(text: str) -> None:
    perfect = cells(text, "perfect poses")
    assert all(0.8 < float(ari) <= 1 for ari in perfect[:3]), perfect
    assert "Time and memory" in text
    assert "nan" not in text


def check_judging(text: str) -> None:
    rates = {way: float(cells(text, way)[1]) for way in ("the original's, 10 tokens", "ours, one order as the original")}
    assert min(rates.values()) > 0
    assert cells(text, "4")[0] == "4"


def check_labels(text: str) -> None:
    assert "400 rows" in text
    assert 0 < number(text, "400 rows, 0 MiB,") <= 400
    assert number(text, "add (flushed to disk)") > 0
    assert number(text, "audit (rows in memory)") > 0


def check_memory(text: str) -> None:
    sizes = [float(cell.split()[0]) for cell in cells(text, "2B")]
    _, whole, half, four, fast, trained, trained_four = sizes
    assert whole > half > four, "float32 takes more than bfloat16, that more than 4 bits"
    assert fast > half
    assert trained > half
    assert trained > trained_four > four
    times = text.splitlines()[-1].strip("|").split("|")
    assert times[0].strip() == "2B"
    assert all(float(cell.split()[0]) > 0 for cell in times[1:])


def check_queues(text: str) -> None:
    for queue in ("random", "impact"):
        assert re.match(r"\d+|not in \d+", cells(text, queue)[0])


def check_rendering(text: str) -> None:
    assert "Embree, CPU" in text
    assert all(float(seconds) > 0 for seconds in re.findall(r"([\d.e+-]+) s a view", text))
    assert " 1.0 x Embree" in text


def check_review_keys(text: str) -> None:
    # On a busy machine a key may come before the next pair is there, and is not counted.
    assert re.match(r"[12] keys, ", text)
    assert 0 < number(text, "median") <= number(text, "slowest")


def check_review_load(text: str) -> None:
    assert number(text, "2 clients, 2 s:") > 0


def check_robust(text: str) -> None:
    assert float(cells(text, "as they are")[0]) > 0.8


def check_room_page(text: str) -> None:
    for words in ("server: decimate the mesh", "browser: the first drawing of the room", "turning: median time between pictures"):
        assert number(text, words) > 0


def check_served(text: str) -> None:
    assert all(float(cells(text, way)[0]) > 0 for way in ("8 at once", "found by the ramp"))
    assert number(text, "at once in the end:") in (8, 16, 32, 64)


def check_surroundings(text: str) -> None:
    rows = [line for line in text.splitlines() if line.startswith("| small |")]
    assert len(rows) == 6
    assert all(0.5 <= float(row.split("|")[4]) <= 1 for row in rows)


def check_segment(text: str) -> None:
    true, own, colour = (cells(text, row) for row in ("true objects", "built in", "felzenszwalb, colour"))
    assert float(true[0]) == float(true[1]) == 1
    assert 0.5 < float(own[0]) <= 1
    assert float(own[0]) > float(colour[0])
    assert own[3] == "100%"


def check_training(text: str) -> None:
    shares = [float(cell) for cell in cells(text, "small")[1:]]
    assert len(shares) == 4
    assert all(0 <= share <= 1 for share in shares)


def check_photos(text: str) -> None:
    placed, masks, objects, looks, photos = cells(text, "textured room")[:5]
    assert placed == "6 of 6"
    assert int(masks) > int(objects) > 3
    assert all(0.5 < float(ari) <= 1 for ari in (looks, photos))
    assert number(text, "mean: looks") > 0


def check_real(text: str) -> None:
    for world in ("clean", "structured light", "structured light, masks, drift"):
        mean, worst = cells(text, world)[:2]
        assert 0.5 < float(worst) <= float(mean) <= 1, world
        assert all(0 < float(ap) <= 1 for ap in cells(text, world)[2].split(" / "))


PRINTS: dict[str, Callable[[str], None]] = {
    "bench_app": check_app,
    "bench_floor": check_floor,
    "bench_grouping": check_grouping,
    "bench_judging": check_judging,
    "bench_labels": check_labels,
    "bench_large": check_large,
    "bench_memory": check_memory,
    "bench_pages": check_pages,
    "bench_photos": check_photos,
    "bench_queues": check_queues,
    "bench_real": check_real,
    "bench_rendering": check_rendering,
    "bench_review_keys": check_review_keys,
    "bench_review_load": check_review_load,
    "bench_robust": check_robust,
    "bench_room_page": check_room_page,
    "bench_segment": check_segment,
    "bench_served": check_served,
    "bench_surroundings": check_surroundings,
    "bench_training": check_training,
}


def test_every_benchmark_is_checked() -> None:
    assert sorted(PRINTS) == BENCHES


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.browser if name in NEED_BROWSER else ()) for name in BENCHES]
)
def test_it_runs_and_prints_sane_numbers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in NEED_BROWSER and find_chromium() is None:
        pytest.skip("no Chromium here; run tests/browser/install_chromium.sh")
    module = import_module(f"tests.bench.{name}")
    module.main(["--tiny"])
    printed = capsys.readouterr().out
    PRINTS[name](printed)
    # `make bench` starts each as a program of its own.
    assert '\nif __name__ == "__main__":\n    main()\n' in (FOLDER / f"{name}.py").read_text(encoding="utf-8")
