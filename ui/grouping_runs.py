"""Runs of the grouping, one a scene: worker threads, progress, results and corrections. Knows nothing about Gradio.

A run lives here and not in a page, so that a reload of the page, or a second one, finds it again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from engine.constraints import Constraint
from engine.errors import MaskgroupError
from engine.grouping import Evidence, Grouping, cut
from engine.grouping_metrics import score_masks
from engine.pair_judge import FramePairJudge
from engine.pipeline import GroupingCancelled, GroupingOptions, GroupingRun, Progress, group_scene
from engine.types import MaskKey
from ui.grouping_paint import PointVotes, vote_points
from ui.room import RoomCloud
from ui.workbench import Workbench

MAX_RUNS = 4
Status = Literal["running", "done", "cancelled", "failed"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Correction:
    """What one correction changed.

    Attributes:
        words: What the person asked for.
        moved: Masks whose group is another one now.
        ari_before: Adjusted Rand index before, None without ground truth.
        ari_after: The same after.
        seconds: How long the new cut took.
    """

    words: str
    moved: int
    ari_before: float | None
    ari_after: float | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run with the corrections made since.

    Attributes:
        run: What the pipeline gave; its graph is cut again for each correction, its groups are those of the first cut.
        grouping: The groups as they are now.
        room: The cloud that the page shows, None without geometry.
        votes: Which masks the points of `room` lie in.
        constraints: What people said, oldest first.
        past: Constraints before each correction, oldest first, for undo.
        last: The latest correction, None at first.
    """

    run: GroupingRun
    grouping: Grouping
    room: RoomCloud | None
    votes: PointVotes | None
    constraints: tuple[Constraint, ...] = ()
    past: tuple[tuple[Constraint, ...], ...] = ()
    last: Correction | None = None

    @property
    def ari(self) -> float | None:
        """Adjusted Rand index of the groups as they are now, None without ground truth."""
        return _ari(self.run, self.grouping)

    def group_of(self, key: MaskKey) -> int:
        """Return the group that a mask is in now."""
        return int(self.grouping.labels[self.run.table.row_of[key]])


@dataclass(frozen=True, eq=False)
class RunState:
    """Where a scene's run stands; replaced, never changed.

    Attributes:
        version: Grows with every run and correction, so that a page sees whether it shows the latest.
        status: What became of the run.
        evidence: What was asked for.
        progress: The latest report, None before the first.
        stage_started: Time on the monotonic clock at which the stage began, seconds.
        message: Why there is no result, "" where there is one or will be.
        result: The result; one of an earlier run while a new one is under way or after it failed.
    """

    version: int
    status: Status
    evidence: Evidence
    progress: Progress | None = None
    stage_started: float = 0.0
    message: str = ""
    result: Result | None = None


@dataclass
class _Job:
    """A scene's state, and the flag that stops its worker."""

    state: RunState
    cancel: threading.Event = field(default_factory=threading.Event)


