"""Walks the Compare page and the two-column Judge page in a real browser: two real models on a tiny room."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from engine.assets import ASSETS_DIR, BUNDLED_MODEL
from engine.evaluation.comparison.run import ComparisonSettings
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, answer_token_ids
from tests.browser.app_process import running_app
from tests.browser.held_answers import sent_late
from tests.browser.held_comparison import HOLD
from tests.command_line import run_command
from tests.rounding import but_rounding
from tests.tiny_room import NAME, write_tiny_room
from tests.unit.ui.pages import test_compare_page as rulers
from ui.services.judges import shipped_models

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BUNDLED_MODEL / "config.json").is_file(), reason="the bundled model is not in this checkout"),
]

LONG_MS = 300_000
SETTLES_MS = 3_000
RIVAL = "tuned" if "tuned" in shipped_models() else "contrary"
"""The pages open with the shipped adapter beside the base, and with another model where that is missing."""


def contradict(folder: Path) -> Path:
    """Save the bundled model with the tokens of yes and no exchanged: real weights that answer the other way round."""
    shutil.copytree(BUNDLED_MODEL, folder, ignore=shutil.ignore_patterns("model.safetensors", "calibration.json"))
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    yes, no = (answer_token_ids(tokenizer, words) for words in (YES_WORDS, NO_WORDS))
    weights = load_file(BUNDLED_MODEL / "model.safetensors")
    for name in [name for name in weights if name.endswith(("embed_tokens.weight", "lm_head.weight"))]:
        weights[name][[*yes, *no]] = weights[name][[*no, *yes]]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparing")


@pytest.fixture(scope="module")
def app(data: Path) -> Iterator[str]:
    write_tiny_room(data / "scenes")
    flags = ("--scenes", str(data / "scenes"), "--also", str(contradict(data / "contrary")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOLD, str(data / "hold"))
        with running_app(data / "labels.db", *flags, program="tests.browser.held_comparison") as address:
            yield address


def test_two_models_side_by_side_then_blind_vote_and_heat(page: Page, app: str, data: Path) -> None:
    page.goto(app)
    expect(page.locator("#mg-verdict .mg-card")).to_have_count(2)
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["base", RIVAL])
    expect(page.locator("#mg-verdict .mg-banner")).to_have_text(re.compile("They disagree|Both say"))

    page.locator("#mg-heat-box button").first.click()
    page.locator("#mg-show-heat").click()
    expect(page.locator("#mg-heat img")).to_have_count(4)

    page.locator("#mg-blind input").check()
    expect(page.locator("#mg-vote-left")).to_be_visible()
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["Model 1", "Model 2"])
    assert RIVAL not in page.locator("#mg-verdict").inner_html()
    page.keyboard.press("1")
    expect(page.locator("#mg-verdict .mg-reveal")).to_contain_text("Model 1 was")
    expect(page.locator("#mg-score")).to_contain_text("of the decided votes [95 %:")
    (line,) = (data / "votes.jsonl").read_text().splitlines()
    assert {json.loads(line)["left"], json.loads(line)["right"]} == {"base", RIVAL}
    assert page.problems == []  # type: ignore[attr-defined]


def download(page: Page, button: str, folder: Path) -> Path:
    """Press a button as a person does and keep what the browser downloads."""
    with page.expect_download() as started:
        page.locator(button).click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def command_numbers(*arguments: object) -> dict[str, Any]:
    """Return what `maskgroup compare --json` prints of its one scene."""
    done = run_command(*arguments)
    assert done.code == 0, done.err
    (report,) = json.loads(done.out)
    return report


def check_report(browser: Browser, path: Path, folder: Path, expected: dict[str, Any]) -> None:
    """Open a report from its file without a network, look at it in both themes, and run the commands that it names."""
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": 390, "height": 800})
        page, asked = context.new_page(), []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(path.as_uri())
        expect(page.locator(".plots figure .main-svg").first).to_be_visible()
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()], "it asks for nothing but itself"
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert page.locator(".plots figure").count() == page.locator(".plots figure:has(.main-svg)").count() >= 8
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        commands = page.locator("pre").inner_text().splitlines()
        context.close()
    assert len(commands) == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MASKGROUP_DB", str(folder / "none.db"))
        for command in commands[:2]:
            name, *arguments = shlex.split(command)
            assert name == "maskgroup"
            done = run_command(*arguments)
            assert done.code == 0, done.err
        found = command_numbers(*shlex.split(commands[2])[1:])
    # The command judges in one go what the page judged in two: other batches, so its fractions are rounded otherwise.
    assert found["metrics"] == but_rounding(expected["metrics"])
    assert found["mcnemar"] == but_rounding(expected["mcnemar"])


def test_comparison_is_stopped_goes_on_and_shows_the_commands_numbers(page: Page, app: str, data: Path) -> None:
    page.goto(app)
    page.get_by_role("tab", name="Compare").click()
    if (ASSETS_DIR / "comparisons" / "shipped" / "comparison.json").is_file():
        expect(page.locator("#mg-compare-tables .mg-compared")).to_be_visible()
        page.locator("#mg-compare-form button").first.click()
    hold = data / "hold"
    hold.touch()
    page.locator("#mg-compare-b input").click()
    page.get_by_role("option", name="contrary").click()
    page.locator("#mg-compare-start").click()
    # The address follows what the page shows: a click before that would be for the comparison shown before.
    expect(page).to_have_url(re.compile(r"run=[0-9a-f-]{36}"))
    page.locator("#mg-compare-cancel").click()
    expect(page.locator("#mg-compare-resume")).to_be_visible()
    hold.unlink()
    page.locator("#mg-compare-resume").click()
    expect(page.locator("#mg-compare-resume")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"\?tab=compare&run=[0-9a-f-]{36}"))
    address = page.url
    # The tables of what was judged so far may stand there already: the numbers are all there once nothing goes on any more.
    expect(page.locator("#mg-compare-progress [role=status]")).to_have_count(0, timeout=LONG_MS)
    expect(page.locator(f"#mg-compare-tables table[data-scene={NAME}]")).to_be_visible()

    folder = data / "comparisons" / address.partition("run=")[2]
    report = command_numbers("compare", folder / "a", folder / "b", "--json")
    for name in ("accuracy", "recall", "ece"):
        for side in ("a", "b"):
            cell = page.locator(f"#mg-compare-tables tr[data-metric={name}] td[data-side={side}]")
            assert float(cell.get_attribute("data-value") or "nan") == report["metrics"][name][side]
    expect(page.locator("#mg-compare-plots .mg-figure .main-svg").first).to_be_visible()
    expect(page.locator("#mg-compare-groups")).to_contain_text(f"{NAME}: groups by the judge alone")

    assert Image.open(download(page, "#mg-figure", data)).width > 300
    check_report(page.context.browser, download(page, "#mg-report", data), data, report)

    before = page.locator("#mg-threshold-rates").inner_text()
    page.locator("#mg-threshold input[type=number]").fill("0.91")
    page.locator("#mg-threshold input[type=number]").press("Enter")
    expect(page.locator("#mg-threshold-rates")).to_contain_text("from 91%")
    assert page.locator("#mg-threshold-rates").inner_text() != before
    page.locator("#mg-keep-threshold").click()
    expect(page.locator("#mg-threshold-kept")).to_contain_text("From now on contrary says")
    kept = json.loads((data / "operating_point.json").read_text())
    assert kept[str(data / "contrary")]["threshold"] == 0.91, "under what the command line calls it"

    # Whatever the base says of a pair, the other says the opposite: its right answers break, its wrong ones are fixed.
    kind, number = ("broken", 1) if report["broken"] else ("fixed", 0)
    page.locator("#mg-compare-outcome label").nth(number).click()
    expect(page.locator("#mg-compare-flips figure")).to_have_count(len(report[kind]))
    page.locator("#mg-compare-flips .mg-to-label").first.click()
    expect(page.get_by_text("This is the pair that the address names.")).to_be_visible()
    page.goto(address)
    expect(page.locator(f"#mg-compare-tables table[data-scene={NAME}]")).to_be_visible()
    page.locator("#mg-compare-outcome label").nth(number).click()
    expect(page.locator("#mg-compare-flips figure")).to_have_count(len(report[kind]))
    page.locator("#mg-compare-flips .mg-to-judge").first.click()
    expect(page.locator("#mg-verdict .mg-card")).to_have_count(2)
    expect(page.locator("#mg-verdict .mg-model")).to_have_text(["base", "contrary"])
    expect(page.locator("#mg-verdict .mg-differ")).to_be_visible()
    expect(page.locator("#mg-verdict .mg-card").nth(1)).to_contain_text("from 91% on, the threshold chosen for it")
    assert page.problems == []  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str, Path]]:
    """An app with two finished comparisons, the second with the models exchanged: its address, their keys, its folder."""
    folder = tmp_path_factory.mktemp("two")
    _, runs = rulers.build(folder)
    keys: list[str] = []
    for models in (("good", "contrary"), ("contrary", "good")):
        keys.append(runs.start(ComparisonSettings((NAME,), *models, rulers.SAMPLING)))
        rulers.wait(runs, keys[-1])
        assert runs.entry(keys[-1]).status == "done"
    with running_app(folder / "labels.db", "--scenes", str(folder / "scenes")) as address:
        yield address, keys[0], keys[1], folder


def choose_run(page: Page, name: str) -> None:
    page.locator("#mg-compare-run input").click()
    page.get_by_role("option", name=name).click()


def expect_run(page: Page, key: str, first: str, second: str) -> None:
    """The list, the address, the tables and the sides are of one comparison."""
    expect(page.locator("#mg-compare-run input")).to_have_value(f"{first} against {second} on {NAME}")
    expect(page).to_have_url(re.compile(rf"\?tab=compare&run={key}$"))
    expect(page.locator("#mg-compare-side label")).to_have_text([first, second])
    expect(page.locator("#mg-report")).to_have_attribute("href", f"maskgroup/report/{key}")


def test_an_address_opens_the_comparison_that_it_names(page: Page, two_runs: tuple[str, str, str, Path]) -> None:
    address, older, newer, _ = two_runs
    for _ in range(2):
        for key, models in ((older, ("good", "contrary")), (newer, ("contrary", "good"))):
            page.goto("about:blank")
            page.goto(f"{address}/?tab=compare&run={key}")
            expect(page.locator("#mg-report")).to_be_visible()
            # An answer that comes after the first one would show now.
            page.wait_for_timeout(SETTLES_MS)
            expect_run(page, key, *models)
    page.goto(address)
    page.get_by_role("tab", name="Compare").click()
    expect_run(page, newer, "contrary", "good")
    assert page.problems == []  # type: ignore[attr-defined]


def test_what_is_clicked_meanwhile_counts(page: Page, two_runs: tuple[str, str, str, Path]) -> None:
    address, older, newer, folder = two_runs
    page.goto(f"{address}/?tab=compare&run={older}")
    expect_run(page, older, "good", "contrary")
    flips, rates, kept = (page.locator(f"#mg-{name}") for name in ("compare-flips", "threshold-rates", "threshold-kept"))
    expect(flips).to_contain_text("None.")
    expect(rates).to_contain_text("contrary")

    # Another kind of answers while another comparison is on its way: all of its answers are "fixed", none is "broken".
    with sent_late(page) as late:
        choose_run(page, "contrary against good")
    page.locator("#mg-compare-outcome label").nth(1).click()
    expect(flips.locator("figure")).not_to_have_count(0)
    late.send()
    expect_run(page, newer, "contrary", "good")
    expect(flips).to_contain_text("None.")
    page.wait_for_timeout(SETTLES_MS)
    expect(flips).to_contain_text("None.")
    page.locator("#mg-compare-outcome label").nth(0).click()
    expect(flips.locator("figure")).not_to_have_count(0)

    # What is set stays when the list loses the focus.
    number = page.locator("#mg-threshold input[type=number]")
    number.fill("0.7")
    number.press("Enter")
    expect(rates).to_contain_text("from 70%")
    page.locator("#mg-compare-run input").click()
    page.keyboard.press("Escape")
    page.locator("#mg-compare-run input").blur()
    page.wait_for_timeout(SETTLES_MS)
    expect(number).to_have_value("0.7")
    expect(rates).to_contain_text("from 70%")

    # The last of two quick choices counts, and a threshold is kept for the model whose rates are on screen, or not at all.
    with sent_late(page) as late:
        for models in ("good against contrary", "contrary against good", "good against contrary"):
            choose_run(page, models)
    page.locator("#mg-keep-threshold").click()
    expect(kept).to_contain_text("From now on good says")
    late.send()
    expect_run(page, older, "good", "contrary")
    expect(rates).to_contain_text("contrary")
    with sent_late(page) as late:
        number.fill("0.8")
        number.press("Enter")
    page.locator("#mg-keep-threshold").click()
    expect(page.get_by_text("is still being counted")).to_be_visible()
    assert [point["threshold"] for point in json.loads((folder / "operating_point.json").read_text()).values()] == [0.7]
    late.send()
    expect(rates).to_contain_text("from 80%")
    expect_run(page, older, "good", "contrary")
    expect(rates).to_contain_text("contrary")
    assert page.problems == []  # type: ignore[attr-defined]
