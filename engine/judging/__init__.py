"""Finds a judge by name. A new backend is one module and one branch of `load_judge`."""

from __future__ import annotations

from pathlib import Path

from engine.assets import MODELS_DIR
from engine.errors import ModelError
from engine.judging.base import DEFAULT_PROMPT, CropPair, Judge, Prompt, default_prompt, load_prompt

__all__ = ["BUNDLED_MODEL", "DEFAULT_PROMPT", "CropPair", "Judge", "Prompt", "load_judge", "load_prompt"]

BUNDLED_MODEL = MODELS_DIR / "tiny-qwen3-vl"
"""The small Qwen3-VL that ships with the project; `base` is its name."""


def load_judge(model: str = "base", *, prompt: str | None = None, both_orders: bool = True) -> Judge:
    """Load a judge.

    Args:
        model: "base" (the bundled model), a folder with a saved model, or a hub id such as "Qwen/Qwen3-VL-2B-Instruct".
        prompt: Name of the prompt to ask; None = the model's default.
        both_orders: Ask both orders of a pair and average their logits.

    Raises:
        ModelError: If there is no such model, or it cannot be loaded here.
    """
    prompt = prompt or default_prompt(model)
    # transformers takes seconds to import: only who judges pays for it.
    from engine.judging.qwen_vl import load_qwen_vl

    if model == "base":
        return load_qwen_vl(BUNDLED_MODEL, name="base", prompt=prompt, both_orders=both_orders)
    if model == "tuned":
        raise ModelError("No tuned model has been made yet; use 'base', a model folder or a hub id.")
    folder = Path(model).expanduser()
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json; give a folder written by save_pretrained, or a hub id.")
        return load_qwen_vl(folder, name=folder.name, prompt=prompt, both_orders=both_orders)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model {model!r}; expected 'base', a model folder, or a hub id such as Qwen/Qwen3-VL-2B-Instruct."
        )
    return load_qwen_vl(model, name=model, prompt=prompt, both_orders=both_orders)
