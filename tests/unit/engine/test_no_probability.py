"""A number that is no probability never becomes a verdict, a fit, evidence of a link, or a step of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import ModelError
from engine.evaluation.predictions import EvaluationError, parse_predictions
from engine.evaluation.saliency import explain_pair
from engine.grouping.judge_rounds import ask_in_rounds
from engine.grouping.pair_judge import FramePairJudge
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.judging.base import CropPair
from engine.judging.calibration.fit import fit_calibration, margin_of
from engine.judging.registry import load_judge
from engine.judging.sources import LoadOptions
from engine.scenes import open_scene
from engine.strict_json import to_json_text
from engine.types import MaskKey, MaskPair, Verdict
from engine.views.frames import FrameSource
from finetune.data.pairs import DataSet, DataSettings, build_data_set
from finetune.data.scene_pool import ScenePool
from finetune.runs.stages import build_trainer, fit_on_held_out
from finetune.training.loop import LossNotFinite, Trainer
from finetune.training.lora import Answerer, trained_weights
from tests.broken_models import infinity_in_tower
from tests.grouping_rooms import dining_room
from tests.tiny_room import RED_BOX
from tests.training_room import open_room, write_training_room
from tests.unit.finetune.test_training import CONFIG

WRONG = (math.nan, math.inf, -math.inf, -0.1, 1.1)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("field", ["p_same", "ambiguity", "swap_disagreement", "uncalibrated"])
def test_a_verdict_is_made_of_probabilities(field: str, wrong: float) -> None:
    sound = Verdict(0.5, 0.0, "m", "p@1", 0.0, swap_disagreement=1.0, uncalibrated=0.0)
    with pytest.raises(ModelError, match=r"The model 'm' answered .*, expected a probability"):
        replace(sound, **{field: wrong})


def test_nothing_is_fitted_on_numbers_that_are_none() -> None:
    with pytest.raises(ModelError, match="no number"):
        margin_of(math.nan)
    with pytest.raises(ModelError, match="nothing can be fitted"):
        fit_calibration(np.array([1.0, math.nan, -1.0]), np.array([True, True, False]), prompt="p@1")


class Numberless:
    """Answers every question but the first with a number that is none."""

    def __init__(self, wrong: float) -> None:
        self._wrong = wrong

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        return [0.5, *[self._wrong] * (len(pairs) - 1)]


@pytest.mark.parametrize("wrong", WRONG)
def test_no_link_is_made_of_it(wrong: float) -> None:
    frames = dining_room()[1]
    graph = group_frames(frames, options=GroupingOptions(repair=False, lift=False)).graph
    with pytest.raises(ModelError, match="expected a probability"):
        ask_in_rounds(replace(graph, use_geometry=False), Numberless(wrong), budget=50)


def test_a_heat_map_and_looks_of_a_broken_model_are_refused(tiny_room: Path, tmp_path: Path) -> None:
    judge = load_judge(str(infinity_in_tower(tmp_path / "model")[0]), loading=LoadOptions(device="cpu"))
    crop = np.full((40, 40, 3), 90, np.uint8)
    with pytest.raises(ModelError, match="expected a probability"):
        explain_pair(judge, CropPair(crop, crop), across=2)
    with pytest.raises(ModelError, match="expected a probability"):
        FramePairJudge(judge, FrameSource(open_scene(tiny_room))).embed([MaskKey("0", RED_BOX), MaskKey("2", RED_BOX)])


@pytest.mark.parametrize("field", ["p_same", "p_same_ab", "ambiguity", "threshold"])
@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-1", "2"])
def test_a_file_with_such_numbers_is_refused(field: str, wrong: str) -> None:
    record = {"prediction": 1, "gt": 1, "view_i": "0", "view_j": "1", "inst_i": 1, "inst_j": 1}
    line = to_json_text(record)[:-1] + f', "{field}": {wrong}}}\n'
    with pytest.raises(EvaluationError, match=field):
        parse_predictions(line.encode(), Path("predictions.jsonl"))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ScenePool:
    return open_room(write_training_room(tmp_path_factory.mktemp("room")), "both")


@pytest.fixture(scope="module")
def data(pool: ScenePool) -> DataSet:
    return build_data_set([pool], [], DataSettings(pairs=4, evaluation_pairs=8, validation_pairs=2))


def make_trainer(pool: ScenePool, data: DataSet, folder: Path | None = None) -> tuple[Trainer, Any]:
    return build_trainer(replace(CONFIG, epochs=1, pairs=4), data, [pool], folder)


def test_a_gradient_that_is_no_number_changes_no_weight(pool: ScenePool, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, model = make_trainer(pool, data)
    weights = trained_weights(model)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    whole, first = Answerer.loss, next(iter(weights.values()))
    # The root of nothing: its value is 0, its slope is infinite.
    monkeypatch.setattr(Answerer, "loss", lambda self, asked: whole(self, asked) + torch.sqrt((first * 0).sum()))
    with pytest.raises(LossNotFinite, match="The gradient became"):
        trainer.run()
    assert all(torch.equal(weight, before[name]) for name, weight in weights.items())


def test_no_checkpoint_and_no_calibration_is_made_of_broken_weights(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    trainer, model = make_trainer(pool, data, tmp_path)
    trainer.step = 1
    with torch.no_grad():
        list(trained_weights(model).values())[-1].fill_(math.inf)
    with pytest.raises(LossNotFinite, match="A weight became"):
        trainer.save()
    assert not list(tmp_path.rglob("*.safetensors"))
    with pytest.raises(LossNotFinite):
        fit_on_held_out(trainer, "original@1")
