"""Which weights a training begins with and what it asks them, told from its settings. Loads nothing, and needs no torch."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ModelError
from engine.judging.base import Prompt, default_prompt, load_prompt
from engine.judging.sources import resolve_model
from finetune.config import TrainConfig


def base_source(model: str) -> str | Path:
    """Return the folder or hub id of a base model by its name.

    Raises:
        ModelError: If there is no such model, or it is an adapter.
    """
    found = resolve_model(model)
    if found.adapter is not None:
        raise ModelError(f"{model!r} is an adapter, not a base; train on 'base', a model folder or a hub id.")
    return found.base


def prompt_of(config: TrainConfig) -> Prompt:
    """Return what a run's model is asked, in training as in judging."""
    return load_prompt(default_prompt(config.model))
