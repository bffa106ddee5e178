"""Unsloth's way of loading a base for training, with its own kernels, on NVIDIA GPUs only.

Unsloth patches transformers when it is imported, so this module is imported within `load_for_training` alone.
"""

from __future__ import annotations

from typing import Any

from engine.errors import ModelError
from engine.judging.local.unsloth_import import import_fast_vision_model, why_no_unsloth
from finetune.config import TrainConfig
from finetune.training.base import base_source


def chooses_unsloth(config: TrainConfig) -> bool:
    """Whether a run trains with Unsloth: where it is asked for; or with "auto" if it can run, except for the bundled model.

    Raises:
        ModelError: If it is asked for and cannot run.
    """
    if config.backend == "peft":
        return False
    reason = why_no_unsloth()
    if config.backend == "unsloth" and reason is not None:
        raise ModelError(f"{reason}; train with --backend peft.")
    # The bundled model is too small to gain from fused kernels.
    return reason is None and (config.backend == "unsloth" or config.model != "base")


def loading_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return what `FastVisionModel.from_pretrained` is given."""
    return {
        "model_name": str(base_source(config.model)),
        "load_in_4bit": config.four_bit,
        # Unsloth's default is 4 bits, so full precision must be requested.
        "load_in_16bit": not config.four_bit,
        # Otherwise it trains on its own quantised copy from the hub, and the adapter names that as its base.
        "use_exact_model_name": True,
        # Ours, which also covers the vision tower's batches, is set afterwards.
        "use_gradient_checkpointing": False,
    }


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
        "use_gradient_checkpointing": False,
        "loftq_config": None,
    }


def load_for_training(config: TrainConfig) -> tuple[Any, Any]:
    """Load a base with a fresh adapter; returns PEFT's model and the processor.

    Raises:
        ModelError: If Unsloth cannot run here.
    """
    reason = why_no_unsloth()
    if reason is not None:
        raise ModelError(f"{reason}; train with --backend peft.")
    fast = import_fast_vision_model()
    model, processor = fast.from_pretrained(**loading_arguments(config))
    model = fast.get_peft_model(model, **adapter_arguments(config))
    fast.for_training(model, use_gradient_checkpointing=False)
    return model, processor
