"""What the name of a model means: which weights, which adapter, or which server. Loads nothing and imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.assets import BUNDLED_MODEL, TUNED_ADAPTER
from engine.errors import ModelError
from engine.judging.adapters import base_of, is_adapter

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Loader = Literal["transformers", "unsloth"]


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (bfloat16 on a GPU that has it, float16 on others, else float32), "float32", "bfloat16", "float16".
        four_bit: Load the language model's weights in 4 bits.
        loader: "transformers", or "unsloth" on NVIDIA.
    """

    device: str = "auto"
    dtype: str = "auto"
    four_bit: bool = False
    loader: str = "transformers"


@dataclass(frozen=True)
class ModelSource:
    """Where a model's weights are.

    Attributes:
        name: What the model goes by.
        base: Folder, or hub id.
        adapter: Folder of a PEFT adapter on it.
    """

    name: str
    base: str | Path
    adapter: Path | None = None


def is_address(model: str) -> bool:
    """Whether the name of a model is the address of a server."""
    return model.startswith(("http://", "https://"))


def find_source(model: str, adapter: Path | None = None) -> ModelSource:
    """Find a model by name: "base", "tuned", a model's or an adapter's folder, or a hub id (which is not looked up here).

    Args:
        model: What was asked for.
        adapter: Folder of an adapter to put on it.

    Raises:
        ModelError: If there is no such model, or an adapter is to be put on an adapter.
    """
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        raise ModelError(
            f"{adapter} is no adapter: it has no adapter_config.json; give a folder written by PEFT's save_pretrained."
        )
    if model == "base":
        return ModelSource("base" if adapter is None else adapter.name, BUNDLED_MODEL, adapter)
    folder = TUNED_ADAPTER if model == "tuned" else Path(model).expanduser()
    if model == "tuned" and not folder.is_dir():
        raise ModelError("No tuned model has been made yet; use 'base', a model folder or a hub id.")
    if folder.exists() and is_adapter(folder):
        if adapter is not None:
            raise ModelError(
                f"{folder} is an adapter itself, and {adapter} cannot be put on it; give the base that both were trained on."
            )
        return ModelSource("tuned" if model == "tuned" else folder.resolve().name, base_of(folder), folder)
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json; give a folder written by save_pretrained, or a hub id.")
        return ModelSource(folder.resolve().name if adapter is None else adapter.name, folder, adapter)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model {model!r}; expected 'base', 'tuned', a model folder, an adapter folder, http://HOST:PORT/v1#MODEL, "
            "or a hub id such as Qwen/Qwen3-VL-2B-Instruct."
        )
    return ModelSource(model if adapter is None else adapter.name, model, adapter)
