"""Tiny models of other architectures than Qwen3-VL, random weights, the bundled tokenizer: built offline, saved as any model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from engine.assets import BUNDLED_MODEL

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
LLAVA_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


def write_llava(folder: Path) -> Path:
    """LLaVA: CLIP and Llama, every picture of one size."""
    tokenizer = AutoProcessor.from_pretrained(BUNDLED_MODEL).tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    text = LlamaConfig(**TEXT, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids("<image>"))
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL: pictures of any size, windowed attention."""
    bundled = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    tokenizer = bundled.tokenizer
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "bos_token_id": None,
            "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **special_tokens(tokenizer),
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=bundled.chat_template,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_qwen2_vl(folder: Path) -> Path:
    """Qwen2-VL: pictures of any size."""
    bundled = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    tokenizer = bundled.tokenizer
    config = Qwen2VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "bos_token_id": None,
            "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        },
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2},
        **special_tokens(tokenizer),
    )
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config)
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=bundled.chat_template,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def with_tokens(**names: str) -> Any:
    """Return the bundled tokenizer with more special tokens, which it also knows by these names."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL, extra_special_tokens=names)
    tokenizer.add_special_tokens({"additional_special_tokens": list(names.values())})
    return tokenizer


def write_gemma3(folder: Path) -> Path:
    """Gemma 3: SigLIP, every picture of one size; some layers look at a window only, and pictures' tokens see one another."""
    tokenizer = with_tokens(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    ids = {name: tokenizer.convert_tokens_to_ids(getattr(tokenizer, f"{name}_token")) for name in ("boi", "eoi", "image")}
    text = {**TEXT, "head_dim": 16, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "sliding_window": 16}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config=text | {"layer_types": ["sliding_attention", "full_attention"], "initializer_range": 0.1},
        vision_config=vision | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
        mm_tokens_per_image=4,
        **{f"{name}_token_index": value for name, value in ids.items()},
    )
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    # Zeros at first, so that no picture would change an answer.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.5)
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=tokenizer,
        chat_template=LLAVA_TEMPLATE.replace("<image>", "<start_of_image>"),
        image_seq_length=4,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_internvl(folder: Path) -> Path:
    """InternVL 3: every picture of one size here, as crops are small; Qwen's language model."""
    tokenizer = with_tokens(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    text = {"model_type": "qwen2", **TEXT, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = InternVLConfig(
        text_config=text | {"bos_token_id": None, "eos_token_id": None, "initializer_range": 0.1},
        vision_config=vision | {"image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config)
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=False),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=LLAVA_TEMPLATE.replace("<image>", "<IMG_CONTEXT>"),
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the ids of the tokens around and for pictures, by the names that Qwen's configurations have for them."""
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {field: tokenizer.convert_tokens_to_ids(token) for field, token in names.items()}


QWEN3_TEXT: dict[str, Any] = {
    **TEXT,
    "hidden_size": 64,
    "head_dim": 32,
    "bos_token_id": None,
    "eos_token_id": None,
    # Narrow layers need larger weights, or all pairs get one answer.
    "initializer_range": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [6, 5, 5]},
}
QWEN3_TOWER: dict[str, Any] = {
    "depth": 3,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "out_hidden_size": 64,
    "num_position_embeddings": 64,
    "initializer_range": 0.1,
}
DEEPSTACK: dict[str, Any] = {"deepstack_visual_indexes": [0, 1]}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
HYBRID: dict[str, Any] = {
    "num_hidden_layers": 2,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.25,
    },
}


def qwen3_writer(kind: str, *, text: dict[str, Any], tower: dict[str, Any], tied: bool = False) -> Callable[[Path], Path]:
    """Return what writes a model of the Qwen3-VL or Qwen3.5 families, with the bundled model's processor.

    Args:
        kind: Its model_type.
        text: What its language model has beside `QWEN3_TEXT`.
        tower: What its tower has beside `QWEN3_TOWER`.
        tied: Whether its last layer is its first one, as in the small published sizes.
    """

    def write(folder: Path) -> Path:
        processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
        tokenizer = processor.tokenizer
        language = {**QWEN3_TEXT, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": tied}
        config = AutoConfig.for_model(
            kind,
            text_config=language | text,
            vision_config=QWEN3_TOWER | tower,
            tie_word_embeddings=tied,
            **special_tokens(tokenizer),
        )
        torch.manual_seed(0)
        AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder

    return write


MODELS: dict[str, Callable[[Path], Path]] = {
    "Qwen3-VL 2B, 4B": qwen3_writer("qwen3_vl", text={}, tower=DEEPSTACK, tied=True),
    "Qwen3-VL 8B, 32B": qwen3_writer("qwen3_vl", text={"num_key_value_heads": 1}, tower=DEEPSTACK),
    "Qwen3-VL-MoE 30B-A3B, 235B-A22B": qwen3_writer("qwen3_vl_moe", text=EXPERTS, tower=DEEPSTACK),
    "Qwen3.5": qwen3_writer("qwen3_5", text=HYBRID, tower={}),
    "Qwen3.5-MoE": qwen3_writer("qwen3_5_moe", text=HYBRID | EXPERTS | {"shared_expert_intermediate_size": 32}, tower={}),
    "Qwen2.5-VL": write_qwen2_5_vl,
    "Qwen2-VL": write_qwen2_vl,
    "InternVL 3": write_internvl,
    "Gemma 3": write_gemma3,
    "LLaVA": write_llava,
}
"""What models people use are called, and what writes a tiny one of their architecture."""
