"""Loads a model through Unsloth, on NVIDIA GPUs only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.errors import ModelError
from engine.judging.local.unsloth_import import import_fast_vision_model, why_no_unsloth

LONGEST = 4096
"""Tokens of a question: two large pictures and a sentence."""


def unsloth_arguments(source: str | Path, *, device: torch.device, dtype: torch.dtype, four_bit: bool) -> dict[str, object]:
    """Return what `FastVisionModel.from_pretrained` is called with.

    It is always given whole weights: by an adapter's folder it would look for the base under the name in the adapter's
    configuration, which may be a folder of another machine, or no folder at all.
    """
    return {
        "model_name": str(source),
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
    if (reason := why_no_unsloth()) is not None:
        raise ModelError(f"{reason}; or leave --loader out.")
    fast = import_fast_vision_model()
    model, processor = fast.from_pretrained(**unsloth_arguments(source, device=device, dtype=dtype, four_bit=four_bit))
    if adapter is not None:
        # After Unsloth, which patches PEFT as well.
        from peft import PeftModel

        peft_model: Any = PeftModel
        model = peft_model.from_pretrained(model, str(adapter), torch_device=str(device), autocast_adapter_dtype=False)
    fast.for_inference(model)
    return model, processor
