"""Decides which weights a training starts from and which judge it has to beat, from the usual names of judges.

A training always begins with a fresh adapter on whole weights; one adapter is never put on another. So if the judge is itself an
adapter ("tuned", a run, an adapter's folder), the training starts from its base, and the adapter is the judge to beat. Loads
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError, RunError
from engine.judging.adapters import MODEL_CONFIG
from engine.judging.sources import BASE, ModelReference, resolve_model
from finetune.runs.models import RunModels

TRAINABLE = "qwen3_vl"
"""The architecture that can be trained, as a model's configuration names it."""


@dataclass(frozen=True)
class ModelsOfTraining:
    """The two models of a training.

    Attributes:
        base: The weights to start from: "base", a folder's absolute path, or a hub id.
        rival: The judge to beat, as `resolve_model` reads it: "base", "tuned", a run, a folder's absolute path, or a hub id.
    """

    base: str
    rival: str


def choose_models(model: str, against: str | None, runs_dir: Path) -> ModelsOfTraining:
    """Decide on base and rival.

    Args:
        model: The judge to improve on, usually the one in use: "base", "tuned", a run, a folder, or a hub id.
        against: The judge to beat; None = `model`.
        runs_dir: Folder of the runs.

    Raises:
        RunError: If one of them is on a server.
        ModelError: If there is no such model here, or its architecture cannot be trained.
    """
    runs = RunModels(runs_dir)
    found, rival = (_here(resolve_model(name, runs=runs)) for name in (model, against or model))
    base = _weights_of(found)
    if base != BASE and Path(base).is_dir():
        _check_trainable(Path(base))
    # The rival's key means the same model until the training ends: "tuned" may be another run by then.
    return ModelsOfTraining(base, rival.key)


def _here(model: ModelReference) -> ModelReference:
    """Refuse a model whose weights are not for this machine to read.

    Raises:
        RunError: If it is one.
    """
    if model.kind == "server":
        raise RunError(
            f"The model {model.name!r} is on a server, and a training needs its weights on this machine; name them instead: "
            "the folder or hub id that the server was started with."
        )
    if model.kind == "other":
        raise RunError(f"The model {model.name!r} is no Qwen3-VL, so it can be neither trained nor what a training has to beat.")
    return model


def _weights_of(model: ModelReference) -> str:
    if Path(model.base) == BUNDLED_MODEL:
        return BASE
    # The training is a process of its own, which may run in another folder.
    folder = Path(model.base).expanduser()
    return str(folder.resolve()) if folder.is_dir() else str(model.base)


def _check_trainable(folder: Path) -> None:
    try:
        kind = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / MODEL_CONFIG} cannot be read ({error}); give a folder written by save_pretrained.") from error
    if kind != TRAINABLE:
        raise ModelError(f"{folder} is a {kind}; only Qwen3-VL models can be trained, choose one.")
