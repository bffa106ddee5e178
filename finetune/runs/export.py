"""Exports a run's adapter: PEFT's files with the model card, or whole weights with the adapter merged into the base."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from engine.errors import RunError
from engine.evaluation.trained_on import FILE as TRAINED_FILE
from engine.judging.adapters import BASE_FILE
from finetune.config import read_config
from finetune.training.lora import base_source

KEPT = (
    "adapter_config.json",
    "adapter_model.safetensors",
    BASE_FILE,
    "README.md",
    "metrics.json",
    "calibration.json",
    TRAINED_FILE,
)


def export_adapter(run_dir: Path, out: Path) -> Path:
    """Copy a run's adapter to the folder `out`, or pack it where `out` ends in .zip; returns `out`.

    Raises:
        RunError: If the run has none, or `out` holds something already.
    """
    files = [run_dir / "adapter" / name for name in KEPT if (run_dir / "adapter" / name).is_file()]
    if not any(file.suffix == ".safetensors" for file in files):
        raise RunError(f"The run {run_dir.name!r} has no adapter yet; finish its training first.")
    if out.suffix == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"{run_dir.name}/{file.name}")
        partial.replace(out)
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
    adapter = run_dir / "adapter"
    if not (adapter / "adapter_config.json").is_file():
        raise RunError(f"The run {run_dir.name!r} has no adapter yet; finish its training first.")
    _need_empty(out)
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    source = base_source(read_config(run_dir).model)
    model = AutoModelForImageTextToText.from_pretrained(source, dtype="auto", use_safetensors=True)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()  # pyright: ignore[reportCallIssue]
    merged.save_pretrained(str(out), safe_serialization=True)
    AutoProcessor.from_pretrained(source).save_pretrained(str(out))
    if (adapter / "README.md").is_file():
        shutil.copyfile(adapter / "README.md", out / "README.md")
    return out


def _need_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} holds something already; give a new or empty folder.")
