"""Stage 3 of the bundled judge: the language model learns to answer yes or no about two cached crops.

The vision tower is frozen and every crop's features are cached in several augmentations, so that steps are cheap. Sequences are
built exactly as the judge's prompt becomes them (a test holds the two equal).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from finetune.bundled.pretrain_augment import reshape_crop, resize_crop
from finetune.bundled.pretrain_contrast import encode_crops
from finetune.bundled.pretrain_crops import CropSet
from finetune.bundled.pretrain_model import TinySize
from finetune.bundled.pretrain_steps import Descent, load_checkpoint, process_rank, save_checkpoint

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of crops, each in `variants` augmentations.

    Attributes:
        tokens: (N, width) float16, all features one after another.
        starts: (C, variants) int64 first row of each.
        grids: (C, variants, 2) int64 rows and columns of tokens.
        pooled: (C, width) float32 unit vectors of the first variant, for choosing hard negatives.
    """

    tokens: Tensor
    starts: NDArray[np.int64]
    grids: NDArray[np.int64]
    pooled: Tensor

    def get(self, crop: int, variant: int) -> tuple[Tensor, tuple[int, int]]:
        """Return features (tokens, width) float32 and their grid."""
        rows, columns = (int(v) for v in self.grids[crop, variant])
        start = int(self.starts[crop, variant])
        return self.tokens[start : start + rows * columns].float(), (rows, columns)


