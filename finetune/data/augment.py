"""Variants of a crop for training: other light, noise, ragged borders, a side cut off. The random generator decides all of it."""

from __future__ import annotations

import numpy as np
import torch

from engine.types import UInt8Array
from finetune.bundled.pretrain_augment import augment_batch, reshape_crop


def augment_crop(crop: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return a variant of a crop on black, (h, w, 3) uint8; its size may shrink where a side is cut off."""
    # The mask is every pixel that is not black; a crop on black has no other record of it.
    alpha = (crop.max(axis=2) > 0).astype(np.uint8) * 255
    rgba = reshape_crop(np.dstack([crop, alpha]).astype(np.uint8), rng)
    image = torch.from_numpy(np.ascontiguousarray(rgba)).permute(2, 0, 1)[None].float()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    changed = augment_batch(image, generator)[0].permute(1, 2, 0)
    return ((changed + 1) * 127.5).round().clamp(0, 255).numpy().astype(np.uint8)
