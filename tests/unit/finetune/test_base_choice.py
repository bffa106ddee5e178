"""Which weights are trained and what is to be beaten, for every kind of name that a judge goes by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.assets import BUNDLED_MODEL, TUNED_ADAPTER
from engine.errors import MaskgroupError, ModelError, RunError
from engine.evaluation.predictions import read_predictions
from engine.evaluation.trained_on import SceneMark, mark_scene, read_marks
from finetune.config import TrainConfig
from finetune.runs import stages
from finetune.runs.base_choice import ModelsOfTraining, choose_models
from finetune.runs.promotion import promote
from finetune.runs.stages import TrainingRun
from tests.command_line import run_command
from tests.training_room import write_training_room

SERVER = "http://127.0.0.1:9/v1#chairs-1"
HUB = "Qwen/Qwen3-VL-2B-Instruct"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def make_run(runs: Path, name: str, base: str) -> None:
    """A finished training, as far as names go."""
    (runs / name / "adapter").mkdir(parents=True)
    (runs / name / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (runs / name / "config.json").write_text(json.dumps(TrainConfig(scenes=("x",), model=base).to_json()))


def test_base_and_hub_ids_are_trained_and_beaten_themselves(runs: Path) -> None:
    assert choose_models("base", None, runs) == ModelsOfTraining("base", "base")
    assert choose_models(HUB, None, runs) == ModelsOfTraining(HUB, HUB)
    assert choose_models(HUB, "base", runs) == ModelsOfTraining(HUB, "base")


def test_of_an_adapter_its_base_is_trained_and_it_is_beaten_itself(runs: Path, tmp_path: Path) -> None:
    make_run(runs, "run-1", HUB)
    assert choose_models("run-1", None, runs) == ModelsOfTraining(HUB, "run-1")
    assert choose_models("base", "run-1", runs) == ModelsOfTraining("base", "run-1")
    adapter = Path(shutil.copytree(TUNED_ADAPTER, tmp_path / "mine"))
    assert choose_models(str(adapter), None, runs) == ModelsOfTraining("base", str(adapter))


def test_tuned_means_the_run_that_it_is_now(runs: Path) -> None:
    assert choose_models("tuned", None, runs) == ModelsOfTraining("base", "tuned"), "the one that comes with the program"
    make_run(runs, "run-1", HUB)
    promote(runs, "run-1")
    assert choose_models("tuned", None, runs) == ModelsOfTraining(HUB, "run-1")


def test_a_folder_is_named_by_its_whole_path(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    assert choose_models("./model", None, runs) == ModelsOfTraining(str(model), str(model))
    assert choose_models(str(BUNDLED_MODEL), "base", runs) == ModelsOfTraining("base", "base")


@pytest.mark.parametrize(("model", "against"), [(SERVER, None), ("base", SERVER), (SERVER, SERVER)])
def test_a_server_is_refused(model: str, against: str | None, runs: Path) -> None:
    with pytest.raises(RunError, match="'chairs-1' is on a server, and a training needs its weights on this machine"):
        choose_models(model, against, runs)


@pytest.mark.parametrize("wrong", ["no-such-model", "/no/such/folder"])
def test_what_is_not_there_is_refused(wrong: str, runs: Path) -> None:
    for model, against in ((wrong, None), ("base", wrong)):
        with pytest.raises(MaskgroupError, match="There is no model"):
            choose_models(model, against, runs)


def test_another_architecture_is_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "llava").mkdir()
    (tmp_path / "llava" / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(ModelError, match="is a llava; only Qwen3-VL models can be trained"):
        choose_models(str(tmp_path / "llava"), None, runs)


@pytest.mark.parametrize("given", [("--model", SERVER), ("--against", SERVER)])
def test_the_command_refuses_a_server_before_anything_starts(given: tuple[str, str], tmp_path: Path) -> None:
    done = run_command("train", "sh3d_living", "--db", tmp_path / "labels.db", *given)
    assert (done.code, done.out) == (2, "")
    assert "is on a server" in done.sentence
    assert not (tmp_path / "runs").exists()


def test_the_command_takes_the_model_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_MODEL", SERVER)
    done = run_command("train", "sh3d_living", "--db", tmp_path / "labels.db")
    assert done.code == 2
    assert "is on a server" in done.sentence


def test_a_folder_is_trained_and_beaten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For real: another folder's weights with the shipped adapter to beat, and then what it is judged by."""
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "own"))
    room = write_training_room(tmp_path / "scenes")
    found = choose_models(str(model), "tuned", tmp_path / "runs")
    config = TrainConfig(
        scenes=(str(room),), model=found.base, parent=found.rival, pairs=4, epochs=1, batch_pairs=4, evaluation_pairs=4,
        validation_pairs=2, negatives="random", language_only=True, rank=2, promotion="always", device="cpu",
    )  # fmt: skip
    run_dir = tmp_path / "runs" / "run-1"
    run_dir.mkdir(parents=True)
    (run_dir / "config.json").write_text(json.dumps(config.to_json()))
    (run_dir / "corrections.json").write_text('{"corrections": []}')
    looked_at: list[Path] = []

    def mark_and_count(folder: Path) -> SceneMark:
        looked_at.append(folder)
        return mark_scene(folder)

    monkeypatch.setattr(stages, "mark_scene", mark_and_count)
    TrainingRun(run_dir).run()
    assert looked_at == [room], "once, when it is read: at the end the scene may be gone"
    assert read_marks(run_dir / "adapter").scenes == (mark_scene(room, held_back=True),)
    judged = {side: read_predictions(next((run_dir / side).rglob("predictions.jsonl"))) for side in ("before", "after")}
    assert {side: {p.model for p in pairs} for side, pairs in judged.items()} == {"before": {"tuned"}, "after": {"run-1"}}
    assert json.loads((run_dir / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)
    card = (run_dir / "adapter" / "README.md").read_text() + (run_dir / "adapter" / "metrics.json").read_text()
    assert str(tmp_path) not in card, "whose disk it lay on is nobody's business"
    assert choose_models("run-1", None, run_dir.parent) == ModelsOfTraining(str(model), "run-1")
