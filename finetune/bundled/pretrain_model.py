"""Builds the bundled judge's untrained parts: a small Qwen3-VL, its tokenizer, processor and chat template.

Also `encode_images`: the vision tower for many images of one grid at once, with the model's own modules. transformers runs one
attention call an image on CPU, which is about five times slower; a test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl import modeling_qwen3_vl

from engine.judging.base import Prompt

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
ANSWER_TOKENS = ("yes", "no", "Yes", "No")
ROLE_TOKENS = ("user", "assistant", "system")
CHAT_TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}{{- message.content -}}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'video' -%}{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif part.type == 'text' -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""


@dataclass(frozen=True)
class TinySize:
    """Sizes of the model; `pixels` is what the processor resizes every crop to, up to its rounding."""

    vision_layers: int = 4
    vision_width: int = 192
    text_layers: int = 4
    text_width: int = 192
    patch: int = 16
    pixels: int = 80 * 64


qwen: Any = modeling_qwen3_vl


def build_tokenizer(prompt: Prompt) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE that keeps the prompt short and can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=28,
        show_progress=False,
    )
    corpus = [prompt.text, *prompt.text.split(), *ANSWER_TOKENS, *ROLE_TOKENS] * 8
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left", model_max_length=4096
    )
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS[1:])})
    fast.add_tokens([*ROLE_TOKENS, *ANSWER_TOKENS])
    return fast


def build_processor(prompt: Prompt, size: TinySize) -> Qwen3VLProcessor:
    """Make the processor: image and video processors of the model's patches, tokenizer, chat template."""
    images: dict[str, Any] = {"patch_size": size.patch, "merge_size": 2, "temporal_patch_size": 2}
    limits = {"shortest_edge": size.pixels, "longest_edge": size.pixels}
    half: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(limits), **images, **half),
        tokenizer=build_tokenizer(prompt),
        video_processor=Qwen3VLVideoProcessor(size=dict(limits), **images, **half),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(processor: Qwen3VLProcessor, size: TinySize) -> Qwen3VLForConditionalGeneration:
    """Make an untrained model that fits the processor; seed torch before."""
    tokenizer: Any = processor.tokenizer
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL_TOKENS}
    vocabulary = (len(tokenizer) + 15) // 16 * 16
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": size.text_width,
            "intermediate_size": size.text_width * 2,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_width // 32,
            "num_key_value_heads": size.text_width // 32,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5]},
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": False,
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": size.vision_width * 3,
            "num_heads": size.vision_width // 32,
            "patch_size": size.patch,
            "out_hidden_size": size.text_width,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    return Qwen3VLForConditionalGeneration(config)


def target_size(height: int, width: int, size: TinySize) -> tuple[int, int]:
    """Return the (height, width) in pixels to which the processor resizes a crop."""
    return smart_resize(height, width, factor=size.patch * 2, min_pixels=size.pixels, max_pixels=size.pixels)


def patchify(images: Tensor, size: TinySize) -> Tensor:
    """Cut normalised images (B, 3, H, W) into patches in the processor's order, (B, N, 3 * patch * patch) float32.

    The processor repeats every patch for two time steps; here one step is kept (`encode_images` adds the kernels instead).
    """
    b, c, h, w = images.shape
    p = size.patch
    cut = images.reshape(b, c, h // p // 2, 2, p, w // p // 2, 2, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
    return cut.reshape(b, (h // p) * (w // p), c * p * p)


def encode_images(visual: Any, patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Run the vision tower over images of one grid.

    Args:
        visual: The model's vision tower.
        patches: (B, N, 3 * patch * patch) float32 from `patchify`.
        grid: Rows and columns of patches; N = rows * columns.

    Returns:
        (B, N / 4, out_hidden_size) features as the language model receives them.
    """
    batch, count, _ = patches.shape
    indices, weights, cos, sin = _positions(visual, grid)
    kernel = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)
    x = nn.functional.linear(patches, kernel, visual.patch_embed.proj.bias)
    x = x + (visual.pos_embed(indices) * weights[:, :, None]).sum(1)
    for block in visual.blocks:
        attention = block.attn
        y = attention.qkv(block.norm1(x)).reshape(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = y.unbind(0)
        q, k = q * cos + qwen.rotate_half(q) * sin, k * cos + qwen.rotate_half(k) * sin
        y = nn.functional.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
        x = x + attention.proj(y.transpose(1, 2).reshape(batch, count, -1))
        x = x + block.mlp(block.norm2(x))
    return visual.merger(x.reshape(batch * count, -1)).reshape(batch, count // 4, -1)


def _positions(visual: Any, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    thw = torch.tensor([[1, *grid]])
    indices, weights = qwen.get_vision_interpolation_indices_and_weights(
        thw,
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=visual.config.spatial_merge_size,
        kwargs={},
    )
    position_ids = qwen.get_vision_position_ids(thw, visual.config.spatial_merge_size, kwargs={})
    cos, sin = visual.rotary_pos_emb(weights, position_ids)
    return indices, weights, cos, sin


def answer_ids(tokenizer: Any) -> tuple[int, int]:
    """Return the token ids of "yes" and "no"."""
    return tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")
