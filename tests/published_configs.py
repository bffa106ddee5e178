"""The published configurations of the real Qwen3-VL sizes, as facts written down in tests/published/*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "published"
SIZES = ("2B", "4B", "8B")


def read_published(size: str) -> dict[str, Any]:
    """Return the configuration of Qwen3-VL-`size`-Instruct as transformers reads it."""
    return json.loads((FOLDER / f"qwen3-vl-{size.lower()}.json").read_text(encoding="utf-8"))
