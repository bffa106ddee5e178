"""The optimizer's loop: batches, steps, the held-out curve and checkpoints; a stopped run continues as if it had not stopped.

Everything random in a step depends on the seed and the step's number alone, and a checkpoint holds the adapter and the optimizer's
moments, as safetensors: resuming repeats exactly what an uninterrupted run does. Knows nothing about scenes or processes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import RunError
from engine.strict_json import to_json_text
from engine.types import BoolArray, Float64Array
from finetune.config import TrainConfig
from finetune.run_folder import CHECKPOINTS
from finetune.training.lora import Answerer, Question, trained_weights

MAX_GRADIENT = 1.0
BETAS = (0.9, 0.999)
HELD_POINTS, CURVE_PAIRS = 20, 120
"""Points of the held-out curve, and about how many of the held-out pairs each asks; the calibration takes all of them."""
SORTED_STEPS = 8
"""Steps whose questions are sorted by length among themselves, so that little is padded."""


class LossNotFinite(RunError):
    """The loss, a gradient or a weight is NaN or infinite."""


@dataclass(frozen=True)
class StepReport:
    """One step: its number from 1, of how many, the loss, the learning rate."""

    step: int
    total: int
    loss: float
    rate: float


@dataclass(frozen=True)
class Held:
    """A point of the held-out curve: shares of right answers over all, over pairs of one object and of two, and the mean loss."""

    step: int
    accuracy: float
    recall: float
    specificity: float
    loss: float


class Trainer:
    """Trains an adapter on questions.

    Args:
        answerer: The model with its adapter.
        config: Epochs, batch size, learning rate and seed are read from it.
        variants: For each training pair, its question in every variant of its pictures.
        held_out: Questions of the held-out curve.
        folder: The run's folder, for checkpoints; None = none are written.
    """

    def __init__(
        self,
        answerer: Answerer,
        config: TrainConfig,
        variants: Sequence[Sequence[Question]],
        held_out: Sequence[Question],
        folder: Path | None,
    ) -> None:
        self._answerer, self._config = answerer, config
        self._variants, self._held_out = variants, held_out
        self._folder = None if folder is None else folder / CHECKPOINTS
        self._weights = trained_weights(answerer.model)
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=BETAS
        )
        self.steps_per_epoch = math.ceil(len(variants) / config.batch_pairs)
        self.total = self.steps_per_epoch * config.epochs
        self.step = 0
        """Steps done."""

    def run(
        self,
        *,
        on_step: Callable[[StepReport], None] = lambda report: None,
        on_held: Callable[[Held], None] = lambda held: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train on from where the trainer stands.

        Returns:
            Whether training finished; False = cancelled, with a checkpoint of the last step.

        Raises:
            LossNotFinite: If the loss is not a number any more; the last good checkpoint stays.
        """
        every = max(self.total // HELD_POINTS, 1)
        if self.step == 0:
            on_held(self.held_out())
        while self.step < self.total:
            if is_cancelled():
                self.save()
                return False
            on_step(self._one_step())
            if self.step % every == 0 or self.step == self.total:
                on_held(self.held_out())
            if self.step % self._config.checkpoint_every == 0 or self.step == self.total:
                self.save()
        return True

    def time_steps(self, count: int = 3) -> float:
        """Return the seconds that one step takes, from `count` steps; weights, moments and place stay as they are."""
        kept = {name: weight.detach().clone() for name, weight in self._weights.items()}
        was = self.step
        times: list[float] = []
        for i in range(count + 1):
            self.step = min(i, self.total - 1)
            started = time.perf_counter()
            self._one_step()
            times.append(time.perf_counter() - started)
        self.step = was
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(kept[name])
        self._optimizer.state.clear()
        # The first step warms up.
        return float(np.mean(times[1:]))

    def held_out(self) -> Held:
        """Return how the adapter does now on the curve's held-out pairs, both orders averaged."""
        # Evenly spread, because the pairs are sorted by scene and answer.
        stride = max(len(self._held_out) // CURVE_PAIRS, 1)
        asked = self._held_out[::stride]
        margins, losses = self._ask(asked)
        truth = torch.tensor([question.is_same for question in asked], dtype=torch.bool)
        right = (margins >= 0) == truth
        shares = [_mean(right), _mean(right[truth]), _mean(right[~truth])]
        return Held(self.step, *shares, loss=_mean(losses))

    def held_out_margins(self) -> tuple[Float64Array, BoolArray]:
        """Return log P(yes) - log P(no) of all held-out pairs, both orders averaged, (N,) float64, and the truth, (N,) bool."""
        margins, _ = self._ask(self._held_out)
        return margins.double().numpy(), np.array([question.is_same for question in self._held_out], dtype=np.bool_)

    @torch.no_grad()
    def _ask(self, questions: Sequence[Question]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) margins, both orders averaged, and (2 N,) losses."""
        self._answerer.model.eval()
        margins, losses = [torch.zeros(0)], [torch.zeros(0)]
        for part in self._answerer.split([[q, _swapped(q)] for q in questions], self._config.pass_tokens):
            both = part[::2] + part[1::2]
            yes, no = self._answerer.log_odds(both)
            margins.append((yes - no).view(2, -1).mean(dim=0).float().cpu())
            self._need_finite(float(margins[-1].sum()), "The answer to a held-out pair")
            same = torch.tensor([question.is_same for question in both], device=yes.device)
            losses.append(-torch.where(same, yes, no).float().cpu())
        return torch.cat(margins), torch.cat(losses)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and drop the older ones.

        Raises:
            OSError: If the disk is full.
            LossNotFinite: If a weight is not a number; the last good checkpoint stays.
        """
        if self._folder is None:
            return
        for weight in self._weights.values():
            self._need_finite(float(weight.detach().sum()), "A weight")
        self._folder.mkdir(parents=True, exist_ok=True)
        final = self._folder / f"step-{self.step:07d}"
        if final.is_dir():
            return
        temporary = self._folder / f".writing-{self.step:07d}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_file(
            {name: weight.detach().cpu().contiguous() for name, weight in self._weights.items()}, temporary / "adapter.safetensors"
        )
        save_file(self._moments(), temporary / "optimizer.safetensors")
        (temporary / "state.json").write_text(to_json_text({"step": self.step, "total": self.total}), encoding="utf-8")
        for path in temporary.iterdir():
            _sync(path)
        temporary.rename(final)
        _sync(self._folder)
        for old in self._folder.glob("step-*"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)

    def resume(self) -> bool:
        """Take up the newest checkpoint; returns whether there was one.

        Raises:
            RunError: If it is broken or belongs to another training.
        """
        found = sorted(self._folder.glob("step-*")) if self._folder is not None and self._folder.is_dir() else []
        if not found:
            return False
        try:
            state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
            weights = load_file(found[-1] / "adapter.safetensors")
            moments = load_file(found[-1] / "optimizer.safetensors")
            if state["total"] != self.total or set(weights) != set(self._weights):
                raise RunError(f"{found[-1]} belongs to a training with other settings; start a new run.")
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(weights[name])
            self.step = int(state["step"])
            self._set_moments(moments)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise RunError(f"The checkpoint {found[-1]} is broken ({error}); start a new run.") from error
        return True

    def _one_step(self) -> StepReport:
        model = self._answerer.model
        model.train()
        # Dropout draws from here, so a step's noise depends only on the seed and its number.
        torch.manual_seed(self._config.seed * 1_000_003 + self.step)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        rate = self._config.learning_rate * schedule(self.step, self.total, self._config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Both orders of a pair go into one part, so that its pictures pass the tower once.
        parts = self._answerer.split([[q, _swapped(q)] for q in self._batch(self.step)], self._config.pass_tokens)
        weights = [sum(question.weight for question in part) for part in parts]
        self._optimizer.zero_grad()
        value = 0.0
        for part, weight in zip(parts, weights, strict=True):
            loss = self._answerer.loss(part[::2] + part[1::2]) * (weight / sum(weights))
            value += float(loss.detach())
            self._need_finite(value, "The loss")
            loss.backward()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        # A loss may be finite while its gradient is not, and nothing checks the loss after the last step.
        self._need_finite(float(torch.nn.utils.clip_grad_norm_(list(self._weights.values()), MAX_GRADIENT)), "The gradient")
        self._optimizer.step()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        self.step += 1
        return StepReport(self.step, self.total, value, rate)

    def _need_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise LossNotFinite(
                f"{what} became {value} in step {self.step + 1}: the learning rate {self._config.learning_rate:g} is too high "
                "for this model, or its weights are broken; start a new run with a lower one, or with another base."
            )

    def _batch(self, step: int) -> list[Question]:
        epoch, place = divmod(step, self.steps_per_epoch)
        rng = np.random.default_rng((self._config.seed, epoch))
        order = rng.permutation(len(self._variants))
        picked = rng.integers(1 << 30, size=len(order))
        size = self._config.batch_pairs
        batches: list[list[int]] = []
        for start in range(0, len(order), size * SORTED_STEPS):
            part = sorted(order[start : start + size * SORTED_STEPS].tolist(), key=self._length)
            batches += [part[i : i + size] for i in range(0, len(part), size)]
        chosen = batches[int(rng.permutation(len(batches))[place])]
        return [self._variants[i][int(picked[i]) % len(self._variants[i])] for i in chosen]

    def _length(self, pair: int) -> int:
        return self._answerer.length(self._variants[pair][0])

    def _moments(self) -> dict[str, Tensor]:
        moments: dict[str, Tensor] = {}
        for name, weight in self._weights.items():
            moments |= {
                f"{kind}/{name}": value.detach().cpu().contiguous() for kind, value in self._optimizer.state[weight].items()
            }
        return moments

    def _set_moments(self, moments: dict[str, Tensor]) -> None:
        self._optimizer.state.clear()
        by_name: dict[str, dict[str, Any]] = {}
        for key, value in moments.items():
            kind, name = key.split("/", 1)
            by_name.setdefault(name, {})[kind] = value
        for name, state in by_name.items():
            weight = self._weights[name]
            self._optimizer.state[weight] = {k: v.clone() if k == "step" else v.clone().to(weight) for k, v in state.items()}


def schedule(step: int, total: int, warmup: float) -> float:
    """Return the learning rate's factor in a step: a linear rise, then half a cosine down to 0."""
    rise = max(round(warmup * total), 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def _swapped(question: Question) -> Question:
    return Question(question.b, question.a, question.is_same, question.weight)


def _mean(values: Tensor) -> float:
    return float(values.float().mean()) if len(values) else math.nan


def _sync(path: Path) -> None:
    """Make sure that a file or a folder is on disk before something depends on it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
