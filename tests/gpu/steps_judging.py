"""Qwen3-VL at full depth with random weights: our way of judging against the plain one and the original's, in answers and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine.judging.base import CropPair, load_prompt
from engine.judging.calibration.fit import margin_of
from engine.judging.local.answer_logits import ask_for_log_probs
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, QwenVlJudge, answer_token_ids, question_text
from engine.judging.memory import LONG_PASS, count_configured, needed_bytes
from engine.judging.shapes import ModelShape
from engine.types import Float64Array
from tests.bench.bench_judging import ask_as_the_original, judge_afresh
from tests.gpu.crops import all_pairs, some_pairs
from tests.gpu.measuring import counting, peak_flops, peak_gb, seconds, watch_memory
from tests.gpu.random_models import random_model, real_processor, round_weights
from tests.gpu.step import Figures, Setting

COMPARED, TIMED_AS_ORIGINAL = 48, 24
"""Pairs asked in the plain way, and in the original's."""
# Random weights answer hardly ever with yes or no, and every pair would be asked a second time.
PROMPT = replace(load_prompt("original"), forced="")


def compare_ways(setting: Setting) -> Figures:
    """Return how far the fast way's margins lie from the plain way's, in float32 and in bfloat16.

    In float32 they may differ by rounding alone. In bfloat16 the fast way should be no further from float32 than the plain one is.
    """
    processor = real_processor(tiny=setting.tiny)
    model = random_model("2B", device=setting.device, dtype=torch.float32, tiny=setting.tiny)
    pairs = some_pairs(setting, COMPARED)
    plain, fast = plain_margins(model, processor, pairs), fast_margins(model, processor, pairs)
    round_weights(model, torch.bfloat16)
    plain_half, fast_half = plain_margins(model, processor, pairs), fast_margins(model, processor, pairs)
    return {
        "device": setting.device,
        "pairs": len(pairs),
        "spread_of_margins": float(plain.std()),
        "float32_largest_difference": _largest(fast, plain),
        "bf16_fast_from_float32": _largest(fast_half, plain),
        "bf16_plain_from_float32": _largest(plain_half, plain),
        "bf16_fast_equal_answers": float(np.mean((fast_half >= 0) == (plain >= 0))),
        "bf16_plain_equal_answers": float(np.mean((plain_half >= 0) == (plain >= 0))),
    }


def judge_2b(setting: Setting) -> Figures:
    """Return the figures of 2B."""
    return judge_size(setting, "2B")


def judge_8b(setting: Setting) -> Figures:
    """Return the figures of 8B."""
    return judge_size(setting, "8B")


def judge_size(setting: Setting, size: str) -> Figures:
    """Return pairs/s in each way, the share of the measured peak without padding, and memory against the estimate."""
    peak = peak_flops(setting.device)
    watch_memory()
    dtype = torch.float32 if setting.tiny else torch.bfloat16
    model = random_model(size, device=setting.device, dtype=dtype, tiny=setting.tiny)
    processor = real_processor(tiny=setting.tiny)
    pairs = all_pairs(setting)
    few = some_pairs(setting, TIMED_AS_ORIGINAL)
    ask_as_the_original(model, processor, few[:2], least_tokens=10)
    original = len(few) / seconds(lambda: ask_as_the_original(model, processor, few, least_tokens=10))
    figures: dict[str, float | int | str | None] = {
        "device": setting.device,
        "pairs": len(pairs),
        "original_pairs_a_second": original,
    }
    watch_memory()
    for name, both in (("one_order", False), ("both_orders", True)):
        judge = make_judge(model, processor, both_orders=both)
        judge_afresh(judge, few)
        with counting(model) as work:
            took = seconds(lambda judge=judge: judge_afresh(judge, pairs))
        figures[f"{name}_pairs_a_second"] = len(pairs) / took
        figures[f"{name}_times_the_original"] = len(pairs) / took / original
        figures[f"{name}_share_of_peak"] = work.operations(model) / took / peak
        figures[f"{name}_tokens"] = work.tokens
    memory = peak_gb()
    plain, fast = (way(model, processor, few) for way in (plain_margins, fast_margins))
    values, shape = count_configured(model.config), ModelShape.of(model.config)
    return figures | {
        "equal_to_plain_answers": float(np.mean((plain >= 0) == (fast >= 0))),
        "memory_gb": memory,
        "estimate_gb": needed_bytes(values, dtype, shape=shape, pass_tokens=LONG_PASS) / 1e9,
    }


def make_judge(model: Any, processor: Any, *, both_orders: bool) -> QwenVlJudge:
    """Return our judge, whose vision cache is empty."""
    judge = QwenVlJudge(model, processor, name="random", prompt=PROMPT, both_orders=both_orders)
    assert judge.vision is not None
    judge.vision.clear()
    return judge


def fast_margins(model: Any, processor: Any, pairs: Sequence[CropPair]) -> Float64Array:
    """Return log P(yes) - log P(no) of each pair as the judge reads it, (N,) float64, one order."""
    judge = make_judge(model, processor, both_orders=False)
    return np.array([margin_of(verdict.p_same) for verdict in judge.judge(pairs)])


@torch.inference_mode()
def plain_margins(model: Any, processor: Any, pairs: Sequence[CropPair], *, batch: int = 4) -> Float64Array:
    """Return the same by transformers' own forward: both pictures of every pair through the tower, nothing shared."""
    answers = [answer_token_ids(processor.tokenizer, words) for words in (YES_WORDS, NO_WORDS)]
    text = question_text(processor, PROMPT.text)
    margins: list[float] = []
    for start in range(0, len(pairs), batch):
        part = pairs[start : start + batch]
        inputs = processor(
            text=[text] * len(part),
            images=[crop for pair in part for crop in (pair.a, pair.b)],
            input_data_format="channels_last",
            padding=True,
            return_tensors="pt",
        ).to(model.device)
        found = ask_for_log_probs(model, inputs, answers)
        margins += (found[:, 0] - found[:, 1]).tolist()
    return np.array(margins)


def _largest(a: Float64Array, b: Float64Array) -> float:
    return float(np.abs(a - b).max())
