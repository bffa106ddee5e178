"""Keeps grouping runs in the database: a run's graph and poses as its result, what people said as its config.

Groups are not stored: they follow from the graph and the constraints by a cut, as after every correction.
"""

from __future__ import annotations

import base64
import io
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.runs import Run, RunStore
from engine.errors import RunError
from engine.grouping.candidates import PairEvidence
from engine.grouping.constraints import Constraint
from engine.grouping.findings import Findings
from engine.grouping.graph import Evidence, Grouping, JudgeReliability, MaskGraph
from engine.grouping.group_names import GivenName
from engine.grouping.pipeline import GroupingOptions, GroupingRun
from engine.grouping.registration import Registration
from engine.types import Float64Array, MaskKey

KIND = "grouping"
LAYOUT = 2
"""Version of what `result` holds; others are not opened."""
SILENT_FOR = timedelta(minutes=10)
"""A run that has not reported for so long belongs to an app that was stopped."""
MAX_SCENE_IN_NAME = 70

log = logging.getLogger(__name__)

Constraints = tuple[Constraint, ...]


@dataclass(frozen=True)
class Corrections:
    """What people said: the constraints that count now, oldest first, those before each correction, for undo, and names."""

    constraints: Constraints = ()
    past: tuple[Constraints, ...] = ()
    names: tuple[GivenName, ...] = ()


@dataclass(frozen=True, eq=False)
class KeptRun:
    """A stored run, opened: everything but the masks' pixels, which its scene still has.

    Attributes:
        graph: Masks and links.
        registration: What was found about the poses, and the repaired ones.
        calls: Pairs that the judge was asked.
        seconds: Time of each stage.
        warnings: What looked wrong with the scene.
        options: How it was run.
        findings: What was found out about depth and masks; None in runs kept before that was kept.
    """

    graph: MaskGraph
    registration: Registration
    calls: int
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    options: GroupingOptions
    findings: Findings | None


class GroupingStore:
    """The grouping runs of one database.

    Args:
        runs: Its table of runs.
    """

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    def begin(self, scene: str, options: GroupingOptions, *, model: str | None) -> int:
        """Write that a run has begun; returns its number."""
        when = datetime.now(UTC)
        name = f"{scene[:MAX_SCENE_IN_NAME]}, {options.evidence}, {when:%Y-%m-%d %H:%M} {uuid.uuid4().hex[:6]}"
        config = {"evidence": options.evidence, "budget": options.budget, "repair": options.repair, "model": model}
        return self._runs.add(KIND, name, scene=scene, config=config, status="running").id

    def touch(self, run_id: int, note: str) -> None:
        """Say that a run is alive, and where it stands."""
        self._runs.update(run_id, note=note)

    def finish(self, run_id: int, run: GroupingRun) -> None:
        """Write a run's result."""
        ari = None if run.mask_scores is None else run.mask_scores.ari
        summary = {"masks": len(run.table), "groups": len(run.grouping.groups), "ari": ari, "calls": run.calls}
        self._runs.update(run_id, status="done", result={"summary": summary, **pack_run(run)}, note="")

    def fail(self, run_id: int, message: str, *, cancelled: bool) -> None:
        """Write that a run gave no result."""
        self._runs.update(run_id, status="cancelled" if cancelled else "failed", note=message)

    def keep_corrections(self, run_id: int, corrections: Corrections, grouping: Grouping, *, ari: float | None) -> None:
        """Write what people said about a run's groups so far, and how many groups that leaves."""
        run = self._runs.get(run_id)
        if run is None:
            raise RunError("The run was deleted meanwhile, so the correction was not kept; press Run again.")
        now = {"groups": len(grouping.groups), "ari": ari}
        self._runs.update(run_id, config={**run.config, "corrections": pack_corrections(corrections), "now": now})

    def kept(self, scene: str) -> list[Run]:
        """Return a scene's finished runs, newest first; runs of an app that was stopped are marked as failed on the way."""
        runs = self._runs.list(KIND, scene=scene)
        for run in runs:
            if run.status == "running" and datetime.now(UTC) - run.updated_at > SILENT_FOR:
                self.fail(run.id, "The app was stopped during this run.", cancelled=False)
        return [run for run in runs if run.status == "done"]

    def open(self, run_id: int, scene: str) -> tuple[KeptRun, Corrections]:
        """Return a finished run of a scene.

        Raises:
            RunError: If there is none, or it cannot be read.
        """
        run = self._runs.get(run_id)
        if run is None or run.scene != scene or run.status != "done":
            raise RunError(f"Scene {scene!r} has no finished run {run_id}; choose another one, or press Run.")
        return self.unpack(run)

    @staticmethod
    def unpack(run: Run) -> tuple[KeptRun, Corrections]:
        """Return what a finished run holds.

        Raises:
            RunError: If it cannot be read.
        """
        return unpack_run(run), unpack_corrections(run.config.get("corrections", {}))


