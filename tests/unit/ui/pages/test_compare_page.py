"""The Compare page's handlers and its worker on a tiny room and a real database, without Gradio.

The judges are rulers: they compare mean colours, one of them wrongly, so that answers flip without weights.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest

from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import MaskgroupError
from engine.evaluation.comparison.run import ComparisonSettings, read_comparison
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.trained_on import UNKNOWN, TrainedOn, mark_scene
from engine.judging.base import CropPair
from engine.judging.calibration.operating_point import OperatingPoints
from tests.stub_judge import StubJudge
from tests.tiny_room import NAME, write_tiny_room
from ui.commands.make_shipped_comparison import make
from ui.components.pairs import REVIEW_TAB, read_pair
from ui.pages.compare import handlers as page
from ui.pages.compare.flips import gallery_html, list_flips
from ui.pages.compare.routes import figure_of, report_of
from ui.pages.compare.share import draw_figure, make_report
from ui.pages.compare.words import grouping_html
from ui.pages.judge.handlers import first_choice, models_of
from ui.pages.review.handlers import first_pair
from ui.services.comparison_runs import SHIPPED, ComparisonRuns
from ui.services.judges import Judges
from ui.services.workbench import Workbench

SAMPLING = SamplingSettings(pairs=12, negatives="random", min_area_px=4)
SETTINGS = ComparisonSettings((NAME,), "good", "contrary", SAMPLING)


def ruler(name: str, *, delay_s: float = 0.0) -> StubJudge:
    """Says "same" to crops of alike mean colour; a contrary one says the opposite. `delay_s` makes it slow."""

    def answer(pair: CropPair) -> float:
        a, b = (crop[crop.any(axis=-1)].mean(axis=0) for crop in (pair.a, pair.b))
        p_same = 0.9 if float(np.abs(a - b).mean()) < 40 else 0.2
        return 1 - p_same if name == "contrary" else p_same

    return StubJudge(answer, name=name, before=lambda: time.sleep(delay_s))


def build(tmp_path: Path, *, delay_s: float = 0.0) -> tuple[Workbench, ComparisonRuns]:
    if not (tmp_path / "scenes").exists():
        write_tiny_room(tmp_path / "scenes")
    judges = Judges(lambda name: ruler(name, delay_s=delay_s), "good", others=lambda: ["contrary"])
    labels = LabelStore(open_database(str(tmp_path / "labels.db")))
    bench = Workbench(tmp_path / "scenes", labels, judges, points=OperatingPoints(tmp_path))
    return bench, ComparisonRuns(bench, RunStore(labels.database), tmp_path / "comparisons")


def wait(runs: ComparisonRuns, key: str) -> None:
    deadline = time.monotonic() + 60
    while runs.is_running(key):
        assert time.monotonic() < deadline, "the comparison does not end"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workbench, ComparisonRuns, str]:
    folder = tmp_path_factory.mktemp("compare")
    bench, runs = build(folder)
    key = runs.start(SETTINGS)
    wait(runs, key)
    entry = runs.entry(key)
    assert (entry.status, entry.note) == ("done", "")
    return folder, bench, runs, key


def test_numbers_on_the_page_are_those_of_the_command(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    folder, _, runs, key = finished
    sides = [str(folder / "comparisons" / key / side) for side in ("a", "b")]
    command = [sys.executable, "-m", "ui", "compare", *sides, "--json"]
    (report,) = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    shown = page.show_tables(runs.result(key))
    for name, values in report["metrics"].items():
        row = re.search(rf"<tr data-metric='{name}'>(.*?)</tr>", shown)
        if values["a"] is None or values["b"] is None or values["difference"] is None:
            assert row is None
            continue
        assert row is not None, name
        cells = dict(re.findall(r"data-side='(\w+)' data-value='([^']+)'", row[1]))
        assert {side: float(text) for side, text in cells.items()} == {side: values[side] for side in ("a", "b", "difference")}
    p_value = re.search(r"data-metric='mcnemar' data-value='([^']+)'", shown)
    assert p_value is not None
    assert float(p_value[1]) == report["mcnemar"]["p_value"]
    assert f"Fixed {report['mcnemar']['fixed']}, broken {report['mcnemar']['broken']}" in shown


def test_outcome_is_said_first(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, _, runs, key = finished
    shown = page.show_tables(runs.result(key))
    assert shown.index("good is better") < shown.index("<table")


def test_every_flip_is_a_click_from_judging_and_from_labelling(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, bench, runs, key = finished
    found = runs.result(key)
    broken = list_flips(bench, found, "broken")
    assert len(broken) == len(found.table[-1].broken) > 0
    shown = gallery_html(bench, found, "broken")
    assert shown.count("<img") == len(broken)
    queries = [dict(parse_qsl(unescape(link))) for link in re.findall(r"href='\?([^']+)'", shown)]
    for flip, judging, labelling in zip(broken, queries[::2], queries[1::2], strict=True):
        assert first_choice(bench, judging).pair == flip.pair.a.pair
        assert models_of(bench, judging) == ("good", "contrary")
        sides = first_pair(labelling["a"], labelling["b"])
        assert labelling["tab"] == REVIEW_TAB
        assert read_pair(bench, labelling["scene"], sides) == flip.pair.a.pair
    assert gallery_html(bench, found, "fixed") == "<p>None.</p>"


def test_the_judge_page_opens_with_models_that_exist(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, bench, _, _ = finished
    assert models_of(bench, {"model": "contrary", "rival": "good"}) == ("contrary", "good")
    assert models_of(bench, {"model": "../x", "rival": "<b>"}) == ("good", "contrary")


def test_plots_hold_every_pair(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, _, runs, key = finished
    found = runs.result(key)
    plots = {plot["title"]: plot for plot in json.loads(page.show_plots(found))}
    assert {"good: answers against the truth", "Reliability", "Precision and recall", "Accuracy by kind of pair"} <= plots.keys()
    assert {"Accuracy by crop size", "Accuracy by visible share", "Accuracy by view angle", "Accuracy by class"} <= plots.keys()
    table = plots["contrary: answers against the truth"]["data"][0]["z"]
    assert sum(map(sum, table)) == found.table[-1].pairs


def test_groups_of_both_models_and_what_changed(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, bench, runs, key = finished
    found = runs.result(key)
    kept = found.grouping[NAME]
    assert kept["a"]["ari"] > kept["b"]["ari"]
    assert f"{len(kept['changed'])} of {len(kept['masks'])} masks changed group" in grouping_html(found, NAME)
    traces = json.loads(page.show_changes(bench, found, NAME))["traces"]
    assert [trace["name"] for trace in traces] == ["wrong now"]


def test_threshold_says_what_it_gives_and_is_kept_for_the_verdict(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    _, bench, runs, key = finished
    found = runs.result(key)
    assert bench.points is not None
    assert "50.0%" in page.show_threshold(found, "b", 0.05), "who says same to all is right about half"
    words = page.keep_threshold(bench.points, found, "b", 0.95)
    assert "From now on contrary" in words
    assert page.kept_threshold(bench.points, found, "b") == 0.95
    pair = next(p.a.pair for p in found.scenes[0].pairs if p.b.said_same)
    assert bench.verdict(NAME, pair, model="contrary").answer == "different"
    page.keep_threshold(bench.points, found, "b", 0.5)
    assert bench.verdict(NAME, pair, model="contrary").answer == "same"


def test_report_stands_alone_and_names_the_commands(finished: tuple[Path, Workbench, ComparisonRuns, str]) -> None:
    folder, bench, runs, key = finished
    report = report_of(bench, runs, key)
    assert re.findall(r"(?:src|href)=['\"](?!data:)", report.split("<body>")[1]) == []
    commands = re.search(r"<pre>(.*?)</pre>", report, re.DOTALL)
    assert commands is not None
    lines = commands[1].splitlines()
    assert lines[0].startswith(f"maskgroup evaluate {NAME} --scenes {folder / 'scenes'} --model good --threshold 0.5 --pairs 12")
    assert lines[2] == "maskgroup compare results/a results/b --json"
    held = re.search(r"<script type='application/json' id='plots'>(.*?)</script>", report, re.DOTALL)
    assert held is not None
    assert len(json.loads(held[1])) == report.count("<div class='plot'") >= 8
    assert figure_of(bench, runs, key).startswith(b"\x89PNG")


def test_a_comparison_that_began_with_another_model_of_that_name_does_not_go_on(tmp_path: Path) -> None:
    bench, runs = build(tmp_path, delay_s=0.3)
    key = runs.start(ComparisonSettings((NAME,), "good", "contrary", SAMPLING, grouping=False))
    while runs.step(key) is None and runs.is_running(key):
        time.sleep(0.01)
    runs.cancel(key)
    wait(runs, key)
    assert runs.entry(key).status == "cancelled"
    bench.judges.behind = {"good": "good", "contrary": "run-2"}.__getitem__
    with pytest.raises(MaskgroupError, match="begun with 'contrary' as 'contrary', which is 'run-2' now"):
        runs.resume(key)
    bench.judges.behind = str
    runs.resume(key)
    wait(runs, key)
    assert runs.entry(key).status == "done"


def test_what_a_model_was_trained_on_is_asked_of_the_model_begun_with(tmp_path: Path) -> None:
    bench, runs = build(tmp_path)
    asked: list[str] = []
    bench.judges.behind = {"good": "good", "contrary": "good"}.__getitem__
    bench.judges.trained_on = lambda name: asked.append(name) or UNKNOWN
    wait(runs, runs.start(ComparisonSettings((NAME,), "good", "contrary", SAMPLING, grouping=False)))
    assert asked == ["good", "good"]


def test_a_stopped_comparison_goes_on_where_it_stopped_even_after_a_restart(tmp_path: Path) -> None:
    _, runs = build(tmp_path, delay_s=0.3)
    settings = ComparisonSettings((NAME,), "good", "contrary", SAMPLING, grouping=False)
    key = runs.start(settings)
    while runs.step(key) is None and runs.is_running(key):
        time.sleep(0.01)
    runs.cancel(key)
    wait(runs, key)
    assert runs.entry(key).status == "cancelled"
    assert "resume it" in page.show_progress(runs, key)
    _, again = build(tmp_path)
    assert page.can_resume(again.entry(key))
    again.resume(key)
    wait(again, key)
    assert again.entry(key).status == "done"
    assert again.result(key).table[-1].pairs > 0
    with pytest.raises(MaskgroupError, match="nothing to resume"):
        again.resume(key)
    again.delete(key)
    assert again.entries() == []
    assert not (tmp_path / "comparisons" / key).exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (ComparisonSettings((), "good", "contrary"), "at least one scene"),
        (ComparisonSettings((NAME,), "good", "good"), "choose two different ones"),
        (ComparisonSettings((NAME,), "good", "/etc/passwd"), "no model /etc/passwd"),
        (ComparisonSettings(("../x",), "good", "contrary"), "no scene"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(tmp_path: Path, settings: ComparisonSettings, sentence: str) -> None:
    _, runs = build(tmp_path)
    with pytest.raises(MaskgroupError, match=sentence):
        runs.start(settings)
    assert runs.entries() == []


def test_without_comparisons_the_page_says_what_to_do(tmp_path: Path) -> None:
    _, runs = build(tmp_path)
    assert page.first_key(runs, {"run": "nothing"}) == ""
    assert page.result_of(runs, "") is None
    assert "maskgroup train" in page.show_tables(None)
    with pytest.raises(MaskgroupError, match="no such comparison"):
        runs.result("nothing")


def test_first_visit_shows_the_shipped_comparison(finished: tuple[Path, Workbench, ComparisonRuns, str], tmp_path: Path) -> None:
    folder, bench, runs, key = finished
    labels = LabelStore(open_database(str(tmp_path / "new.db")))
    visit = ComparisonRuns(bench, RunStore(labels.database), tmp_path / "c", shipped=folder / "comparisons" / key)
    assert page.first_key(visit, {}) == SHIPPED
    assert page.show_tables(visit.result(SHIPPED)) == page.show_tables(runs.result(key))
    assert page.show_progress(visit, SHIPPED) == ""
    with pytest.raises(MaskgroupError, match="cannot be changed"):
        visit.delete(SHIPPED)


def test_shipped_comparison_is_made_anew_in_one_step(tmp_path: Path) -> None:
    judges = Judges(ruler, "base", others=lambda: ["contrary"])
    settings = ComparisonSettings(("sh3d_living",), "base", "contrary", SamplingSettings(pairs=4), grouping=False)
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "old.txt").write_text("of other weights")
    make(tmp_path / "shipped", settings, judges)
    found = read_comparison(tmp_path / "shipped")
    assert [pair.a.model for pair in found.scenes[0].pairs] == ["base"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["shipped"]
    assert not (tmp_path / "shipped" / "old.txt").exists()


def test_a_model_that_was_trained_on_the_scene_is_marked_on_the_page_and_in_the_report(tmp_path: Path) -> None:
    bench, runs = build(tmp_path)
    mark = mark_scene(tmp_path / "scenes" / NAME)
    known = {"good": TrainedOn((), is_all=True), "contrary": TrainedOn((mark,), is_all=True)}
    bench.judges.trained_on = lambda name: known[name]
    key = runs.start(SETTINGS)
    wait(runs, key)
    found = runs.result(key)
    shown = page.show_tables(found)
    assert f"contrary was trained on {NAME}: its figures there flatter it." in shown
    assert "<b>contrary was trained on this scene.</b>" in shown
    assert "good was trained" not in shown
    report = make_report(found, bench.judges, {}, scenes_dir=tmp_path / "scenes", figure=draw_figure(found, []))
    assert f"contrary was trained on {NAME}: its figures there flatter it." in report
