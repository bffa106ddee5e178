"""Makes and mends masks as a person does, in a real browser against the real app: draws, splits, undoes, saves, reloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import Browser, Page, expect

from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.scenes import open_scene
from engine.types import MaskKey, MaskPair
from tests.browser.app_process import WAIT_MS, running_app
from tests.format_rooms import write_room
from tests.tiny_room import write_tiny_room
from tests.unit.engine.checking.test_check import SPOILED, write_dining_room

pytestmark = pytest.mark.browser

VIEW = "2"
SCENE, BROKEN = "mine", "dining"
STATE = "JSON.stringify([mgMasks.view.colors.length, mgMasks.view.isChanged, mgMasks.hand.picked.size])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A given room, an imported one with masks of its own and one whose poses and depth are wrong, and a label on two masks."""
    folder = tmp_path_factory.mktemp("mask-editor")
    room = write_tiny_room(folder / "given")
    mine = write_room(room, folder / "data" / "scenes" / SCENE, "posed masks", "png")
    SPOILED["OpenGL axes"][0](write_dining_room(folder / "data" / "scenes" / BROKEN))
    labels = LabelStore(open_database(str(folder / "data" / "labels.db")))
    first, second = masks_of(mine, VIEW)
    other = masks_of(mine, "0")[0]
    for mask in (first, second):
        pair = MaskPair(MaskKey(VIEW, mask), MaskKey("0", other))
        labels.add(NewLabel(annotator="me", scene=SCENE, pair=pair, decision="different"))
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with running_app(folder / "data" / "labels.db", "--scenes", str(folder / "given")) as started:
        yield started


def masks_of(scene: Path, view: str) -> list[int]:
    masks = open_scene(scene).stored_instance_map(view)
    assert masks is not None
    return np.unique(masks[masks >= 0]).tolist()


def open_editor(page: Page, address: str, scene: str = SCENE, view: str = VIEW, query: str = "") -> None:
    page.goto(f"{address}/?tab=scenes&scene={scene}&view={view}{query}")
    page.wait_for_function("window.mgMasks?.view.photo")


def has(page: Page, masks: int, changed: bool, picked: int = 0) -> None:
    page.wait_for_function(f"{STATE} === JSON.stringify([{masks}, {str(changed).lower()}, {picked}])")


def at(page: Page, column: float, row: float) -> tuple[float, float]:
    """Where a pixel of the photo, 32x24, is in the window."""
    box = page.locator(".me-canvas").bounding_box()
    assert box is not None
    return box["x"] + (column + 0.5) * box["width"] / 32, box["y"] + (row + 0.5) * box["height"] / 24


def drag(page: Page, *points: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)
    page.mouse.up()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_mask_is_drawn_split_undone_saved_and_there_after_a_reload(page: Page, address: str, folder: Path) -> None:
    scene = folder / "data" / "scenes" / SCENE
    before = open_scene(scene).stored_instance_map(VIEW)
    assert before is not None
    gone = int(before[12, 20])
    (stays,) = {*masks_of(scene, VIEW)} - {gone}
    page.goto(f"{address}/?tab=scenes&scene={SCENE}")
    page.get_by_role("link", name="Edit masks", exact=True).click()
    page.wait_for_function("window.mgMasks?.view.photo")
    page.wait_for_function("location.search.includes('view=')")
    expect(page.locator("#mg-scene-list")).to_be_hidden()
    page.locator(".me-view").select_option(VIEW)
    page.wait_for_function(f"location.search.includes('view={VIEW}') && window.mgMasks.view.photo")
    has(page, 2, False)

    # A brush in the empty corner, a polygon beside it, and the built-in segmentation's region under a click.
    page.get_by_role("button", name="Brush").click()
    page.locator(".me-radius").fill("40")
    drag(page, (3, 3), (8, 3))
    has(page, 3, True)
    press(page, "g")
    for corner in ((14, 2), (20, 2), (20, 6)):
        page.mouse.click(*at(page, *corner))
    press(page, "Enter")
    has(page, 4, True)
    press(page, "c")
    page.mouse.click(*at(page, 16, 22))
    page.wait_for_function("mgMasks.view.step > 3 || !document.querySelector('.me-problem').hidden")
    expect(page.locator(".me-problem")).to_be_hidden()
    press(page, "z")
    has(page, 4, True)

    # The brushed mask is split, taken back, and done again.
    press(page, "s")
    drag(page, (5.5, 0), (5.5, 7))
    has(page, 5, True)
    press(page, "z")
    has(page, 4, True)
    press(page, "y")
    has(page, 5, True)
    # What is not saved yet outlives a reload.
    page.reload()
    page.wait_for_function("window.mgMasks?.view.photo")
    has(page, 5, True)
    # The mask on the right is taken away, and everything saved.
    right = at(page, 20, 12)
    press(page, "p")
    page.mouse.click(*right)
    has(page, 5, True, 1)
    press(page, "Delete")
    has(page, 4, True)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".me-said")).to_contain_text("Saved: 1 unchanged, whose labels stay valid, 3 new, 1 gone")
    has(page, 4, False)
    ids = masks_of(scene, VIEW)
    assert stays in ids
    assert min({*ids} - {stays}) > max(stays, gone)
    page.reload()
    page.wait_for_function("window.mgMasks?.view.photo")
    has(page, 4, False)
    expect(page.locator(".me-version option")).to_have_count(2)

    # The label on the mask that stayed is valid; the other one's mask is gone.
    page.goto(f"{address}/?tab=history")
    table = page.get_by_role("tabpanel").filter(visible=True)
    expect(table).to_contain_text("stale")
    expect(table.get_by_text("stale: not there now")).to_have_count(1)
    assert page.problems == []  # type: ignore[attr-defined]

    # The masks as they were can be had again, and the label with them.
    open_editor(page, address)
    page.locator(".me-version").select_option("1")
    page.get_by_role("button", name="Take this one").click()
    has(page, 2, True)
    press(page, "w")
    expect(page.locator(".me-said")).to_contain_text("Saved: 1 unchanged")
    assert masks_of(scene, VIEW) == sorted([stays, gone])