@torch.no_grad()
def cache_features(
    visual: Any, crops: CropSet, size: TinySize, *, variants: int, clean_first: bool = True, seed: int = 0
) -> FeatureBank:
    """Encode all crops `variants` times: the first one clean where `clean_first`, the others augmented."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    starts, grids = np.zeros((len(crops), variants), np.int64), np.zeros((len(crops), variants, 2), np.int64)
    pooled: list[Tensor] = []
    position = 0
    for variant in range(variants):
        is_clean = clean_first and variant == 0
        for begin in range(0, len(crops), 512):
            members = range(begin, min(begin + 512, len(crops)))
            raw = [crops.crop(i) if is_clean else reshape_crop(crops.crop(i), rng) for i in members]
            images = [resize_crop(r, size, None if is_clean else rng) for r in raw]
            features = encode_crops(visual, images, size, None if is_clean else generator)
            for i, image, feature in zip(members, images, features, strict=True):
                starts[i, variant] = position
                grids[i, variant] = image.shape[1] // size.patch // 2, image.shape[2] // size.patch // 2
                position += len(feature)
                if variant == 0:
                    pooled.append(feature.mean(0))
            rows.append(torch.cat(features).half())
        LOG.info("cached features, variant %d of %d", variant + 1, variants)
    return FeatureBank(torch.cat(rows), starts, grids, functional.normalize(torch.stack(pooled), dim=1))


class QuestionBuilder:
    """Turns features of two crops into the sequence that the judge's prompt becomes.

    Args:
        model: The whole model.
        ids: The prompt's token ids with one image token for each image.
    """

    def __init__(self, model: Any, ids: Sequence[int]) -> None:
        self._model = model
        image = model.config.image_token_id
        places = [i for i, token in enumerate(ids) if token == image]
        assert len(places) == 2
        self._parts = [torch.tensor(p) for p in (ids[: places[0]], ids[places[0] + 1 : places[1]], ids[places[1] + 1 :])]
        self._cache: dict[tuple[tuple[int, int], tuple[int, int]], Tensor] = {}

    def positions(self, a: tuple[int, int], b: tuple[int, int]) -> Tensor:
        """Rotary positions (3, length) for grids of tokens `a` and `b`: an image advances the text by its longer side."""
        if (a, b) not in self._cache:
            parts: list[Tensor] = []
            at = 0
            for index, text in enumerate(self._parts):
                parts.append((torch.arange(len(text)) + at).expand(3, -1))
                at += len(text)
                if index < 2:
                    rows, columns = (a, b)[index]
                    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
                    parts.append(torch.stack([torch.zeros(rows * columns, dtype=torch.long), y.flatten(), x.flatten()]) + at)
                    at += max(rows, columns)
            self._cache[a, b] = torch.cat(parts, dim=1)
        return self._cache[a, b]

    def logits(self, pairs: Sequence[tuple[tuple[Tensor, tuple[int, int]], tuple[Tensor, tuple[int, int]]]]) -> Tensor:
        """Return the next-token logits of each question, (B, vocabulary)."""
        return self._model.lm_head(self.hidden(pairs))

    def hidden(self, pairs: Sequence[tuple[tuple[Tensor, tuple[int, int]], tuple[Tensor, tuple[int, int]]]]) -> Tensor:
        """Return the last hidden state of each question, (B, width), left-padded so that it stands at the end."""
        text = self._model.model.language_model
        words = [text.embed_tokens(p) for p in self._parts]
        rows = [torch.cat([words[0], a, words[1], b, words[2]]) for (a, _), (b, _) in pairs]
        longest = max(len(r) for r in rows)
        embeds = torch.stack([functional.pad(r, (0, 0, longest - len(r), 0)) for r in rows])
        mask = torch.stack([(torch.arange(longest) >= longest - len(r)).long() for r in rows])
        places = [
            functional.pad(self.positions(a, b), (longest - len(r), 0)) for r, ((_, a), (_, b)) in zip(rows, pairs, strict=True)
        ]
        positions = torch.stack(places, dim=1)
        return text(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state[:, -1]


class QuestionSampler:
    """Draws pairs of crops of one room: half the same instance, the others random, look-alikes or nearest in the embedding."""

    def __init__(self, crops: CropSet, pooled: Tensor) -> None:
        self._crops, self._pooled = crops, pooled.numpy()
        self._rooms = [m for m in (np.flatnonzero(crops.room == r) for r in np.unique(crops.room)) if len(m) > 8]

    def draw(self, rng: np.random.Generator, *, is_same: bool, style: str) -> tuple[int, int] | None:
        """Return two crop indices, or None if the drawn crop has no partner; style is "random", "look_alike" or "nearest"."""
        c = self._crops
        members = self._rooms[int(rng.integers(len(self._rooms)))]
        first = int(rng.choice(members))
        if is_same:
            partners = members[(c.instance[members] == c.instance[first]) & (c.view[members] != c.view[first])]
        else:
            partners = members[c.model[members] != c.model[first]]
            if style == "look_alike":
                partners = partners[c.kind[partners] == c.kind[first]]
            elif style == "nearest" and len(partners) > 6:
                partners = partners[np.argsort(-(self._pooled[partners] @ self._pooled[first]))[:6]]
        return (first, int(rng.choice(partners))) if len(partners) else None

    def batch(self, rng: np.random.Generator, count: int) -> tuple[list[tuple[int, int]], list[int]]:
        """Return `count` pairs and their labels (1 = same), balanced."""
        pairs: list[tuple[int, int]] = []
        labels: list[int] = []
        while len(pairs) < count:
            is_same = len(pairs) % 2 == 0
            pair = self.draw(rng, is_same=is_same, style=str(rng.choice(["random", "look_alike", "nearest"], p=[0.5, 0.3, 0.2])))
            if pair is not None:
                pairs.append(pair if rng.random() < 0.5 else (pair[1], pair[0]))
                labels.append(int(is_same))
        return pairs, labels


@dataclass(frozen=True)
class AnswerSettings:
    """How long and how the language model is trained."""

    steps: int = 2000
    pairs: int = 128
    learning_rate: float = 1e-3
    seed: int = 0


def answer_loss(logits: Tensor, answers: tuple[int, int], labels: Sequence[int]) -> Tensor:
    """Cross-entropy of next-token logits (B, vocabulary) with the ids of "yes" and "no", and labels (1 = same).

    Over the whole vocabulary, so that nothing else is ever likely; smoothed a little against overconfidence.
    """
    same = torch.tensor(labels, dtype=torch.float32) * 0.94 + 0.03
    target = torch.zeros_like(logits)
    target[:, answers[0]], target[:, answers[1]] = same, 1 - same
    return functional.cross_entropy(logits, target)


def train_answers(
    model: Any,
    builder: QuestionBuilder,
    answers: tuple[int, int],
    crops: CropSet,
    bank: FeatureBank,
    settings: AnswerSettings,
    *,
    checkpoint: Path,
    validation: tuple[CropSet, FeatureBank] | None = None,
) -> list[float]:
    """Train all but the vision tower in place; if `checkpoint` is finished, it is loaded. Returns the losses."""
    named = {n: p for n, p in model.named_parameters() if ".visual." not in n}
    if checkpoint.exists():
        load_checkpoint(checkpoint, named)
        return []
    descent = Descent(named, learning_rate=settings.learning_rate, steps=settings.steps)
    sampler = QuestionSampler(crops, bank.pooled)
    rank = process_rank()
    losses: list[float] = []
    began = time.perf_counter()
    variants = int(bank.starts.shape[1])
    for step in range(settings.steps):
        rng = np.random.default_rng((settings.seed, 77, step, rank))
        pairs, labels = sampler.batch(rng, settings.pairs)
        questions = [(bank.get(a, int(rng.integers(variants))), bank.get(b, int(rng.integers(variants)))) for a, b in pairs]
        loss = answer_loss(builder.logits(questions), answers, labels)
        losses.append(descent.take_step(step, loss))
        if (step + 1) % 50 == 0 and rank == 0:
            rate = (time.perf_counter() - began) / len(losses)
            LOG.info("answer step %d loss %.3f, %.2f s a step", step + 1, np.mean(losses[-50:]), rate)
        if validation is not None and rank == 0 and ((step + 1) % 200 == 0 or step + 1 == settings.steps):
            LOG.info("validation %s", score(builder, answers, *validation))
    if rank == 0:
        save_checkpoint(checkpoint, named)
    return losses


@torch.no_grad()
def score(
    builder: QuestionBuilder, answers: tuple[int, int], crops: CropSet, bank: FeatureBank, *, pairs: int = 400
) -> dict[str, float]:
    """Return sensitivity, and specificity on random and on look-alike negatives, of clean crops."""
    sampler = QuestionSampler(crops, bank.pooled)
    rng = np.random.default_rng(5)
    result: dict[str, float] = {}
    for name, is_same, style in (("same", True, ""), ("random", False, "random"), ("look_alike", False, "look_alike")):
        drawn: list[tuple[int, int]] = []
        while len(drawn) < pairs:
            pair = sampler.draw(rng, is_same=is_same, style=style)
            if pair is not None:
                drawn.append(pair)
        p = torch.cat(
            [
                builder.logits([(bank.get(a, 0), bank.get(b, 0)) for a, b in drawn[i : i + 128]])[:, list(answers)].softmax(1)[:, 0]
                for i in range(0, pairs, 128)
            ]
        )
        result[name] = round(float(((p >= 0.5) == is_same).float().mean()), 4)
    return result


@torch.no_grad()
def calibrate(
    model: Any, builder: QuestionBuilder, answers: tuple[int, int], crops: CropSet, bank: FeatureBank, *, pairs: int = 1500
) -> float:
    """Move the answers' balance so that 0.5 is the best threshold on validation: half same, a quarter random, a quarter look-alike.

    The head has no bias, so both rows of its matrix move along the mean hidden state, onto which all questions project almost
    equally.

    Returns:
        By how much log P(yes) - log P(no) moved on average.
    """
    sampler = QuestionSampler(crops, bank.pooled)
    rng = np.random.default_rng(11)
    states: list[Tensor] = []
    truth: list[bool] = []
    for is_same, style, count in ((True, "", pairs), (False, "random", pairs // 2), (False, "look_alike", pairs // 2)):
        drawn = [d for d in (sampler.draw(rng, is_same=is_same, style=style) for _ in range(count * 4)) if d is not None][:count]
        for begin in range(0, len(drawn), 128):
            states.append(builder.hidden([(bank.get(a, 0), bank.get(b, 0)) for a, b in drawn[begin : begin + 128]]))
        truth += [is_same] * len(drawn)
    hidden, same = torch.cat(states), torch.tensor(truth)
    head = model.lm_head.weight
    margin = hidden @ (head[answers[0]] - head[answers[1]])
    direction = hidden.mean(0) / hidden.mean(0).square().sum()
    shifts = torch.linspace(-3, 3, 121)
    moved = margin[None] + shifts[:, None] * (hidden @ direction)[None]
    right = (moved >= 0) == same[None]
    quality = (right[:, same].float().mean(1) + right[:, ~same].float().mean(1)) / 2
    # The middle of the best plateau, not its first point.
    best = shifts[quality >= quality.max() - 0.001].mean()
    head[answers[0]] += best / 2 * direction
    head[answers[1]] -= best / 2 * direction
    LOG.info("calibrated by %.2f, balanced accuracy %.4f, before %.4f", best, quality.max(), quality[len(shifts) // 2])
    return float(best)
