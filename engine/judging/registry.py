"""Makes a judge from a model's name. A new backend is one file and one line in `BACKENDS` (docs/backends.md shows one)."""

from __future__ import annotations

from pathlib import Path

from engine.judging.backends import Backend, JudgeOptions
from engine.judging.base import Judge, load_prompt
from engine.judging.calibration.fit import Calibration
from engine.judging.sources import LoadOptions, ModelReference, no_such_model, resolve_model, server_decides


def load_judge(
    model: str | ModelReference = "base",
    *,
    adapter: Path | None = None,
    name: str | None = None,
    prompt: str | None = None,
    both_orders: bool = True,
    loading: LoadOptions | None = None,
    calibration: Calibration | None = None,
) -> Judge:
    """Load a judge.

    Args:
        model: What `resolve_model` found, or a name for it to read: "base" (the bundled model), "tuned" (the bundled adapter on
            it), a folder with a saved model or with a PEFT adapter, a hub id such as "Qwen/Qwen3-VL-2B-Instruct", or a model on a
            server, "http://HOST:PORT/v1#MODEL".
        adapter: Folder of a PEFT adapter trained on this model, for a model given by name.
        name: Stored with every verdict; default: the model's own.
        prompt: Name of the prompt to ask; default: the model's own.
        both_orders: Ask both orders of a pair and average their logits.
        loading: Device, dtype and loader of weights on this machine; None = as this machine suggests.
        calibration: Fitted on this model and prompt; default: the one beside the weights, if any.

    Raises:
        ModelError: If there is no such model, it cannot be loaded here, or its server does not answer.
    """
    found = model if isinstance(model, ModelReference) else resolve_model(model, adapter=adapter)
    options = JudgeOptions(
        prompt=load_prompt(prompt or found.prompt),
        name=name,
        both_orders=both_orders,
        loading=loading or LoadOptions(),
        calibration=calibration,
    )
    for backend in BACKENDS:
        if backend.matches(found):
            return backend.load(found, options)
    raise no_such_model(found.name)


def _is_served(model: ModelReference) -> bool:
    return model.kind == "server"


def _load_served(model: ModelReference, options: JudgeOptions) -> Judge:
    if options.loading != LoadOptions():
        raise server_decides(model.key)
    from engine.judging.served.endpoint import load_endpoint

    return load_endpoint(
        model.key, prompt=options.prompt, both_orders=options.both_orders, name=options.name, calibration=options.calibration
    )


def _is_local(model: ModelReference) -> bool:
    return model.kind in ("bundled", "tuned", "run", "adapter", "folder", "hub")


def _load_local(model: ModelReference, options: JudgeOptions) -> Judge:
    # transformers takes seconds to import, and only local weights need it.
    from engine.judging.local.qwen_vl import load_qwen_vl

    return load_qwen_vl(
        model.base,
        name=options.name or model.name,
        adapter=model.adapter,
        prompt=options.prompt.name,
        both_orders=options.both_orders,
        options=options.loading,
        calibration=options.calibration,
    )


BACKENDS: tuple[Backend, ...] = (
    Backend("served", _is_served, _load_served),
    Backend("local", _is_local, _load_local),
)
"""Asked in this order; the first that a model belongs to makes the judge."""