def pack_run(run: GroupingRun) -> dict[str, Any]:
    """Return a run as JSON values; its arrays are one compressed .npz as text."""
    graph = run.graph
    arrays = {
        "view_of": graph.view_of,
        "mask": np.asarray([key.mask for key in graph.keys], np.int64),
        "areas": graph.areas,
        "pairs": graph.evidence.pairs,
        "overlap": graph.evidence.overlap,
        "agree": graph.evidence.agree,
        "witnesses": graph.evidence.witnesses,
        "similarity": graph.evidence.similarity,
        "gap_m": graph.evidence.gap_m,
        "placed": graph.evidence.placed,
        "shared": graph.evidence.shared,
        "geometry": graph.geometry,
        "p_same": graph.p_same,
        "known_different": graph.known_different,
        **({} if graph.likeness is None else {"likeness": graph.likeness}),
        "posed_views": np.asarray(list(run.registration.poses), np.int32),
        "poses": np.asarray(list(run.registration.poses.values()), np.float64).reshape(-1, 4, 4),
    }
    found = run.registration
    return {
        "layout": LAYOUT,
        "arrays": _to_text(arrays),
        "views": [view.name for view in run.table.views],
        "reliability": asdict(graph.reliability),
        "use_geometry": graph.use_geometry,
        "same_view_repulsion": graph.same_view_repulsion,
        "geometry_scale": graph.geometry_scale,
        "novelty": graph.novelty,
        "pose_error": [found.error_before_m, found.error_after_m],
        "poses_repaired": found.accepted,
        "pairs_of_views": found.pairs,
        "calls": run.calls,
        "seconds": run.seconds,
        "warnings": list(run.warnings),
        "found": None if run.findings is None else asdict(run.findings),
    }


def unpack_run(run: Run) -> KeptRun:
    """Open what `pack_run` made.

    Raises:
        RunError: If it is of another layout or broken.
    """
    result, config = run.result, run.config
    try:
        if result["layout"] != LAYOUT:
            raise RunError(f"The run was kept by another version of the app (layout {result['layout']}); press Run again.")
        arrays = _from_text(result["arrays"])
        views = result["views"]
        keys = [MaskKey(views[v], m) for v, m in zip(arrays["view_of"].tolist(), arrays["mask"].tolist(), strict=True)]
        arrays.setdefault("gap_m", np.full(len(arrays["pairs"]), np.nan, np.float32))  # runs kept before continuations
        arrays.setdefault("shared", np.zeros(len(arrays["pairs"]), np.int32))  # runs kept before photos were placed
        arrays.setdefault("placed", np.full(len(arrays["pairs"]), np.nan, np.float32))  # runs kept before placements
        names = ("pairs", "overlap", "agree", "witnesses", "similarity", "gap_m", "placed", "shared")
        graph = MaskGraph(
            keys=tuple(keys),
            view_of=arrays["view_of"],
            areas=arrays["areas"],
            evidence=PairEvidence(*(arrays[name] for name in names)),
            geometry=arrays["geometry"],
            p_same=arrays["p_same"],
            reliability=JudgeReliability(**result["reliability"]),
            use_geometry=bool(result["use_geometry"]),
            same_view_repulsion=float(result["same_view_repulsion"]),
            geometry_scale=float(result["geometry_scale"]),
            likeness=arrays.get("likeness"),
            known_different=arrays["known_different"],
            novelty=float(result.get("novelty", 1.0)),  # runs kept before novelty weighed all of an answer
        )
        before, after = result["pose_error"]
        poses: dict[int, Float64Array] = dict(zip(arrays["posed_views"].tolist(), arrays["poses"], strict=True))
        registration = Registration(before, after, bool(result["poses_repaired"]), poses, int(result["pairs_of_views"]))
        evidence: Evidence = config["evidence"]
        options = GroupingOptions(evidence=evidence, budget=config["budget"], repair=config["repair"], lift=False)
        found = result.get("found")  # runs kept before findings have none
        return KeptRun(
            graph,
            registration,
            int(result["calls"]),
            result["seconds"],
            tuple(result["warnings"]),
            options,
            None if found is None else Findings(**found),
        )
    except (KeyError, TypeError, ValueError, IndexError, OSError, EOFError) as error:
        log.warning("run %s cannot be opened: %r", run.name, error)
        raise RunError(f"The kept run {run.name!r} cannot be read; press Run to group the scene again.") from error


def pack_corrections(corrections: Corrections) -> dict[str, Any]:
    """Return corrections as JSON values: each constraint once, then lists of their numbers."""
    number: dict[Constraint, int] = {}
    steps = [[number.setdefault(c, len(number)) for c in step] for step in (*corrections.past, corrections.constraints)]
    said = [[c.a.view, c.a.mask, c.b.view, c.b.mask, c.together, c.said_on] for c in number]
    names = [
        {"name": one.name, "masks": [[key.view, key.mask] for key in one.masks], "by": one.proposed_by, "on": one.given_on}
        for one in corrections.names
    ]
    return {"said": said, "steps": steps, "names": names}


def unpack_corrections(values: Mapping[str, Any]) -> Corrections:
    """Open what `pack_corrections` made; nothing at all is no corrections."""
    if not values:
        return Corrections()
    said = [Constraint(MaskKey(va, ma), MaskKey(vb, mb), bool(t), str(on)) for va, ma, vb, mb, t, on in values["said"]]
    steps: Sequence[Sequence[int]] = values["steps"]
    opened = [tuple(said[number] for number in step) for step in steps]
    names = tuple(
        GivenName(str(one["name"]), tuple(MaskKey(view, mask) for view, mask in one["masks"]), str(one["by"]), str(one["on"]))
        for one in values.get("names", ())  # kept before groups could be named
    )
    return Corrections(opened[-1], tuple(opened[:-1]), names)


def _to_text(arrays: Mapping[str, NDArray[Any]]) -> str:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _from_text(text: str) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
