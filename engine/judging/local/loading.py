"""Loads weights onto a device: picks device and dtype, checks memory and adapter first, says every failure in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import torch

from engine.errors import ModelError
from engine.judging.adapters import check_adapter
from engine.judging.local.passes import is_out_of_memory
from engine.judging.memory import (
    KEPT_WHOLE,
    build_empty,
    check_memory,
    count_configured,
    count_quantised,
    count_stored,
    needed_bytes,
)
from engine.judging.shapes import ModelShape
from engine.judging.sources import Loader, LoadOptions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model on its device, in eval mode, and its processor."""

    model: Any
    processor: Any


def load_model(source: str | Path, *, name: str, adapter: Path | None = None, options: LoadOptions | None = None) -> LoadedModel:
    """Load a model by folder or hub id, optionally with a LoRA adapter.

    Args:
        source: Folder of a saved model, or a hub id.
        name: What to call it in errors.
        adapter: Folder of a PEFT adapter trained on this model.
        options: Device, dtype, loader and 4 bits; None = the defaults.

    Raises:
        ModelError: If it does not exist, cannot be loaded, does not fit into memory, or the adapter belongs to another base.
    """
    options = options or LoadOptions()
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    if options.loader not in get_args(Loader):
        raise ModelError(f"There is no loader {options.loader!r}; the loaders are {', '.join(get_args(Loader))}.")
    if options.four_bit:
        need_four_bit(device)
    # transformers takes seconds to import, and only judging needs it.
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        needed = _check_before(source, adapter, dtype=dtype, four_bit=options.four_bit)
        check_memory(name, needed, device, "4 bits" if options.four_bit else str(dtype).removeprefix("torch."))
        if options.loader == "unsloth":
            from engine.judging.local.unsloth_loader import load_with_unsloth

            model, processor = load_with_unsloth(source, adapter=adapter, device=device, dtype=dtype, four_bit=options.four_bit)
            return LoadedModel(model, processor)
        return _load_with_transformers(source, adapter, device=device, dtype=dtype, four_bit=options.four_bit)
    except (
        MemoryError,
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"{name} does not fit into the memory of {device}; take a smaller model, --dtype bfloat16 or --four-bit."
            ) from error
        raise ModelError(f"The model {name!r} could not be loaded from {source}: {shorten(error)}") from error


def _check_before(source: str | Path, adapter: Path | None, *, dtype: torch.dtype, four_bit: bool) -> int:
    """Return how many bytes a model needs, once its configuration and its adapter are seen to be sound."""
    from transformers import AutoConfig

    # Given explicitly; otherwise transformers asks at the terminal whether to run a model's own code.
    configs: Any = AutoConfig  # transformers' types are partial
    config = configs.from_pretrained(source, trust_remote_code=False)
    if adapter is not None:
        check_adapter(adapter, source, build_empty(config))
    values = count_stored(Path(source)) if Path(source).is_dir() else count_configured(config)
    shape = ModelShape.of(config) if config.model_type == "qwen3_vl" else None
    return needed_bytes(values, dtype, quantised=count_quantised(config) if four_bit else 0, shape=shape)


def _load_with_transformers(
    source: str | Path, adapter: Path | None, *, device: torch.device, dtype: torch.dtype, four_bit: bool
) -> LoadedModel:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processors: Any = AutoProcessor  # transformers' types are partial
    processor = processors.from_pretrained(source, trust_remote_code=False)
    extra = {"quantization_config": four_bit_config(dtype), "device_map": {"": device}} if four_bit else {}
    loaded: Any = AutoModelForImageTextToText.from_pretrained(  # pyright: ignore[reportUnknownMemberType]  # transformers' types are partial
        source, dtype=dtype, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **extra
    )
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"its weights lack {len(missing)} of the model's tensors, the first is {missing[0]}")
    if adapter is not None:
        from peft import PeftModel

        peft_model: Any = PeftModel
        model = peft_model.from_pretrained(model, str(adapter), torch_device=str(device), autocast_adapter_dtype=False)
    return LoadedModel((model if four_bit else model.to(device)).eval(), processor)


def pick_device(device: str) -> torch.device:
    """Return the device of that name.

    Raises:
        ModelError: If there is none here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"There is no device {device!r}; expected auto, cpu, cuda, cuda:N or mps.") from error
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(picked.type, 0)
    if (picked.index or 0) >= here:
        raise ModelError(f"This machine has no device {device!r} that torch can use; take --device auto or cpu.")
    return picked


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the dtype of that name.

    Raises:
        ModelError: If there is none.
    """
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if dtype not in DTYPES:
        raise ModelError(f"There is no dtype {dtype!r}; expected auto, {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def four_bit_config(dtype: torch.dtype) -> Any:
    """Return transformers' settings for 4-bit weights (NF4, double quantisation) that are computed with in `dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )


def need_four_bit(device: torch.device) -> None:
    """Make sure that 4 bits work on a device.

    Raises:
        ModelError: If they do not.
    """
    # On a CPU it works and saves memory, at a fraction of the speed.
    if device.type not in ("cuda", "cpu"):
        raise ModelError(f"4 bits need an NVIDIA GPU and this is {device.type}; leave --four-bit out, or run where there is one.")
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            "4 bits need the package bitsandbytes, which is not installed; run pip install bitsandbytes, or leave --four-bit out."
        )


def shorten(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 200 else f"{line[:200]}…"
