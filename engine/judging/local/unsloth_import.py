"""Imports Unsloth with its switches set, which it reads at import only. The one place that does.

`import unsloth` patches transformers in the whole process, so every model that is loaded later is patched too.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_USER = os.getuid() if hasattr(os, "getuid") else 0
SWITCHES = {
    # Otherwise each load asks the hub for a file so that it is counted.
    "UNSLOTH_DISABLE_STATISTICS": "1",
    # Otherwise what it compiles lands in the working folder.
    "UNSLOTH_COMPILE_LOCATION": str(Path(tempfile.gettempdir()) / f"maskgroup-unsloth-{_USER}"),
}


def why_no_unsloth() -> str | None:
    """Return why Unsloth cannot be used here, None if it can."""
    import torch

    if not torch.cuda.is_available():
        return "Unsloth loads models on NVIDIA GPUs only, and PyTorch sees none here"
    if find_spec("unsloth") is None:
        return "Unsloth is not installed: pip install 'maskgroup[gpu]'"
    return None


def import_fast_vision_model() -> Any:
    """Return Unsloth's `FastVisionModel`; switches that are already set in the environment stay as they are."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    from unsloth import FastVisionModel  # only where there is an NVIDIA GPU

    return FastVisionModel
