"""Typed ways out of torch, whose own types are partial."""

from __future__ import annotations

from typing import Any

import torch


def to_list(values: torch.Tensor) -> list[Any]:
    """Return the numbers of a tensor of one dimension."""
    numbers: Any = values  # torch says no type of what `tolist` returns
    return numbers.tolist()
