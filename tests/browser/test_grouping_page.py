"""Walks the 3D grouping page as a person does, in a real browser against the real app: a tiny room, and the bundled living room."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trimesh
from playwright.sync_api import Locator, Page, expect

from tests.browser.app_process import WAIT_MS, running_app
from tests.command_line import run_command
from tests.tiny_room import write_tiny_room

pytestmark = pytest.mark.browser

ITEMS = "button.thumbnail-item, .thumbnail-lg"


@pytest.fixture
def tiny_scenes(tmp_path: Path) -> Path:
    write_tiny_room(tmp_path / "scenes")
    return tmp_path / "scenes"


CALLED = "<img src=x onerror=hacked=1>"


@pytest.fixture(scope="module")
def tiny_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app with two tiny rooms, so that no test changes the groups of another."""
    folder = tmp_path_factory.mktemp("tiny")
    scenes = folder / "scenes"
    write_tiny_room(scenes)
    shutil.copytree(scenes / "tiny", scenes / "called")
    (scenes / "called" / "tiny_mesh.ply").rename(scenes / "called" / "called_mesh.ply")
    shutil.copyfile(scenes / "ground_truth" / "tiny.txt", scenes / "ground_truth" / "called.txt")
    (scenes / "called" / "maskgroup.json").write_text(json.dumps({"classes": {"7": CALLED}}))
    with running_app(folder / "labels.db", "--scenes", str(scenes)) as address:
        yield address


def open_grouping_page(page: Page, address: str, scene: str | None = None) -> None:
    page.goto(address)
    page.get_by_role("tab", name="3D grouping").click()
    expect(page.locator("#mg-group-run")).to_be_enabled()
    if scene is not None:
        page.locator("#mg-group-scene input").click()
        page.get_by_role("option", name=scene, exact=True).click()
        # The scene that is open at first calls its objects otherwise.
        expect(page.locator("#mg-group-list")).to_contain_text("bed 1: 3 masks")


def summary(page: Page) -> Locator:
    return page.locator("#mg-group-summary")


def details(page: Page) -> Locator:
    return page.locator("#mg-group-details")


def pick_both(page: Page) -> None:
    """Pick the two groups of the tiny room in the list, one after the other."""
    listed = page.locator("#mg-group-list").locator(ITEMS)
    expect(listed).to_have_count(2)
    listed.nth(0).click()
    expect(details(page)).to_contain_text("bed, group 1: 3 masks")
    listed.nth(1).click()
    expect(details(page)).to_contain_text("Picked before: bed, group 1")


def test_person_finds_groups_picks_merges_undoes_and_reloads(page: Page, tiny_scenes: Path, tmp_path: Path) -> None:
    with running_app(tmp_path / "labels.db", "--scenes", str(tiny_scenes)) as address:
        open_grouping_page(page, address)
        expect(summary(page)).to_contain_text("2 groups of 6 masks in 3 views; ARI 1.000")
        expect(page.locator("#mg-group-room canvas").first).to_be_visible()
        # It is far down, and browsers load it once somebody comes near.
        page.locator("#mg-group-sheet").scroll_into_view_if_needed()
        expect(page.locator("#mg-group-sheet img")).to_be_visible()

        pick_both(page)

        page.locator("#mg-group-merge").click()
        expect(summary(page)).to_contain_text("3 masks moved, ARI 1.000 → 0.000")
        page.get_by_label("what it changed").click()
        page.locator("#mg-group-undo").click()
        expect(summary(page)).to_contain_text("Undone: 3 masks moved, ARI 0.000 → 1.000")

        crops = page.locator("#mg-group-crops").locator(ITEMS)
        expect(crops).to_have_count(3)
        crops.nth(1).click()
        expect(page.locator("#mg-group-reject")).to_be_enabled()
        page.locator("#mg-group-reject").click()
        expect(summary(page)).to_contain_text("3 groups of 6 masks")
        expect(summary(page)).to_contain_text("is not in group")

        page.reload()
        page.get_by_role("tab", name="3D grouping").click()
        expect(summary(page)).to_contain_text("3 groups of 6 masks")
    with running_app(tmp_path / "labels.db", "--scenes", str(tiny_scenes)) as address:
        open_grouping_page(page, address)
        expect(summary(page)).to_contain_text("3 groups of 6 masks")
        page.locator("#mg-group-undo").click()
        expect(summary(page)).to_contain_text("2 groups of 6 masks")
    assert page.problems == []  # type: ignore[attr-defined]


