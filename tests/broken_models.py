"""Models whose numbers are none: NaN or infinity among the weights, or sums beyond what float16 holds."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from engine.assets import BUNDLED_MODEL
from tests.model_process import write_adapter

WEIGHTS = "model.safetensors"


def _bundled_with(folder: Path, part: str, change: float) -> Path:
    """Copy the bundled model with one tensor multiplied by a number."""
    shutil.copytree(BUNDLED_MODEL, folder, ignore=shutil.ignore_patterns(WEIGHTS, "calibration.json"))
    weights = load_file(BUNDLED_MODEL / WEIGHTS)
    name = next(name for name in sorted(weights) if part in name)
    weights[name] = weights[name] * change
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def nan_in_language(folder: Path) -> tuple[Path, str]:
    """NaN in the language model."""
    return _bundled_with(folder, "language_model.layers.0.mlp.down_proj", math.nan), "float32"


def infinity_in_tower(folder: Path) -> tuple[Path, str]:
    """Infinity in the vision tower."""
    return _bundled_with(folder, "visual.blocks.0.mlp.linear_fc1.weight", math.inf), "float32"


def overflow_in_float16(folder: Path) -> tuple[Path, str]:
    """Weights that float16 holds, and whose sums it does not."""
    return _bundled_with(folder, "language_model.layers.0.mlp.up_proj", 6e4), "float16"


def nan_in_adapter(folder: Path) -> tuple[Path, str]:
    """NaN in an adapter on the sound bundled model."""
    adapter = write_adapter(folder)
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    weights[next(iter(sorted(weights)))].fill_(math.nan)
    save_file(weights, path, metadata={"format": "pt"})
    return adapter, "float32"


BROKEN = {made.__name__: made for made in (nan_in_language, infinity_in_tower, overflow_in_float16, nan_in_adapter)}


def is_finite(folder: Path) -> bool:
    """Whether all numbers in a folder's weights are finite: a model may be broken all the same."""
    return all(bool(torch.isfinite(t).all()) for t in load_file(folder / WEIGHTS).values())
