"""Answers in bfloat16 and float16 are those of the hidden states, not of rounded logits; what is not a plain layer works too."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.assets import BUNDLED_MODEL
from engine.judging.base import CropPair, load_prompt
from engine.judging.local.answer_logits import answer_log_probs
from engine.judging.local.qwen_vl import QwenVlJudge
from tests.other_models import write_qwen2_5_vl

YES, NO, ANSWERS = [3, 7], [11], ([3, 7], [11])


def exact_margins(head_weight: Tensor, states: Tensor) -> Tensor:
    """log P(yes) - log P(no) in float64; what the rest of the vocabulary gets cancels."""
    logits = states.double() @ head_weight.double().T
    return logits[:, YES].logsumexp(-1) - logits[:, NO].logsumexp(-1)


def make_head(dtype: torch.dtype) -> tuple[torch.nn.Linear, Tensor]:
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 500, bias=False)
    with torch.no_grad():
        head.weight.normal_(std=0.5)
        # Close rivals at large logits, where rounding is coarsest.
        aside = torch.randn(64)
        aside -= (aside @ head.weight[3]) / (head.weight[3] @ head.weight[3]) * head.weight[3]
        head.weight[11] = head.weight[3] + 0.01 * aside
        head.weight[7] = -head.weight[3]
    states = torch.randn(300, 64) + 4 * head.weight[3].detach()
    return head.to(dtype), states.to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_margins_are_not_rounded(dtype: torch.dtype) -> None:
    head, states = make_head(dtype)
    logs = answer_log_probs(head, states, ANSWERS)
    margins, expected = logs[:, 0] - logs[:, 1], exact_margins(head.weight, states)
    assert logs.dtype == torch.float32
    torch.testing.assert_close(margins.double(), expected, atol=2e-4, rtol=0)
    assert (logs.exp().sum(dim=-1) <= 1 + 1e-5).all()
    rounded = head(states).float()
    plain = rounded[:, YES].logsumexp(-1) - rounded[:, NO].logsumexp(-1)
    if dtype == torch.bfloat16:
        assert len(plain.unique()) < len(margins.unique()) / 2
        assert ((plain > 0) != (expected > 0)).any()
    assert torch.equal(margins > 0, expected > 0)


def test_a_bias_counts() -> None:
    head, states = make_head(torch.bfloat16)
    biased = torch.nn.Linear(64, 500).to(torch.bfloat16)
    with torch.no_grad():
        biased.weight.copy_(head.weight)
        biased.bias.zero_()
        biased.bias[11] = 5.0
    shift = (answer_log_probs(head, states, ANSWERS) - answer_log_probs(biased, states, ANSWERS)).diff(dim=1)
    torch.testing.assert_close(shift, torch.full_like(shift, -5.0), atol=1e-4, rtol=0)


def test_gradients_are_those_of_float32() -> None:
    head, states = make_head(torch.float32)
    found: list[Tensor] = []
    for dtype in (torch.float32, torch.bfloat16):
        given = states.clone().to(dtype).requires_grad_()
        answer_log_probs(copy.deepcopy(head).to(dtype), given, ANSWERS).sum().backward()
        assert given.grad is not None
        found.append(given.grad.float())
    torch.testing.assert_close(found[1], found[0], atol=0.05, rtol=0.05)


@pytest.mark.parametrize("wrap", ["lora", "whole"])
def test_an_adapter_on_the_last_layer_is_part_of_it(wrap: str) -> None:
    head, states = make_head(torch.bfloat16)
    layer = torch.nn.ModuleDict({"head": head})
    settings = {"lora": {"target_modules": ["head"]}, "whole": {"target_modules": ["other"], "modules_to_save": ["head"]}}[wrap]
    if wrap == "whole":
        layer["other"] = torch.nn.Linear(2, 2)
    model = get_peft_model(layer, LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, **settings))  # type: ignore[arg-type]
    wrapped: Any = model.base_model.model["head"]
    assert type(wrapped) is not torch.nn.Linear
    logs = answer_log_probs(wrapped, states, ANSWERS)
    weight = head.weight.double()
    if wrap == "lora":
        a, b = (getattr(wrapped, part)["default"].weight.double() for part in ("lora_A", "lora_B"))
        weight = weight + 2 * b @ a
    torch.testing.assert_close((logs[:, 0] - logs[:, 1]).double(), exact_margins(weight, states), atol=1e-3, rtol=0)


def crops(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_judge_in_bfloat16_answers_from_its_hidden_states(family: str, tmp_path: Path) -> None:
    folder = BUNDLED_MODEL if family == "qwen3_vl" else write_qwen2_5_vl(tmp_path)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).eval()
    seen: list[Tensor] = []
    model.lm_head.register_forward_pre_hook(lambda _, given: seen.append(given[0].reshape(-1, given[0].shape[-1])))
    judge = QwenVlJudge(model, AutoProcessor.from_pretrained(folder), name="half", prompt=load_prompt())
    made = crops(6)
    judge.judge([CropPair(a, b) for a in made for b in made])
    answers = judge._answers([CropPair(a, b) for a in made for b in made], load_prompt().text)
    # The last questions that were asked, in the order in which they were read.
    states = torch.cat(seen)[-len(answers) :].double()
    logits = states @ model.lm_head.weight.double().T
    yes, no = (logits[:, ids].logsumexp(-1) for ids in judge._answer_ids)
    found = (answers[:, 0] - answers[:, 1]).double().sort().values
    torch.testing.assert_close(found, (yes - no).sort().values, atol=1e-3, rtol=0)


def test_logits_that_a_model_caps_afterwards_stay_capped(tmp_path: Path) -> None:
    """Some architectures change what their last layer gives; their answers are those of the changed logits."""
    folder = write_qwen2_5_vl(tmp_path)
    plain: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).eval()
    processor = AutoProcessor.from_pretrained(folder)
    pairs = [CropPair(a, b) for a in crops(2) for b in crops(2)]
    before = QwenVlJudge(plain, processor, name="plain", prompt=load_prompt())._answers(pairs, load_prompt().text)
    inner = type(plain).forward

    class Capped(type(plain)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = inner(self, *args, **kwargs)
            output.logits = torch.zeros_like(output.logits)
            return output

    plain.__class__ = Capped
    after = QwenVlJudge(plain, processor, name="capped", prompt=load_prompt())._answers(pairs, load_prompt().text)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after[:, 0] - after[:, 1], torch.zeros(len(pairs)), atol=1e-5, rtol=0)
