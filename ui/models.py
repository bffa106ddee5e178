"""Names of models that pages and commands accept, with trained runs among them: what each stands for, and opening it."""

from __future__ import annotations

from pathlib import Path

from engine.judging import Judge, load_judge
from finetune.promotion import JudgeSource, finished_runs, resolve_judge, tuned_run
from ui.settings import Settings

RUNS = "runs"


def runs_folder(settings: Settings) -> Path:
    """Return where trained runs lie: beside the database."""
    return settings.data_folder / RUNS


def open_judge(name: str, runs_dir: Path, *, both_orders: bool = True) -> Judge:
    """Load the judge that a name stands for now: "base", "tuned" (the promoted run, else the shipped adapter), a run, or a model.

    Raises:
        ModelError: If there is no such model, or it cannot be loaded.
    """
    found = resolve_judge(name, runs_dir)
    if found.adapter is None:
        return load_judge(found.model, both_orders=both_orders)
    return load_judge(found.model, adapter=found.adapter, name=found.name, prompt=found.prompt, both_orders=both_orders)


def judge_behind(name: str, runs_dir: Path) -> JudgeSource:
    """Return what a name stands for now; it changes when a run is promoted.

    Raises:
        ModelError: If there is no such model.
    """
    return resolve_judge(name, runs_dir)


def trained_models(runs_dir: Path) -> list[str]:
    """Return the names that trainings added: "tuned" once a run is promoted, then the runs."""
    return [*(["tuned"] if tuned_run(runs_dir) else []), *finished_runs(runs_dir)]
