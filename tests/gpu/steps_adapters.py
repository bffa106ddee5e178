"""An adapter is trained, saved, and loaded in a fresh process, where it must answer as it did: with PEFT, and with Unsloth."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engine.judging.local.unsloth_import import why_no_unsloth
from engine.types import Float64Array
from finetune.config import Backend
from finetune.runs.stages import save_adapter
from finetune.training.lora import add_adapter, load_base
from finetune.training.unsloth_backend import load_for_training
from tests.gpu.measuring import watch_memory
from tests.gpu.random_models import random_config, save_random
from tests.gpu.step import Figures, Missing, Setting
from tests.gpu.steps_training import make_answerer, make_questions, margins_of, measure_training, training_settings

ASKED = 24
RATE = 2e-3
"""High enough that a few steps change the answers."""


def save_with_peft(setting: Setting) -> Figures:
    """Return the figures of `round_trip` with PEFT."""
    return round_trip(setting, "peft")


def save_with_unsloth(setting: Setting) -> Figures:
    """Return the figures of `round_trip` with Unsloth; its tokens/s stand beside PEFT's in the step before."""
    if (reason := why_no_unsloth()) is not None:
        raise Missing(reason)
    return round_trip(setting, "unsloth")


def round_trip(setting: Setting, backend: Backend) -> Figures:
    """Train 2B with random weights, save the adapter, and ask it in a fresh process: margins there against those here."""
    dtype = torch.float32 if setting.tiny else torch.bfloat16
    base = save_random("2B", setting.folder / "base", device=setting.device, dtype=dtype, tiny=setting.tiny)
    settings = replace(training_settings(setting, model=str(base), rate=RATE), backend=backend)
    watch_memory()
    if backend == "unsloth":
        model, processor = load_for_training(settings)
    else:
        whole, processor, _ = load_base(settings)
        model = add_adapter(whole, settings)
    answerer = make_answerer(model, processor, settings)
    questions = make_questions(setting, answerer, ASKED)
    before = np.array(margins_of(answerer, questions))
    config = random_config("2B", tiny=setting.tiny)
    figures = measure_training(setting, answerer, settings, config, itemsize=dtype.itemsize, peak=None)
    after = np.array(margins_of(answerer, questions))
    adapter = setting.folder / "adapter"
    save_adapter(model, adapter, base=base)
    figures["moved_by_training"] = float(np.abs(after - before).max())
    for loader in ("transformers", "unsloth") if backend == "unsloth" else ("transformers",):
        found = ask_afresh(setting, base, adapter, loader)
        figures[f"largest_difference_by_{loader}"] = float(np.abs(found - after).max())
        figures[f"equal_answers_by_{loader}"] = float(np.mean((found >= 0) == (after >= 0)))
    return figures


def ask_afresh(setting: Setting, base: Path, adapter: Path, loader: str) -> Float64Array:
    """Return the margins of the same questions from a process that has only the files."""
    result = setting.folder / f"{loader}.json"
    command = [sys.executable, "-m", "tests.gpu.ask_again", str(base), str(adapter), "--loader", loader, "--result", str(result)]
    command += ["--count", str(ASKED), *(["--tiny"] if setting.tiny else [])]
    command += [] if setting.pack is None else ["--pack", str(setting.pack)]
    subprocess.run(command, check=True)
    return np.array(json.loads(result.read_text(encoding="utf-8"))["margins"], np.float64)
