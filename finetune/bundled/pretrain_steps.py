"""What the stages of the bundled judge's training share: one step of the optimizer, over several processes, and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from engine.files import writing_file


class Descent:
    """AdamW on named weights, with the stages' schedule of the learning rate.

    Args:
        named: The weights by name; they are trained in place.
        learning_rate: The largest one of the schedule.
        steps: Steps in all.
    """

    def __init__(self, named: Mapping[str, Tensor], *, learning_rate: float, steps: int) -> None:
        self._weights = list(named.values())
        self._learning_rate, self._steps = learning_rate, steps
        self.optimizer = torch.optim.AdamW(self._weights, lr=learning_rate, weight_decay=0.05, betas=(0.9, 0.98))

    def take_step(self, step: int, loss: Tensor) -> float:
        """Move the weights against a loss's gradient, averaged over all processes; returns the loss of this one."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate * schedule(step, self._steps)
        self.optimizer.zero_grad()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        average_gradients(self._weights)
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
        return loss.item()


def schedule(step: int, steps: int) -> float:
    """Linear warm-up over 4 % of the steps, then cosine to 2 %."""
    warm = max(1, steps // 25)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def process_rank() -> int:
    """Return this process's number among those that train together, 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Average gradients over processes, where several train together: one thread each beats many threads on few shared cores."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    distributed.all_reduce(flat)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
    flat /= distributed.get_world_size()
    offset = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(flat[offset : offset + p.grad.numel()].view_as(p.grad))
            offset += p.grad.numel()


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], *, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all: a checkpoint that exists is taken for a finished one."""
    with writing_file(path) as unfinished:
        save_file({name: p.detach().contiguous().clone() for name, p in tensors.items()}, str(unfinished), metadata=metadata)


def load_checkpoint(path: Path, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy a checkpoint's weights into those of the same names; returns all of its tensors."""
    tensors = load_file(str(path))
    with torch.no_grad():
        for name, p in named.items():
            p.copy_(tensors[name])
    return tensors
