"""The documentation's example of a backend works everywhere: one line in the table, and its name is a model like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from docs.examples.histogram_judge import HISTOGRAM
from engine.assets import SCENES_DIR
from engine.errors import ModelError, RunError
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.predictions import read_predictions
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.evaluation.saliency import explain_pair
from engine.evaluation.served_check import bundled_pairs
from engine.grouping.pair_judge import FramePairJudge
from engine.judging import registry
from engine.judging.calibration.fit import Calibration
from engine.judging.registry import load_judge
from engine.judging.sources import resolve_model
from engine.scenes import find_scene, open_scene
from engine.types import MaskKey
from engine.views.frames import FrameSource
from finetune.runs.base_choice import choose_models
from tests.command_line import run_command
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, write_tiny_room

MODEL = "histogram:4"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BACKENDS", (HISTOGRAM, *registry.BACKENDS))


@pytest.mark.usefixtures("registered")
def test_it_judges_the_bundled_room() -> None:
    judge = load_judge(MODEL)
    pairs = bundled_pairs(judge.prompt.picture)
    verdicts = judge.judge(pairs)
    assert [verdict.model for verdict in verdicts] == [MODEL] * len(pairs)
    p_same = np.array([verdict.p_same for verdict in verdicts])
    assert p_same[::2].mean() > p_same[1::2].mean() + 0.2, "the same object in two views, then two neighbours"
    assert [v.p_same for v in judge.judge(pairs, both_orders=False)] == p_same.tolist()
    maps = explain_pair(judge, pairs[0], across=3)
    assert maps.p_same == p_same[0]
    assert maps.strongest > 0


@pytest.mark.usefixtures("registered")
def test_it_is_evaluated_through_the_public_functions(tmp_path: Path) -> None:
    settings = EvaluationSettings(model=MODEL, sampling=SamplingSettings(pairs=40))
    scores = evaluate_scene(find_scene("sh3d_living", SCENES_DIR), tmp_path, settings, lambda: load_judge(MODEL))
    accuracy = scores.estimates["accuracy"].value
    assert accuracy is not None
    assert accuracy > 0.6
    predictions = read_predictions(tmp_path / "predictions.jsonl")
    assert len(predictions) == 40
    assert {(p.model, p.prompt) for p in predictions} == {(MODEL, "original@1")}


@pytest.mark.usefixtures("registered")
def test_commands_take_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_DB", str(tmp_path / "data" / "labels.db"))
    write_tiny_room(tmp_path / "scenes")
    common = ("--scenes", tmp_path / "scenes", "--model", MODEL)
    judged = run_command("judge", NAME, "--a", f"0:{RED_BOX}", "--b", f"2:{RED_BOX}", "--json", *common)
    assert judged.code == 0, judged.sentence
    assert json.loads(judged.out)["answer"] == "same"
    grouped = run_command("group", NAME, "--evidence", "vlm", "--out", tmp_path / "groups", "--json", *common)
    assert grouped.code == 0, grouped.sentence
    evaluated = run_command("evaluate", NAME, "--out", tmp_path / "out", "--pairs", 8, "--min-area", 4, "--json", *common)
    assert evaluated.code == 0, evaluated.sentence
    refused = run_command("judge", NAME, "--a", f"0:{RED_BOX}", "--b", f"2:{RED_BOX}", *common, "--device", "cpu")
    assert (refused.code, refused.out) == (2, "")
    assert "has no weights" in refused.sentence


@pytest.mark.usefixtures("registered")
def test_grouping_gets_its_embeddings(tmp_path: Path) -> None:
    frames = FrameSource(open_scene(write_tiny_room(tmp_path / "scenes")))
    keys = [MaskKey(view, mask) for mask in (RED_BOX, BLUE_BOX) for view in ("0", "2")]
    table = FramePairJudge(load_judge(MODEL), frames).embed(keys)
    assert table is not None
    assert table.shape == (4, 64)
    alike = table @ table.T
    assert alike[0, 1] > 0.5 > alike[0, 2]


@pytest.mark.usefixtures("registered")
def test_it_is_calibrated_for_its_prompt_only() -> None:
    pairs = bundled_pairs()[:2]
    raw = load_judge(MODEL).judge(pairs)
    fitted = load_judge(MODEL, calibration=Calibration("original@1", 2.0, 0.0))
    assert fitted.calibration is not None
    for verdict, before in zip(fitted.judge(pairs), raw, strict=True):
        assert verdict.uncalibrated == before.p_same
        assert abs(verdict.p_same - 0.5) < abs(before.p_same - 0.5)
    assert load_judge(MODEL, calibration=Calibration("other@1", 2.0, 0.0)).calibration is None


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("wrong", ["histogram:", "histogram:0", "histogram:x", "histogram:99", "histogram:²", "histo:4"])
def test_other_names_are_refused(wrong: str) -> None:
    with pytest.raises(ModelError, match=r"no number of levels|There is no model"):
        load_judge(wrong)


@pytest.mark.usefixtures("registered")
def test_what_it_has_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="No adapter can be put on histogram:4"):
        load_judge(MODEL, adapter=tmp_path)
    with pytest.raises(RunError, match="no Qwen3-VL"):
        choose_models(MODEL, None, tmp_path / "runs")


def test_without_the_line_in_the_table_there_is_no_such_model() -> None:
    assert resolve_model(MODEL).kind == "other"
    with pytest.raises(ModelError, match="There is no model 'histogram:4'"):
        load_judge(MODEL)
