"""Where the bundled scenes and models lie. Works from a checkout and from an editable install."""

from __future__ import annotations

from pathlib import Path

ASSETS_DIR = Path(__file__).resolve().parent.parent / "assets"
SCENES_DIR = ASSETS_DIR / "scenes"
MODELS_DIR = ASSETS_DIR / "models"
