"""The chosen threshold: one rule for the app and the command line, and what the slider promises of the groups comes true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.evaluation.comparison.groupings import THRESHOLDS, cut_at, summarize_run
from engine.evaluation.predictions import read_predictions
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.judging.calibration.operating_point import OperatingPoint, shift_probability
from engine.types import MaskPair
from tests.grouping_rooms import dining_room
from tests.tiny_room import NAME, write_tiny_room
from ui.cli import cli
from ui.commands.judge_options import choose_threshold
from ui.services.thresholds import open_points
from ui.settings import Settings


class Wavering:
    """Knows the truth and says it with probabilities that differ from pair to pair."""

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        answers: list[float] = []
        for pair in pairs:
            seed = [int(pair.a.view), pair.a.mask, int(pair.b.view), pair.b.mask]
            draw = float(np.random.default_rng(seed).uniform(0, 0.5))
            answers.append(shift_probability(0.45 + draw if pair.a.mask == pair.b.mask else draw, self._threshold))
        return answers


@pytest.mark.parametrize("threshold", [0.3, 0.62, 0.8])
def test_the_sweep_says_what_grouping_at_that_threshold_gives(threshold: float) -> None:
    frames = dining_room()[1]
    # So many questions that every pair is asked: a run at another threshold then has the same answers.
    options = GroupingOptions(evidence="vlm", budget=10**6, lift=False)
    usual = group_frames(frames, options=options, judge=Wavering())
    moved = group_frames(frames, options=options, judge=Wavering(threshold))
    assert usual.graph.asked.sum() == moved.graph.asked.sum() > 0
    assert (cut_at(usual.graph, threshold).labels == moved.grouping.labels).all()
    assert (cut_at(moved.graph, 0.5, decided_at=threshold).labels == usual.grouping.labels).all(), "and back again"


def test_the_sweep_has_a_row_for_every_step_of_the_slider() -> None:
    run = group_frames(dining_room(6)[1], options=GroupingOptions(evidence="vlm", lift=False), judge=Wavering())
    rows = summarize_run(run)["sweep"]
    assert [row[0] for row in rows] == [round(0.05 + 0.01 * k, 2) for k in range(91)] == list(THRESHOLDS)
    assert rows[0][1] < rows[-1][1], "who hardly ever says 'same' makes more groups"


def test_shifting_puts_the_threshold_at_one_half() -> None:
    assert shift_probability(0.8, 0.8) == pytest.approx(0.5)
    assert shift_probability(0.7, 0.8) < 0.5 < shift_probability(0.9, 0.8)
    assert [shift_probability(p, 0.5) for p in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MASKGROUP_DB", str(tmp_path / "data" / "labels.db"))
    return Settings()


def test_a_command_takes_what_is_given_then_what_is_kept(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = open_points(settings, sources={"mine": str(tmp_path / "mine")})
    assert choose_threshold(None, "base", settings) == 0.5
    points.save("base", OperatingPoint(0.65))
    assert choose_threshold(None, "base", settings, prompt="original") == 0.65
    assert "from 65% on" in capsys.readouterr().err
    assert choose_threshold(0.4, "base", settings) == 0.4
    assert choose_threshold(None, "base", settings, prompt="context") == 0.5, "it was chosen for another prompt"
    assert choose_threshold(None, "tuned", settings) == 0.5
    # The app calls a folder by its last name, the command line by its path.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    points.save("mine", OperatingPoint(0.7))
    by_another_way = str(tmp_path / "mine" / ".." / "mine")
    assert choose_threshold(None, by_another_way, settings) == 0.7
    with pytest.raises(ModelError, match="between 0 and 1"):
        choose_threshold(1.5, "base", settings)


@pytest.mark.skipif(not (BUNDLED_MODEL / "config.json").is_file(), reason="the bundled model is not in this checkout")
def test_judge_evaluate_and_group_decide_at_the_kept_threshold(settings: Settings, tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    open_points(settings).save("base", OperatingPoint(0.999))
    where = ["--scenes", str(tmp_path / "scenes")]

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*arguments, *where], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("evaluate", NAME, "--out", str(tmp_path / "out"), "--pairs", "12", "--min-area", "4", "--json")
    predictions = read_predictions(tmp_path / "out" / NAME / "predictions.jsonl")
    assert {p.threshold for p in predictions} == {0.999}
    assert [p.said_same for p in predictions] == [(p.p_same or 0) >= 0.999 for p in predictions]
    pair = predictions[0].pair
    masks = ["judge", NAME, "--a", str(pair.a), "--b", str(pair.b), "--json"]
    kept, low = (json.loads(run(*masks, *flags)) for flags in ([], ["--threshold", "0.001"]))
    assert (kept["answer"], kept["threshold"]) == ("different", 0.999)
    assert (low["answer"], low["p_same"]) == ("same", pytest.approx(kept["p_same"]))
    flags = ["--evidence", "vlm", "--json", "--out"]
    many, few = (
        json.loads(run("group", NAME, *flags, str(tmp_path / f"g{k}"), *more))["groups"]
        for k, more in enumerate(([], ["--threshold", "0.001"]))
    )
    assert many > few
