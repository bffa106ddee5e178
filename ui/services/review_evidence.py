"""What the queues order: a scene's links with the latest groups and answers, kept up to date by worker threads.

A `Snapshot` is replaced, never changed; pages read the latest one and never wait. Knows nothing about Gradio.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from db.labels.settling import Settled
from engine.errors import MaskgroupError
from engine.grouping.constraints import Constraint
from engine.grouping.graph import Grouping, MaskGraph, cut
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_scene
from engine.review.label_spread import find_supernodes, spread_labels
from engine.review.link_values import value_links
from engine.review.queues import QUEUES, LinkPool, QueueKind, order_links, queue_worth
from engine.types import USUAL_THRESHOLD, Float32Array, Int32Array, MaskPair
from engine.views.appearance import describe_masks
from ui.services.grouping_change import count_moved
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench

PROBED = 120
"""Pairs, of those that geometry doubts most, about which the judges are asked for the queues that need their answers."""
PROBE_BATCH = 8
REFRESH_S = 4.0
"""Between two cuts while somebody labels: they take most of a second of the processor."""
SEED = 0

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A scene as the queues see it.

    Attributes:
        version: Grows with every change.
        pool: The links; its `is_done` is empty, as what is done differs from person to person.
        orders: Links of each queue, best first.
        worths: Masks that a label of each queue is expected to set right.
        row_of: Link of each pair of masks, in canonical order.
        labels_seen: Number of the newest label that the groups know of.
        probed: How many pairs the judges were asked about, and of how many.
    """

    version: int
    pool: LinkPool
    orders: dict[QueueKind, Int32Array]
    worths: dict[QueueKind, float]
    row_of: dict[MaskPair, int]
    labels_seen: int
    probed: tuple[int, int] = (0, 0)


@dataclass
class _Room:
    """One scene's work in progress."""

    snapshot: Snapshot | None = None
    problem: str = ""
    start: MaskGraph | None = None
    supernodes: Int32Array | None = None
    described: Float32Array | None = None
    row_of: dict[MaskPair, int] = field(default_factory=dict[MaskPair, int])
    p_same: Float32Array | None = None
    p_rival: Float32Array | None = None
    probed: tuple[int, int] = (0, 0)
    wants_probe: bool = False
    worker: threading.Thread | None = None
    refreshed_at: float = 0.0


