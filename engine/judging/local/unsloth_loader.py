"""Loads a model through Unsloth, on NVIDIA GPUs only. The one place in `engine` that imports it.

`import unsloth` patches transformers in the whole process, so every model that is loaded later is patched too.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from engine.errors import ModelError

LONGEST = 4096
"""Tokens of a question: two large pictures and a sentence."""


def unsloth_arguments(
    source: str | Path, *, adapter: Path | None = None, device: torch.device, dtype: torch.dtype, four_bit: bool
) -> dict[str, object]:
    """Return what `FastVisionModel.from_pretrained` is called with.

    Unsloth loads an adapter by its own folder and finds the base in the adapter's configuration.
    """
    return {
        "model_name": str(adapter or source),
        "max_seq_length": LONGEST,
        "dtype": dtype,
        "load_in_4bit": four_bit,
        # Unsloth's default is 4 bits, so full precision must be requested.
        "load_in_16bit": not four_bit and dtype != torch.float32,
        "device_map": {"": str(device)},
        # Otherwise it loads its own quantised copy from the hub, and verdicts would carry the name of weights that did not give
        # them.
        "use_exact_model_name": True,
        "use_gradient_checkpointing": False,
    }


def load_with_unsloth(
    source: str | Path, *, adapter: Path | None = None, device: torch.device, dtype: torch.dtype, four_bit: bool
) -> tuple[Any, Any]:
    """Return the model, ready to judge, and its processor.

    Raises:
        ModelError: If Unsloth is not installed or there is no NVIDIA GPU.
    """
    if device.type != "cuda":
        raise ModelError(f"Unsloth needs an NVIDIA GPU and this is {device.type}; leave --loader out.")
    if find_spec("unsloth") is None:
        raise ModelError("Unsloth is not installed; run pip install 'maskgroup[gpu]', or leave --loader out.")
    from unsloth import FastVisionModel  # only where there is an NVIDIA GPU

    model, processor = FastVisionModel.from_pretrained(
        **unsloth_arguments(source, adapter=adapter, device=device, dtype=dtype, four_bit=four_bit)
    )
    FastVisionModel.for_inference(model)
    return model, processor
