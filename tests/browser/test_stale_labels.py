"""Views, masks and scenes go, labels stay: every page opens in a real browser, says which are stale, and goes on working."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair
from tests.browser.app_process import running_app
from tests.browser.watched_page import watched_page
from tests.tiny_room import NAME, RED_BOX, VIEWS, write_tiny_room

pytestmark = pytest.mark.browser

FIRST, GONE = "a masks", "b gone"
"""The first scene's pages open by themselves; the other is deleted."""
SIZE = 48


def write_masks(scene: Path, *, ids: tuple[int, int]) -> None:
    """Write a scene of posed masks without poses: three views, two squares in each."""
    for folder in ("color", "masks"):
        (scene / folder).mkdir(parents=True, exist_ok=True)
    for place, view in enumerate(VIEWS):
        picture, masks = np.full((SIZE, SIZE, 3), 90, np.uint8), np.zeros((SIZE, SIZE), np.uint16)
        for mask, (low, color) in zip(ids, ((4, (220, 30, 30)), (26, (30, 30, 220))), strict=True):
            picture[low : low + 18, 4 + place : 24 + place] = color
            masks[low : low + 18, 4 + place : 24 + place] = mask
        Image.fromarray(picture).save(scene / "color" / f"{view}.png")
        Image.fromarray(masks).save(scene / "masks" / f"{view}.png")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LabelStore:
    return LabelStore(open_database(str(tmp_path_factory.mktemp("stale") / "labels.db")))


@pytest.fixture(scope="module")
def app(store: LabelStore) -> Iterator[str]:
    database = Path(store.database.url.database or "")
    scenes = database.parent / "scenes"
    write_tiny_room(scenes)
    for name in (FIRST, GONE):
        write_masks(scenes / name, ids=(1, 2))
    for scene in (FIRST, GONE):
        for who, decision in (("ann", "same"), ("bob", "different")):
            store.add(NewLabel(who, scene, MaskPair(MaskKey("0", 1), MaskKey("2", 1)), decision))
    # A circle of labels that cannot all be right, through a mask that goes.
    for a, b, decision in (("0", "2", "same"), ("2", "10", "same"), ("0", "10", "different")):
        store.add(NewLabel("cy", FIRST, MaskPair(MaskKey(a, 2), MaskKey(b, 2)), decision))
    store.add(NewLabel("ann", NAME, MaskPair(MaskKey("0", RED_BOX), MaskKey("99", RED_BOX)), "same"))
    # Now the masks get other ids, a view goes, and a whole scene.
    write_masks(scenes / FIRST, ids=(7, 8))
    for folder, ending in (("color", "png"), ("masks", "png")):
        (scenes / FIRST / folder / f"10.{ending}").unlink()
    shutil.rmtree(scenes / GONE)
    with running_app(database, "--scenes", str(scenes)) as address:
        yield address


def open_page(chromium: Browser, address: str) -> Page:
    page = watched_page(chromium)
    page.goto(address)
    return page


def test_every_page_opens_and_says_what_is_stale(chromium: Browser, app: str, store: LabelStore) -> None:
    page = open_page(chromium, app)
    # Judge: the first scene's labels are listed, and it judges and saves.
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
    page.get_by_role("button", name="Latest labels of this scene").click()
    expect(page.locator("#mg-latest")).to_contain_text("(stale: not there now)")
    page.keyboard.press("u")
    expect(page.locator("#mg-saved")).to_contain_text("not sure")

    page.get_by_role("tab", name="Review").click()
    page.wait_for_function("window.mgReview && mgReview.state.current && document.querySelector('.rv').dataset.pair")
    expect(page.locator(".rv-progress")).to_contain_text("5 stale labels")

    page.get_by_role("tab", name="History").click()
    rows = page.locator("#mg-history")
    expect(rows).to_contain_text("(stale: not there now)")
    # The list as it was when the page opened is exchanged for one with the label above: no row moves after that.
    expect(rows.get_by_role("gridcell", name="not sure", exact=True).first).to_be_visible()
    expect(rows.get_by_role("gridcell", name="stale", exact=True).first).to_be_visible()
    rows.get_by_role("gridcell", name=GONE, exact=True).first.click()
    expect(page.locator("#mg-history-details")).to_contain_text(f"scene {GONE} are not there now: what was said of them is stale")
    before = len(store.current())
    # Only who gave a label takes it back: the newest one of that scene is Bob's.
    page.get_by_role("tab", name="Judge").click()
    page.locator("#mg-annotator textarea, #mg-annotator input").first.fill("bob")
    page.get_by_role("tab", name="Review").click()
    expect(page.locator("#mg-review-annotator textarea, #mg-review-annotator input").first).to_have_value("bob")
    page.wait_for_function("mgReview.state.aim?.annotator === 'bob'")
    page.get_by_role("tab", name="History").click()
    page.locator("#mg-history-undo").click()
    expect(page.locator("#mg-history-changed")).to_contain_text("written")
    assert len(store.current()) == before - 1

    page.get_by_role("tab", name="People").click()
    expect(page.locator("#mg-people").get_by_role("row").filter(has_text="cy")).to_contain_text("3")
    expect(page.locator("#mg-people-shown")).to_contain_text("what was said of them is stale")
    page.locator("#mg-people-next").click()
    expect(page.locator("#mg-people-shown")).to_contain_text("scene")

    page.get_by_role("tab", name="3D grouping").click()
    expect(page.locator("#mg-group-summary")).to_contain_text("Stale: 5 labels of this scene name masks that are not there now")

    page.get_by_role("tab", name="Retrain").click()
    expect(page.locator("#mg-train-start")).to_be_enabled()
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#mg-compare-tables")).not_to_be_empty()
    expect(page.locator(".toast-wrap .error")).to_have_count(0)
    assert page.problems == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", ["?scene=b+gone&a=0:1&b=2:1", "?scene=a+masks&a=10:1&b=2:1", "?scene=a+masks&a=0:99&b=2:-1"])
def test_addresses_of_what_is_gone_open_what_is_there(chromium: Browser, app: str, query: str) -> None:
    page = open_page(chromium, f"{app}/{query}")
    expect(page.locator("#mg-scene input")).to_have_value(FIRST)
    expect(page.locator("#mg-image-a img")).to_be_visible()
    page.goto(f"{app}/{query}&tab=review")
    # Whether it has a pair for this page or not, the queue has answered.
    page.wait_for_function("window.mgReview && mgReview.state.queue && !mgReview.state.problem")
    page.goto(f"{app}/{query}&tab=history")
    expect(page.locator("#mg-history")).to_contain_text("(stale: not there now)")
    assert page.problems == []  # type: ignore[attr-defined]
