"""The registry of trainings: rows in the database and folders beside it. Starts, lists, cancels, resumes and compares runs.

A run's process writes to the run's folder, which is the truth. The row is updated from the folder whenever somebody reads it, so a
closed app, a killed process or a restarted machine loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.runs import FINISHED, Run, RunStore
from db.schema.private_files import make_private_folder
from engine.errors import RunError
from engine.evaluation.comparison.paired import SceneComparison, compare_folders
from engine.files import write_atomically
from engine.judging.sources import ModelReference, resolve_model
from finetune.config import TrainConfig, check_run_name
from finetune.data.corrections import SettledLabel, write_corrections
from finetune.run_folder import AFTER, BEFORE, CONFIG_FILE, CORRECTIONS_FILE, VERDICT_FILE
from finetune.runs.events import Event, EventWriter, read_events
from finetune.runs.models import RunModels
from finetune.runs.processes import (
    WorkerState,
    explain_death,
    kill_worker,
    request_cancel,
    start_worker,
    wait_for_end,
    worker_state,
)
from finetune.runs.promotion import finished_runs, forget, promote, roll_back, tuned_run

NAME_TRIES = 1000
"""How often a free name is looked for while others take one after the other."""


class NameTakenError(RunError):
    """A run of this name is there already."""


class Registry:
    """All trainings of one database.

    Args:
        store: The database's rows of runs.
        runs_dir: Folder of the runs; made when it is needed.
    """

    def __init__(self, store: RunStore, runs_dir: Path) -> None:
        self._store = store
        self.runs_dir = runs_dir.expanduser().resolve()

    def folder(self, name: str) -> Path:
        """Return a run's folder.

        Raises:
            RunError: If the name is not allowed.
        """
        check_run_name(name)
        return self.runs_dir / name

    def free_name(self, stem: str = "run") -> str:
        """Return the first of stem-1, stem-2, ... that is neither a row nor a folder."""
        taken = {run.name for run in self._store.list("training")}
        number = 1
        while f"{stem}-{number}" in taken or (self.runs_dir / f"{stem}-{number}").exists():
            number += 1
        return f"{stem}-{number}"

    def create(self, config: TrainConfig, labels: Sequence[SettledLabel], *, name: str | None = None) -> Run:
        """Write a run's folder and row, ready to be started.

        Raises:
            RunError: If the name is taken or the folder cannot be written.
        """
        run, folder = self._claim(config, name) if name else self._claim_free_name(config)
        try:
            write_atomically(folder / CONFIG_FILE, config.to_json())
            write_corrections(folder / CORRECTIONS_FILE, labels if config.use_labels else [])
        except OSError as error:
            self._store.delete(run.id)
            shutil.rmtree(folder, ignore_errors=True)
            raise _not_written(folder, error) from error
        return run

    def _claim(self, config: TrainConfig, name: str) -> tuple[Run, Path]:
        """Make a run's folder and row. If several processes want a name at the same time, one gets it.

        Raises:
            NameTakenError: If there is a run or folder of this name.
            RunError: If the folder or the row cannot be written.
        """
        folder = self.folder(name)
        try:
            make_private_folder(self.runs_dir)
            # The process that makes the folder owns the name.
            folder.mkdir()
        except FileExistsError as error:
            raise NameTakenError(f"There is a training run named {name!r} already; give another name.") from error
        except OSError as error:
            raise _not_written(folder, error) from error
        try:
            return self._store.add("training", name, config=config.to_json()), folder
        except RunError as error:
            # Remove only what we have just made: a row without a folder belongs to a run whose folder was lost.
            folder.rmdir()
            raise NameTakenError(str(error)) if self._store.find("training", name) is not None else error from error

    def _claim_free_name(self, config: TrainConfig) -> tuple[Run, Path]:
        for _ in range(NAME_TRIES):
            with contextlib.suppress(NameTakenError):
                return self._claim(config, self.free_name())
        raise RunError("Others took every name that was free a moment ago; start again, or give a name.")

    def start(self, config: TrainConfig, labels: Sequence[SettledLabel], *, name: str | None = None) -> Run:
        """Create a run and start its process, which waits for its turn.

        Raises:
            RunError: If it cannot be started.
        """
        run = self.create(config, labels, name=name)
        try:
            start_worker(self.folder(run.name))
        except RunError as error:
            self._store.update(run.id, status="failed", note=str(error))
            raise
        return run

    def resume(self, name: str) -> Run:
        """Start a run again that was cancelled or failed; it goes on from its last checkpoint.

        Raises:
            RunError: If it is done or under way.
        """
        run = self.get(name)
        if run.status == "done":
            raise RunError(f"The run {name!r} is done; start a new one.")
        if run.status in FINISHED:
            # Its process is about to exit; somebody who clicks at once should not be told that it is still running.
            wait_for_end(self.folder(name))
        start_worker(self.folder(name))
        return self._store.update(run.id, status="queued", note="")

    def cancel(self, name: str) -> None:
        """Ask a run to stop; its last checkpoint stays."""
        self.get(name)
        request_cancel(self.folder(name))

    def get(self, name: str) -> Run:
        """Return a run, up to date.

        Raises:
            RunError: If there is none of this name.
        """
        run = self._store.find("training", name)
        if run is None:
            raise RunError(
                f"There is no training run {name!r}; the runs are {', '.join(r.name for r in self.list()) or 'none yet'}."
            )
        return self._refreshed(run)

    def list(self) -> list[Run]:
        """Return all runs, newest first, up to date."""
        return [self._refreshed(run) for run in self._store.list("training")]

    def events(self, name: str) -> list[Event]:
        """Return a run's events, oldest first."""
        return read_events(self.folder(name))

    def worker(self, name: str) -> WorkerState:
        """Return what is known of a run's process."""
        return worker_state(self.folder(name))

    def write_note(self, name: str, note: str) -> Run:
        """Store a person's note about a run."""
        run = self.get(name)
        return self._store.update(run.id, result={**run.result, "note": note[:2000]})

    def promote(self, name: str) -> None:
        """Make a run the tuned model.

        Raises:
            RunError: If it has no adapter.
        """
        self.get(name)
        promote(self.runs_dir, name)

    def roll_back(self) -> str | None:
        """Make the model before the tuned one the tuned one again; returns that run, None = the shipped one.

        Raises:
            RunError: If no run is promoted.
        """
        return roll_back(self.runs_dir)

    def tuned(self) -> str | None:
        """Return the run that is the tuned model now, None if none was promoted."""
        return tuned_run(self.runs_dir)

    def finished(self) -> list[str]:
        """Return the names of the runs that can judge."""
        return finished_runs(self.runs_dir)

    def resolve(self, name: str) -> ModelReference:
        """Return what a judge's name stands for.

        Raises:
            ModelError: If there is no such model.
        """
        return resolve_model(name, runs=RunModels(self.runs_dir))

    def compare(self, name_a: str, name_b: str) -> list[SceneComparison]:
        """Compare two runs on the frozen pairs; "base" = what the other one had to beat.

        Raises:
            MaskgroupError: If one of them was not judged, or they were judged on other pairs.
        """
        folders = [
            self.folder(other) / BEFORE if name == "base" else self.folder(name) / AFTER
            for name, other in ((name_a, name_b), (name_b, name_a))
        ]
        return compare_folders(*folders)

    def delete(self, name: str) -> None:
        """Delete a run: its row and its folder.

        Raises:
            RunError: If it is under way, or is the tuned model.
        """
        run = self.get(name)
        folder = self.folder(name)
        if run.status not in FINISHED:
            if worker_state(folder).life in ("alive", "silent"):
                raise RunError(f"The run {name!r} is under way; cancel it first.")
            kill_worker(folder)
        forget(self.runs_dir, name)
        shutil.rmtree(folder, ignore_errors=True)
        self._store.delete(run.id)

    def _refreshed(self, run: Run) -> Run:
        if run.status in FINISHED:
            return run
        folder = self.folder(run.name)
        events = read_events(folder)
        state = worker_state(folder)
        begun = [i for i, event in enumerate(events) if event.is_wait]
        latest = events[begun[-1] :] if begun else events
        if latest and latest[-1].kind == "end" and not (state.life == "alive" and len(begun) == 0):
            # A resumed run whose process has only just started still shows the end event of the previous process.
            if state.life == "alive" and run.status == "queued" and latest[-1].time < run.updated_at.timestamp():
                return run
            end = latest[-1]
            result = {**run.result, **self._summary(folder, events)}
            return self._store.update(run.id, status=end.outcome, note=end.text, result=result)
        if state.life in ("dead", "none") and (state.life == "dead" or not _is_fresh(run)):
            words = explain_death(state)
            with contextlib.suppress(OSError):
                EventWriter(folder).write("end", words, outcome="failed")
            return self._store.update(run.id, status="failed", note=words, result={**run.result, **self._summary(folder, events)})
        has_begun = any(event.kind == "stage" and not event.is_wait for event in latest)
        if has_begun and run.status == "queued":
            return self._store.update(run.id, status="running")
        return run

    def _summary(self, folder: Path, events: Sequence[Event]) -> Mapping[str, Any]:
        """Return what the row keeps of a run: the result and the held-out curve."""
        curve = {int(e.number("step")): e.number("accuracy") for e in events if e.kind == "validation"}
        found: dict[str, Any] = {"curve": [round(curve[step], 4) for step in sorted(curve) if curve[step] == curve[step]]}
        with contextlib.suppress(OSError, ValueError):
            found["verdict"] = json.loads((folder / VERDICT_FILE).read_text(encoding="utf-8"))
        return found


def active_of(runs: Sequence[Run]) -> Run | None:
    """Return the run that trains now, else the one that has waited longest, else None; `runs` newest first."""
    unfinished = [run for run in runs if run.status not in FINISHED]
    running = [run for run in unfinished if run.status == "running"]
    return (running or unfinished[::-1] or [None])[0]


def _not_written(folder: Path, error: OSError) -> RunError:
    return RunError(f"The run's folder {folder} cannot be written ({error.strerror}); free some space or change --db.")


def _is_fresh(run: Run) -> bool:
    """Whether a run was updated so recently that its process may not have written its identity yet."""
    from datetime import UTC, datetime

    return (datetime.now(UTC) - run.updated_at).total_seconds() < 10
