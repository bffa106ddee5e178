"""Training for real, in seconds: the model in training is the judge's, resuming is exact, what goes wrong is said."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError, RunError
from engine.judging.adapters import base_of
from engine.judging.base import CropPair
from engine.judging.calibration.fit import fit_calibration, margin_of
from engine.judging.registry import load_judge
from finetune.config import TrainConfig, check_run_name
from finetune.data.augment import augment_crop
from finetune.data.pairs import DataSet, DataSettings, build_data_set
from finetune.data.scene_pool import ScenePool
from finetune.runs.events import TAIL_BYTES, EventWriter, Stage, has_ended, read_events
from finetune.runs.stages import build_trainer, fit_on_held_out, save_adapter
from finetune.runs.worker import explain
from finetune.training.base import prompt_of
from finetune.training.loop import LossNotFinite, schedule
from finetune.training.lora import Answerer, Question, add_adapter, load_base, trained_weights
from finetune.training.unsloth_backend import adapter_arguments, chooses_unsloth, load_for_training, loading_arguments
from tests.training_room import open_room, write_training_room

CONFIG = TrainConfig(scenes=("small",), pairs=12, epochs=2, batch_pairs=4, learning_rate=2e-3, checkpoint_every=5, device="cpu")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ScenePool:
    return open_room(write_training_room(tmp_path_factory.mktemp("room")), "both")


@pytest.fixture(scope="module")
def data(pool: ScenePool) -> DataSet:
    return build_data_set([pool], [], DataSettings(pairs=12, evaluation_pairs=8, validation_pairs=2))


def weights_of(trainer_model: object) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trained_weights(trainer_model).items()}


def test_training_sees_what_the_judge_sees(pool: ScenePool, data: DataSet) -> None:
    judge = load_judge("base", both_orders=False)
    judge.calibration = None  # type: ignore[attr-defined]
    model, processor, _ = load_base(CONFIG)
    answerer = Answerer(model.eval(), processor, prompt_of(CONFIG), trains_vision=True)
    pairs = data.training[:4]
    said = judge.judge([CropPair(pool.crops[p.pair.a], pool.crops[p.pair.b]) for p in pairs])
    with torch.no_grad():
        pictures = [(answerer.picture(pool.crops[p.pair.a]), answerer.picture(pool.crops[p.pair.b])) for p in pairs]
        yes, no = answerer.log_odds([Question(a, b, True) for a, b in pictures])
    assert (yes - no).tolist() == pytest.approx([margin_of(v.p_same) for v in said], abs=2e-3)


@pytest.mark.parametrize("language_only", [False, True])
def test_loss_falls_and_a_resumed_run_equals_an_uninterrupted_one(
    pool: ScenePool, data: DataSet, tmp_path: Path, language_only: bool
) -> None:
    config = replace(CONFIG, language_only=language_only, epochs=4)
    whole, model = build_trainer(config, data, [pool], None)
    losses: list[float] = []
    assert whole.run(on_step=lambda report: losses.append(report.loss))
    assert sum(losses[-3:]) < sum(losses[:3])

    stopped, _ = build_trainer(config, data, [pool], tmp_path)
    assert not stopped.run(is_cancelled=lambda: stopped.step == 5)
    resumed, other = build_trainer(config, data, [pool], tmp_path)
    assert resumed.resume()
    assert resumed.step == 5
    again: list[float] = []
    assert resumed.run(on_step=lambda report: again.append(report.loss))
    assert again == losses[5:]
    for name, weight in weights_of(model).items():
        assert torch.equal(weight, weights_of(other)[name]), name
    touches_vision = any("visual" in name for name in weights_of(model))
    assert touches_vision != language_only


def test_timing_leaves_no_trace(pool: ScenePool, data: DataSet) -> None:
    timed, model = build_trainer(CONFIG, data, [pool], None)
    before = weights_of(model)
    assert timed.time_steps() > 0
    assert timed.step == 0
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())
    fresh, _ = build_trainer(CONFIG, data, [pool], None)
    first: list[float] = []
    second: list[float] = []
    timed.run(on_step=lambda report: first.append(report.loss), is_cancelled=lambda: timed.step == 2)
    fresh.run(on_step=lambda report: second.append(report.loss), is_cancelled=lambda: fresh.step == 2)
    assert first == second


def test_saved_adapter_judges_as_the_trained_model_does(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    trainer, model = build_trainer(CONFIG, data, [pool], None)
    trainer.run(is_cancelled=lambda: trainer.step == 2)
    save_adapter(model, tmp_path / "adapter", base=BUNDLED_MODEL)
    assert not list(tmp_path.rglob("*.bin"))
    judge = load_judge(str(BUNDLED_MODEL), adapter=tmp_path / "adapter", name="run", both_orders=False)
    pairs = data.training[:4]
    said = judge.judge([CropPair(pool.crops[p.pair.a], pool.crops[p.pair.b]) for p in pairs])
    answerer = trainer._answerer
    model.eval()
    with torch.no_grad():
        yes, no = answerer.log_odds(
            [Question(answerer.picture(pool.crops[p.pair.a]), answerer.picture(pool.crops[p.pair.b]), True) for p in pairs]
        )
    assert (yes - no).tolist() == pytest.approx([margin_of(v.p_same) for v in said], abs=5e-3)


def test_adapter_is_saved_with_a_calibration_fitted_on_held_out_pairs(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    many = replace(data, validation=tuple(replace(data.training[i % 12], source="groups") for i in range(120)))
    trainer, model = build_trainer(CONFIG, many, [pool], None)
    found = fit_on_held_out(trainer, prompt_of(CONFIG).reference)
    assert found is not None
    assert found.pairs == 120
    margins, is_same = trainer.held_out_margins()

    def loss(calibrated: np.ndarray) -> float:
        return float(np.logaddexp(0, np.where(is_same, -1, 1) * calibrated).mean())

    assert loss(found.apply(margins)) < loss(margins)
    save_adapter(model, tmp_path / "adapter", base=BUNDLED_MODEL, calibration=found)
    judge = load_judge(str(BUNDLED_MODEL), adapter=tmp_path / "adapter", name="run")
    unsure = int(np.abs(found.apply(margins)).argmin())
    pair = many.validation[unsure].pair
    (verdict,) = judge.judge([CropPair(pool.crops[pair.a], pool.crops[pair.b])])
    assert margin_of(verdict.p_same) == pytest.approx(float(found.apply(margins[unsure])), abs=2e-2)
    few, _ = build_trainer(CONFIG, data, [pool], None)
    assert fit_on_held_out(few, prompt_of(CONFIG).reference) is None


def test_no_calibration_is_kept_that_costs_right_answers(pool: ScenePool, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, _ = build_trainer(CONFIG, data, [pool], None)
    # Four answers "same" are sure and wrong: likelihood gives way to them, and would lose the many that are just above 0.
    margins = np.array([*[-0.1] * 56, *[6.0] * 4, *[0.1] * 30, *[4.0] * 30])
    is_same = np.arange(120) >= 60
    fitted = fit_calibration(margins, is_same, prompt="original@1")
    assert ((fitted.apply(margins) >= 0) == is_same).sum() < ((margins >= 0) == is_same).sum()
    monkeypatch.setattr(trainer, "held_out_margins", lambda: (margins, is_same))
    assert fit_on_held_out(trainer, prompt_of(CONFIG).reference) is None
    monkeypatch.setattr(trainer, "held_out_margins", lambda: (np.where(is_same, 3.0, -3.0), is_same))
    assert fit_on_held_out(trainer, prompt_of(CONFIG).reference) is not None


def test_variants_are_reproducible_and_stay_crops_on_black(pool: ScenePool) -> None:
    crop = max(pool.crops.values(), key=lambda c: c.size)
    one, two = (augment_crop(crop, np.random.default_rng(3)) for _ in range(2))
    assert (one == two).all()
    assert one.dtype == np.uint8
    assert one.shape[2] == 3
    assert (one.max(axis=2) == 0).any()


def test_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    trainer, model = build_trainer(replace(CONFIG, checkpoint_every=1), data, [pool], tmp_path)
    trainer.run(is_cancelled=lambda: trainer.step == 2)
    with torch.no_grad():
        next(iter(trained_weights(model).values())).fill_(math.nan)
    with pytest.raises(LossNotFinite, match="start a new run with a lower one"):
        trainer.run()
    again, _ = build_trainer(CONFIG, data, [pool], tmp_path)
    assert again.resume()
    assert again.step == 2


def test_broken_or_foreign_checkpoint_is_refused(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    trainer, _ = build_trainer(CONFIG, data, [pool], tmp_path)
    trainer.run(is_cancelled=lambda: trainer.step == 1)
    longer, _ = build_trainer(replace(CONFIG, epochs=3), data, [pool], tmp_path)
    with pytest.raises(RunError, match="other settings"):
        longer.resume()
    (next((tmp_path / "checkpoints").glob("step-*")) / "adapter.safetensors").write_bytes(b"x" * 100)
    same, _ = build_trainer(CONFIG, data, [pool], tmp_path)
    with pytest.raises(RunError, match="is broken"):
        same.resume()


def test_schedule_rises_then_falls_to_nothing() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01


def test_config_survives_json_and_refuses_nonsense() -> None:
    assert TrainConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG
    with pytest.raises(RunError, match="expected 1 or more"):
        replace(CONFIG, rank=0)
    with pytest.raises(RunError, match="expected a number above 0"):
        replace(CONFIG, learning_rate=math.nan)
    with pytest.raises(RunError, match="No scene"):
        replace(CONFIG, scenes=())
    with pytest.raises(RunError, match="does not know"):
        TrainConfig.from_json({"scenes": ["a"], "tricks": 1})


@pytest.mark.parametrize("name", ["", "base", "tuned", "../x", "a/b", ".hidden", "x" * 81, "a b"])
def test_names_that_cannot_be_runs(name: str) -> None:
    with pytest.raises(RunError, match="cannot name a run"):
        check_run_name(name)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "Memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory"), "Memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "Memory ran out"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), "Memory ran out"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "Memory ran out"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "Memory ran out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (RuntimeError("safetensors: No space left on device"), "The disk is full"),
        (ZeroDivisionError(), "mistake of the program"),
    ],
)
def test_errors_become_sentences(error: Exception, words: str) -> None:
    assert words in explain(error)


def test_events_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.write("step", step=1, loss=math.nan)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind": "st')
    assert [event.kind for event in read_events(tmp_path)] == ["step"]
    assert math.isnan(read_events(tmp_path)[0].number("loss"))
    assert not has_ended(tmp_path)
    EventWriter(tmp_path).write("end", "over")
    assert [event.text for event in read_events(tmp_path)] == ["", "over"]
    assert has_ended(tmp_path)


def test_who_waits_reads_the_end_of_the_events_only(tmp_path: Path) -> None:
    assert not has_ended(tmp_path)
    writer = EventWriter(tmp_path)
    for step in range(500):
        writer.write("step", "x" * 300, step=step)
    writer.write("end", "Cancelled; resume it.", outcome="cancelled")
    assert (tmp_path / "events.jsonl").stat().st_size > 2 * TAIL_BYTES
    assert has_ended(tmp_path)
    writer.write("stage", Stage.READING)
    assert not has_ended(tmp_path), "it was resumed"
    writer.write("end", "done", outcome="done")
    assert has_ended(tmp_path)


def test_unsloth_is_given_what_the_settings_say() -> None:
    config = replace(CONFIG, model="Qwen/Qwen3-VL-2B-Instruct", rank=8, alpha=32, dropout=0.1, language_only=True, seed=3)
    assert loading_arguments(config)["model_name"] == "Qwen/Qwen3-VL-2B-Instruct"
    assert (loading_arguments(config)["load_in_4bit"], loading_arguments(config)["load_in_16bit"]) == (False, True)
    four_bit = loading_arguments(replace(config, four_bit=True))
    assert (four_bit["load_in_4bit"], four_bit["load_in_16bit"]) == (True, False)
    # Else Unsloth trains on its own copy, and the adapter names that as its base.
    assert four_bit["use_exact_model_name"] is True
    given = adapter_arguments(config)
    assert (given["r"], given["lora_alpha"], given["lora_dropout"], given["random_state"]) == (8, 32, 0.1, 3)
    assert given["finetune_vision_layers"] is False
    assert adapter_arguments(replace(config, language_only=False))["finetune_vision_layers"] is True
    assert given["finetune_language_layers"]
    assert given["finetune_attention_modules"]
    assert given["finetune_mlp_modules"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no GPU")
def test_unsloth_without_gpu_says_why() -> None:
    assert not chooses_unsloth(replace(CONFIG, model="Qwen/Qwen3-VL-2B-Instruct"))
    with pytest.raises(ModelError, match="NVIDIA GPUs only"):
        chooses_unsloth(replace(CONFIG, backend="unsloth"))
    with pytest.raises(ModelError, match="--backend peft"):
        load_for_training(CONFIG)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="Unsloth cannot load a model without an NVIDIA driver; run with -m gpu")
def test_unsloth_trains(pool: ScenePool, data: DataSet, tmp_path: Path) -> None:
    trainer, _ = build_trainer(replace(CONFIG, backend="unsloth", device="cuda"), data, [pool], None)
    losses: list[float] = []
    assert trainer.run(on_step=lambda report: losses.append(report.loss))
    assert sum(losses[-4:]) < sum(losses[:4])
    save_adapter(trainer._answerer.model, tmp_path / "adapter", base=BUNDLED_MODEL)
    # Not a quantised copy of Unsloth's own.
    assert base_of(tmp_path / "adapter") == str(BUNDLED_MODEL)


def test_adapter_is_fresh_for_each_run_and_the_same_for_one_seed() -> None:
    first, second = (weights_of(add_adapter(load_base(CONFIG)[0], CONFIG)) for _ in range(2))
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