class GroupingRuns:
    """All runs.

    Args:
        bench: Opens the scenes and holds the judge.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.RLock()

    def state(self, scene: str) -> RunState | None:
        """Return where a scene's run stands, None where none was started."""
        with self._lock:
            job = self._jobs.get(scene)
            return job.state if job else None

    def result(self, scene: str) -> Result:
        """Return a scene's groups.

        Raises:
            MaskgroupError: If there are none yet.
        """
        state = self.state(scene)
        if state is None or state.result is None:
            raise MaskgroupError(f"Scene {scene!r} has no groups yet; press Run first.")
        return state.result

    def start(self, scene: str, evidence: Evidence = "geometry") -> threading.Thread | None:
        """Start a run in a thread of its own, which is returned; None where one is under way already.

        Raises:
            SceneError: If there is no such scene.
        """
        self._bench.open_scene(scene)
        with self._lock:
            before = self._jobs.get(scene)
            if before is not None and before.state.status == "running":
                return None
            version = before.state.version + 1 if before else 1
            kept = before.state.result if before else None
            job = _Job(RunState(version, "running", evidence, stage_started=time.monotonic(), result=kept))
            self._jobs[scene] = job
            self._jobs.move_to_end(scene)
            self._forget_old()
        worker = threading.Thread(target=self._work, args=(scene, job), daemon=True, name=f"grouping-{scene}")
        worker.start()
        return worker

    def cancel(self, scene: str) -> None:
        """Ask a run to stop; it does at its next report."""
        with self._lock:
            job = self._jobs.get(scene)
        if job is not None:
            job.cancel.set()

    def correct(self, scene: str, constraints: Sequence[Constraint], *, words: str) -> Result:
        """Cut a scene's graph again with other constraints; nobody is asked anything.

        Raises:
            MaskgroupError: If there is no result, or a new run is under way.
        """
        before = self._idle_result(scene)
        return self._recut(scene, before, tuple(constraints), (*before.past, before.constraints), words)

    def undo(self, scene: str) -> Result:
        """Take the latest correction back.

        Raises:
            MaskgroupError: If there is none.
        """
        before = self._idle_result(scene)
        if not before.past:
            raise MaskgroupError("There is no correction to undo.")
        return self._recut(scene, before, before.past[-1], before.past[:-1], "Undone")

    def _idle_result(self, scene: str) -> Result:
        state = self.state(scene)
        if state is not None and state.status == "running":
            raise MaskgroupError("A run is under way; wait for it or cancel it, then correct its groups.")
        return self.result(scene)

    def _recut(
        self,
        scene: str,
        before: Result,
        constraints: tuple[Constraint, ...],
        past: tuple[tuple[Constraint, ...], ...],
        words: str,
    ) -> Result:
        started = time.perf_counter()
        grouping = cut(before.run.graph, constraints=constraints)
        seconds = time.perf_counter() - started
        moved = count_moved(before.grouping, grouping)
        change = Correction(words, moved, before.ari, _ari(before.run, grouping), seconds)
        after = replace(before, grouping=grouping, constraints=constraints, past=past, last=change)
        with self._lock:
            job = self._jobs[scene]
            if job.state.result is not before or job.state.status == "running":
                raise MaskgroupError("The groups changed while this correction was made; look at them and try again.")
            job.state = replace(job.state, version=job.state.version + 1, result=after)
        return after

    def _work(self, scene: str, job: _Job) -> None:
        def report(progress: Progress) -> None:
            with self._lock:
                old = job.state
                is_new = old.progress is None or old.progress.stage != progress.stage
                job.state = replace(old, progress=progress, stage_started=time.monotonic() if is_new else old.stage_started)

        try:
            result = self._group(scene, job, report)
        except GroupingCancelled as error:
            self._finish(job, "cancelled", str(error))
        except MaskgroupError as error:
            self._finish(job, "failed", str(error))
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("grouping %s failed", scene)
            self._finish(job, "failed", "The run failed by a mistake of the program; its log has the details. Please report it.")
        else:
            self._finish(job, "done", "", result)

    def _group(self, scene: str, job: _Job, report: Callable[[Progress], None]) -> Result:
        opened = self._bench.open_scene(scene)
        evidence = job.state.evidence

        def stop_if_asked(_answered: int) -> None:
            if job.cancel.is_set():
                raise GroupingCancelled("Grouping was stopped while the judge was asked; start it again to get a result.")

        judge = FramePairJudge(self._bench.judge(), opened.frames, tick=stop_if_asked) if evidence != "geometry" else None
        run = group_scene(
            opened.scene,
            opened.frames,
            options=GroupingOptions(evidence=evidence, lift=False),
            judge=judge,
            report=report,
            is_cancelled=job.cancel.is_set,
        )
        room = self._bench.room(scene)
        votes = vote_points(room.points, run.table) if room is not None and run.table.has_geometry else None
        return Result(run, run.grouping, room, votes)

    def _finish(self, job: _Job, status: Status, message: str, result: Result | None = None) -> None:
        with self._lock:
            state = job.state
            job.state = replace(state, version=state.version + 1, status=status, message=message, result=result or state.result)

    def _forget_old(self) -> None:
        for name in [name for name, job in self._jobs.items() if job.state.status != "running"][: -MAX_RUNS or None]:
            if len(self._jobs) > MAX_RUNS:
                del self._jobs[name]


def count_moved(before: Grouping, after: Grouping) -> int:
    """Return how many masks left the group that most of their old group is in now, numbers of groups aside."""
    moved = 0
    for group in range(int(before.labels.max(initial=-1)) + 1):
        now = after.labels[before.labels == group]
        moved += len(now) - int(np.bincount(now).max(initial=0)) if len(now) else 0
    joined = 0
    for group in range(int(after.labels.max(initial=-1)) + 1):
        then = before.labels[after.labels == group]
        joined += len(then) - int(np.bincount(then).max(initial=0)) if len(then) else 0
    return max(moved, joined)


def _ari(run: GroupingRun, grouping: Grouping) -> float | None:
    return score_masks(run.truth, grouping.labels).ari if run.truth is not None else None