def test_masks_are_joined_erased_and_refused_in_a_sentence(page: Page, address: str) -> None:
    open_editor(page, address, view="0")
    has(page, 2, False)
    press(page, "j")
    has(page, 2, False)
    press(page, "s")
    drag(page, (1, 1), (3, 3))
    expect(page.locator(".me-problem")).to_have_text("Draw a line right across a mask.")
    press(page, "p")
    for number, shift in ((1, False), (2, True)):
        place: list[float] = page.evaluate(
            "(number) => { const { numbers, across } = mgMasks.view; const i = numbers.indexOf(number) + across;"
            " return [i % across, Math.floor(i / across)]; }",
            number,
        )
        if shift:
            page.keyboard.down("Shift")
        page.mouse.click(*at(page, *place))
        page.keyboard.up("Shift")
    has(page, 2, False, 2)
    page.get_by_role("button", name="Join picked").click()
    has(page, 1, True)
    press(page, "x")
    drag(page, (2, 14), (30, 23))
    has(page, 2, True)
    page.get_by_role("button", name="Discard changes").click()
    has(page, 2, False)
    press(page, ".")
    page.wait_for_function("location.search.includes('view=2')")


def test_a_scene_that_was_not_imported_is_copied_first(page: Page, address: str, folder: Path) -> None:
    page.goto(f"{address}/?tab=scenes&scene=tiny&view={VIEW}")
    expect(page.locator(".me-fault")).to_contain_text("cannot be edited where they are, as it was not imported")
    page.get_by_role("button", name="Make a copy to edit").click()
    expect(page.locator("#mg-scene-details").get_by_role("heading", name="tiny_edited")).to_be_visible()
    page.wait_for_function("location.search === '?tab=scenes&scene=tiny_edited'")
    page.get_by_role("link", name="Edit masks", exact=True).click()
    page.wait_for_function("window.mgMasks?.view.photo && mgMasks.view.scene === 'tiny_edited'")
    has(page, 2, False)
    assert not (folder / "given" / "tiny" / "masks").exists()


def test_a_finding_is_mended_by_one_click_and_the_copy_shown(page: Page, address: str, folder: Path) -> None:
    page.goto(f"{address}/?tab=scenes&scene={BROKEN}")
    details = page.locator("#mg-scene-details")
    details.get_by_role("button", name="Turn the poses to camera-to-world with OpenCV axes, in a copy").first.click()
    expect(details.get_by_role("heading", name=f"{BROKEN}_mended")).to_be_visible()
    expect(page.locator("#mg-scene-imports")).to_contain_text("Poses were read as OpenGL axes")
    page.wait_for_function(f"location.search === '?tab=scenes&scene={BROKEN}_mended'")
    expect(details).to_contain_text("What the check found")
    expect(details.locator(".mg-findings")).to_contain_text("Poses are camera-to-world with OpenCV axes")
    assert details.locator(".mg-mend").count() == 0


def test_masks_are_made_by_one_click(page: Page, address: str, folder: Path) -> None:
    page.goto(f"{address}/?tab=scenes&scene=tiny")
    details = page.locator("#mg-scene-details")
    details.get_by_role("button", name="Make masks", exact=True).click()
    expect(details.get_by_role("heading", name="tiny_masks")).to_be_visible()
    expect(page.locator("#mg-scene-imports")).to_contain_text("tiny was given masks in the copy tiny_masks.")


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 390)])
def test_everybody_can_use_it(chromium: Browser, address: str, theme: str, width: int) -> None:
    page = chromium.new_context(viewport={"width": width, "height": 844}, bypass_csp=True).new_page()
    page.set_default_timeout(WAIT_MS)
    open_editor(page, address, query=f"&__theme={theme}")
    page.get_by_role("button", name="Brush").click()
    page.locator(".me-canvas").scroll_into_view_if_needed()
    drag(page, (24, 4), (28, 4))
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    answer: dict[str, Any] = Axe().run(page).response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # axe: untyped
    assert [f"{fault['id']}: {node['html'][:200]}" for fault in answer["violations"] for node in fault["nodes"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
