"""The real sizes of Qwen3-VL, from published configurations and without weights: counts, adapters, answers, and the fast path.

Not tested here, because it needs a download: that the published weights load, and what they answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, AutoTokenizer, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.assets import BUNDLED_MODEL
from engine.judging.base import CropPair, load_prompt
from engine.judging.local.published import PUBLISHED_SIZES
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, QwenVlJudge, answer_token_ids
from engine.judging.memory import build_empty, count_configured, count_quantised
from engine.judging.shapes import ModelShape
from finetune.training.lora import LANGUAGE_LAYERS, VISION_LAYERS
from tests.published_configs import SIZES, read_published


@pytest.mark.parametrize(("size", "published"), list(zip(SIZES, PUBLISHED_SIZES, strict=True)), ids=SIZES)
def test_counts_are_those_of_the_published_models(size: str, published: Any) -> None:
    config = Qwen3VLConfig.from_dict(read_published(size))
    assert f"-{size}-" in published.model
    assert count_configured(config) == published.values
    assert count_quantised(config) == published.quantised
    assert ModelShape.of(config) == published.shape


@pytest.mark.parametrize("size", SIZES)
def test_adapters_find_every_layer_that_they_are_for(size: str) -> None:
    config = Qwen3VLConfig.from_dict(read_published(size))
    linear = [name for name, layer in build_empty(config).named_modules() if isinstance(layer, torch.nn.Linear)]
    language = [name for name in linear if re.fullmatch(LANGUAGE_LAYERS, name)]
    vision = [name for name in linear if re.fullmatch(VISION_LAYERS, name)]
    assert len(language) == 7 * config.text_config.num_hidden_layers
    merger_layers = 2 * (1 + len(config.vision_config.deepstack_visual_indexes))
    assert len(vision) == 4 * config.vision_config.depth + merger_layers
    assert set(linear) - {*language, *vision} == {"lm_head"}


def test_answers_are_single_tokens_of_the_published_tokenizer() -> None:
    try:
        tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-VL-2B-Instruct", local_files_only=True)
    except (OSError, ValueError):
        pytest.skip("the tokenizer of Qwen3-VL is not on this machine, and tests download nothing")
    for words in (YES_WORDS, NO_WORDS):
        assert len(answer_token_ids(tokenizer, words)) == len(words)


@pytest.fixture(scope="module")
def cut() -> tuple[Any, Any]:
    """Random weights in the real dimensions of 2B, cut to 2 language layers, 3 vision layers and the bundled vocabulary."""
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    processor.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    shapes = read_published("2B")
    bundled = Qwen3VLConfig.from_pretrained(BUNDLED_MODEL).to_dict()
    shapes |= {name: bundled[name] for name in bundled if name.endswith("_token_id")}
    shapes["text_config"] |= {"num_hidden_layers": 2, "vocab_size": bundled["text_config"]["vocab_size"], "dtype": "float32"}
    shapes["vision_config"] |= {"depth": 3, "deepstack_visual_indexes": [0, 1]}
    for part in ("text_config", "vision_config"):
        shapes[part]["initializer_range"] = 0.05
    torch.manual_seed(0)
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_dict(shapes)).float().eval(), processor


def test_fast_path_equals_the_plain_one_in_real_dimensions(cut: tuple[Any, Any]) -> None:
    model, processor = cut
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (*size, 3)).astype(np.uint8) for size in ((64, 64), (96, 64), (64, 128))]
    pairs = [CropPair(a, b) for a in crops[:2] for b in crops[1:]]
    prompt = replace(load_prompt(), forced="")
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt.text}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    yes, no = (answer_token_ids(processor.tokenizer, words) for words in (YES_WORDS, NO_WORDS))
    expected: list[float] = []
    for pair in pairs:
        inputs = processor(text=[text], images=[pair.a, pair.b], input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            probabilities = model(**inputs).logits[0, -1].softmax(dim=-1)
        expected.append(float(probabilities[yes].sum() / probabilities[yes + no].sum()))
    assert np.ptp(expected) > 0.01
    verdicts = QwenVlJudge(model, processor, name="cut", prompt=prompt).judge(pairs)
    assert [verdict.p_same for verdict in verdicts] == pytest.approx(expected, abs=1e-3)
