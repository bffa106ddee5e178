"""Comparisons of two judges: worker threads, progress, cancel, resume, and the finished ones. Knows nothing about Gradio.

A comparison lives in the database and in a folder of its own, so that it outlives the page, and the app too: what a stopped one had
judged is kept, and resuming goes on from there.
"""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from db.runs import FINISHED, RESUMABLE, Run, RunStatus, RunStore
from engine.errors import MaskgroupError
from engine.evaluation.comparison.run import CONFIG, ComparisonSettings, FinishedComparison, Step, read_comparison, run_comparison
from engine.evaluation.comparison.run import settings_from_json as read_settings
from engine.types import USUAL_THRESHOLD
from ui.services.workbench import Workbench

KIND: Literal["comparison"] = "comparison"
SHIPPED = "shipped"
"""Key of the comparison that comes with the program."""
BEHIND = "behind"
"""In a kept comparison: the model that each of the two names stood for when it was begun."""

log = logging.getLogger(__name__)


class ComparisonCancelled(MaskgroupError):
    """A person stopped the comparison."""


@dataclass(frozen=True)
class Entry:
    """One comparison in the list.

    Attributes:
        key: Names it in addresses.
        name: For people.
        status: "done" for the shipped one.
        note: Why it stopped, "" where it did not.
    """

    key: str
    name: str
    status: RunStatus
    note: str = ""


@dataclass
class _Job:
    step: Step | None = None
    cancel: threading.Event = field(default_factory=threading.Event)