class ReviewEvidence:
    """The evidence of all scenes that somebody labels.

    Args:
        bench: Opens scenes and asks judges.
        groupings: Runs of the grouping page: a finished one is used, else the links are found here by geometry or appearance.
    """

    def __init__(self, bench: Workbench, groupings: GroupingRuns) -> None:
        self._bench = bench
        self._groupings = groupings
        self._rooms: dict[str, _Room] = {}
        self._lock = threading.Lock()
        bench.when_forgotten(self._forget)

    def _forget(self, scene: str) -> None:
        with self._lock:
            self._rooms.pop(scene, None)

    def snapshot(self, scene: str, *, probe: bool = False, at_once: bool = False, newest: int | None = None) -> Snapshot | None:
        """Return the latest snapshot, None while the first one is being made; work that is due is started.

        Args:
            scene: Name of the scene.
            probe: Whether the judges' answers are wanted too.
            at_once: Whether new labels are taken in at once, rather than after a few seconds.
            newest: Number of the newest label, where it was asked for already.

        Raises:
            MaskgroupError: If the links of this scene cannot be found.
        """
        self._bench.open_scene(scene)
        with self._lock:
            room = self._rooms.setdefault(scene, _Room())
            room.wants_probe |= probe
            if room.worker is None and self._is_due(room, at_once=at_once, newest=newest):
                room.worker = threading.Thread(target=self._work, args=(scene, room), daemon=True, name=f"review-{scene}")
                room.worker.start()
            if room.problem and room.snapshot is None:
                raise MaskgroupError(room.problem)
            return room.snapshot

    def wait(self, scene: str, *, probe: bool = False, timeout_s: float = 120.0) -> Snapshot:
        """Return a snapshot that knows all labels, once there is one.

        Raises:
            MaskgroupError: If there is none in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            snapshot = self.snapshot(scene, probe=probe, at_once=True)
            with self._lock:
                busy = self._rooms[scene].worker
            if busy is None and snapshot is not None:
                return snapshot
            if busy is not None:
                busy.join(0.05)
        raise MaskgroupError(f"The links of scene {scene!r} were not found in {timeout_s:.0f} s; try again.")

    def masks_moved(self, scene: str, before: Sequence[Settled], after: Sequence[Settled]) -> int | None:
        """Return how many masks change their group from one set of labels to another, None where no groups are known yet."""
        with self._lock:
            room = self._rooms.get(scene)
        if room is None or room.start is None or room.supernodes is None:
            return None
        cuts: list[Grouping] = []
        for settled in (before, after):
            constraints = as_constraints(settled)
            cuts.append(cut(spread_labels(room.start, room.supernodes, constraints), constraints=constraints))
        return count_moved(*cuts)

    def _is_due(self, room: _Room, *, at_once: bool, newest: int | None) -> bool:
        if room.problem:
            return False
        if room.snapshot is None:
            return True
        if room.snapshot.labels_seen != (self._bench.labels.newest_id() if newest is None else newest):
            return at_once or time.monotonic() - room.refreshed_at > REFRESH_S
        return room.wants_probe and room.p_same is None

    def _work(self, scene: str, room: _Room) -> None:
        try:
            if room.start is None:
                self._find_links(scene, room)
            self._refresh(scene, room)
            if room.wants_probe and room.p_same is None:
                self._probe(scene, room)
        except MaskgroupError as error:
            room.problem = str(error)
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("finding the links of %s failed", scene)
            room.problem = "The links of this scene could not be found by a mistake of the program; its log has the details."
        finally:
            with self._lock:
                room.worker = None

    def _find_links(self, scene: str, room: _Room) -> None:
        run = self._run(scene)
        opened = self._bench.open_scene(scene)
        graph = run.graph
        room.supernodes = find_supernodes(graph, cut(graph))
        parts: list[Float32Array] = []
        for frame in opened.frames.usable(opened.scene.view_names):
            parts.append(describe_masks(frame))
        room.described = np.concatenate(parts) if parts else None
        pairs: list[tuple[int, int]] = graph.evidence.pairs.tolist()
        room.row_of = {MaskPair(graph.keys[a], graph.keys[b]).canonical(): row for row, (a, b) in enumerate(pairs)}
        room.start = graph

    def _run(self, scene: str) -> GroupingRun:
        state = self._groupings.state(scene)
        if state is not None and state.result is not None:
            return state.result.run
        opened = self._bench.open_scene(scene)
        options = GroupingOptions(evidence="geometry", lift=False)
        try:
            return group_scene(opened.scene, opened.frames, options=options)
        except MaskgroupError:
            # No geometry: links by appearance, on which no judge was asked yet.
            return group_scene(opened.scene, opened.frames, options=replace(options, evidence="vlm", budget=0), judge=_Silent())

    def _refresh(self, scene: str, room: _Room) -> None:
        assert room.start is not None
        assert room.supernodes is not None
        newest = self._bench.labels.newest_id()
        constraints = as_constraints(self._bench.labels.settled(scene))
        graph = spread_labels(room.start, room.supernodes, constraints)
        self._publish(scene, room, graph, cut(graph, constraints=constraints), constraints, newest)

    def _publish(
        self, scene: str, room: _Room, graph: MaskGraph, grouping: Grouping, constraints: list[Constraint], newest: int
    ) -> None:
        count = len(graph.evidence)
        unknown = np.full(count, np.nan, np.float32)
        pool = LinkPool(
            graph=graph,
            grouping=grouping,
            values=value_links(graph, grouping, constraints),
            p_same=unknown if room.p_same is None else room.p_same,
            p_rival=unknown if room.p_rival is None else room.p_rival,
            threshold=self._bench.threshold(self._bench.judges.default) or USUAL_THRESHOLD,
            described=room.described,
            is_done=np.zeros(count, bool),
        )
        orders: dict[QueueKind, Int32Array] = {kind: order_links(kind, pool, seed=SEED) for kind in QUEUES}
        worths: dict[QueueKind, float] = {kind: queue_worth(pool, links) for kind, links in orders.items()}
        room.refreshed_at = time.monotonic()
        version = 1 if room.snapshot is None else room.snapshot.version + 1
        room.snapshot = Snapshot(version, pool, orders, worths, room.row_of, newest, room.probed)

    def _probe(self, scene: str, room: _Room) -> None:
        """Ask the judges about the pairs that geometry doubts, and some of which it is sure, a few at a time."""
        snapshot = room.snapshot
        assert snapshot is not None
        pool = snapshot.pool
        uncertain = snapshot.orders["uncertain"][: PROBED // 2]
        measured = np.flatnonzero(pool.is_open & (np.abs(pool.graph.geometry) > 1.0))
        settled = measured[np.linspace(0, len(measured) - 1, min(PROBED // 2, len(measured))).astype(int)]
        links = np.unique(np.concatenate([uncertain, settled]))
        links = links[np.random.default_rng(SEED).permutation(len(links))].tolist()
        p_same, p_rival = (np.full(len(pool.is_done), np.nan, np.float32) for _ in range(2))
        rival = self._bench.judges.rival()
        try:
            for start in range(0, len(links), PROBE_BATCH):
                batch = links[start : start + PROBE_BATCH]
                pairs = [pool.pair(link) for link in batch]
                p_same[batch] = [verdict.p_same for verdict in self._bench.verdicts(scene, pairs)]
                if rival is not None:
                    p_rival[batch] = [verdict.p_same for verdict in self._bench.verdicts(scene, pairs, model=rival)]
                room.probed = (start + len(batch), len(links))
                room.snapshot = replace(room.snapshot or snapshot, probed=room.probed)
        except MaskgroupError as error:
            # Without a judge the other queues still work; these stay empty and the page says why.
            log.warning("the judges were not asked about %s: %s", scene, error)
        room.p_same, room.p_rival = p_same, p_rival
        self._refresh(scene, room)


class _Silent:
    """A judge that is never asked: the budget is 0."""

    def ask(self, pairs: object) -> list[float]:
        raise AssertionError(f"a budget of 0 asks nothing, got {pairs}")


def as_constraints(settled: Sequence[Settled]) -> list[Constraint]:
    """Return what people decided as constraints, oldest first."""
    decided = [entry for entry in settled if entry.decision in ("same", "different")]
    # Gold first: where not all can hold, the latest is set aside.
    ordered = sorted(decided, key=lambda entry: (entry.basis != "gold", entry.label.created_at, entry.label.id))
    return [Constraint(entry.pair.a, entry.pair.b, entry.decision == "same") for entry in ordered]
