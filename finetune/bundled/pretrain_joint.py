"""Stage 4 of the bundled judge: vision tower and language model together, on fresh augmentations, at a low rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.bundled.pretrain_answer import FeatureBank, QuestionBuilder, QuestionSampler, answer_loss
from finetune.bundled.pretrain_augment import reshape_crop, resize_crop
from finetune.bundled.pretrain_contrast import encode_crops
from finetune.bundled.pretrain_crops import CropSet
from finetune.bundled.pretrain_model import TinySize
from finetune.bundled.pretrain_steps import Descent, load_checkpoint, process_rank, save_checkpoint

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class JointSettings:
    """How long and how both parts are trained together."""

    steps: int = 200
    pairs: int = 96
    learning_rate: float = 3e-4
    seed: int = 0


def train_jointly(
    model: Any,
    builder: QuestionBuilder,
    answers: tuple[int, int],
    crops: CropSet,
    bank: FeatureBank,
    size: TinySize,
    settings: JointSettings,
    *,
    checkpoint: Path,
) -> list[float]:
    """Train all parameters in place; if `checkpoint` is finished, it is loaded. Returns the losses."""
    named: dict[str, Tensor] = dict(model.named_parameters())
    if checkpoint.exists():
        load_checkpoint(checkpoint, named)
        return []
    descent = Descent(named, learning_rate=settings.learning_rate, steps=settings.steps)
    sampler = QuestionSampler(crops, bank.pooled)
    rank = process_rank()
    losses: list[float] = []
    began = time.perf_counter()
    for step in range(settings.steps):
        rng = np.random.default_rng((settings.seed, 78, step, rank))
        generator = torch.Generator().manual_seed((settings.seed * 97 + rank) * 1_000_003 + step)
        pairs, labels = sampler.batch(rng, settings.pairs)
        loss = answer_loss(_ask(model, builder, crops, pairs, size, rng, generator), answers, labels)
        losses.append(descent.take_step(step, loss))
        if (step + 1) % 20 == 0 and rank == 0:
            rate = (time.perf_counter() - began) / len(losses)
            LOG.info("joint step %d loss %.3f, %.2f s a step", step + 1, np.mean(losses[-20:]), rate)
    if rank == 0:
        save_checkpoint(checkpoint, named)
    return losses


def _ask(
    model: Any,
    builder: QuestionBuilder,
    crops: CropSet,
    pairs: Sequence[tuple[int, int]],
    size: TinySize,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    half = len(pairs) // 2
    # Half of the pairs stay clean: answers must be right, and well calibrated, on crops as they are.
    clean = [resize_crop(crops.crop(i), size) for pair in pairs[:half] for i in pair]
    changed = [resize_crop(reshape_crop(crops.crop(i), rng), size, rng) for pair in pairs[half:] for i in pair]
    visual = model.model.visual
    images = [*clean, *changed]
    features = [*encode_crops(visual, clean, size, None), *encode_crops(visual, changed, size, generator)]
    cell = size.patch * 2
    known = [(f, (image.shape[1] // cell, image.shape[2] // cell)) for f, image in zip(features, images, strict=True)]
    return builder.logits([(known[2 * i], known[2 * i + 1]) for i in range(len(pairs))])
