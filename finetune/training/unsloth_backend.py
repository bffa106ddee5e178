"""Unsloth's way of loading a base for training: 4 bits and its own kernels, on NVIDIA GPUs only.

Unsloth patches transformers when it is imported, so this module is imported within `load_for_training` alone.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from engine.errors import ModelError
from finetune.config import TrainConfig
from finetune.training.lora import base_source


def why_not() -> str | None:
    """Return why Unsloth cannot train here, None if it can."""
    import torch

    if not torch.cuda.is_available():
        return "Unsloth loads models on NVIDIA GPUs only, and PyTorch sees none here"
    if importlib.util.find_spec("unsloth") is None:
        return "Unsloth is not installed: pip install 'maskgroup[gpu]'"
    return None


def chooses_unsloth(config: TrainConfig) -> bool:
    """Whether a run trains with Unsloth: where it is asked for; or with "auto" if it can run, except for the bundled model.

    Raises:
        ModelError: If it is asked for and cannot run.
    """
    if config.backend == "peft":
        return False
    reason = why_not()
    if config.backend == "unsloth" and reason is not None:
        raise ModelError(f"{reason}; train with --backend peft.")
    # The bundled model is too small to gain from 4 bits and fused kernels.
    return reason is None and (config.backend == "unsloth" or config.model != "base")


def loading_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return what `FastVisionModel.from_pretrained` is given."""
    return {"model_name": str(base_source(config.model)), "load_in_4bit": True, "use_gradient_checkpointing": "unsloth"}


def adapter_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return what `FastVisionModel.get_peft_model` is given: as the original, adapters in attention and MLP of both halves."""
    return {
        "finetune_vision_layers": not config.language_only,
        "finetune_language_layers": True,
        "finetune_attention_modules": True,
        "finetune_mlp_modules": True,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "bias": "none",
        "random_state": config.seed,
        "use_rslora": False,
        "loftq_config": None,
    }


def load_for_training(config: TrainConfig) -> tuple[Any, Any]:
    """Load a base in 4 bits with a fresh adapter; returns PEFT's model and the processor.

    Raises:
        ModelError: If Unsloth cannot run here.
    """
    reason = why_not()
    if reason is not None:
        raise ModelError(f"{reason}; train with --backend peft.")
    # Imported before anything else of transformers is used, as it asks for.
    from unsloth import FastVisionModel

    model, processor = FastVisionModel.from_pretrained(**loading_arguments(config))
    model = FastVisionModel.get_peft_model(model, **adapter_arguments(config))
    FastVisionModel.for_training(model)
    return model, processor
