"""Finds a judge by name. A new backend is one module and one branch of `load_judge`."""

from __future__ import annotations

from pathlib import Path

from engine.assets import BUNDLED_MODEL, TUNED_ADAPTER
from engine.errors import ModelError
from engine.judging.base import DEFAULT_PROMPT, CropPair, Judge, Prompt, default_prompt, load_prompt

__all__ = ["BUNDLED_MODEL", "DEFAULT_PROMPT", "CropPair", "Judge", "Prompt", "load_judge", "load_prompt"]


def load_judge(
    model: str = "base",
    *,
    adapter: Path | None = None,
    name: str | None = None,
    prompt: str | None = None,
    both_orders: bool = True,
    device: str = "auto",
    dtype: str = "auto",
    four_bit: bool = False,
) -> Judge:
    """Load a judge.

    Args:
        model: "base" (the bundled model), "tuned" (the bundled adapter on it), a folder with a saved model or with a PEFT adapter,
            or a hub id such as "Qwen/Qwen3-VL-2B-Instruct".
        adapter: Folder of a PEFT adapter trained on this model.
        name: Stored with every verdict; default: the model's own.
        prompt: Name of the prompt to ask; default: the model's own.
        both_orders: Ask both orders of a pair and average their logits.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (bfloat16 on a GPU, else float32), "float32", "bfloat16", "float16".
        four_bit: Load the weights in 4 bits; needs an NVIDIA GPU and bitsandbytes.

    Raises:
        ModelError: If there is no such model, or it cannot be loaded here.
    """
    # transformers takes seconds to import: only who judges pays for it.
    from engine.judging.qwen_vl import load_qwen_vl

    asked = prompt or default_prompt(model)
    if model == "base":
        return load_qwen_vl(BUNDLED_MODEL, name=name or "base", adapter=adapter, prompt=asked, both_orders=both_orders)
    if model == "tuned":
        if not TUNED_ADAPTER.is_dir():
            raise ModelError("No tuned model has been made yet; use 'base', a model folder or a hub id.")
        return load_qwen_vl(BUNDLED_MODEL, name=name or "tuned", adapter=TUNED_ADAPTER, prompt=asked, both_orders=both_orders)
    folder = Path(model).expanduser()
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json; give a folder written by save_pretrained, or a hub id.")
        return load_qwen_vl(folder, name=name or folder.name, adapter=adapter, prompt=asked, both_orders=both_orders)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model {model!r}; expected 'base', a model folder, or a hub id such as Qwen/Qwen3-VL-2B-Instruct."
        )
    return load_qwen_vl(model, name=name or model, adapter=adapter, prompt=asked, both_orders=both_orders)
