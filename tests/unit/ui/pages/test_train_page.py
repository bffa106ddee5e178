"""What the Retrain page says, without Gradio."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from db.labels.store import LabelStore, NewLabel
from db.runs import Run, RunStatus, RunStore
from db.schema.session import open_database
from engine.errors import RunError
from engine.evaluation.pair_sampling import SampledPair
from engine.evaluation.predictions import PredictionWriter
from engine.evaluation.result_files import PREDICTIONS
from engine.evaluation.run import to_prediction
from engine.types import Decision, MaskKey, MaskPair, Verdict
from finetune.run_folder import AFTER, BEFORE
from finetune.runs.events import Event
from finetune.runs.processes import WorkerState
from finetune.runs.promotion import judge_names, name_behind, promote
from finetune.runs.registry import Registry
from tests.stub_judge import StubJudge
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, VIEWS, write_tiny_room
from ui.pages.train import handlers as page
from ui.pages.train.actions import TrainActions
from ui.services.judges import Judges
from ui.services.workbench import Workbench

METRIC = {"before": 0.7, "after": 0.8, "difference": 0.1, "low": 0.05, "high": 0.15}
VERDICT = {
    "promoted": True,
    "reason": "Better <b>by</b> 10.",
    "pairs": 200,
    "metrics": {"accuracy": METRIC, "recall": {**METRIC, "difference": -0.01, "low": -0.03, "high": 0.01}},
    "seconds": 130.0,
    "peak_memory_mb": 1800,
    "data_hash": "ab" * 32,
    "counts": {"training": 10},
}


def run_of(status: RunStatus = "done", *, name: str = "run-1", note: str = "", **result: Any) -> Run:
    now = datetime.now(UTC)
    return Run(1, "u", "training", name, status, now, now, None, {"pairs": 1000, "parent": "base"}, result, note)


def event(kind: Any, text: str = "", at: float = 0.0, **values: Any) -> Event:
    return Event(kind, time.time() + at, text, values)


def test_names_and_sentences_are_escaped() -> None:
    evil = run_of("failed", name="<img src=x>", note="<script>1</script>", note_="x", verdict=VERDICT)
    for html in (page.show_progress(evil, [], None), page.show_registry([evil], None), page.show_verdict(evil)):
        assert "<img src=x>" not in html
        assert "<script>" not in html
        assert "<b>by</b>" not in html


def test_progress_tells_stage_steps_and_time_left() -> None:
    steps = [event("step", at=float(i - 10), step=i, total=40, loss=0.5) for i in range(1, 11)]
    events = [event("stage", "training", at=-30), *steps]
    words = page.show_progress(run_of("running"), events, WorkerState("alive", 1))
    assert "training, step 10 of 40, about 30 s left" in words
    assert "width:25%" in words
    assert "may hang" in page.show_progress(run_of("running"), events, WorkerState("silent", 1))
    assert "waits" in page.show_progress(run_of("queued"), [], None)
    assert "No training" in page.show_progress(None, [], None)
    assert "stopped. Cancelled." in page.show_progress(run_of("cancelled", note="Cancelled."), [], None)


def test_curves_take_the_latest_of_repeated_steps() -> None:
    events = [
        event("step", step=1, total=2, loss=0.9),
        event("step", step=2, total=2, loss=0.8),
        event("step", step=2, total=2, loss=0.7),
    ]
    events.append(event("validation", step=2, accuracy=0.5, recall=0.6, specificity=None, loss=0.7))
    loss, held = json.loads(page.draw_curves(events))
    assert loss["data"][0]["y"] == [0.9, 0.7]
    assert [line["y"] for line in held["data"]] == [[0.5], [0.6], [None]]
    assert page.draw_curves([]) == "[]"


def test_verdict_marks_only_what_is_sure() -> None:
    html = page.show_verdict(run_of(verdict=VERDICT))
    assert "It became the tuned model" in html
    assert html.count("mg-better") == 1
    assert "mg-worse" not in html
    assert "+10.0 (+5.0 to +15.0)" in html
    assert page.show_verdict(None) == ""


def test_registry_marks_the_tuned_run_and_draws_its_curve() -> None:
    html = page.show_registry([run_of(verdict=VERDICT, curve=[0.5, 0.75, 1.0], note="mine & yours")], "run-1")
    assert "run-1 ★ tuned" in html
    assert "70.0% → 80.0%" in html
    assert "2.0,18.0 42.0,10.0 82.0,2.0" in html
    assert "mine &amp; yours" in html
    assert page.sparkline([0.5]) == ""


def test_counts_are_plain_words() -> None:
    events = [event("log", "data set", training=10, validation=2)]
    assert page.find_counts(None, events) == {"training": 10, "validation": 2}
    assert "pairs to learn from" in page.show_counts(page.find_counts(None, events))
    assert page.find_counts(run_of(verdict=VERDICT), []) == {"training": 10}


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (125, "2 min 5 s"), (7500, "2 h 5 min"), (-3, "0 s")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert page.in_words(seconds) == words


def test_no_run_picked_is_said() -> None:
    with pytest.raises(RunError, match="pick one"):
        page.need_run(None)


def test_promoted_run_answers_as_tuned_at_once(tmp_path: Any) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "adapter").mkdir(parents=True)
        (tmp_path / name / "adapter" / "adapter_config.json").write_text("{}")
    opened: list[str] = []

    class Stub:
        def __init__(self, name: str) -> None:
            opened.append(name)
            self.name = name

    judges: Any = Judges(
        Stub,  # type: ignore[arg-type]
        "base",
        others=lambda: judge_names(tmp_path),
        behind=lambda name: name_behind(name, tmp_path),
    )
    assert judges.names() == ["base", "one", "two"]
    promote(tmp_path, "one")
    assert judges.get("tuned").name == "one"
    promote(tmp_path, "two")
    assert judges.get("tuned").name == "two"
    assert judges.get("one").name == "one"
    assert opened == ["one", "two"]


def test_one_headline_and_every_other_figure_is_named() -> None:
    words = page.show_verdict(run_of(verdict=VERDICT))
    assert "<b>70.0% → 80.0% of 200 frozen pairs right</b>" in words
    assert "this figure decides, and is the one to quote" in words
    assert "Compare page" in words
    assert "frozen pairs right" in page.show_registry([run_of(verdict=VERDICT)], None)
    curves = json.loads(page.draw_curves([event("validation", step=0, accuracy=0.5, recall=0.5, specificity=0.5, loss=1.0)]))
    assert "its last point is not the run's result" in curves[1]["hint"]


def test_who_was_trained_on_what_judges_it_is_marked() -> None:
    seen = {**VERDICT, "trained_on": {"before": ["<attic>"], "after": ["cellar", "barn"]}}
    words = page.show_verdict(run_of(verdict=seen))
    assert "base was trained on &lt;attic&gt;, on which it is measured here: its figures flatter it." in words
    assert "run-1 was trained on cellar, barn, on which it is measured here" in words
    assert "was trained on" not in page.show_verdict(run_of(verdict=VERDICT))


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    folder = write_tiny_room(tmp_path / "scenes")
    return Workbench(folder.parent, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge)


def test_corrections_that_can_be_used_are_counted_and_the_others_explained(bench: Workbench) -> None:
    def usable(*scenes: str, use_labels: bool = True) -> str:
        return page.say_usable(bench, scenes, use_labels=use_labels)

    assert "No corrections yet" in usable(NAME)
    assert usable(NAME, use_labels=False) == ""
    masks = [MaskKey(view, mask) for view in VIEWS[:2] for mask in (RED_BOX, BLUE_BOX)]
    said: list[tuple[str, MaskKey, MaskKey, Decision]] = [
        (NAME, masks[0], masks[2], "same"),
        (NAME, masks[0], masks[3], "different"),
        (NAME, masks[1], masks[2], "unsure"),
        (NAME, masks[0], MaskKey(VIEWS[1], 77), "same"),
        ("attic", masks[0], masks[2], "same"),
    ]
    for scene, a, b, decision in said:
        bench.labels.add(NewLabel("me", scene, MaskPair(a, b), decision))
    assert usable(NAME) == (
        "2 of 5 corrections can be used (not 1 in scenes that are not chosen; 1 on masks that are not there now; "
        "1 because nobody could tell)."
    )
    assert usable() == "0 of 5 corrections can be used (not 5 in scenes that are not chosen)."
    assert usable(NAME, use_labels=False) == "The settings leave corrections out (5 there)."


def answer_pairs(folder: Path, right: Sequence[bool]) -> None:
    """Write predictions about pairs of the tiny room, all of which are the same, as a training does."""
    (folder / NAME).mkdir(parents=True)
    with PredictionWriter(folder / NAME / PREDICTIONS) as writer:
        for i, (is_right, mask) in enumerate(zip(right, (RED_BOX, BLUE_BOX), strict=True)):
            pair = SampledPair(MaskPair(MaskKey(VIEWS[0], mask), MaskKey(VIEWS[1], mask)), 1, 1, i, None)
            verdict = Verdict(0.9 if is_right else 0.2, 0.0, "m", "original@1", 0.1)
            writer.append(to_prediction(i, pair, verdict, None, ambiguous_above=0.5))


def test_answers_that_a_training_changed_are_shown(bench: Workbench, tmp_path: Path) -> None:
    runs = RunStore(bench.labels.database)
    registry = Registry(runs, tmp_path / "runs")
    run = runs.add("training", "run-1", config={"parent": "base"})
    assert page.show_changed(bench, registry, "run-1") == page.show_changed(bench, registry, None) == ""
    runs.update(run.id, status="done", result={"verdict": VERDICT})
    assert page.show_changed(bench, registry, "run-1") == "", "its answers are gone"
    answer_pairs(registry.folder("run-1") / BEFORE, [False, True])
    answer_pairs(registry.folder("run-1") / AFTER, [True, False])
    html = page.show_changed(bench, registry, "run-1")
    assert html.count("<figure") == 2
    assert html.index("1 put right by run-1") < html.index("base different 20%") < html.index("1 got wrong by run-1")
    assert "mask 1 of view" in html


class Ending(Registry):
    """A registry whose only run ends right after the first look at it."""

    looks = 0

    def list(self) -> builtins.list[Run]:
        """Return the run, under way at the first look only."""
        self.looks += 1
        return [replace(run, status="running" if self.looks == 1 else "done") for run in self._store.list("training")]


def test_a_run_that_ends_between_two_looks_is_under_way_or_over_but_not_both(tmp_path: Path) -> None:
    labels = LabelStore(open_database(str(tmp_path / "labels.db")))
    store = RunStore(labels.database)
    store.add("training", "run-1", config={})
    registry = Ending(store, tmp_path / "runs")
    actions = TrainActions(Workbench(tmp_path, labels, StubJudge), registry)
    for is_under_way in (True, False):
        looks = registry.looks
        values = actions.poll("run-1", None)
        assert registry.looks == looks + 1
        timer = next(value for value in values if isinstance(value, gr.Timer))
        table = values[values.index(timer) + 1]
        assert timer.active is is_under_way
        # The list is drawn anew once the run is over, or never.
        assert ("run-1" in str(table)) is not is_under_way
