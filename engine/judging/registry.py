"""Finds a judge by name. A new backend is one module and one branch of `load_judge`."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ModelError
from engine.judging.base import Judge, default_prompt, load_prompt
from engine.judging.calibration.fit import Calibration
from engine.judging.sources import LoadOptions, find_source, is_address


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
    loader: str = "transformers",
    calibration: Calibration | None = None,
) -> Judge:
    """Load a judge.

    Args:
        model: "base" (the bundled model), "tuned" (the bundled adapter on it), a folder with a saved model or with a PEFT adapter,
            a hub id such as "Qwen/Qwen3-VL-2B-Instruct", or a model on a server, "http://HOST:PORT/v1#MODEL".
        adapter: Folder of a PEFT adapter trained on this model.
        name: Stored with every verdict; default: the model's own.
        prompt: Name of the prompt to ask; default: the model's own.
        both_orders: Ask both orders of a pair and average their logits.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (bfloat16 on a GPU, else float32), "float32", "bfloat16", "float16".
        four_bit: Load the language model's weights in 4 bits; needs bitsandbytes, and is slow without an NVIDIA GPU.
        loader: "transformers", or "unsloth" on NVIDIA.
        calibration: Fitted on this model and prompt; default: the one beside the weights, if any.

    Raises:
        ModelError: If there is no such model, it cannot be loaded here, or its server does not answer.
    """
    asked = prompt or default_prompt(model)
    options = LoadOptions(device=device, dtype=dtype, four_bit=four_bit, loader=loader)
    if is_address(model):
        if adapter is not None or options != LoadOptions():
            raise ModelError(
                f"The server of {model} decides on adapter, device, dtype and loader; start it with them, "
                "and name its adapter after '#'."
            )
        from engine.judging.served.endpoint import load_endpoint

        return load_endpoint(model, prompt=load_prompt(asked), both_orders=both_orders, name=name, calibration=calibration)
    # transformers takes seconds to import, and only local weights need it.
    from engine.judging.local.qwen_vl import load_qwen_vl

    source = find_source(model, adapter)
    return load_qwen_vl(
        source.base,
        name=name or source.name,
        adapter=source.adapter,
        prompt=asked,
        both_orders=both_orders,
        options=options,
        calibration=calibration,
    )
