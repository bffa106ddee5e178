"""Vision features of crops: each crop goes through the vision tower once, equal grids together, memory bounded.

Models share a cache if and only if their towers hold the same numbers and their image processors the same settings: a language-only
adapter shares with its base, an adapter that changes the tower shares with no other model.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from transformers import vision_utils
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3_vl

from engine.types import UInt8Array

CACHE_BYTES = 256 * 2**20
TOWER_PATCHES = 8192
"""Most patches in one pass of the tower."""


@dataclass(frozen=True, eq=False)
class CropFeatures:
    """What the language model sees of one crop.

    Attributes:
        grid: Patches of the crop as (time, rows, columns).
        levels: (1 + deepstack levels, tokens, width): the embeddings, then what is added after the first layers.
    """

    grid: tuple[int, int, int]
    levels: torch.Tensor

    @property
    def tokens(self) -> int:
        """Image tokens that the language model reads."""
        return self.levels.shape[1]

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.levels.numel() * self.levels.element_size()


class VisionCache:
    """Features by crop content, least recently used dropped first.

    Args:
        visual: The vision tower of a Qwen3-VL.
        image_processor: Cuts images into patches.
        limit: Bytes of features to keep.
    """

    def __init__(self, visual: Any, image_processor: Any, *, limit: int = CACHE_BYTES) -> None:
        self.encoded = 0
        """Crops that went through the tower so far."""
        self.held = 0
        """Bytes of features held."""
        self._visual, self._image_processor, self._limit = visual, image_processor, limit
        self._features: OrderedDict[bytes, CropFeatures] = OrderedDict()
        self._lock = Lock()

    def features(self, crops: Sequence[UInt8Array]) -> list[CropFeatures]:
        """Return the features of each (h, w, 3) uint8 crop, in order."""
        keys = [_content_key(crop) for crop in crops]
        with self._lock:
            found = {key: self._features[key] for key in keys if key in self._features}
            missing = {key: crop for key, crop in zip(keys, crops, strict=True) if key not in found}
            found |= zip(missing, self._encode(list(missing.values())), strict=True)
            for key in dict.fromkeys(keys):
                self._keep(key, found[key])
        return [found[key] for key in keys]

    def clear(self) -> None:
        """Forget all features."""
        with self._lock:
            self._features.clear()
            self.held = 0

    def _keep(self, key: bytes, features: CropFeatures) -> None:
        if key not in self._features:
            self.held += features.size
        self._features[key] = features
        self._features.move_to_end(key)
        while self.held > self._limit:
            _, dropped = self._features.popitem(last=False)
            self.held -= dropped.size

    def _encode(self, crops: list[UInt8Array]) -> list[CropFeatures]:
        patches: list[torch.Tensor] = []
        by_grid: dict[tuple[int, int, int], list[int]] = {}
        for index, crop in enumerate(crops):
            prepared = self._image_processor(images=[crop], input_data_format="channels_last", return_tensors="pt")
            patches.append(prepared["pixel_values"])
            time, rows, columns = (int(n) for n in prepared["image_grid_thw"][0])
            by_grid.setdefault((time, rows, columns), []).append(index)
        encoded: dict[int, CropFeatures] = {}
        for grid, indices in by_grid.items():
            step = max(1, TOWER_PATCHES // (grid[0] * grid[1] * grid[2]))
            for start in range(0, len(indices), step):
                batch = indices[start : start + step]
                levels = encode_equal(self._visual, torch.stack([patches[i] for i in batch]), grid)
                # Copied, because a view would keep its whole batch in memory.
                encoded.update({i: CropFeatures(grid, levels[:, row].clone()) for row, i in enumerate(batch)})
        self.encoded += len(crops)
        return [encoded[index] for index in range(len(crops))]


_SHARED: WeakValueDictionary[bytes, VisionCache] = WeakValueDictionary()
_SHARED_LOCK = Lock()


def shared_cache(visual: Any, image_processor: Any) -> VisionCache:
    """Return the cache of all loaded models whose towers give the same features; it lives as long as one of them."""
    key = tower_digest(visual, image_processor)
    with _SHARED_LOCK:
        cache = _SHARED.get(key)
        if cache is None:
            cache = _SHARED[key] = VisionCache(visual, image_processor)
        return cache


def tower_digest(visual: Any, image_processor: Any) -> bytes:
    """Return a digest of a tower's weights (adapters inside it included), their device, and the image processor's settings."""
    digest = hashlib.blake2b(image_processor.to_json_string().encode() + str(visual.config.to_dict()).encode(), digest_size=16)
    for name, tensor in visual.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device}".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy())
    return digest.digest()


def encode_equal(visual: Any, patches: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """Run images of one grid through the tower as one batch, each attending only to itself.

    Args:
        visual: `Qwen3VLVisionModel`.
        patches: (images, patches, values) float, as the image processor makes them.
        grid: (1, rows, columns) of every image.

    Returns:
        (1 + deepstack levels, images, tokens, width): merged embeddings, then the deepstack features.
    """
    count, length, _ = patches.shape
    one = torch.tensor([grid], device=visual.device)
    places, weights = vision_utils.get_vision_interpolation_indices_and_weights(  # pyright: ignore[reportUnknownMemberType]  # transformers' types are partial
        one,
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=visual.spatial_merge_size,
        kwargs={},
    )
    states = visual.patch_embed(patches.flatten(0, 1).to(visual.device, visual.dtype)).view(count, length, -1)
    states = states + (visual.pos_embed(places) * weights[:, :, None]).sum(1).to(states.dtype)
    position_ids = vision_utils.get_vision_position_ids(  # pyright: ignore[reportUnknownMemberType]  # transformers' types are partial
        one, visual.spatial_merge_size, kwargs={}
    )
    cos, sin = visual.rotary_pos_emb(states[0], position_ids)
    rotary = cos.repeat(count, 1), sin.repeat(count, 1)
    levels: list[torch.Tensor] = []
    for layer, block in enumerate(visual.blocks):
        states = states + _attend(block.attn, block.norm1(states), rotary)
        states = states + block.mlp(block.norm2(states))
        if layer in visual.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(layer)]
            levels.append(merger(states.flatten(0, 1)).view(count, -1, visual.config.out_hidden_size))
    merged = visual.merger(states.flatten(0, 1)).view(count, -1, visual.config.out_hidden_size)
    return torch.stack([merged, *levels])


def _attend(attention: Any, states: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    count, length, width = states.shape
    q, k, v = attention.qkv(states).view(count * length, 3, attention.num_heads, -1).unbind(1)
    q, k = qwen3_vl.apply_rotary_pos_emb_vision(q, k, *rotary)
    q, k, v = (part.view(count, length, attention.num_heads, -1).transpose(1, 2) for part in (q, k, v))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
    return attention.proj(mixed.transpose(1, 2).reshape(count, length, width))


def _content_key(crop: UInt8Array) -> bytes:
    return hashlib.blake2b(repr(crop.shape).encode() + crop.tobytes(), digest_size=16).digest()