class ComparisonRuns:
    """All comparisons.

    Args:
        bench: Opens the scenes and holds the judges.
        store: Keeps what was asked and how it ended.
        folder: Where results go, a folder for each comparison.
        shipped: Folder of the comparison that comes with the program; it may be missing.
    """

    def __init__(self, bench: Workbench, store: RunStore, folder: Path, *, shipped: Path | None = None) -> None:
        self._bench, self._store, self._folder, self._shipped = bench, store, folder, shipped
        self._jobs: dict[str, _Job] = {}
        self._read: dict[tuple[str, str], FinishedComparison] = {}
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """Return all comparisons, the newest first and the shipped one last."""
        found = [Entry(run.uuid, run.name, self._status(run), run.note or "") for run in self._store.list(KIND)]
        if self._shipped is not None and (self._shipped / CONFIG).is_file():
            found.append(Entry(SHIPPED, "base against tuned, as shipped", "done"))
        return found

    def entry(self, key: str) -> Entry:
        """Return one comparison.

        Raises:
            MaskgroupError: If there is none.
        """
        for entry in self.entries():
            if entry.key == key:
                return entry
        raise MaskgroupError("There is no such comparison any more; choose another one in the list.")

    def start(self, settings: ComparisonSettings) -> str:
        """Begin a comparison in a thread of its own; returns its key.

        Raises:
            MaskgroupError: If a scene or a model does not exist, or the two models are one.
        """
        if not settings.scenes:
            raise MaskgroupError("Nothing to compare on: choose at least one scene.")
        if settings.model_a == settings.model_b:
            raise MaskgroupError(f"Both models are {settings.model_a!r}: choose two different ones.")
        for scene in settings.scenes:
            self._bench.open_scene(scene)
        unknown = {settings.model_a, settings.model_b} - set(self._bench.judges.names())
        if unknown:
            raise MaskgroupError(f"There is no model {', '.join(sorted(unknown))}; choose one of the list.")
        # A model decides as it does on every other page; kept with the run, so that another choice later does not change it.
        a, b = (self._bench.threshold(name) or USUAL_THRESHOLD for name in (settings.model_a, settings.model_b))
        settings = replace(settings, threshold_a=a, threshold_b=b)
        config = {**settings.to_json(), BEHIND: self._behind(settings)}
        run = self._store.add(KIND, self._new_name(settings), config=config)
        self._launch(run)
        return run.uuid

    def resume(self, key: str) -> None:
        """Go on with a comparison that was stopped.

        Raises:
            MaskgroupError: If there is none, it is under way or done, or a name stands for another model now.
        """
        run = self._run(key)
        if self._status(run) not in RESUMABLE:
            raise MaskgroupError("This comparison is under way or done; there is nothing to resume.")
        begun = run.config.get(BEHIND, {})
        for name, now in self._behind(_settings_of(run)).items():
            if begun.get(name, now) != now:
                raise MaskgroupError(
                    f"This comparison was begun with {begun[name]!r} as {name!r}, which is {now!r} now; with answers of "
                    "two models it would mean nothing. Start a new comparison."
                )
        self._launch(run)

    def cancel(self, key: str) -> None:
        """Ask a comparison to stop; it does after the pairs that it is judging."""
        with self._lock:
            job = self._jobs.get(key)
        if job is not None:
            job.cancel.set()

    def delete(self, key: str) -> None:
        """Delete a comparison and its files.

        Raises:
            MaskgroupError: If there is none, it is under way, or it is the shipped one.
        """
        run = self._run(key)
        if self.is_running(key):
            raise MaskgroupError("The comparison is under way; cancel it first.")
        self._store.delete(run.id)
        shutil.rmtree(self._folder / run.uuid, ignore_errors=True)

    def is_running(self, key: str) -> bool:
        """Return whether a comparison is under way in this program."""
        with self._lock:
            return key in self._jobs

    def count_running(self) -> int:
        """Return how many comparisons are under way in this program."""
        with self._lock:
            return len(self._jobs)

    def step(self, key: str) -> Step | None:
        """Return where a comparison that is under way stands."""
        with self._lock:
            job = self._jobs.get(key)
        return job.step if job else None

    def result(self, key: str) -> FinishedComparison:
        """Return the numbers of a comparison; those so far where it was stopped.

        Raises:
            MaskgroupError: If it has none.
        """
        if key == SHIPPED and self._shipped is not None:
            folder, version = self._shipped, ""
        else:
            run = self._run(key)
            folder, version = self._folder / run.uuid, run.updated_at.isoformat()
        with self._lock:
            known = self._read.get((key, version))
        if known is None:
            known = read_comparison(folder)
            with self._lock:
                # A comparison that is under way grows between two looks at it.
                if key not in self._jobs:
                    self._read = {kept: value for kept, value in self._read.items() if kept[0] != key} | {(key, version): known}
        return known

    def _run(self, key: str) -> Run:
        for run in self._store.list(KIND):
            if run.uuid == key:
                return run
        raise MaskgroupError("The shipped comparison cannot be changed." if key == SHIPPED else "There is no such comparison.")

    def _status(self, run: Run) -> RunStatus:
        # What the database calls running but nobody here runs was cut off when the app ended: it can be resumed.
        return run.status if run.status in FINISHED or self.is_running(run.uuid) else "cancelled"

    def _new_name(self, settings: ComparisonSettings) -> str:
        name = f"{settings.model_a} against {settings.model_b} on {', '.join(settings.scenes)}"
        name = name if len(name) <= 100 else f"{name[:97]}..."
        taken = {run.name for run in self._store.list(KIND)}
        number = 2
        while (numbered := name if number == 2 else f"{name} ({number - 1})") in taken:
            number += 1
        return numbered

    def _behind(self, settings: ComparisonSettings) -> dict[str, str]:
        """Return what the two names stand for now: "tuned" is another model once another run is promoted."""
        return {name: self._bench.judges.behind(name) for name in (settings.model_a, settings.model_b)}

    def _launch(self, run: Run) -> None:
        job = _Job()
        with self._lock:
            self._jobs[run.uuid] = job
        self._store.update(run.id, status="running", note="")
        threading.Thread(target=self._work, args=(run, job), daemon=True, name=f"comparison-{run.id}").start()

    def _work(self, run: Run, job: _Job) -> None:
        def on_step(step: Step) -> None:
            job.step = step
            if job.cancel.is_set():
                raise ComparisonCancelled("Stopped; resume it to go on.")

        status: RunStatus = "failed"
        note = "It failed by a mistake of the program; its log has the details. Please report it."
        try:
            settings, begun = _settings_of(run), run.config.get(BEHIND, {})

            def begun_with(name: str) -> str:
                # A promotion meanwhile changes nothing here.
                return begun.get(name, name)

            opened = [self._bench.open_scene(name) for name in settings.scenes]
            run_comparison(
                [(one.scene, one.frames) for one in opened],
                self._folder / run.uuid,
                settings,
                load=lambda name: self._bench.judges.get(begun_with(name)),
                trained_on=lambda name: self._bench.judges.trained_on(begun_with(name)),
                on_step=on_step,
            )
            status, note = "done", ""
        except ComparisonCancelled as error:
            status, note = "cancelled", str(error)
        except MaskgroupError as error:
            note = str(error)
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("comparison %s failed", run.name)
        finally:
            # The row first: a page that sees no job must find how it ended.
            try:
                self._store.update(run.id, status=status, note=note)
            finally:
                with self._lock:
                    self._jobs.pop(run.uuid, None)


def _settings_of(run: Run) -> ComparisonSettings:
    return read_settings({name: value for name, value in run.config.items() if name != BEHIND})
