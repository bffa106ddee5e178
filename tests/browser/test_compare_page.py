"""Walks the Compare page and the two-column Judge page in a real browser: two real models, one of them shaken, on a tiny room."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.assets import ASSETS_DIR
from engine.judging import BUNDLED_MODEL
from tests.browser.app_process import running_app
from tests.tiny_room import NAME, write_tiny_room
from ui.judges import shipped_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BUNDLED_MODEL / "config.json").is_file(), reason="the bundled model is not in this checkout"),
]

WAIT_MS = 120_000
RIVAL = "tuned" if "tuned" in shipped_models() else "shaken"
"""The pages open with the shipped adapter beside the base, and with another model where that is missing."""


def shake_model(folder: Path) -> Path:
    """Save the bundled model with noise in its last layers, as if trained otherwise: real weights that answer differently."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL, dtype=torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "language_model" in name and "o_proj" in name:
                weights += 0.4 * weights.std() * torch.randn_like(weights)
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(BUNDLED_MODEL).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparing")


@pytest.fixture(scope="module")
def app(data: Path) -> Iterator[str]:
    write_tiny_room(data / "scenes")
    shaken = shake_model(data / "shaken")
    with running_app(data / "labels.db", "--scenes", str(data / "scenes"), "--also", str(shaken)) as address:
        yield address


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.problems = []  # type: ignore[attr-defined]
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))  # type: ignore[attr-defined]
    yield opened
    context.close()


def test_two_models_side_by_side_then_blind_vote_and_heat(page: Page, app: str, data: Path) -> None:
    page.goto(app)
    expect(page.locator("#mg-verdict .mg-card")).to_have_count(2, timeout=WAIT_MS)
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["base", RIVAL])
    expect(page.locator("#mg-verdict .mg-banner")).to_have_text(re.compile("They disagree|Both say"))

    page.locator("#mg-heat-box button").first.click()
    page.locator("#mg-show-heat").click()
    expect(page.locator("#mg-heat img")).to_have_count(4, timeout=WAIT_MS)

    page.locator("#mg-blind input").check()
    expect(page.locator("#mg-vote-left")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["Model 1", "Model 2"])
    assert RIVAL not in page.locator("#mg-verdict").inner_html()
    page.keyboard.press("1")
    expect(page.locator("#mg-verdict .mg-reveal")).to_contain_text("Model 1 was", timeout=WAIT_MS)
    expect(page.locator("#mg-score")).to_contain_text("of the decided votes [95 %:", timeout=WAIT_MS)
    (line,) = (data / "votes.jsonl").read_text().splitlines()
    assert {json.loads(line)["left"], json.loads(line)["right"]} == {"base", RIVAL}
    assert page.problems == []  # type: ignore[attr-defined]


def test_comparison_runs_and_shows_the_commands_numbers(page: Page, app: str, data: Path) -> None:
    page.goto(app)
    page.get_by_role("tab", name="Compare").click()
    has_shipped = (ASSETS_DIR / "comparisons" / "shipped" / "comparison.json").is_file()
    if has_shipped:
        expect(page.locator("#mg-compare-tables .mg-compared")).to_be_visible(timeout=WAIT_MS)
        page.locator("#mg-compare-form button").first.click()
    page.locator("#mg-compare-pairs input[type=number]").fill("20")
    page.locator("#mg-compare-start").click()
    expect(page).to_have_url(re.compile(r"\?tab=compare&run=[0-9a-f-]{36}"), timeout=WAIT_MS)
    expect(page.locator(f"#mg-compare-tables table[data-scene={NAME}]")).to_be_visible(timeout=WAIT_MS)
    address = page.url

    (folder,) = (data / "comparisons").iterdir()
    command = [sys.executable, "-m", "ui", "compare", str(folder / "a"), str(folder / "b"), "--json"]
    (report,) = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    for name in ("accuracy", "recall", "ece"):
        for side in ("a", "b"):
            cell = page.locator(f"#mg-compare-tables tr[data-metric={name}] td[data-side={side}]")
            assert float(cell.get_attribute("data-value") or "nan") == report["metrics"][name][side]
    expect(page.locator("#mg-compare-plots .mg-figure .main-svg").first).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#mg-compare-groups")).to_contain_text(f"{NAME}: groups by the judge alone")

    before = page.locator("#mg-threshold-rates").inner_text()
    page.locator("#mg-threshold input[type=number]").fill("0.9")
    page.locator("#mg-threshold input[type=number]").press("Enter")
    expect(page.locator("#mg-threshold-rates")).to_contain_text("from 90%", timeout=WAIT_MS)
    assert page.locator("#mg-threshold-rates").inner_text() != before
    page.locator("#mg-keep-threshold").click()
    expect(page.locator("#mg-threshold-kept")).to_contain_text(f"From now on {RIVAL} says", timeout=WAIT_MS)
    assert json.loads((data / "operating_point.json").read_text())[RIVAL]["threshold"] == 0.9

    report_page = page.request.get(app + (page.locator("#mg-report").get_attribute("href") or ""))
    assert "Plotly.newPlot" in report_page.text()
    figure = page.request.get(app + (page.locator("#mg-figure").get_attribute("href") or ""))
    assert figure.body().startswith(b"\x89PNG")

    for number, outcome in enumerate(("fixed", "broken", "both_wrong")):
        if report[outcome]:
            page.locator("#mg-compare-outcome label").nth(number).click()
            page.locator("#mg-compare-flips button.thumbnail-item, #mg-compare-flips .thumbnail-lg").first.click()
            page.locator("#mg-open-flip").click()
            expect(page.locator("#mg-verdict .mg-card")).to_have_count(2, timeout=WAIT_MS)
            break
    page.goto(address)
    expect(page.locator("#mg-compare-tables .mg-compared")).to_be_visible(timeout=WAIT_MS)
    assert page.problems == []  # type: ignore[attr-defined]
