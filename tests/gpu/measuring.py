"""Times, memory and work of a step on a GPU, and on the CPU where it is rehearsed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of a call, the GPU's queue included."""
    _wait()
    started = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - started


def watch_memory() -> None:
    """Begin to measure the peak of the GPU's memory anew."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb() -> float | None:
    """Return the most that torch reserved on the GPU since `watch_memory`, GB; None without a GPU."""
    return torch.cuda.max_memory_reserved() / 1e9 if torch.cuda.is_available() else None


def product_flops(device: str, dtype: torch.dtype, *, side: int, repeats: int) -> float:
    """Return how many operations a second a product of two random square matrices reaches; the best of three rounds."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        for _ in range(repeats):
            torch.mm(a, b, out=out)

    multiply()
    return 2 * side**3 * repeats / min(seconds(multiply) for _ in range(3))


def peak_flops(device: str) -> float:
    """Return the operations a second in bfloat16 that this machine is seen to reach."""
    side, repeats = (8192, 20) if device == "cuda" else (128, 1)
    return product_flops(device, torch.bfloat16, side=side, repeats=repeats)


@dataclass
class Work:
    """What went through a model: tokens of the language model and patches of the tower, without padding."""

    tokens: int = 0
    patches: int = 0

    def operations(self, model: Any, *, each: int = 2) -> int:
        """Return multiplications and additions of the layers' matrices, `each` a weight; attention is left out."""
        language = sum(p.numel() for p in model.model.language_model.layers.parameters())
        tower = sum(p.numel() for p in model.model.visual.blocks.parameters())
        return each * (language * self.tokens + tower * self.patches)


@contextmanager
def counting(model: Any) -> Generator[Work]:
    """Count what goes through a Qwen3-VL until the block ends; layers that run again for their gradient count once."""
    work = Work()
    tokens: list[torch.Tensor] = []

    def count_tokens(_module: Any, _given: Any, values: dict[str, Any]) -> None:
        # What was read before and what only pads is no work. Added up at the end, as reading a number waits for the GPU.
        tokens.append(values["attention_mask"][:, -values["inputs_embeds"].shape[1] :].sum())

    def count_patches(_module: Any, given: tuple[Any, ...]) -> None:
        work.patches += len(given[0])

    hooks = (
        model.model.language_model.register_forward_pre_hook(count_tokens, with_kwargs=True),
        model.model.visual.patch_embed.register_forward_pre_hook(count_patches),
    )
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()
        work.tokens = sum(int(count) for count in tokens)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
