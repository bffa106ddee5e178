"""How fast the 3D grouping page is with a large room, part by part: `python -m tests.bench.bench_room_page [--vertices 300000]`.

The bundled living room, its mesh subdivided to that many vertices, is opened in a real Chromium that draws in software: what the
server prepares, what travels, what the browser draws, how smoothly the room turns, and how long merging two groups, taking a mask
out and undoing take from the click to the new groups on the page.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import trimesh
from playwright.sync_api import Page

from engine.assets import SCENES_DIR
from engine.scenes import open_scene
from engine.views.frames import FrameSource
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.browser.app_process import browser, find_chromium, running_app
from ui.view3d.plotly_view import room_values
from ui.view3d.room import build_room

NAME = "sh3d_living"
WAIT_MS = 480_000
CORRECTIONS = 5
WATCH = """
window.mgTimes = [];
let plotly;
Object.defineProperty(window, 'Plotly', { configurable: true, get: () => plotly, set: (found) => {
  plotly = found;
  const react = found.react;
  found.react = async (plot, traces, ...rest) => {
    const started = performance.now();
    const drawn = await react(plot, traces, ...rest);
    if (traces.length) window.mgTimes.push([plot.closest('[id^=mg-]')?.id, started, performance.now()]);
    return drawn;
  };
}});
"""
TURN = """async (selector) => {
  const canvas = [...document.querySelectorAll(selector + ' canvas')].at(-1);
  const box = canvas.getBoundingClientRect();
  const send = (type, x, y, buttons) => canvas.dispatchEvent(
    new MouseEvent(type, { bubbles: true, clientX: box.x + x, clientY: box.y + y, buttons, button: 0, view: window }));
  send('mousedown', 200, 200, 1);
  const times = [];
  for (let step = 0; step < 40; step += 1) {
    send('mousemove', 200 + 4 * step, 200 + step, 1);
    await new Promise(requestAnimationFrame);
    times.push(performance.now());
  }
  send('mouseup', 360, 240, 0);
  return times;
}"""


def write_large_room(folder: Path, vertices: int) -> Path:
    """Copy the living room with faces split until the mesh has about that many vertices; returns the scene's folder."""
    scene = folder / NAME
    shutil.copytree(SCENES_DIR / NAME, scene)
    truth = np.loadtxt(SCENES_DIR / "ground_truth" / f"{NAME}.txt", dtype=np.int64)
    mesh = trimesh.load(scene / f"{NAME}_mesh.ply", process=False)
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    attributes = {"color": np.asarray(mesh.visual.vertex_colors, np.float64), "truth": truth.astype(np.float64)[:, None]}
    while len(points) < 0.99 * vertices:
        # Each split face adds about three corners when its neighbours are not split, and fewer when they are.
        count = min(len(faces), max(1, (vertices - len(points)) // 2))
        points, faces, attributes = trimesh.remesh.subdivide(
            points, faces, face_index=np.arange(count), vertex_attributes=attributes
        )
    mesh = trimesh.Trimesh(points, faces, vertex_colors=attributes["color"].astype(np.uint8), process=False)
    mesh.export(scene / f"{NAME}_mesh.ply")
    (folder / "ground_truth").mkdir()
    np.savetxt(folder / "ground_truth" / f"{NAME}.txt", np.rint(attributes["truth"][:, 0]).astype(int), fmt="%d")
    return scene


def say(name: str, value: float, unit: str = "ms") -> None:
    """Print one row."""
    print(f"{name:52} {value:9.1f} {unit}", flush=True)


def bench_server(scene: Path) -> None:
    """Print what the server does before a room can travel."""

    def timed(name: str, make: Callable[[], object]) -> object:
        started = time.perf_counter()
        made = make()
        say(name, 1000 * (time.perf_counter() - started))
        return made

    opened = timed("server: open the scene and read its mesh", lambda: _open(scene))
    room = timed("server: decimate the mesh", lambda: build_room(opened, FrameSource(opened)))
    trace = timed("server: palette and base64", lambda: room_values(room))
    text = timed("server: JSON", lambda: json.dumps(trace))
    say("faces that are drawn", len(room.points), "")
    say("JSON", len(text) / 2**20, "MiB")


def _open(scene: Path) -> object:
    opened = open_scene(scene)
    assert opened.mesh is not None
    say("vertices of the mesh", len(opened.mesh.vertices), "")
    return opened


def bench_page(scenes: Path, chromium: str, *, corrections: int) -> None:
    """Print what a person waits for in the browser."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        browser(chromium) as opened,
        running_app(Path(scratch) / "labels.db", "--scenes", str(scenes)) as address,
    ):
        tab = opened.new_context(viewport={"width": 1280, "height": 900}).new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.add_init_script(WATCH)
        tab.goto(address)
        # The server reads its model and the room while the browser opens: that is the start of the app, not of the room.
        tab.wait_for_selector("#mg-verdict .mg-headline")
        tab.get_by_role("tab", name="3D grouping").click()
        tab.wait_for_selector("#mg-group-summary >> text=groups of")
        _wait_quiet(tab)
        # A second visit: the page is loaded anew, the groups exist.
        tab.goto(address + "?tab=judge")
        tab.wait_for_selector("#mg-verdict .mg-headline")
        _wait_quiet(tab)
        clicked = tab.evaluate("performance.now()")
        tab.get_by_role("tab", name="3D grouping").click()
        tab.wait_for_function("mgTimes.some(([id]) => id === 'mg-group-room')")
        drawn = tab.evaluate("mgTimes.filter(([id]) => id === 'mg-group-room')[0]")
        loads = tab.evaluate(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('/cloud/'))"
            ".map((e) => [e.responseEnd - e.startTime, e.transferSize / 1048576])"
        )
        for took, size in loads:
            say("browser: the room travels", took)
            say("browser: of that size", size, "MiB")
        say("browser: the first drawing of the room", drawn[2] - drawn[1])
        say("browser: from the click on the tab to the room", drawn[2] - clicked)
        tab.wait_for_selector("#mg-group-list .thumbnail-lg, #mg-group-list button.thumbnail-item")
        _wait_quiet(tab)
        times = tab.evaluate(TURN, "#mg-group-room")
        gaps = np.diff(times)
        say("turning: median time between pictures", float(np.median(gaps)))
        say("turning: the slowest twentieth", float(np.quantile(gaps, 0.95)))
        bench_corrections(tab, corrections)


def bench_corrections(tab: Page, turns: int) -> None:
    """Print how long merging, taking a mask out and undoing take from the click to the page and to the room."""
    listed = tab.locator("#mg-group-list").locator("button.thumbnail-item, .thumbnail-lg")
    crops = tab.locator("#mg-group-crops").locator("button.thumbnail-item, .thumbnail-lg")
    took: dict[str, list[tuple[float, float]]] = {"merge": [], "undo": [], "this one is not it": []}
    for turn in range(turns):
        for place in (3 + turn, 12 + turn):
            before = tab.locator("#mg-group-details").inner_html()
            listed.nth(place).click()
            tab.wait_for_function("(old) => document.querySelector('#mg-group-details .html-container, #mg-group-details')"
                                  ".innerHTML !== old", arg=before)  # fmt: skip
            _wait_quiet(tab)
        took["merge"].append(_correct(tab, "merge", "Merged"))
        took["undo"].append(_correct(tab, "undo", "Undone"))
        crops.nth(1).click()
        tab.wait_for_selector("#mg-group-reject:not([disabled])")
        _wait_quiet(tab)
        took["this one is not it"].append(_correct(tab, "reject", "is not in"))
        took["undo"].append(_correct(tab, "undo", "Undone"))
    for name, times in took.items() if turns else ():
        say(f"{name}: click to the new groups in words", statistics.median(t for t, _ in times))
        say(f"{name}: click to the room in its new colours", statistics.median(t for _, t in times))


def _correct(tab: Page, button: str, words: str) -> tuple[float, float]:
    """Press a button; returns milliseconds to the new summary and to the end of the room's drawing."""
    draws = tab.evaluate("mgTimes.length")
    tab.evaluate(
        """([button, words]) => {
          const place = document.querySelector('#mg-group-summary');
          window.mgClicked = performance.now();
          window.mgSaid = null;
          new MutationObserver((_, watcher) => {
            if (place.innerText.includes(words)) { window.mgSaid ??= performance.now(); watcher.disconnect(); }
          }).observe(place, { childList: true, subtree: true, characterData: true });
          document.querySelector(`#mg-group-${button}`).click();
        }""",
        [button, words],
    )
    tab.wait_for_function("(draws) => window.mgSaid && mgTimes.length > draws", arg=draws)
    clicked, new, drawn = tab.evaluate(f"[mgClicked, mgSaid, mgTimes[{draws}][2]]")
    _wait_quiet(tab)
    return new - clicked, drawn - clicked


def _wait_quiet(tab: Page) -> None:
    """Wait until nothing has been drawn for a second."""
    tab.wait_for_timeout(300)
    tab.wait_for_function("!mgTimes.length || performance.now() - mgTimes.at(-1)[2] > 1000")


def main(given: Sequence[str] | None = None) -> None:
    """Run both halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=300_000)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch, tiny_scene() as small:
        large = write_large_room(Path(scratch) / "scenes", 1 if arguments.tiny else arguments.vertices)
        scene, corrections = (small, 0) if arguments.tiny else (large, CORRECTIONS)
        bench_server(scene)
        chromium = find_chromium()
        if chromium is None:
            print("no Chromium: the page is not measured")
            return
        bench_page(scene.parent, chromium, corrections=corrections)


if __name__ == "__main__":
    main()
