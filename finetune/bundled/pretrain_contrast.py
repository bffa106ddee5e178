"""Stage 2 of the bundled judge: the vision tower learns that two views of one instance look alike (InfoNCE).

A batch holds instances of several rooms, two views each; all others are negatives, except identical copies (same model).
Negatives of the same class in the same room weigh more.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from finetune.bundled.pretrain_augment import augment_batch, reshape_crop, resize_crop, to_input
from finetune.bundled.pretrain_crops import CropSet
from finetune.bundled.pretrain_model import TinySize, encode_images, patchify
from finetune.bundled.pretrain_steps import Descent, load_checkpoint, process_rank, save_checkpoint

LOG = logging.getLogger(__name__)
HARD_WEIGHT = 4.0


@dataclass(frozen=True)
class ContrastSettings:
    """How long and how the vision tower is trained."""

    steps: int = 1200
    rooms: int = 4
    instances: int = 16
    learning_rate: float = 8e-4
    temperature: float = 0.07
    seed: int = 0


def encode_crops(visual: Any, crops: Sequence[Tensor], size: TinySize, generator: torch.Generator | None) -> list[Tensor]:
    """Encode resized crops (4, H, W) of any sizes, grouped by size; augmented where a generator is given.

    Returns:
        For each crop its features, (tokens, width) float32.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, crop in enumerate(crops):
        groups.setdefault((crop.shape[1], crop.shape[2]), []).append(index)
    features: list[Tensor] = [torch.empty(0)] * len(crops)
    for (height, width), members in groups.items():
        images = torch.stack([crops[i] for i in members])
        ready = to_input(images) if generator is None else augment_batch(images, generator)
        encoded = encode_images(visual, patchify(ready, size), (height // size.patch, width // size.patch))
        for row, i in enumerate(members):
            features[i] = encoded[row]
    return features


def embed(features: Sequence[Tensor]) -> Tensor:
    """Pool features to unit vectors, (B, width)."""
    return functional.normalize(torch.stack([f.mean(0) for f in features]), dim=1)


def contrast_loss(a: Tensor, b: Tensor, model: Tensor, kind: Tensor, room: Tensor, *, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE.

    Args:
        a, b: (B, width) unit vectors of two views of B instances.
        model, kind, room: (B,) ids; equal models are identical copies and never negatives.
        scale: Inverse temperature.
    """
    eye = torch.eye(len(a), dtype=torch.bool)
    copies = (model[:, None] == model[None]) & ~eye
    hard = (kind[:, None] == kind[None]) & (room[:, None] == room[None]) & ~eye
    logits = scale * a @ b.T + hard * math.log(HARD_WEIGHT)
    logits = logits.masked_fill(copies, -1e4)
    target = torch.arange(len(a))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


class PairSampler:
    """Draws batches of (crop of view 1, crop of view 2) of the same instances."""

    def __init__(self, crops: CropSet, settings: ContrastSettings) -> None:
        self._crops, self._settings = crops, settings
        self._rooms: list[list[np.ndarray[Any, Any]]] = []
        for room in np.unique(crops.room):
            members = np.flatnonzero(crops.room == room)
            groups = [members[crops.instance[members] == i] for i in np.unique(crops.instance[members])]
            groups = [g for g in groups if len(g) >= 2]
            if len(groups) >= 4:
                self._rooms.append(groups)

    def draw(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Return crop indices of the first and the second views."""
        first: list[int] = []
        second: list[int] = []
        for r in rng.choice(len(self._rooms), min(self._settings.rooms, len(self._rooms)), replace=False):
            groups = self._rooms[int(r)]
            for g in rng.choice(len(groups), min(self._settings.instances, len(groups)), replace=False):
                i, j = rng.choice(groups[int(g)], 2, replace=False)
                first.append(int(i))
                second.append(int(j))
        return first, second


def _batches(
    crops: CropSet, sampler: PairSampler, size: TinySize, seed: tuple[int, int], start: int, stop: int
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Prepare batches one step ahead in a thread."""

    def prepare(step: int) -> tuple[list[int], list[Tensor]]:
        rng = np.random.default_rng((*seed, step))
        first, second = sampler.draw(rng)
        return first, [resize_crop(reshape_crop(crops.crop(i), rng), size, rng) for i in [*first, *second]]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepare, start)
        for step in range(start, stop):
            ready = ahead.result()
            ahead = pool.submit(prepare, min(step + 1, stop - 1))
            yield ready


def train_vision(
    visual: Any, crops: CropSet, size: TinySize, settings: ContrastSettings, *, checkpoint: Path, validation: CropSet | None = None
) -> list[float]:
    """Train the tower in place; resumes from `checkpoint` (safetensors) where it exists. Returns the losses of this call."""
    scale = torch.nn.Parameter(torch.tensor(1 / settings.temperature).log())
    named: dict[str, Tensor] = {**{f"visual.{n}": p for n, p in visual.named_parameters()}, "log_scale": scale}
    descent = Descent(named, learning_rate=settings.learning_rate, steps=settings.steps)
    start = _resume(checkpoint, named, descent.optimizer)
    rank = process_rank()
    sampler = PairSampler(crops, settings)
    losses: list[float] = []
    began = time.perf_counter()
    stream = _batches(crops, sampler, size, (settings.seed, rank), start, settings.steps)
    for step, (first, images) in enumerate(stream, start=start):
        generator = torch.Generator().manual_seed((settings.seed * 97 + rank) * 1_000_003 + step)
        vectors = embed(encode_crops(visual, images, size, generator))
        a, b = vectors[: len(first)], vectors[len(first) :]
        ids = (torch.from_numpy(x[first].astype(np.int64)) for x in (crops.model, crops.kind, crops.room))  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        loss = contrast_loss(a, b, *ids, scale=scale.exp().clamp(max=60))
        losses.append(descent.take_step(step, loss))
        if (step + 1) % 20 == 0 and rank == 0:
            rate = (time.perf_counter() - began) / len(losses)
            LOG.info(
                "contrast step %d loss %.3f scale %.1f, %.2f s a step", step + 1, np.mean(losses[-20:]), scale.exp().item(), rate
            )
        if ((step + 1) % 100 == 0 or step + 1 == settings.steps) and rank == 0:
            _save(checkpoint, named, descent.optimizer, step + 1)
            if validation is not None:
                LOG.info("validation %s", probe(visual, validation, size))
    return losses


@torch.no_grad()
def probe(visual: Any, crops: CropSet, size: TinySize, *, pairs: int = 320, seed: int = 7) -> dict[str, float]:
    """Return the area under the ROC curve of the embedding's cosine for random and look-alike negatives."""
    rng = np.random.default_rng(seed)
    sampler = PairSampler(crops, ContrastSettings(rooms=20, instances=16))
    first, second = sampler.draw(rng)
    first, second = first[:pairs], second[:pairs]
    vectors = embed(encode_crops(visual, [resize_crop(crops.crop(i), size) for i in [*first, *second]], size, None))
    a, b = vectors[: len(first)], vectors[len(first) :]
    similarity = (a @ b.T).numpy()
    model, kind, room = (x[first] for x in (crops.model, crops.kind, crops.room))
    other = (model[:, None] != model[None]) & (room[:, None] == room[None])
    alike = other & (kind[:, None] == kind[None])
    positive = similarity.diagonal()

    def area(negative: np.ndarray[Any, Any]) -> float:
        return float((positive[:, None] > negative[None]).mean()) if len(negative) else math.nan

    return {"random": round(area(similarity[other]), 4), "look_alike": round(area(similarity[alike]), 4)}


def _save(path: Path, named: dict[str, Tensor], optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = dict(named)
    for name, p in named.items():
        state = optimizer.state[p]
        tensors[f"m/{name}"], tensors[f"v/{name}"] = state["exp_avg"], state["exp_avg_sq"]
    save_checkpoint(path, tensors, metadata={"step": str(step)})


def _resume(path: Path, named: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_checkpoint(path, named)
    for name, p in named.items():
        optimizer.state[p] = {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"m/{name}"],
            "exp_avg_sq": tensors[f"v/{name}"],
        }
    return step
