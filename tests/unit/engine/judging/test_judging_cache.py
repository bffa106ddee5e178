"""Cached vision equals the plain path, with deepstack and grouped queries too; each crop is encoded once; memory is bounded."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.assets import BUNDLED_MODEL
from engine.evaluation.run import mean_in_logit_space
from engine.judging.base import AMBIGUOUS_ABOVE, CropPair, load_prompt
from engine.judging.local.prefixes import PairReader
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, QwenVlJudge, answer_token_ids
from engine.judging.local.tower import MOST_PADDING, _spans
from engine.judging.local.vision_cache import LEAST_CACHE_BYTES, MOST_CACHE_BYTES, VisionCache, choose_cache_bytes
from engine.types import UInt8Array

UNFORCED = replace(load_prompt(), forced="")


@pytest.fixture(scope="module")
def processor() -> Any:
    loaded = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    # Let grids differ, so that batches of several shapes are met.
    loaded.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    return loaded


@pytest.fixture(scope="module")
def model(processor: Any) -> Qwen3VLForConditionalGeneration:
    """Random weights, shaped as Qwen3-VL-2B's layers (two heads a key, its mrope sections, deepstack), fewer and narrower."""
    bundled = Qwen3VLConfig.from_pretrained(BUNDLED_MODEL)
    shapes: dict[str, Any] = bundled.to_dict()
    text = {
        **shapes["text_config"],
        "hidden_size": 256,
        "intermediate_size": 512,
        "head_dim": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 3,
        "rope_parameters": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_theta": 5e6, "rope_type": "default"},
        "initializer_range": 0.2,
    }
    vision = {
        **shapes["vision_config"],
        "depth": 3,
        "deepstack_visual_indexes": [0, 1],
        "out_hidden_size": 256,
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    ids = {
        name: getattr(bundled, name)
        for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    }
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids)).float().eval()


def random_crops(count: int) -> list[UInt8Array]:
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (96, 64), (64, 128)]
    return [rng.integers(0, 255, (*sizes[i % 3], 3)).astype(np.uint8) for i in range(count)]


def ask_plainly(model: Any, processor: Any, pair: CropPair, question: str) -> float:
    """P(yes) of one pair as transformers' own model and processor give it."""
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[pair.a, pair.b], input_data_format="channels_last", return_tensors="pt")
    with torch.inference_mode():
        probabilities = model(**inputs).logits[0, -1].softmax(dim=-1)
    yes, no = (answer_token_ids(processor.tokenizer, words) for words in (YES_WORDS, NO_WORDS))
    return float(probabilities[yes].sum() / probabilities[yes + no].sum())


@pytest.fixture(scope="module")
def asked_plainly(model: Any, processor: Any) -> tuple[list[CropPair], list[float]]:
    """All pairs of five crops, in both orders and with themselves, and P(yes) of each, computed once for all ways of packing."""
    crops = random_crops(5)
    pairs = [CropPair(a, b) for a in crops for b in crops]
    return pairs, [ask_plainly(model, processor, pair, UNFORCED.text) for pair in pairs]


@pytest.mark.parametrize("pass_tokens", [1, 200, 8192])
def test_cached_equals_plain_however_passes_are_packed(
    model: Any, processor: Any, asked_plainly: tuple[list[CropPair], list[float]], pass_tokens: int
) -> None:
    pairs, expected = asked_plainly
    judge = QwenVlJudge(model, processor, name="random", prompt=UNFORCED)
    judge._reader = PairReader(model, pass_tokens=pass_tokens)
    assert np.ptp(expected) > 0.01
    assert [verdict.p_same for verdict in judge.judge(pairs)] == pytest.approx(expected, abs=1e-3)
    assert judge._reader.prefixes_read == 5


