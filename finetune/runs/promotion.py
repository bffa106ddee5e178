"""Which run is the tuned model now, and which runs can judge.

One small file beside the runs says it, and is replaced whole. Any process may promote a run (the worker does if the run is
better), and all others notice at their next question, without a restart. Knows nothing about the database.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from engine.errors import RunError
from engine.files import write_atomically
from engine.judging.adapters import ADAPTER_CONFIG, has_adapter
from engine.judging.sources import TUNED
from finetune.run_folder import ADAPTER, POINTER_FILE


def promoted_runs(runs_dir: Path) -> list[str]:
    """Return the runs that have been the tuned model, the present one last; empty = the shipped one, if any."""
    path = runs_dir / POINTER_FILE
    if not path.is_file():
        return []
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["history"]
        return [str(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is broken ({error}); remove it and promote a run again.") from error


def tuned_run(runs_dir: Path) -> str | None:
    """Return the run that is the tuned model now, None if none was promoted."""
    history = promoted_runs(runs_dir)
    return history[-1] if history else None


def promote(runs_dir: Path, name: str) -> None:
    """Make a run the tuned model.

    Raises:
        RunError: If the run has no adapter.
    """
    if not has_adapter(runs_dir / name / ADAPTER):
        raise RunError(f"The run {name!r} has no adapter yet; finish its training first.")
    with _locked(runs_dir):
        history = promoted_runs(runs_dir)
        if history[-1:] != [name]:
            _write(runs_dir, [*history, name])


def roll_back(runs_dir: Path) -> str | None:
    """Make the previous tuned model the tuned one again; returns that run, None = the shipped one.

    Raises:
        RunError: If no run is promoted.
    """
    with _locked(runs_dir):
        history = promoted_runs(runs_dir)
        if not history:
            raise RunError("No run is promoted, so there is nothing to roll back.")
        _write(runs_dir, history[:-1])
    return history[-2] if len(history) > 1 else None


def forget(runs_dir: Path, name: str) -> None:
    """Remove a run from the history, because it is deleted.

    Raises:
        RunError: If it is the tuned model now.
    """
    with _locked(runs_dir):
        history = promoted_runs(runs_dir)
        if history[-1:] == [name]:
            raise RunError(f"{name!r} is the tuned model now; roll back or promote another run, then delete it.")
        if name in history:
            kept = [other for other in history if other != name]
            # Without it, two neighbours may be equal; one of them is enough.
            _write(runs_dir, [other for i, other in enumerate(kept) if i == 0 or kept[i - 1] != other])


def finished_runs(runs_dir: Path) -> list[str]:
    """Return the names of runs with an adapter, sorted."""
    return sorted(path.parent.parent.name for path in runs_dir.glob(f"[!.]*/{ADAPTER}/{ADAPTER_CONFIG}"))


def judge_names(runs_dir: Path) -> list[str]:
    """Return the names that trainings added: "tuned" once a run is promoted, then the runs that can judge."""
    return [*([TUNED] if tuned_run(runs_dir) else []), *finished_runs(runs_dir)]


def name_behind(name: str, runs_dir: Path) -> str:
    """Return the run that "tuned" stands for now, any other name as it is."""
    return (tuned_run(runs_dir) or TUNED) if name == TUNED else name


@contextmanager
def _locked(runs_dir: Path) -> Generator[None]:
    runs_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(runs_dir / f".{POINTER_FILE}.lock"):
        yield


def _write(runs_dir: Path, history: list[str]) -> None:
    write_atomically(runs_dir / POINTER_FILE, {"history": history})
