"""Cached vision equals the plain path, with deepstack and grouped queries too; each crop is encoded once; memory is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.judging import BUNDLED_MODEL, CropPair, load_prompt
from engine.judging.qwen_vl import QwenVlJudge, answer_token_ids
from engine.judging.vision_cache import VisionCache
from engine.types import UInt8Array


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


def test_cached_equals_plain_with_deepstack(model: Qwen3VLForConditionalGeneration, processor: Any) -> None:
    crops = random_crops(5)
    pairs = [CropPair(a, b) for a in crops for b in crops]
    verdicts = QwenVlJudge(model, processor, name="random", prompt=load_prompt()).judge(pairs)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": load_prompt().text}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    yes = answer_token_ids(processor.tokenizer, ["yes", "Yes"])
    no = answer_token_ids(processor.tokenizer, ["no", "No"])
    expected: list[float] = []
    for pair in pairs:
        inputs = processor(text=[text], images=[pair.a, pair.b], input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            probabilities = model(**inputs).logits[0, -1].softmax(dim=-1)
        expected.append(float(probabilities[yes].sum() / probabilities[yes + no].sum()))
    assert np.ptp(expected) > 0.01
    assert [verdict.p_same for verdict in verdicts] == pytest.approx(expected, abs=1e-3)


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
