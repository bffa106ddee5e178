"""Runs of the grouping, one a scene at a time: worker threads, progress, results and corrections. Knows nothing about Gradio.

A run lives here and not in a page, so that a reload of the page, or a second one, finds it again. The database keeps it for the
next start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from db.runs import Run, RunStatus
from engine.errors import MaskgroupError, RunError
from engine.grouping.constraints import Constraint
from engine.grouping.graph import Evidence, cut
from engine.grouping.group_names import give_names, name_own_masks
from engine.grouping.pair_judge import FramePairJudge
from engine.grouping.photo_stage import has_placed
from engine.grouping.pipeline import GroupingCancelled, GroupingOptions, GroupingRun, Progress, group_scene
from engine.scenes.class_names import MAX_LENGTH, clean_name
from engine.scenes.names import printable
from engine.types import USUAL_THRESHOLD, Frame
from engine.views.appearance import LOOKS, describe_masks
from ui.services.grouping_change import count_moved, inherit_colors
from ui.services.grouping_result import GroupCorrection, Result, RunState, score_ari
from ui.services.kept_groups import rebuild_run
from ui.services.workbench import Workbench
from ui.stores.groupings import Corrections, GroupingStore
from ui.view3d.paint import hit_points
from ui.web.metrics import count_pairs

MAX_RUNS = 4
MAX_FIRST_VIEWS = 100
"""Views of a scene that is grouped without being asked when its page is opened: a few seconds."""
TOUCH_S = 20
"""Time between two signs of life of a run in the database."""

log = logging.getLogger(__name__)


@dataclass
class _Job:
    """A scene's state, the flag that stops its worker, its number in the database and when that last heard of it."""

    state: RunState
    cancel: threading.Event = field(default_factory=threading.Event)
    kept_as: int | None = None
    touched: float = 0.0


