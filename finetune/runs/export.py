"""Exports a run's adapter: PEFT's files with the model card, or whole weights with the adapter merged into the base."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.evaluation.trained_on import FILE as TRAINED_FILE
from engine.files import writing_file
from engine.judging.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_FILE, has_adapter
from engine.judging.calibration.fit import CALIBRATION_FILE
from finetune.config import read_config
from finetune.run_folder import ADAPTER
from finetune.runs.model_card import METRICS, README
from finetune.training.base import base_source

KEPT = (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_FILE,
    README,
    METRICS,
    CALIBRATION_FILE,
    TRAINED_FILE,
)


def export_adapter(run_dir: Path, out: Path) -> Path:
    """Copy a run's adapter to the folder `out`, or pack it where `out` ends in .zip; returns `out`.

    Raises:
        RunError: If the run has none, or `out` holds something already.
    """
    files = [run_dir / ADAPTER / name for name in KEPT if (run_dir / ADAPTER / name).is_file()]
    if not any(file.suffix == ".safetensors" for file in files):
        raise RunError(f"The run {run_dir.name!r} has no adapter yet; finish its training first.")
    if out.suffix == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        with writing_file(out) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"{run_dir.name}/{file.name}")
        return out
    _need_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, out / file.name)
    return out


def export_merged(run_dir: Path, out: Path) -> Path:
    """Write whole weights with the adapter merged into the base, and its processor; returns `out`.

    Raises:
        RunError: If the run has no adapter, or `out` holds something already.
    """
    adapter = run_dir / ADAPTER
    if not has_adapter(adapter):
        raise RunError(f"The run {run_dir.name!r} has no adapter yet; finish its training first.")
    _need_empty(out)
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    source = base_source(read_config(run_dir).model)
    # The types of both libraries are partial.
    models: Any = AutoModelForImageTextToText
    adapters: Any = PeftModel
    processors: Any = AutoProcessor
    model = models.from_pretrained(source, dtype="auto", use_safetensors=True)
    merged = adapters.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(str(out), safe_serialization=True)
    processors.from_pretrained(source).save_pretrained(str(out))
    if (adapter / README).is_file():
        shutil.copyfile(adapter / README, out / README)
    return out


def _need_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} holds something already; give a new or empty folder.")