@torch.inference_mode()
def test_pictures_of_many_sizes_share_a_pass_and_answer_as_one_by_one(
    model: Qwen3VLForConditionalGeneration, processor: Any
) -> None:
    """Against transformers' own forward pass of each picture alone."""
    rng = np.random.default_rng(1)
    crops = [rng.integers(0, 255, (32 * h, 32 * w, 3)).astype(np.uint8) for h in range(1, 5) for w in range(1, 5)] * 2
    crops = [np.where(rng.random(crop.shape) < 0.5, crop, 0).astype(np.uint8) for crop in crops]
    cache = VisionCache(model.model.visual, processor.image_processor)
    found = cache.features(crops)
    assert len({crop.grid for crop in found}) > 8
    assert cache.passes == 1
    for crop, features in zip(crops, found, strict=True):
        one = processor.image_processor(images=[crop], input_data_format="channels_last", return_tensors="pt")
        plain = model.model.visual(one["pixel_values"], grid_thw=one["image_grid_thw"])
        expected = torch.stack([plain.pooler_output, *plain.deepstack_features])
        torch.testing.assert_close(features.levels, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_attention_pads_little(most: int) -> None:
    rng = np.random.default_rng(most)
    lengths = sorted(4 * rng.integers(1, most + 1, size=40))
    spans = list(_spans([int(n) for n in lengths], torch.device("cpu")))
    assert [span.first for span in spans[1:]] == [span.last for span in spans[:-1]]
    assert (spans[0].first, spans[-1].last) == (0, sum(lengths))
    assert sum(span.rows for span in spans) == 40
    for span in spans:
        if span.index is not None and span.is_real is not None:
            assert span.index.numel() <= MOST_PADDING * (span.last - span.first)
            assert span.index[span.is_real].tolist() == list(range(span.first, span.last))
    if most == 1:
        assert len(spans) == 1


def test_the_cache_is_sized_by_the_free_memory() -> None:
    assert choose_cache_bytes(0) == choose_cache_bytes(10**8) == LEAST_CACHE_BYTES
    assert choose_cache_bytes(20 * 10**9) == 2 * 10**9
    assert choose_cache_bytes(10**13) == MOST_CACHE_BYTES


def test_an_ambiguous_answer_is_asked_for_again_without_the_truth(model: Any, processor: Any) -> None:
    first, second = random_crops(2)
    judge = QwenVlJudge(model, processor, name="random", prompt=load_prompt(), both_orders=True)
    (verdict,) = judge.judge([CropPair(first, second)])
    assert verdict.forced  # random weights answer with neither yes nor no
    orders = [
        ask_plainly(model, processor, pair, load_prompt().forced_text)
        for pair in (CropPair(first, second), CropPair(second, first))
    ]
    assert verdict.p_same == pytest.approx(mean_in_logit_space(orders), abs=1e-3)
    assert verdict.ambiguity > AMBIGUOUS_ABOVE
    assert not QwenVlJudge(model, processor, name="random", prompt=UNFORCED).judge([CropPair(first, second)])[0].forced


def with_adapter(model: Any, targets: str, seed: int) -> Any:
    """The model with an adapter whose weights are not the zeros that PEFT starts with."""
    tuned = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return tuned.eval()


def test_a_language_adapter_shares_the_vision_cache_and_a_vision_adapter_never_does(model: Any, processor: Any) -> None:
    first, second = random_crops(2)
    pair = CropPair(first, second)
    base = QwenVlJudge(model, processor, name="base", prompt=UNFORCED)
    base.judge([pair])
    assert base.vision is not None
    encoded = base.vision.encoded
    for targets, is_shared in ((r".*language_model.*\.q_proj", True), (r".*visual.*\.qkv", False)):
        tuned = with_adapter(model, targets, 0)
        judge = QwenVlJudge(tuned, processor, name="tuned", prompt=UNFORCED)
        assert (judge.vision is base.vision) == is_shared
        p_same = judge.judge([pair])[0].p_same
        assert p_same == pytest.approx(ask_plainly(tuned, processor, pair, UNFORCED.text), abs=1e-3)
        assert p_same != pytest.approx(base.judge([pair])[0].p_same, abs=1e-3)
    assert base.vision.encoded == encoded
    other = QwenVlJudge(with_adapter(model, r".*visual.*\.qkv", 1), processor, name="other", prompt=UNFORCED)
    assert other.vision is not base.vision
    assert other.vision is not judge.vision


@torch.inference_mode()
def test_each_crop_is_encoded_once(model: Qwen3VLForConditionalGeneration, processor: Any) -> None:
    cache = VisionCache(model.model.visual, processor.image_processor)
    crops = random_crops(4)
    cache.features([*crops, *crops])
    cache.features([crop.copy() for crop in crops])
    assert cache.encoded == 4


@torch.inference_mode()
def test_memory_is_bounded_and_answers_stay(model: Qwen3VLForConditionalGeneration, processor: Any) -> None:
    crops = random_crops(6)
    roomy = VisionCache(model.model.visual, processor.image_processor)
    expected = roomy.features(crops)
    tight = VisionCache(model.model.visual, processor.image_processor, limit=roomy.held // 2)
    for found, right in zip(tight.features(crops), expected, strict=True):
        torch.testing.assert_close(found.levels, right.levels)
    assert 0 < tight.held <= roomy.held // 2
