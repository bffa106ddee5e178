"""How much goes through a model at once, and what is done where memory runs out: less at once, and at the end one sentence."""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from engine.errors import ModelError

Result = TypeVar("Result")
Given = ParamSpec("Given")
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""How CUDA, the CPU's allocator (on Linux; on Windows) and CUDA's libraries say it, where they raise a plain RuntimeError."""


class SmallestPassError(ModelError):
    """Memory ran out in a pass that could not have been smaller."""


class PassLimit:
    """Most units (tokens, patches, pairs) in one pass; halved each time that memory runs out, and kept so.

    Args:
        units: To begin with.
        device: Where the model is.
    """

    def __init__(self, units: int, device: torch.device) -> None:
        self.units = max(units, 1)
        self._device = device

    def lower(self, tried: int, unit: str) -> None:
        """Halve the limit after memory ran out in a pass of `tried` units; 1 = that pass could not have been smaller.

        Raises:
            SmallestPassError: If there is nothing left to halve.
        """
        if tried <= 1 or self.units <= 1:
            raise SmallestPassError(
                f"Memory ran out on {self._device} with only {unit} at once; close other programs, take smaller pictures, a "
                "smaller model, --dtype bfloat16 or --four-bit."
            )
        self.units = max(min(self.units, tried) // 2, 1)


def attempt(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result | None:
    """Return what `work` returns; None if memory ran out, once all of its memory is free again."""
    try:
        return work(*args, **kwargs)
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler: the error's traceback held the pass's tensors.
    release_memory()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, however torch or the system says it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)


def release_memory() -> None:
    """Give back what is no longer used: dead models that hold on to themselves, and torch's own reserve on GPUs."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