class GroupingRuns:
    """All runs.

    Args:
        bench: Opens the scenes and holds the judge.
        store: Keeps the runs; None = they end with the app.
    """

    def __init__(self, bench: Workbench, store: GroupingStore | None = None) -> None:
        self._bench = bench
        self._store = store
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.RLock()

    def state(self, scene: str) -> RunState | None:
        """Return where a scene's run stands, None where none was started."""
        with self._lock:
            job = self._jobs.get(scene)
            return job.state if job else None

    def count_running(self) -> int:
        """Return how many scenes are being grouped."""
        with self._lock:
            return sum(job.state.is_running for job in self._jobs.values())

    def result(self, scene: str) -> Result:
        """Return a scene's groups.

        Raises:
            MaskgroupError: If there are none yet.
        """
        state = self.state(scene)
        if state is None or state.result is None:
            raise MaskgroupError(f"Scene {scene!r} has no groups yet; press Run first.")
        return state.result

    def kept(self, scene: str) -> list[Run]:
        """Return a scene's finished runs in the database, newest first."""
        return [] if self._store is None else self._store.kept(scene)

    def start(self, scene: str, evidence: Evidence = "geometry", *, model: str | None = None) -> threading.Thread | None:
        """Start a run in a thread of its own, which is returned; None where one is under way already.

        Corrections of the groups that are shown hold for the new ones too.

        Args:
            scene: The scene.
            evidence: What links are weighed by.
            model: Judge to ask; None = the app's default.

        Raises:
            SceneError: If there is no such scene.
        """
        return self._launch(scene, evidence, lambda job: self._run_anew(scene, job, model))

    def resume(self, scene: str) -> threading.Thread | None:
        """Open the newest kept run of a scene that has no groups yet, in a thread; None where there is nothing to open.

        Raises:
            SceneError: If there is no such scene.
        """
        if self.state(scene) is not None:
            return None
        kept = self.kept(scene)
        return self.open_kept(scene, kept[0].id) if kept else None

    def open_or_start(self, scene: str) -> threading.Thread | None:
        """Make sure that a scene's page is not empty: open its newest kept run, or else make its first groups.

        Raises:
            SceneError: If there is no such scene.
        """
        return self.resume(scene) or self.start_first(scene)

    def start_first(self, scene: str) -> threading.Thread | None:
        """Make a scene's first groups from geometry alone, so that its page is not empty; None where that would take long.

        Raises:
            SceneError: If there is no such scene.
        """
        is_new = self.state(scene) is None
        return self.start(scene) if is_new and len(self._bench.views(scene)) <= MAX_FIRST_VIEWS else None

    def open_kept(self, scene: str, run_id: int) -> threading.Thread | None:
        """Show a kept run instead of the present groups, opened in a thread; None where a run is under way.

        Raises:
            SceneError: If there is no such scene.
            RunError: If runs are not kept here.
        """
        if self._store is None:
            raise RunError("This app keeps no runs; press Run to group the scene.")
        store = self._store
        return self._launch(scene, "geometry", lambda job: self._open(scene, job, store, run_id), opens_kept=True)

    def _launch(
        self, scene: str, evidence: Evidence, work: Callable[[_Job], Result], *, opens_kept: bool = False
    ) -> threading.Thread | None:
        self._bench.open_scene(scene)
        with self._lock:
            before = self._jobs.get(scene)
            if before is not None and before.state.is_running:
                return None
            version = before.state.version + 1 if before else 1
            kept = before.state.result if before else None
            job = _Job(RunState(version, "running", evidence, opens_kept, stage_started=time.monotonic(), result=kept))
            self._jobs[scene] = job
            self._jobs.move_to_end(scene)
            self._forget_old()
        worker = threading.Thread(target=self._work, args=(scene, job, work), daemon=True, name=f"grouping-{scene}")
        worker.start()
        return worker

    def cancel(self, scene: str) -> None:
        """Ask a run to stop; it does at its next report."""
        with self._lock:
            job = self._jobs.get(scene)
        if job is not None:
            job.cancel.set()

    def require_idle(self, scene: str) -> None:
        """Check that a scene is not being grouped.

        Raises:
            MaskgroupError: If a run is under way.
        """
        state = self.state(scene)
        if state is not None and state.is_running:
            raise MaskgroupError(f"Scene {scene!r} is being grouped; wait for that, or cancel it on the 3D grouping page, first.")

    def forget(self, scene: str) -> None:
        """Forget a scene's groups in memory, because it is to be removed or its masks have changed; the database keeps its runs.

        Raises:
            MaskgroupError: If a run is under way.
        """
        with self._lock:
            self.require_idle(scene)
            self._jobs.pop(scene, None)

    def correct(self, scene: str, constraints: Sequence[Constraint], *, words: str) -> Result:
        """Cut a scene's graph again with other constraints; nobody is asked anything.

        Raises:
            MaskgroupError: If there is no result, or a new run is under way.
        """
        before = self._idle_result(scene)
        past = (*before.corrections.past, before.constraints)
        return self._recut(scene, before, replace(before.corrections, constraints=tuple(constraints), past=past), words)

    def undo(self, scene: str) -> Result:
        """Take the latest correction back.

        Raises:
            MaskgroupError: If there is none.
        """
        before = self._idle_result(scene)
        past = before.corrections.past
        if not past:
            raise MaskgroupError("There is no correction to undo.")
        return self._recut(scene, before, replace(before.corrections, constraints=past[-1], past=past[:-1]), "Undone")

    def name_groups(self, scene: str, names: Mapping[int, str], *, proposed_by: str = "") -> Result:
        """Give groups names; they stay with the groups through corrections and later runs.

        Args:
            scene: The scene.
            names: The new name of each group, "" = none.
            proposed_by: The model that proposed them, "" = a person gave or confirmed them.

        Raises:
            MaskgroupError: If there is no result, a new run is under way, or a name is none.
        """
        before = self._idle_result(scene)
        names = {group: check_group_name(name) for group, name in names.items()}
        masks = {group: before.grouping.groups[group].masks for group in names}
        replaced = [one for group in names if (one := before.given(group)) is not None]
        given = give_names(before.corrections.names, masks, names, replaced=replaced, proposed_by=proposed_by)
        return self._put(scene, before, replace(before, corrections=replace(before.corrections, names=given)))

    def _idle_result(self, scene: str) -> Result:
        state = self.state(scene)
        if state is not None and state.is_running:
            raise MaskgroupError("A run is under way; wait for it or cancel it, then correct its groups.")
        return self.result(scene)

    def _recut(self, scene: str, before: Result, corrections: Corrections, words: str) -> Result:
        started = time.perf_counter()
        grouping = cut(before.run.graph, constraints=corrections.constraints)
        seconds = time.perf_counter() - started
        old = before.grouping
        moved = count_moved(old, grouping)
        change = GroupCorrection(words, old.labels, before.colors, moved, before.ari, score_ari(before.run, grouping), seconds)
        colors = inherit_colors(old.labels, before.colors, grouping.labels)
        after = replace(before, grouping=grouping, colors=colors, corrections=corrections, last=change)
        return self._put(scene, before, after)

    def _put(self, scene: str, before: Result, after: Result) -> Result:
        """Show corrected groups instead of others, and keep what people said."""
        with self._lock:
            job = self._jobs[scene]
            if job.state.result is not before or job.state.is_running:
                raise MaskgroupError("The groups changed while this correction was made; look at them and try again.")
            if self._store is not None and after.kept_as is not None:
                self._store.keep_corrections(after.kept_as, after.corrections, after.grouping, ari=after.ari)
            job.state = replace(job.state, version=job.state.version + 1, result=after)
        return after

    def _report(self, job: _Job) -> Callable[[Progress], None]:
        def report(progress: Progress) -> None:
            with self._lock:
                old = job.state
                is_new = old.progress is None or old.progress.stage != progress.stage
                job.state = replace(old, progress=progress, stage_started=time.monotonic() if is_new else old.stage_started)
            if self._store is not None and job.kept_as is not None and time.monotonic() - job.touched > TOUCH_S:
                job.touched = time.monotonic()
                self._store.touch(job.kept_as, f"{progress.stage} {progress.share:.0%}, {progress.asked} pairs asked")

        return report

    def _work(self, scene: str, job: _Job, work: Callable[[_Job], Result]) -> None:
        try:
            result = work(job)
        except GroupingCancelled as error:
            self._fail(job, "cancelled", str(error))
        except MaskgroupError as error:
            self._fail(job, "failed", str(error))
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("grouping %s failed", scene)
            self._fail(job, "failed", "The run failed by a mistake of the program; its log has the details. Please report it.")
        else:
            self._finish(job, "done", "", result)

    def _run_anew(self, scene: str, job: _Job, model: str | None) -> Result:
        opened = self._bench.open_scene(scene)
        evidence = job.state.evidence
        # Photos whose cameras an import has found are grouped by them; looking for cameras takes minutes, and is the command's.
        options = GroupingOptions(evidence=evidence, lift=False, photos=has_placed(opened.scene))
        said = job.state.result.corrections if job.state.result else Corrections()
        if self._store is not None:
            used = None if evidence == "geometry" else model or self._bench.judges.default
            job.kept_as, job.touched = self._store.begin(scene, options, model=used), time.monotonic()

        def stop_if_asked(_answered: int) -> None:
            if job.cancel.is_set():
                raise GroupingCancelled("Grouping was stopped while the judge was asked; start it again to get a result.")

        judge: FramePairJudge | None = None
        if evidence != "geometry":
            # Asked once: "tuned" may come to stand for another run, whose threshold is its own.
            name = self._bench.judges.behind(model or self._bench.judges.default)
            threshold = self._bench.threshold(name) or USUAL_THRESHOLD
            count = count_pairs(name)

            def tick(answered: int) -> None:
                count(answered)
                stop_if_asked(answered)

            judge = FramePairJudge(self._bench.judge(name), opened.frames, tick=tick, threshold=threshold)
        run = group_scene(
            opened.scene,
            opened.frames,
            options=options,
            judge=judge,
            constraints=said.constraints,
            report=self._report(job),
            is_cancelled=job.cancel.is_set,
        )
        if self._store is not None and job.kept_as is not None:
            self._store.finish(job.kept_as, run)
            if said.constraints or said.names:
                self._store.keep_corrections(job.kept_as, said, run.grouping, ari=score_ari(run, run.grouping))
        return self._show(scene, run, said, job.kept_as)

    def _open(self, scene: str, job: _Job, store: GroupingStore, run_id: int) -> Result:
        kept, said = store.open(run_id, scene)
        opened, report, started = self._bench.open_scene(scene), self._report(job), time.perf_counter()
        frames: list[Frame] = []
        for frame in opened.frames.usable(opened.scene.view_names):
            if job.cancel.is_set():
                raise GroupingCancelled("Opening the kept groups was stopped; choose them again, or press Run.")
            frames.append(frame)
            report(Progress("frames", len(frames) / len(opened.scene.view_names), 0, time.perf_counter() - started))
        run = rebuild_run(opened.scene, frames, kept, said)
        with self._lock:
            job.state = replace(job.state, evidence=kept.options.evidence)
        return self._show(scene, run, said, run_id)

    def _show(self, scene: str, run: GroupingRun, corrections: Corrections, kept_as: int | None) -> Result:
        room = self._bench.room(scene)
        hits = hit_points(room.points, run.table) if room is not None and run.table.has_geometry else None
        colors = np.arange(len(run.grouping.groups), dtype=np.int32)
        frames = self._bench.open_scene(scene).frames
        looks = np.concatenate([np.zeros((0, LOOKS), np.float32), *(describe_masks(frames.frame(v.name)) for v in run.table.views)])
        names = name_own_masks(self._bench.open_scene(scene).scene, run.truth, run.table.keys)
        return Result(run, run.grouping, room, hits, colors, looks, corrections, kept_as=kept_as, mask_names=names)

    def _fail(self, job: _Job, status: Literal["cancelled", "failed"], message: str) -> None:
        if self._store is not None and job.kept_as is not None:
            try:
                self._store.fail(job.kept_as, message, cancelled=status == "cancelled")
            except MaskgroupError:
                log.exception("the end of run %s was not kept", job.kept_as)
        self._finish(job, status, message)

    def _finish(self, job: _Job, status: RunStatus, message: str, result: Result | None = None) -> None:
        with self._lock:
            state = job.state
            job.state = replace(state, version=state.version + 1, status=status, message=message, result=result or state.result)

    def _forget_old(self) -> None:
        for name in [name for name, job in self._jobs.items() if not job.state.is_running][: -MAX_RUNS or None]:
            if len(self._jobs) > MAX_RUNS:
                del self._jobs[name]


def check_group_name(name: str) -> str:
    """Return a name as it is kept, "" for none.

    Raises:
        MaskgroupError: If it cannot be shown, or is too long.
    """
    text = " ".join(name.split())
    cleaned = clean_name(text)
    if text and (cleaned is None or len(text) > MAX_LENGTH):
        raise MaskgroupError(
            f"{printable(text)} cannot be a group's name, expected one line of at most {MAX_LENGTH} characters that can be seen; "
            "give another."
        )
    return cleaned or ""
