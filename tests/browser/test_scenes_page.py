"""Walks the Scenes page as a person does, in a real browser against the real app: brings scenes in, opens, renames, removes."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.app_process import WAIT_MS, running_app
from tests.browser.held_import import HOLD
from tests.tiny_room import write_tiny_room

pytestmark = pytest.mark.browser

MAX_MB = 3
ODD = "<img src=x onerror=alert(1)>.zip"
BIG = """() => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(4 * 2 ** 20)], 'big.zip'));
  const input = document.querySelector('.mg-drop-files');
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
}"""
MANY = """() => {
  const files = new DataTransfer();
  for (let number = 0; number < 10000; number++) files.items.add(new File(['x'], `${number}.png`));
  const input = document.querySelector('.mg-drop-files');
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
}"""
DROP = """async (address) => {
  const bytes = await (await fetch(address)).arrayBuffer();
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], 'dropped.zip'));
  const zone = document.querySelector('.mg-drop');
  zone.dispatchEvent(new DragEvent('dragover', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  zone.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def pack(room: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(room.rglob("*.*")):
            packed.write(file, file.relative_to(room).as_posix())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person has: a room, zips of it and of nothing, and a folder on the server that is open for imports."""
    folder = tmp_path_factory.mktemp("scenes-page")
    room = write_tiny_room(folder / "given")
    shutil.copy(room.parent / "ground_truth" / "tiny.txt", room / "ground_truth.txt")
    pack(room, folder / "hall.zip")
    pack(room, folder / ODD)
    (folder / "open").mkdir()
    pack(room, folder / "open" / "cellar.zip")
    with zipfile.ZipFile(folder / "bad.zip", "w") as packed:
        packed.writestr("notes.txt", "x")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    flags = ("--scenes", str(folder / "given"), "--import-root", str(folder / "open"), "--max-upload-mb", str(MAX_MB))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOLD, str(folder / "hold"))
        with running_app(folder / "data" / "labels.db", *flags, program="tests.browser.held_import") as started:
            yield started


@pytest.fixture(autouse=True)
def nothing_stays(folder: Path) -> Iterator[None]:
    """However a test ends, the next one begins without imported scenes, and holds no import."""
    yield
    (folder / "hold").unlink(missing_ok=True)
    for scene in (folder / "data" / "scenes").glob("*"):
        shutil.rmtree(scene)


def open_page(page: Page, address: str, query: str = "") -> None:
    page.goto(f"{address}/?tab=scenes{query}")
    expect(card(page, "tiny")).to_be_visible()
    # The imports of other tests are told of until somebody has read of them.
    for _ in range(page.locator("[data-act=dismiss]").count()):
        before = page.locator("[data-act=dismiss]").count()
        page.locator("[data-act=dismiss]").first.click()
        expect(page.locator("[data-act=dismiss]")).to_have_count(before - 1)


def card(page: Page, name: str) -> Locator:
    return page.locator(".mg-scene", has=page.locator(f"a[data-scene='{name}']"))


def choose(page: Page, *files: Path) -> None:
    page.locator(".mg-drop-files").set_input_files([str(file) for file in files])


def imports(page: Page) -> Locator:
    return page.locator("#mg-scene-imports")


def test_a_zip_becomes_a_scene_that_every_page_knows(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    expect(page.locator("#mg-scene-list")).to_contain_text("None yet. Drop a zip or a folder above")
    choose(page, folder / "hall.zip")
    expect(imports(page)).to_contain_text("hall.zip was imported as hall.")
    expect(card(page, "hall")).to_contain_text("replica · 3 views · 6 masks")
    expect(card(page, "hall")).to_contain_text("Nothing looks wrong")
    picture = card(page, "hall").locator("img")
    expect(picture).to_have_attribute("alt", "View 2, with its masks, each in a colour of its own")
    page.wait_for_function("document.querySelector('.mg-scene img').naturalWidth === 320")
    assert list((folder / "data" / "uploads").glob("app-*/*")) == []

    # Without a reload: its page is only opened.
    page.get_by_role("tab", name="Judge", exact=True).click()
    page.locator("#mg-scene input").click()
    page.get_by_role("option", name="hall").click()
    expect(page.locator("#mg-view-a input")).to_be_visible()
    page.wait_for_function("location.search.includes('scene=hall')")
    for tab, chooser in (("Review", "#mg-review-scene"), ("3D grouping", "#mg-group-scene"), ("Retrain", "#mg-train-judged")):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.locator(f"{chooser} input").click()
        expect(page.get_by_role("option", name="hall")).to_be_visible()
        page.keyboard.press("Escape")

    # And with one: links of the card, and old addresses.
    page.goto(f"{address}/?tab=grouping&scene=hall")
    expect(page.locator("#mg-group-scene input")).to_have_value("hall")
    expect(page.locator("#mg-group-summary")).to_contain_text("2 groups of 6 masks in 3 views")
    page.goto(f"{address}/?scene=hall")
    expect(page.locator("#mg-scene input")).to_have_value("hall")
    page.goto(f"{address}/?tab=review&scene=hall")
    expect(page.locator("#mg-review-scene input")).to_have_value("hall")
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_zip_is_dropped_and_a_folder_chosen(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    page.route("**/hall.zip", lambda route: route.fulfill(path=str(folder / "hall.zip")))
    page.evaluate(DROP, "hall.zip")
    expect(imports(page)).to_contain_text("dropped.zip was imported as dropped.")
    page.locator(".mg-drop-folder").set_input_files(str(folder / "given" / "tiny"))
    # Its name is taken, so it gets another.
    expect(imports(page)).to_contain_text("tiny was imported as tiny_2.")
    expect(card(page, "tiny_2")).to_contain_text("replica · 3 views · 6 masks")


def test_details_have_an_address(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    choose(page, folder / "hall.zip")
    imports(page).get_by_role("link", name="Details").click()
    details = page.locator("#mg-scene-details")
    expect(details.get_by_role("heading", name="hall")).to_be_visible()
    expect(details.locator(".mg-findings li")).to_have_count(8)
    page.wait_for_function("location.search === '?tab=scenes&scene=hall'")
    card(page, "tiny").get_by_role("link", name="Details").click()
    expect(details.get_by_role("heading", name="tiny")).to_be_visible()
    expect(details).to_contain_text("It belongs to the folder that the app was started with")
    expect(page.locator("#mg-scene-remove")).to_be_hidden()
    expect(page.locator("#mg-scene-rename")).to_be_hidden()
    page.go_back()
    expect(details.get_by_role("heading", name="hall")).to_be_visible()
    expect(page.locator("#mg-scene-remove")).to_be_visible()
    page.reload()
    expect(details.get_by_role("heading", name="hall")).to_be_visible()
    page.locator("#mg-scene-close").click()
    expect(details).to_be_hidden()
    page.wait_for_function("location.search === '?tab=scenes'")


def test_a_scene_is_renamed_and_removed_and_asked_about_before(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    choose(page, folder / "hall.zip")
    card(page, "hall").get_by_role("link", name="Details").click()
    page.locator("#mg-scene-title input").fill("Grandma's <b>attic</b>")
    page.locator("#mg-scene-rename").click()
    expect(card(page, "hall").get_by_role("heading")).to_have_text("Grandma's <b>attic</b>")
    page.get_by_role("tab", name="Judge", exact=True).click()
    page.locator("#mg-scene input").click()
    expect(page.get_by_role("option", name="Grandma's <b>attic</b>")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Scenes", exact=True).click()

    page.locator("#mg-scene-remove").click()
    question = page.locator("#mg-scene-question textarea")
    expect(question).to_have_value(re.compile("^Remove Grandma's <b>attic</b>[?].*It has no labels"))
    page.locator("#mg-scene-keep").click()
    expect(page.locator("#mg-scene-confirm")).to_be_hidden()
    assert (folder / "data" / "scenes" / "hall").is_dir()
    page.locator("#mg-scene-remove").click()
    page.locator("#mg-scene-confirm").click()
    expect(page.locator("#mg-scene-details")).to_be_hidden()
    expect(card(page, "hall")).to_have_count(0)
    assert not (folder / "data" / "scenes" / "hall").exists()
    page.goto(f"{address}/?tab=grouping&scene=hall")
    expect(page.locator("#mg-group-scene input")).to_have_value("tiny")


def test_bad_input_is_one_sentence_and_nothing_is_half_imported(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    choose(page, folder / "bad.zip")
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text("bad.zip: found notes.txt, expected a folder with")
    expect(imports(page)).to_contain_text("bad.zip was not imported: found notes.txt")
    page.evaluate(BIG)
    problem = page.locator(".mg-drop-problem")
    expect(problem).to_have_text(re.compile(f"These are 4 MB, and an upload may have {MAX_MB}"))
    page.evaluate(MANY)
    expect(problem).to_have_text(re.compile("These are more than 5,000 files.*zip"))
    assert list((folder / "data" / "scenes").glob("*")) == []
    assert list((folder / "data" / "uploads").glob("app-*/*")) == []


def test_a_name_that_is_markup_is_shown_as_it_is(page: Page, address: str, folder: Path) -> None:
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    open_page(page, address)
    choose(page, folder / ODD)
    # It cannot be a folder's name, and the sentence that says so quotes it.
    expect(page.locator(".toast-body")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(imports(page)).to_contain_text("<img src=x onerror=alert(1)>.zip was not imported: ")
    assert page.locator("img[src=x]").count() == 0


def test_a_path_of_the_server_is_imported_and_no_other(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    path = page.locator("#mg-scene-path input")
    path.fill("/etc/passwd")
    page.locator("#mg-scene-take").click()
    expect(page.locator(".toast-body")).to_contain_text("names nothing below")
    path.fill("cellar.zip")
    page.locator("#mg-scene-take").click()
    expect(imports(page)).to_contain_text("cellar.zip was imported as cellar.")
    expect(path).to_have_value("")


def test_an_upload_is_stopped(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    held: list[Any] = []
    page.route("**/maskgroup/scenes/upload*", lambda route: held.append(route))
    choose(page, folder / "hall.zip")
    expect(page.locator(".mg-drop-words")).to_contain_text("Uploading: ")
    expect(page.locator(".mg-drop-choose")).to_be_hidden()
    page.locator(".mg-drop-stop").click()
    expect(page.locator(".mg-drop-choose")).to_be_visible()
    expect(page.locator(".mg-drop-problem")).to_be_hidden()
    page.unroute("**/maskgroup/scenes/upload*")
    choose(page, folder / "hall.zip")
    expect(imports(page)).to_contain_text("hall.zip was imported as hall.")


def test_an_import_survives_a_reload_and_is_stopped(page: Page, address: str, folder: Path) -> None:
    open_page(page, address)
    (folder / "hold").touch()
    choose(page, folder / "hall.zip")
    expect(imports(page)).to_contain_text("hall.zip — Copying: 0 of ")
    page.reload()
    expect(imports(page)).to_contain_text("hall.zip — Copying: 0 of ")
    imports(page).get_by_role("button", name="Stop").click()
    expect(imports(page)).to_contain_text("hall.zip was not imported: The import was stopped; nothing was kept.")
    assert list((folder / "data" / "scenes").glob("*")) == []
    choose(page, folder / "hall.zip")
    expect(imports(page)).to_contain_text("hall.zip — Copying: 0 of ")
    page.reload()
    expect(imports(page)).to_contain_text("hall.zip — Copying: 0 of ")
    (folder / "hold").unlink()
    expect(imports(page)).to_contain_text("hall.zip was imported as hall.")
    expect(card(page, "hall")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_everybody_can_use_it(chromium: Browser, address: str, folder: Path, theme: str, width: int) -> None:
    page = chromium.new_context(viewport={"width": width, "height": 844}, bypass_csp=True).new_page()
    page.set_default_timeout(WAIT_MS)
    open_page(page, address, f"&__theme={theme}")
    choose(page, folder / "hall.zip")
    expect(imports(page)).to_contain_text("hall.zip was imported as hall.")
    choose(page, folder / "bad.zip")
    expect(imports(page)).to_contain_text("bad.zip was not imported: ")
    page.locator(".toast-close").click()
    expect(page.locator(".toast-body")).to_have_count(0)
    page.locator(".mg-drop-help summary").click()
    card(page, "hall").get_by_role("link", name="Details").click()
    page.locator("#mg-scene-remove").click()
    expect(page.locator("#mg-scene-confirm")).to_be_visible()
    expect(card(page, "sh3d_living")).to_contain_text("Nothing looks wrong")
    answer: dict[str, Any] = Axe().run(page).response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # axe: untyped
    assert [f"{fault['id']}: {node['html'][:200]}" for fault in answer["violations"] for node in fault["nodes"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
