"""Imports Unsloth with its switches set, which it reads at import only. The one place that does.

`import unsloth` patches transformers in the whole process, so every model that is loaded later is patched too.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import ModelError

SWITCHES = {
    # Otherwise each load asks the hub for a file so that it is counted.
    "UNSLOTH_DISABLE_STATISTICS": "1",
}
COMPILED = "UNSLOTH_COMPILE_LOCATION"
"""Names the folder of what Unsloth compiles; without it that lands in the working folder."""


def why_no_unsloth() -> str | None:
    """Return why Unsloth cannot be used here, None if it can."""
    import torch

    if not torch.cuda.is_available():
        return "Unsloth loads models on NVIDIA GPUs only, and PyTorch sees none here"
    if find_spec("unsloth") is None:
        return "Unsloth is not installed: pip install 'maskgroup[gpu]'"
    return None


def import_fast_vision_model() -> Any:
    """Return Unsloth's `FastVisionModel`; switches that are already set in the environment stay as they are.

    Raises:
        ModelError: If there can be no folder for what it compiles.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    if not os.environ.get(COMPILED):
        os.environ[COMPILED] = str(_make_compile_folder())
    from unsloth import FastVisionModel  # only where there is an NVIDIA GPU

    return FastVisionModel


def _make_compile_folder() -> Path:
    """Make a folder in the user's cache (`XDG_CACHE_HOME`, else ~/.cache) that nobody else may enter.

    Unsloth imports the modules that it finds there, so in a folder of everybody others could leave code to run.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskgroup" / "unsloth"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Fails for a folder of somebody else.
        folder.chmod(0o700)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"Unsloth needs a folder for what it compiles, and {folder} cannot be used ({error}); set {COMPILED} to a folder of "
            "your own."
        ) from error
    return folder
