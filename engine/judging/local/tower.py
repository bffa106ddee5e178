"""Runs pictures through a Qwen3-VL's vision tower, many of different sizes in one pass, each attending only to itself.

Everything but attention works on single patches, so the patches of a pass stand one picture after the other and nothing is padded.
Attention alone needs pictures as rows: pictures of about one length are padded to rows, within `MOST_PADDING`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import vision_utils
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3_vl

Grid = tuple[int, int, int]
MOST_PADDING = 1.25
"""Rows of attention, padding included, by the patches in them."""


@dataclass(frozen=True, eq=False)
class PatchedPicture:
    """A picture as the image processor cuts it.

    Attributes:
        grid: Patches as (1, rows, columns).
        patches: (patches, values) float.
    """

    grid: Grid
    patches: Tensor

    @property
    def length(self) -> int:
        """Number of patches."""
        return len(self.patches)


@dataclass(frozen=True, eq=False)
class _Span:
    """Pictures whose attention is one call.

    Attributes:
        first, last: Their patches are first..last-1 of the pass.
        rows: Number of pictures.
        index: (rows, longest) int64: the patch of the pass at each place; padding repeats one of the row's. None = no padding.
        is_real: (rows, longest) bool: False where there is padding. None = no padding.
    """

    first: int
    last: int
    rows: int
    index: Tensor | None
    is_real: Tensor | None


def encode_pictures(visual: Any, pictures: Sequence[PatchedPicture]) -> list[Tensor]:
    """Run pictures through the tower in one pass.

    In training, blocks whose `gradient_checkpointing` is set (as transformers sets it) keep only their input and run again for the
    gradient.

    Args:
        visual: `Qwen3VLVisionModel`.
        pictures: At least one, of any grids.

    Returns:
        For each picture (1 + deepstack levels, tokens, width): merged embeddings, then the deepstack features.
    """
    order = sorted(range(len(pictures)), key=lambda i: pictures[i].length)
    chosen = [pictures[i] for i in order]
    lengths = [picture.length for picture in chosen]
    places = {grid: _places_of(visual, grid) for grid in dict.fromkeys(picture.grid for picture in chosen)}
    patches = torch.cat([picture.patches for picture in chosen])
    states: Tensor = visual.patch_embed(patches.to(visual.device, visual.dtype))
    states = states + torch.cat([places[picture.grid][0] for picture in chosen]).to(states.dtype)
    cos, sin = (torch.cat([places[picture.grid][1][part] for picture in chosen]) for part in (0, 1))
    spans = list(_spans(lengths, states.device))
    levels: list[Tensor] = []
    for layer, block in enumerate(visual.blocks):
        run = partial(_run_block, block, rotary=(cos, sin), spans=spans)
        if block.training and getattr(block, "gradient_checkpointing", False) and torch.is_grad_enabled():
            states = block._gradient_checkpointing_func(run, states)
        else:
            states = run(states)
        if layer in visual.deepstack_visual_indexes:
            levels.append(visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(layer)](states))
    whole = torch.stack([visual.merger(states), *levels])
    ends = torch.tensor(lengths).div(visual.spatial_merge_size**2, rounding_mode="floor").cumsum(0)[:-1]
    parts = torch.tensor_split(whole, ends, dim=1)
    found = dict(zip(order, parts, strict=True))
    return [found[i] for i in range(len(pictures))]


def _places_of(visual: Any, grid: Grid) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return a picture's position embeddings, (patches, width), and its rotation's cosines and sines, (patches, head width)."""
    one = torch.tensor([grid], device=visual.device)
    index, weights = vision_utils.get_vision_interpolation_indices_and_weights(  # pyright: ignore[reportUnknownMemberType]  # transformers' types are partial
        one,
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=visual.spatial_merge_size,
        kwargs={},
    )
    position_ids = vision_utils.get_vision_position_ids(  # pyright: ignore[reportUnknownMemberType]  # transformers' types are partial
        one, visual.spatial_merge_size, kwargs={}
    )
    embeddings: Tensor = (visual.pos_embed(index) * weights[:, :, None]).sum(1)
    cos, sin = visual.rotary_pos_emb(embeddings, position_ids)
    return embeddings, (cos, sin)


def _spans(lengths: Sequence[int], device: torch.device) -> Iterator[_Span]:
    """Cut pictures of ascending lengths into spans that pad little."""
    start = first = 0
    for stop in range(1, len(lengths) + 1):
        held = sum(lengths[start:stop])
        if stop < len(lengths) and lengths[stop] * (stop + 1 - start) <= MOST_PADDING * (held + lengths[stop]):
            continue
        yield _make_span(first, lengths[start:stop], device)
        start, first = stop, first + held


def _make_span(first: int, lengths: Sequence[int], device: torch.device) -> _Span:
    last, longest = first + sum(lengths), lengths[-1]
    if lengths[0] == longest:
        return _Span(first, last, len(lengths), None, None)
    sizes = torch.tensor(lengths, device=device)[:, None]
    along = torch.arange(longest, device=device)[None]
    starts = first + sizes.cumsum(0) - sizes
    return _Span(first, last, len(lengths), starts + along.minimum(sizes - 1), along < sizes)


def _run_block(block: Any, states: Tensor, *, rotary: tuple[Tensor, Tensor], spans: Sequence[_Span]) -> Tensor:
    states = states + _attend(block.attn, block.norm1(states), rotary, spans)
    return states + block.mlp(block.norm2(states))


def _attend(attention: Any, states: Tensor, rotary: tuple[Tensor, Tensor], spans: Sequence[_Span]) -> Tensor:
    q, k, v = attention.qkv(states).view(len(states), 3, attention.num_heads, -1).unbind(1)
    q, k = qwen3_vl.apply_rotary_pos_emb_vision(q, k, *rotary)
    mixed = [_attend_span((q, k, v), span, attention.scaling) for span in spans]
    return attention.proj(torch.cat(mixed) if len(mixed) > 1 else mixed[0])


def _attend_span(parts: tuple[Tensor, Tensor, Tensor], span: _Span, scaling: float) -> Tensor:
    """Return what each patch of a span takes up, (patches, width), from q, k, v of the whole pass, (patches, heads, head width)."""
    if span.index is None or span.is_real is None:
        q, k, v = (part[span.first : span.last].view(span.rows, -1, *part.shape[1:]).transpose(1, 2) for part in parts)
        mask = None
    else:
        q, k, v = (part[span.index].transpose(1, 2) for part in parts)
        mask = span.is_real[:, None, None, :]
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling).transpose(1, 2).flatten(2)
    return mixed.flatten(0, 1) if span.is_real is None else mixed[span.is_real]
