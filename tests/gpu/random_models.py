"""Qwen3-VL at its published sizes with random weights: as much memory and work as the real ones, and no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.assets import BUNDLED_MODEL
from engine.judging.local.passes import release_memory
from tests.published_configs import read_published

LEAST_PX, MOST_PX = 256 * 256, 1280 * 1280
"""Pixels of a crop as Qwen3-VL's own processor has them here, so that a crop has a real number of tokens."""
TINY_PX = 64 * 64


def random_config(size: str, *, dtype: torch.dtype = torch.bfloat16, tiny: bool = False) -> Any:
    """Return the configuration of a published size; tiny = of the same form, with a few narrow layers.

    The bundled tokenizer stands in for the real one, so the special tokens are its own.
    """
    kind = str(dtype).removeprefix("torch.")
    bundled = Qwen3VLConfig.from_pretrained(BUNDLED_MODEL).to_dict()
    values = read_published(size) | {name: bundled[name] for name in bundled if name.endswith("_token_id")}
    # Otherwise the language model is made in the published format, whatever is asked for.
    for part in ("text_config", "vision_config"):
        values[part]["dtype"] = kind
    if tiny:
        narrow = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
        values["text_config"] |= narrow | {"num_key_value_heads": 2, "head_dim": 32}
        values["text_config"] |= {"vocab_size": bundled["text_config"]["vocab_size"]}
        values["text_config"]["rope_scaling"] |= {"mrope_section": [6, 5, 5]}
        tower = {"depth": 3, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 128}
        values["vision_config"] |= tower | {"deepstack_visual_indexes": [0, 1]}
        for part in ("text_config", "vision_config"):
            # Narrow layers need larger weights, or all pairs get one answer.
            values[part]["initializer_range"] = 0.1
    return Qwen3VLConfig.from_dict(values)


def random_model(size: str, *, device: str = "cuda", dtype: torch.dtype = torch.bfloat16, tiny: bool = False) -> Any:
    """Return a model of that size with random weights, the same ones each time, ready to judge.

    Args:
        size: "2B", "4B" or "8B".
        device: Where the weights are made.
        dtype: Their number format.
        tiny: A few narrow layers instead.
    """
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return Qwen3VLForConditionalGeneration(random_config(size, dtype=dtype, tiny=tiny)).eval()
    finally:
        torch.set_default_dtype(usual)


def real_processor(*, tiny: bool = False) -> Any:
    """Return a processor that gives crops as many tokens as Qwen3-VL's own does; tiny = a few."""
    processor: Any = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    least, most = (TINY_PX, TINY_PX) if tiny else (LEAST_PX, MOST_PX)
    processor.image_processor.size = {"shortest_edge": least, "longest_edge": most}
    processor.tokenizer.padding_side = "left"
    return processor


def save_random(size: str, folder: Path, *, device: str, dtype: torch.dtype, tiny: bool = False) -> Path:
    """Write a random model with its processor, as `from_pretrained` reads them; returns `folder`."""
    random_model(size, device=device, dtype=dtype, tiny=tiny).save_pretrained(folder)
    real_processor(tiny=tiny).save_pretrained(folder)
    # The model holds on to itself, and its memory would count as the next one's.
    release_memory()
    return folder


def round_weights(model: Any, dtype: torch.dtype) -> None:
    """Convert a model's weights, and nothing else: like `from_pretrained`, and unlike `to`, which also rounds its rotary tables."""
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
