"""Files of a run that the Retrain page shows or hands out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from engine.types import UInt8Array
from finetune.run_folder import SHEET_FILE
from finetune.runs.export import export_adapter
from finetune.runs.registry import Registry


def read_sheet(folder: Path) -> UInt8Array | None:
    """Return a run's sample sheet, (H, W, 3) uint8, None where there is none yet."""
    path = folder / SHEET_FILE
    return np.asarray(Image.open(path).convert("RGB")) if path.is_file() else None


def pack_adapter(registry: Registry, name: str, served: Path) -> Path:
    """Pack a run's adapter into a zip file in a new folder inside `served`; returns the file.

    Raises:
        MaskgroupError: If it has no adapter.
    """
    folder = Path(tempfile.mkdtemp(prefix="maskgroup-", dir=served))
    return export_adapter(registry.folder(name), folder / f"{name}.zip")