def test_groups_are_downloaded_corrected_and_open_elsewhere(page: Page, tiny_scenes: Path, tmp_path: Path) -> None:
    with running_app(tmp_path / "labels.db", "--scenes", str(tiny_scenes)) as address:
        open_grouping_page(page, address)
        expect(summary(page)).to_contain_text("2 groups of 6 masks")
        expect(page.locator("#mg-group-file")).to_be_hidden()
        page.locator("#mg-group-download").click()
        expect(page.locator("#mg-group-export")).to_contain_text("Made at")
        expect(page.locator("#mg-group-stop-export")).to_be_disabled()
        first = save_zip(page, tmp_path / "first.zip")
        with zipfile.ZipFile(first) as archive:
            names = set(archive.namelist())
            manifest = json.loads(archive.read("tiny-all/manifest.json"))
            archive.extractall(tmp_path / "first")
        assert {"tiny-all/instances.glb", "tiny-all/coco.json", "tiny-all/masks/0.png", "tiny-all/scene/poses/0.txt"} <= names
        assert (manifest["groups"], manifest["corrections"]) == (2, [])
        model = trimesh.load(tmp_path / "first" / "tiny-all" / "instances.glb")
        assert set(model.graph.nodes_geometry) == {"bed, group 1", "bed, group 2", "no group"}

        # It is there after a reload, and a correction makes it old.
        page.reload()
        page.get_by_role("tab", name="3D grouping").click()
        expect(page.locator("#mg-group-file a[download]").first).to_be_visible()
        pick_both(page)
        page.locator("#mg-group-merge").click()
        expect(summary(page)).to_contain_text("1 groups of 6 masks")
        expect(page.locator("#mg-group-export")).to_contain_text("before the groups changed")
        page.locator("#mg-group-format").locator("input").click()
        page.get_by_role("option", name="table: groups.json").click()
        page.locator("#mg-group-download").click()
        expect(page.locator("#mg-group-file a[download]").first).to_have_attribute("download", "tiny-json.zip")
        with zipfile.ZipFile(save_zip(page, tmp_path / "second.zip")) as archive:
            assert len(json.loads(archive.read("tiny-json/groups.json"))["groups"]) == 1
            assert len(json.loads(archive.read("tiny-json/manifest.json"))["corrections"]) == 5
        # The command that the manifest names gives the same groups, corrections and all.
        with zipfile.ZipFile(tmp_path / "second.zip") as archive:
            command = shlex.split(json.loads(archive.read("tiny-json/manifest.json"))["commands"]["export"])
        command[command.index("--out") + 1] = str(tmp_path / "again")
        done = run_command(*command[1:], "--db", tmp_path / "labels.db", "--scenes", tiny_scenes)
        assert done.code == 0, done.err
        assert len(json.loads((tmp_path / "again" / "groups.json").read_text())["groups"]) == 1
        assert page.problems == []  # type: ignore[attr-defined]


