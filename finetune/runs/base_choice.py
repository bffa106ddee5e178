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
from engine.judging.sources import find_source, is_address
from finetune.runs.promotion import name_behind, resolve_judge

TRAINABLE = "qwen3_vl"
"""The architecture that can be trained, as a model's configuration names it."""


@dataclass(frozen=True)
class ModelsOfTraining:
    """The two models of a training.

    Attributes:
        base: The weights to start from: "base", a folder's absolute path, or a hub id.
        rival: The judge to beat, as `resolve_judge` reads it: "base", "tuned", a run, a folder's absolute path, or a hub id.
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
    for name in (model, against or model):
        if is_address(name):
            shown = name.partition("#")[2] or name
            raise RunError(
                f"The model {shown!r} is on a server, and a training needs its weights on this machine; name them instead: "
                "the folder or hub id that the server was started with."
            )
    base = _weights_of(model, runs_dir)
    if base != "base" and Path(base).is_dir():
        _check_trainable(Path(base))
    return ModelsOfTraining(base, _pinned(against or model, runs_dir))


def _weights_of(model: str, runs_dir: Path) -> str:
    found = resolve_judge(model, runs_dir)
    source = found.model if found.adapter is not None else find_source(found.model).base
    if source == "base" or Path(source) == BUNDLED_MODEL:
        return "base"
    # The training is a process of its own, which may run in another folder.
    folder = Path(source).expanduser()
    return str(folder.resolve()) if folder.is_dir() else str(source)


def _pinned(name: str, runs_dir: Path) -> str:
    """Return a name that means the same model until the training ends: "tuned" may be another run by then."""
    found = resolve_judge(name_behind(name, runs_dir), runs_dir)
    if found.adapter is not None or found.name == "base":
        return found.name
    find_source(found.model)
    folder = Path(found.model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else found.model


def _check_trainable(folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read ({error}); give a folder written by save_pretrained.") from error
    if kind != TRAINABLE:
        raise ModelError(f"{folder} is a {kind}; only Qwen3-VL models can be trained, choose one.")
