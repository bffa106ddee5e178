"""LoRA training of random weights at full depth: tokens/s, share of the measured peak, memory against the estimate; 4 bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from engine.judging.local.loading import load_model
from engine.judging.local.passes import release_memory
from engine.judging.memory import LONG_PASS, count_configured, count_quantised, needed_bytes
from engine.judging.shapes import ModelShape
from engine.judging.sources import LoadOptions
from finetune.config import TrainConfig
from finetune.training.base import prompt_of
from finetune.training.loop import Trainer
from finetune.training.lora import Answerer, Question, add_adapter, keep_inputs_only, load_base
from finetune.training.memory_needs import Footprint, needed_for_training
from tests.bench.bench_judging import judge_afresh
from tests.gpu.crops import all_pairs, cycled_pairs, some_pairs
from tests.gpu.measuring import counting, peak_flops, peak_gb, seconds, watch_memory
from tests.gpu.random_models import random_config, random_model, real_processor, save_random
from tests.gpu.step import Figures, Missing, Setting
from tests.gpu.steps_judging import make_judge

STEPS, TIMED = 4, 3
OPERATIONS = 6
"""A weight and token: 2 forward, 2 when the layer runs again, 2 for the gradient of its input; its own it has none."""


def train_2b(setting: Setting) -> Figures:
    """Return the figures of 2B."""
    return train_size(setting, "2B")


def train_8b(setting: Setting) -> Figures:
    """Return the figures of 8B."""
    return train_size(setting, "8B")


def train_size(setting: Setting, size: str) -> Figures:
    """Return the figures of `measure_training` for default settings, vision and language."""
    peak = peak_flops(setting.device)
    watch_memory()
    dtype = torch.float32 if setting.tiny else torch.bfloat16
    settings = training_settings(setting, model=size)
    model = add_adapter(random_model(size, device=setting.device, dtype=dtype, tiny=setting.tiny), settings)
    config = random_config(size, tiny=setting.tiny)
    answerer = make_answerer(model, real_processor(tiny=setting.tiny), settings)
    return measure_training(setting, answerer, settings, config, itemsize=dtype.itemsize, peak=peak)


def four_bits(setting: Setting) -> Figures:
    """Return speed and memory of judging and training with 2B's language model in 4 bits, from a folder of random weights."""
    if find_spec("bitsandbytes") is None:
        raise Missing("bitsandbytes is not installed")
    dtype = torch.float32 if setting.tiny else torch.bfloat16
    base = save_random("2B", setting.folder / "base", device=setting.device, dtype=dtype, tiny=setting.tiny)
    config = random_config("2B", tiny=setting.tiny)
    values, quantised = count_configured(config), count_quantised(config)
    watch_memory()
    loaded = load_model(base, name="random", options=LoadOptions(device=setting.device, four_bit=True))
    judge = make_judge(loaded.model, loaded.processor, both_orders=False)
    pairs = some_pairs(setting, 4) if setting.tiny else all_pairs(setting)
    judge_afresh(judge, pairs[:4])
    took = seconds(partial(judge_afresh, judge, pairs))
    needed = needed_bytes(values, dtype, quantised=quantised, shape=ModelShape.of(config), pass_tokens=LONG_PASS)
    judged: dict[str, float | int | bool | str | None] = {
        "judging_pairs_a_second": len(pairs) / took,
        "judging_memory_gb": peak_gb(),
        "judging_estimate_gb": needed / 1e9,
    }
    del judge, loaded
    release_memory()
    watch_memory()
    settings = training_settings(setting, model=str(base), four_bit=True)
    whole, processor, _ = load_base(settings)
    answerer = make_answerer(add_adapter(whole, settings), processor, settings)
    trained = measure_training(setting, answerer, settings, config, itemsize=dtype.itemsize, peak=None)
    return judged | {f"training_{name}": value for name, value in trained.items()}


def training_settings(
    setting: Setting, *, model: str, four_bit: bool = False, rate: float = TrainConfig.learning_rate
) -> TrainConfig:
    """Return the default settings of a training, for the step's device."""
    return TrainConfig(
        scenes=("any",),
        model=model,
        backend="peft",
        device=setting.device,
        four_bit=four_bit,
        gradient_checkpointing="on",
        epochs=1,
        learning_rate=rate,
        batch_pairs=2 if setting.tiny else TrainConfig.batch_pairs,
    )


def make_answerer(model: Any, processor: Any, settings: TrainConfig) -> Answerer:
    """Return what answers with gradients, from PEFT's model, whose layers keep only their inputs from now on."""
    keep_inputs_only(model)
    return Answerer(model, processor, prompt_of(settings), trains_vision=True)


def make_questions(setting: Setting, answerer: Answerer, count: int) -> list[Question]:
    """Return `count` questions about pairs of the room, every second one said to be the same object."""
    pairs = cycled_pairs(setting, count)
    pictures = {id(crop): answerer.picture(crop) for pair in pairs for crop in (pair.a, pair.b)}
    return [Question(pictures[id(pair.a)], pictures[id(pair.b)], i % 2 == 0) for i, pair in enumerate(pairs)]


def measure_training(
    setting: Setting, answerer: Answerer, settings: TrainConfig, config: Any, *, itemsize: int, peak: float | None
) -> dict[str, float | int | bool | str | None]:
    """Take `STEPS` steps and return their figures.

    Args:
        setting: Where its pairs come from.
        answerer: Around a model with a fresh adapter.
        settings: Of the training.
        config: The base's configuration.
        itemsize: Bytes of a number that is computed with.
        peak: Operations a second that the card reaches; None = its share is not computed.
    """
    questions = make_questions(setting, answerer, STEPS * settings.batch_pairs)
    trainer = Trainer(answerer, settings, [[question] for question in questions], questions[:2], None)
    core = answerer.model.get_base_model()
    with counting(core) as work:
        step_s = trainer.time_steps(TIMED)
    # The first step warms up: it is counted, but not timed.
    tokens = work.tokens / (TIMED + 1)
    losses: list[float] = []
    trainer.run(on_step=lambda report: losses.append(report.loss))
    footprint = Footprint(ModelShape.of(config), count_configured(config), count_quantised(config))
    operations = work.operations(core, each=OPERATIONS) / (TIMED + 1)
    return {
        "device": settings.device,
        "tokens_a_step": tokens,
        "seconds_a_step": step_s,
        "tokens_a_second": tokens / step_s,
        "share_of_peak": None if peak is None else operations / step_s / peak,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "memory_gb": peak_gb(),
        "estimate_gb": needed_for_training(footprint, settings, itemsize) / 1e9,
    }


@torch.no_grad()
def margins_of(answerer: Answerer, questions: Sequence[Question], *, at_once: int = 16) -> list[float]:
    """Return log P(yes) - log P(no) of each question, in one order."""
    answerer.model.eval()
    margins: list[float] = []
    for start in range(0, len(questions), at_once):
        yes, no = answerer.log_odds(questions[start : start + at_once])
        margins += (yes - no).tolist()
    return margins