def test_what_a_scene_calls_its_objects_is_text(page: Page, tiny_app: str) -> None:
    open_grouping_page(page, tiny_app)
    listed = page.locator("#mg-group-list").locator(ITEMS)
    expect(listed).to_have_count(2)
    expect(page.locator("#mg-group-list")).to_contain_text(f"{CALLED} 1: 3 masks")
    listed.nth(0).click()
    expect(details(page)).to_contain_text(f"{CALLED}, group 1: 3 masks")
    expect(page.locator("#mg-group-room .legendtext").filter(has_text=CALLED).first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.problems == []  # type: ignore[attr-defined]


def save_zip(page: Page, path: Path) -> Path:
    with page.expect_download() as download:
        page.locator("#mg-group-file a[download]").first.click()
    download.value.save_as(path)
    return path


def test_a_correction_is_of_the_groups_on_the_screen(page: Page, tiny_app: str) -> None:
    open_grouping_page(page, tiny_app, "tiny")
    listed, shown = page.locator("#mg-group-list").locator(ITEMS), page.locator("#mg-group-shown").locator("input, textarea")
    expect(listed).to_have_count(2)
    listed.nth(0).click()
    expect(details(page)).to_contain_text("bed, group 1: 3 masks")
    listed.nth(1).click()
    expect(details(page)).to_contain_text("Picked before: bed, group 1")
    # Somebody else merges them and takes that back: the groups are other ones now, which this page has not seen.
    other = page.context.new_page()
    other.set_default_timeout(WAIT_MS)
    open_grouping_page(other, tiny_app, "tiny")
    others = other.locator("#mg-group-list").locator(ITEMS)
    others.nth(0).click()
    expect(details(other)).to_contain_text("bed, group 1: 3 masks")
    others.nth(1).click()
    expect(details(other)).to_contain_text("Picked before: bed, group 1")
    other.locator("#mg-group-merge").click()
    expect(summary(other)).to_contain_text("3 masks moved")
    on_screen = shown.input_value()
    page.locator("#mg-group-merge").click()
    expect(page.get_by_text("nothing was corrected; look at them, then press again")).to_be_visible()
    # The page shows the groups as they are, and the next correction is of those.
    expect(summary(page)).to_contain_text("1 groups of 6 masks")
    assert shown.input_value() != on_screen
    page.locator("#mg-group-undo").click()
    expect(summary(page)).to_contain_text("Undone: 3 masks moved")
    assert page.problems == []  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def living_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_app(tmp_path_factory.mktemp("living") / "labels.db") as address:
        yield address


def changes(page: Page, before: str) -> bool:
    """Whether the words about the picked groups become others within a few seconds; a click may have met nothing."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        now = details(page).inner_text()
        if "confidence" in now and now != before:
            return True
        page.wait_for_timeout(100)
    return False


def camera_of(page: Page) -> dict[str, list[float]]:
    found = page.evaluate(f"{SCENE}.getCamera()")
    return {part: [round(found[part][axis], 6) + 0.0 for axis in "xyz"] for part in ("eye", "center", "up")}


def camera_at_rest(page: Page) -> dict[str, list[float]]:
    """Return the camera of the room once it has stopped: on a busy machine the last of a drag comes late."""
    found = camera_of(page)
    while True:
        page.wait_for_timeout(1500)
        before, found = found, camera_of(page)
        if found == before:
            return found


SCENE = "document.querySelector('#mg-group-room .mg-plot')._fullLayout.scene._scene"


def test_living_room_in_3d_and_in_its_views(page: Page, living_room: str) -> None:
    open_grouping_page(page, living_room)
    expect(summary(page)).to_contain_text(re.compile(r"\d+ groups of \d{4} masks in 40 views; ARI (1\.000|0\.99\d)"))
    plot = page.locator("#mg-group-room .mg-plot")
    expect(plot.locator("canvas").first).to_be_visible()
    expect(page.locator("#mg-group-room .mg-plot-count")).to_contain_text(
        re.compile(r"^\d+.\d+ faces stand for a mesh of \d+.\d+$")
    )
    plot.evaluate("plot => plot.scrollIntoView({block: 'center'})")
    box = plot.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 10, steps=4)
    page.mouse.up()
    turned = camera_at_rest(page)

    for dx, dy in ((0, 0), (-50, 20), (60, 40), (-90, -10), (30, 80)):
        page.mouse.move(middle[0] + dx, middle[1] + dy)
        page.wait_for_timeout(400)
        page.mouse.click(middle[0] + dx, middle[1] + dy, delay=100)
        if changes(page, ""):
            break
    expect(details(page)).to_contain_text(re.compile(r"group \d+: \d+ masks?, confidence"))
    in_3d = details(page).inner_text()
    assert camera_of(page) == turned, "lighting a group leaves the camera where it was"

    page.locator("#mg-group-sheet").scroll_into_view_if_needed()
    sheet = page.locator("#mg-group-sheet img")
    sheet.scroll_into_view_if_needed()
    around = sheet.bounding_box()
    assert around is not None
    for across, down in ((0.1, 0.09), (0.3, 0.45), (0.5, 0.7), (0.72, 0.33)):
        sheet.click(position={"x": around["width"] * across, "y": around["height"] * down})
        if changes(page, in_3d):
            break
    assert details(page).inner_text() != in_3d, "a mask clicked among the views lights its group"
    expect(page.locator("#mg-group-reject")).to_be_enabled()
    assert camera_of(page) == turned
    assert page.problems == []  # type: ignore[attr-defined]


def test_run_is_cancelled_and_the_groups_stay(page: Page, living_room: str) -> None:
    open_grouping_page(page, living_room)
    expect(summary(page)).to_contain_text("masks in 40 views")
    page.locator("#mg-group-evidence input").click()
    page.get_by_role("option", name="the judge", exact=True).click()
    page.locator("#mg-group-run").click()
    expect(page.locator("#mg-group-progress")).to_contain_text("Asking the judge")
    page.locator("#mg-group-cancel").click()
    expect(page.locator("#mg-group-progress")).to_contain_text("stopped")
    expect(page.locator("#mg-group-run")).to_be_enabled()
    expect(summary(page)).to_contain_text("evidence: geometry")
