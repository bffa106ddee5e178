"""The Retrain page in a real browser against the real app, on a small room: one click to a finished training, and what else one can
do there: look at the data first, stop and go on, write notes, take the adapter away."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.runs import RunStore
from db.schema.session import open_database
from tests.browser.app_process import WAIT_MS, running_app
from tests.browser.held_answers import answers_held
from tests.browser.watched_page import watched_page
from tests.training_room import write_training_room
from ui.pages.train.handlers import SHOWN_PAIRS

pytestmark = pytest.mark.browser

TRAINS_MS = 4 * WAIT_MS
"""A training takes a minute on two idle cores, and as much of a busy machine as is left."""


@pytest.fixture(scope="module")
def small_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrain") / "scenes"
    write_training_room(folder)
    return folder


def open_page(chromium: Browser, address: str) -> Page:
    page = watched_page(chromium)
    page.goto(f"{address}/?tab=train")
    expect(page.locator("#mg-train-start")).to_be_visible()
    return page


def set_small(page: Page, **settings: str) -> None:
    page.get_by_text("Settings", exact=True).click()
    for setting, value in settings.items():
        page.locator(f"#mg-train-{setting} input").fill(value)
        page.locator(f"#mg-train-{setting} input").press("Tab")


@pytest.fixture
def app(small_scenes: Path) -> Iterator[str]:
    with running_app(small_scenes.parent / "labels.db", "--scenes", str(small_scenes)) as address:
        yield address


def choose_run(page: Page, name: str) -> None:
    page.locator("#mg-train-run input").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_click_trains_judges_promotes_and_survives_reload_and_restart(
    chromium: Browser, app: str, small_scenes: Path, tmp_path: Path
) -> None:
    page = open_page(chromium, app)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    set_small(page, pairs="24", epochs="1", frozen="12")
    expect(page.locator("#mg-train-usable")).to_contain_text("No corrections yet")
    expect(page.locator("#mg-train-delete")).to_be_hidden()
    page.locator("#mg-train-promotion input").click()
    page.get_by_role("option", name="always").click()
    page.locator("#mg-train-start").click()
    progress = page.locator("#mg-train-progress")
    expect(progress).to_contain_text("run-1")
    runs = RunStore(open_database(str(small_scenes.parent / "labels.db")))
    runs.update(runs.add("training", "before", status="cancelled").id, result={"note": "an old one"})
    page.reload()
    expect(page.locator("#mg-train-progress")).to_contain_text("run-1")
    expect(page.locator("#mg-train-verdict")).to_contain_text("It became the tuned model", timeout=TRAINS_MS)
    expect(page.locator("#mg-train-table")).to_contain_text("run-1 ★ tuned")
    expect(page.locator("#mg-train-table polyline")).to_have_count(1)
    expect(page.locator("#mg-train-curves figure")).to_have_count(2)
    expect(page.locator("#mg-train-counts")).to_contain_text("pairs to learn from")
    expect(page.locator("#mg-train-sheet img")).to_be_visible()
    done = runs.find("training", "run-1")
    assert done is not None
    changed = done.result["verdict"]["mcnemar"]
    shown = sum(min(changed[kind], SHOWN_PAIRS) for kind in ("fixed", "broken"))
    expect(page.locator("#mg-train-changed figure")).to_have_count(shown)
    page.screenshot(path=tmp_path / "train.png", full_page=True)

    choose_run(page, "before")
    expect(progress).to_contain_text("before: stopped")
    note = page.locator("#mg-train-note textarea, #mg-train-note input")
    expect(note).to_have_value("an old one")
    with answers_held(page) as held:
        choose_run(page, "run-1")
        held.wait_for_one()
        page.locator("#mg-train-compare").click()
        expect(page.locator("#mg-train-compared")).to_contain_text("base against run-1")
        note.fill("being typed")
    expect(progress).to_contain_text("run-1: finished")
    page.locator("#mg-train-run input").click()
    page.locator("#mg-train-curves").click()
    page.wait_for_timeout(1000)
    expect(page.locator("#mg-train-compared")).to_contain_text("base against run-1")
    expect(note).to_have_value("being typed")
    page.locator("#mg-train-delete").click()
    expect(page.get_by_text("roll back or promote another run, then delete it")).to_be_visible()
    page.locator("#mg-train-back").click()
    expect(page.locator("#mg-train-table")).not_to_contain_text("★")
    assert problems == []
    with running_app(small_scenes.parent / "labels.db", "--scenes", str(small_scenes)) as again:
        restarted = open_page(chromium, again)
        # The newest run is shown: the one that this test has written itself.
        expect(restarted.locator("#mg-train-progress")).to_contain_text("before: stopped")
        expect(restarted.locator("#mg-train-table")).to_contain_text("run-1")
        expect(restarted.locator("#mg-train-table")).to_contain_text("finished")


def test_look_first_then_stop_go_on_note_and_export(chromium: Browser, app: str, tmp_path: Path) -> None:
    page = open_page(chromium, app)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    set_small(page, pairs="24", epochs="40", frozen="12")
    page.locator("#mg-train-name textarea, #mg-train-name input").fill("stopped")
    page.locator("#mg-train-preview").click()
    expect(page.locator("#mg-train-counts")).to_contain_text("pairs to learn from")
    expect(page.locator("#mg-train-counts")).to_contain_text("steps, about")
    expect(page.locator("#mg-train-sheet img")).to_be_visible()

    progress = page.locator("#mg-train-progress")
    page.locator("#mg-train-start").click()
    expect(progress).to_contain_text("stopped: training, step")
    page.locator("#mg-train-cancel").click()
    expect(page.locator("#mg-train-resume")).to_be_visible()
    expect(page.locator("#mg-train-cancel")).to_be_hidden()
    page.locator("#mg-train-resume").click()
    expect(page.locator("#mg-train-verdict")).to_contain_text("frozen pairs: objects that were not trained on", timeout=TRAINS_MS)

    choose_run(page, "stopped")
    note = page.locator("#mg-train-note textarea, #mg-train-note input")
    note.fill("a <b>note</b>")
    note.press("Enter")
    expect(page.locator("#mg-train-table")).to_contain_text("a <b>note</b>")
    page.locator("#mg-train-export").click()
    file = page.locator("#mg-train-file a[download]").first
    expect(file).to_be_visible()
    with page.expect_download() as download:
        file.click()
    download.value.save_as(tmp_path / "stopped.zip")
    with zipfile.ZipFile(tmp_path / "stopped.zip") as packed:
        names = {Path(name).name for name in packed.namelist()}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= names
    page.locator("#mg-train-merged").click()
    expect(page.get_by_text("The whole model is in")).to_be_visible()
    page.reload()
    expect(note).to_have_value("a <b>note</b>")
    assert problems == []
