"""Makes clean crops look like masks of scans: other light, blur, low resolution, holes, bites, ragged and imprecise borders.

`reshape_crop` works on one crop before the processor's resizing; `augment_batch` on resized crops of one size at once.
Colour changes stay moderate, since colour is evidence.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.types import UInt8Array
from finetune.bundled.pretrain_model import TinySize, target_size


def reshape_crop(rgba: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Cut off one side now and then, as an occluder or the image border does, and crop tight again: (h, w, 4) uint8."""
    if rng.random() < 0.3:
        height, width = rgba.shape[:2]
        keep = rng.uniform(0.5, 0.9)
        side = int(rng.integers(4))
        cut = rgba
        if side < 2 and width > 24:
            cut = rgba[:, : int(width * keep)] if side == 0 else rgba[:, int(width * (1 - keep)) :]
        elif side >= 2 and height > 24:
            cut = rgba[: int(height * keep)] if side == 2 else rgba[int(height * (1 - keep)) :]
        if (cut[..., 3] > 127).sum() > 60:
            rows, columns = np.flatnonzero(cut[..., 3].max(axis=1)), np.flatnonzero(cut[..., 3].max(axis=0))
            margin = int(rng.integers(2, 9))
            rgba = cut[
                max(rows[0] - margin, 0) : rows[-1] + 1 + margin,
                max(columns[0] - margin, 0) : columns[-1] + 1 + margin,
            ]
    return rgba


def resize_crop(rgba: UInt8Array, size: TinySize, rng: np.random.Generator | None = None) -> Tensor:
    """Resize a crop as the processor does, (4, H, W) float32 in [0, 255]; with a generator, sometimes through a low resolution."""
    height, width = rgba.shape[:2]
    target = target_size(height, width, size)
    image = torch.from_numpy(np.ascontiguousarray(rgba)).permute(2, 0, 1)[None].float()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
    if rng is not None and rng.random() < 0.35:
        low = rng.uniform(14, 48) / max(height, width)
        if low < 1:
            small = (max(3, round(height * low)), max(3, round(width * low)))
            image = functional.interpolate(image, small, mode="bilinear", antialias=True)
    return functional.interpolate(image, target, mode="bicubic", antialias=True).clamp(0, 255)[0].round()


def to_input(images: Tensor) -> Tensor:
    """Normalise resized crops (B, 4, H, W) in [0, 255] as the processor does: (B, 3, H, W) float32 in [-1, 1]."""
    return images[:, :3] / 127.5 - 1


def augment_batch(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change light and masks of resized crops.

    Args:
        images: (B, 4, H, W) float32 in [0, 255], black outside the mask; channel 3 is the mask.
        generator: Source of everything random.

    Returns:
        (B, 3, H, W) float32 in [-1, 1], normalised as the processor does.
    """
    b, _, h, w = images.shape
    rgb, mask = images[:, :3] / 255, images[:, 3:] / 255

    def chance(p: float) -> Tensor:
        return (torch.rand(b, 1, 1, 1, generator=generator) < p).float()

    def normal(sigma: float, channels: int = 1) -> Tensor:
        return torch.randn(b, channels, 1, 1, generator=generator) * sigma

    def clouds(cells: int, channels: int = 1) -> Tensor:
        noise = torch.randn(b, channels, cells, cells, generator=generator)
        return functional.interpolate(noise, (h, w), mode="bilinear")

    # Undo the darkening of edge pixels while colours change, so that borders stay crisp.
    rgb = rgb / mask.clamp(min=0.35)
    rgb = rgb.clamp(1e-3, 1) ** normal(0.15).exp()
    rgb = rgb * normal(0.2).exp() * normal(0.05, 3).exp()
    ramp = torch.linspace(-1, 1, h)[:, None] * normal(0.1) + torch.linspace(-1, 1, w) * normal(0.1)
    rgb = rgb * (1 + ramp + 0.06 * clouds(4))
    rgb = rgb + chance(0.5) * torch.randn(b, 3, h, w, generator=generator) * 0.04 + chance(0.4) * clouds(max(h, w) // 6, 3) * 0.05

    soft = functional.avg_pool2d(functional.pad(mask, (3, 3, 3, 3)), 7, stride=1)
    border = 0.25 * clouds(8) + 0.12 * clouds(20) + normal(0.15)
    ragged = ((soft + border) > 0.5).float()
    # Where the border grew, the mask shows what lies beside the object.
    beside = torch.rand(b, 3, 1, 1, generator=generator) * 0.8 + 0.05 * clouds(6, 3)
    outside = (mask < 0.3).float()
    use = chance(0.45)
    near = (soft > 0.05).float()
    grown = use * ragged * outside * near
    rgb = rgb * (1 - grown) + beside * grown
    mask = mask * (1 - use) + use * ragged * torch.maximum(mask, outside * near)
    holes = (clouds(7) > 1.1 - chance(0.5) * 0.3).float() * chance(0.3)
    mask = mask * (1 - holes)
    return (rgb * mask).clamp(0, 1) * 2 - 1
