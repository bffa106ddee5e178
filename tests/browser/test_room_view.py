"""The room in 3D: drawn as a mesh or an even cloud, cut, hidden and looked at by parts, and every click in it is answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from engine.scenes.registry import open_scene
from engine.views.frames import FrameSource, resize_nearest
from tests.browser.app_process import running_app
from tests.browser.watched_page import watched_page
from tests.tiny_room import CAMERA, NAME, write_tiny_room

pytestmark = pytest.mark.browser

ROOM = "document.querySelector('#mg-group-room .mg-plot').mgRoom"
CLOUD = "cloudy"
POINTS_DRAWN = (
    "Math.max(...document.querySelector('#mg-group-room .mg-plot')._fullLayout.scene._scene"
    ".glplot.objects.map((points) => points.vertexCount ?? 0))"
)
MIDDLE_OF_LIT = """() => {
  const room = ROOM_HERE, box = document.querySelector('#mg-group-room .mg-plot').getBoundingClientRect();
  for (let y = box.top + 4; y < box.bottom - 60; y += 6) for (let x = box.left + 4; x < box.right; x += 6) {
    const at = room.at(x, y);
    if (at && !room.cameraAt(x, y) && at[2] > 0.2) return [x, y, ...at];
  }
  return null;
}""".replace("ROOM_HERE", ROOM)
"""A place of the window at which one of the two boxes is, and that place in the room."""


def write_cloud_scene(mesh_scene: Path, folder: Path) -> None:
    """Write the same views as a person's own data: depth and poses, and no mesh."""
    for name in ("color", "depth", "poses"):
        shutil.copytree(mesh_scene / name, folder / name)
    shutil.copy(mesh_scene / "intrinsics.txt", folder / "intrinsics.txt")
    (folder / "masks").mkdir()
    scene = open_scene(mesh_scene)
    for frame in FrameSource(scene).usable(scene.view_names):
        ids = np.unique(frame.instance_map[frame.instance_map >= 0])
        drawn = np.where(frame.instance_map >= 0, np.searchsorted(ids, frame.instance_map) + 1, 0).astype(np.int32)
        small = resize_nearest(drawn, CAMERA.width, CAMERA.height).astype(np.uint16)
        Image.fromarray(small).save(folder / "masks" / f"{frame.view}.png")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("room")
    write_cloud_scene(write_tiny_room(folder / "scenes"), folder / "scenes" / CLOUD)
    with running_app(folder / "labels.db", "--scenes", str(folder / "scenes")) as address:
        yield address


def open_room(chromium: Browser, address: str, scene: str) -> Page:
    page = watched_page(chromium)
    page.goto(f"{address}/?tab=grouping")
    expect(page.locator("#mg-group-run")).to_be_enabled()
    chooser = page.locator("#mg-group-scene input")
    if chooser.input_value() != scene:
        chooser.click()
        page.get_by_role("option", name=scene, exact=True).click()
    expect(page.locator("#mg-group-list .thumbnail-item").first).to_be_visible()
    page.wait_for_function(f"() => {ROOM} && document.querySelector('#mg-group-room .mg-plot-count').textContent")
    page.locator("#mg-group-room .mg-plot").evaluate("plot => plot.scrollIntoView({block: 'center'})")
    return page


def parts(page: Page) -> dict[str, Any]:
    return page.evaluate(f"{ROOM}.parts()")


