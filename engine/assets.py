"""Where the bundled scenes and models lie. Works from a checkout, an editable install and a wheel."""

from __future__ import annotations

from pathlib import Path

ASSETS_DIR = Path(__file__).resolve().parent.parent / "assets"
SCENES_DIR = ASSETS_DIR / "scenes"
MODELS_DIR = ASSETS_DIR / "models"
BUNDLED_MODEL = MODELS_DIR / "tiny-qwen3-vl"
"""The small Qwen3-VL that ships with the project; `base` is its name."""
TUNED_ADAPTER = MODELS_DIR / "tuned-lora"
"""A LoRA adapter on it; `tuned` is its name. It may be missing."""
SHIPPED_COMPARISON = ASSETS_DIR / "comparisons" / "shipped"
"""Made by `python -m ui.commands.make_shipped_comparison`."""
