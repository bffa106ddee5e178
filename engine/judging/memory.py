"""Estimates how much memory a model needs before its weights are loaded, from safetensors headers or its configuration."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from engine.errors import ModelError
from engine.judging.shapes import ModelShape

if TYPE_CHECKING:
    import torch

OVERHEAD = 1.15
"""Memory at work by weights, for architectures whose passes are not known in detail."""
RESERVE_BYTES = 700_000_000
"""A GPU's own context, its libraries' work space, and gaps between blocks."""
SHORT_PASS, LONG_PASS = 1024, 16384
"""Tokens of a pass of the language model: the shortest that is worth while, and the longest that is made."""
CHUNK_TOKENS = 2048
"""Image tokens whose features are held at once, besides those that the cache keeps."""
FOUR_BIT_BYTES = 0.57
"""Bytes of a value in NF4 with double quantisation, its scales included (Dettmers et al. 2023, "QLoRA")."""
KEPT_WHOLE = tuple(rf".*\b{part}\b" for part in ("visual", "vision_tower", "vision_model", "multi_modal_projector", "lm_head"))
"""Layers that stay unquantised, as patterns from the start of their names: small beside the language model, and what a verdict's
precision hangs on most."""
LARGEST_HEADER = 100_000_000
"""Bytes; safetensors' own limit."""


def count_stored(folder: Path) -> int:
    """Return how many values a folder's safetensors files hold, from their headers.

    Raises:
        ModelError: If there is no such file, or one is broken.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{folder} has no weights in safetensors files, the only ones that are read; convert them with save_pretrained."
        )
    return sum(_shape_size(shape) for file in files for shape in tensor_shapes(file).values())


def count_configured(config: Any) -> int:
    """Return how many values a model has, from its transformers configuration; no weights are made."""
    return sum(parameter.numel() for parameter in build_empty(config).parameters())


def count_quantised(config: Any) -> int:
    """Return how many of a model's values are kept in 4 bits: those of linear layers outside `KEPT_WHOLE`."""
    import torch

    layers = build_empty(config).named_modules()
    linear = (layer for name, layer in layers if isinstance(layer, torch.nn.Linear) and not is_kept_whole(name))
    return sum(layer.weight.numel() for layer in linear)


def is_kept_whole(layer: str) -> bool:
    """Whether a layer of that name stays unquantised."""
    return any(re.match(pattern, layer) for pattern in KEPT_WHOLE)


def build_empty(config: Any) -> Any:
    """Build a model without memory for its weights (torch's meta device)."""
    import torch
    from transformers import AutoModelForImageTextToText

    models: Any = AutoModelForImageTextToText  # transformers' types are partial
    with torch.device("meta"):
        return models.from_config(config)


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a safetensors file, reading its header only.

    Raises:
        ModelError: If the file is broken.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > LARGEST_HEADER:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{file} is no safetensors file ({error}); copy or download it again.") from error


def needed_bytes(
    values: int, dtype: torch.dtype, *, quantised: int = 0, shape: ModelShape | None = None, pass_tokens: int = SHORT_PASS
) -> int:
    """Return about how many bytes a model needs while judging.

    Args:
        values: How many numbers its weights hold.
        dtype: The type they are stored in.
        quantised: How many of them are stored in 4 bits instead.
        shape: Its widths, from which its passes follow; None = unknown.
        pass_tokens: Tokens of a pass.
    """
    weights = (values - quantised) * dtype.itemsize + quantised * FOUR_BIT_BYTES
    if shape is None:
        return round(weights * OVERHEAD)
    numbers = pass_tokens * shape.reading_values() + CHUNK_TOKENS * shape.feature_values()
    reserve = min(RESERVE_BYTES, weights * (OVERHEAD - 1))
    return round(weights + numbers * dtype.itemsize + reserve)


def free_bytes(device: torch.device) -> int:
    """Return the bytes that are free on a device now; a container's own limit counts, and what torch only keeps in reserve."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # Blocks that torch keeps after their tensors are gone: it gives them to the next model.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(psutil.virtual_memory().available, _left_in_container())


def check_memory(name: str, needed: int, device: torch.device, kind: str) -> None:
    """Make sure that a model fits before it is loaded.

    Args:
        name: What to call the model in the error.
        needed: Bytes that it takes at work.
        device: Where it is to be loaded.
        kind: The number format in words, e.g. "bfloat16".

    Raises:
        ModelError: If it does not.
    """
    free = free_bytes(device)
    if needed > free:
        raise ModelError(
            f"{name} needs about {in_gb(needed)} in {kind} and {in_gb(free)} are free on {device}; take a smaller model, "
            "--dtype bfloat16, --four-bit, or a server on a larger machine (docs/backends.md)."
        )


def in_gb(count: int) -> str:
    """Return bytes in words, e.g. "17.5 GB"."""
    return f"{count / 1e9:,.1f} GB"


def _left_in_container() -> int:
    """Return what Linux's control group leaves this process, bytes; without a limit a number beyond any memory."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**63


def _shape_size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