def wait_for_parts(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {{ const now = {ROOM}.parts(); return {condition}; }}")


def press(page: Page, what: str) -> None:
    page.locator(f"#mg-group-room [data-room={what}]").click()


def test_a_mesh_is_cut_hidden_and_looked_at_by_parts(chromium: Browser, app: str) -> None:
    page = open_room(chromium, app, NAME)
    assert parts(page)["isMesh"]
    expect(page.locator("#mg-group-room .mg-plot-count")).to_contain_text(" faces")
    for what in ("zoom", "only", "hide"):
        expect(page.locator(f"#mg-group-room [data-room={what}]")).to_be_disabled()
    press(page, "all")
    wait_for_parts(page, "now.drawn === now.parts")
    page.locator("#mg-group-room input[type=range]").fill("30")
    wait_for_parts(page, "now.drawn < now.parts")
    press(page, "all")
    wait_for_parts(page, "now.drawn === now.parts")

    found = page.evaluate(MIDDLE_OF_LIT)
    assert found is not None
    page.mouse.click(found[0], found[1])
    expect(page.locator("#mg-group-details")).to_contain_text("confidence")
    wait_for_parts(page, "now.lit > 0")
    assert abs(found[2]) <= 0.85, "the place is on a box"
    lit = parts(page)["lit"]
    press(page, "only")
    wait_for_parts(page, f"now.drawn === {lit}")
    press(page, "all")
    press(page, "hide")
    wait_for_parts(page, f"now.drawn === now.parts - {lit}")
    press(page, "all")
    camera = "document.querySelector('#mg-group-room .mg-plot')._fullLayout.scene._scene.getCamera()"
    before = page.evaluate(camera)
    press(page, "zoom")
    page.wait_for_function(f"before => JSON.stringify({camera}.center) !== JSON.stringify(before.center)", arg=before)
    near = page.evaluate(camera)
    away = [sum((c["eye"][k] - c["center"][k]) ** 2 for k in "xyz") for c in (before, near)]
    assert away[1] < away[0]
    # The colours of the photos, and back: the camera stays where it was put.
    page.get_by_label("photo").click()
    page.wait_for_function("() => document.querySelector('#mg-group-room .mg-plot').data[0].vertexcolor")
    kept = page.evaluate(camera)
    assert all(abs(kept["center"][k] - near["center"][k]) < 1e-6 for k in "xyz")
    assert page.problems == []  # type: ignore[attr-defined]


def test_every_click_is_answered_and_a_camera_opens_its_view(chromium: Browser, app: str) -> None:
    page = open_room(chromium, app, NAME)
    box = page.locator("#mg-group-room .mg-plot").bounding_box()
    assert box is not None
    said = page.locator("#mg-group-room .mg-room-said")
    page.mouse.click(box["x"] + 3, box["y"] + 30)
    expect(said).to_contain_text("Nothing is there")
    value = json.loads(page.evaluate("document.querySelector('#mg-group-room .mg-plot').mgRoom.cameras()"))
    page.mouse.move(0, 0)
    for camera in value:
        x, y = page.evaluate("at => document.querySelector('#mg-group-room .mg-plot').mgRoom.eyes().toScreen(at)", camera["at"])[:2]
        if box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"] - 60:
            name = page.evaluate(f"([x, y]) => {ROOM}.cameraAt(x, y)", [x, y])
            page.mouse.click(x, y)
            expect(page.locator("#mg-group-room .legendtext").filter(has_text=f"camera of view {name}")).to_be_visible()
            break
    else:
        pytest.fail("no camera is in sight")
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_cloud_is_even_thinned_while_it_turns_and_can_be_clicked(chromium: Browser, app: str) -> None:
    page = open_room(chromium, app, CLOUD)
    assert not parts(page)["isMesh"]
    expect(page.locator("#mg-group-room .mg-room-backs")).to_be_hidden()
    press(page, "all")
    at_rest = page.evaluate(POINTS_DRAWN)
    watch = f"addEventListener('mousemove', () => {{ turning = {POINTS_DRAWN}; }}, true)"
    page.evaluate(f"window.turning = 0; document.querySelector('#mg-group-room .mg-plot').{watch}")
    box = page.locator("#mg-group-room .mg-plot").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 10, steps=4)
    page.mouse.up()
    assert 0 < page.evaluate("turning") < at_rest, "fewer points are drawn while the room turns"
    page.wait_for_function(f"{POINTS_DRAWN} === {at_rest}")
    found = page.evaluate(MIDDLE_OF_LIT)
    assert found is not None
    page.mouse.click(found[0], found[1])
    expect(page.locator("#mg-group-details")).to_contain_text("confidence")
    assert page.problems == []  # type: ignore[attr-defined]
