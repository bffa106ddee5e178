"""Vision features of crops: each crop goes through the vision tower once, many sizes in one pass, memory bounded.

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

from engine.judging.local.passes import PassLimit, attempt
from engine.judging.local.tower import Grid, PatchedPicture, encode_pictures
from engine.judging.memory import free_bytes
from engine.judging.pixel_limits import fit_picture, own_limit_of
from engine.types import UInt8Array

LEAST_CACHE_BYTES, MOST_CACHE_BYTES = 64 * 2**20, 8 * 2**30
CACHE_SHARE = 0.1
"""Share of the device's free memory, once the weights are loaded, that features may take."""
TOWER_PATCHES = 8192
"""Most patches in one pass of the tower."""


@dataclass(frozen=True, eq=False)
class CropFeatures:
    """What the language model sees of one crop.

    Attributes:
        grid: Patches of the crop as (time, rows, columns).
        levels: (1 + deepstack levels, tokens, width): the embeddings, then what is added after the first layers.
    """

    grid: Grid
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
        limit: Bytes of features to keep; None = a share of the memory that is free now.
    """

    def __init__(self, visual: Any, image_processor: Any, *, limit: int | None = None) -> None:
        self.encoded = 0
        """Crops that went through the tower so far."""
        self.held = 0
        """Bytes of features held."""
        self.passes = 0
        """Passes of the tower so far."""
        self._visual, self._image_processor = visual, image_processor
        self._limit = choose_cache_bytes(free_bytes(visual.device)) if limit is None else limit
        self._pass_patches = PassLimit(TOWER_PATCHES, visual.device)
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
            self._forget()

    def give_back(self) -> bool:
        """Forget all features because memory is short; returns whether there were any."""
        had = self.held > 0
        self.clear()
        return had

    def _forget(self) -> None:
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
        pictures: list[PatchedPicture] = []
        for crop in crops:
            shown = fit_picture(crop, own_limit=own_limit_of(self._image_processor))
            prepared = self._image_processor(images=[shown], input_data_format="channels_last", return_tensors="pt")
            time, rows, columns = (int(n) for n in prepared["image_grid_thw"][0])
            pictures.append(PatchedPicture((time, rows, columns), prepared["pixel_values"]))
        # By length, so that the pictures of a pass pad little.
        waiting = sorted(range(len(crops)), key=lambda i: pictures[i].length)
        encoded: dict[int, CropFeatures] = {}
        while waiting:
            batch = waiting[: _count_within([pictures[i].length for i in waiting], self._pass_patches.units)]
            levels = attempt(encode_pictures, self._visual, [pictures[i] for i in batch])
            if levels is None:
                self._make_room(batch, pictures)
                continue
            self.passes += 1
            waiting = waiting[len(batch) :]
            # Copied, because a view would keep its whole pass in memory.
            encoded |= {i: CropFeatures(pictures[i].grid, found.clone()) for i, found in zip(batch, levels, strict=True)}
        self.encoded += len(crops)
        return [encoded[index] for index in range(len(crops))]

    def _make_room(self, batch: Sequence[int], pictures: Sequence[PatchedPicture]) -> None:
        """After memory ran out: forget features that others may need again, then run fewer patches at once."""
        if self.held:
            self._forget()
        else:
            self._pass_patches.lower(sum(pictures[i].length for i in batch) if len(batch) > 1 else 1, "one picture")


_SHARED: WeakValueDictionary[bytes, VisionCache] = WeakValueDictionary()
_SHARED_LOCK = Lock()


def choose_cache_bytes(free: int) -> int:
    """Return how many bytes of features to keep where so many are free."""
    return min(max(round(CACHE_SHARE * free), LEAST_CACHE_BYTES), MOST_CACHE_BYTES)


def _count_within(lengths: Sequence[int], limit: int) -> int:
    """Return how many of the first lengths add up to at most `limit`; one at least."""
    total = 0
    for count, length in enumerate(lengths):
        total += length
        if total > limit and count:
            return count
    return len(lengths)


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


def _content_key(crop: UInt8Array) -> bytes:
    return hashlib.blake2b(repr(crop.shape).encode() + crop.tobytes(), digest_size=16).digest()
