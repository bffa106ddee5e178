"""What a run of the grouping gave and where it stands: values that are replaced, never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from db.runs import RunStatus
from engine.grouping.constraints import Constraint
from engine.grouping.graph import Evidence, Grouping
from engine.grouping.group_names import GivenName, name_groups, place_names
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingRun, Progress
from engine.types import Float32Array, Int32Array, MaskKey
from ui.stores.groupings import Corrections
from ui.view3d.paint import MaskHits
from ui.view3d.room import RoomCloud


@dataclass(frozen=True, eq=False)
class GroupCorrection:
    """What one correction changed.

    Attributes:
        words: What the person asked for.
        before: (N,) int32 group of each mask before.
        colors_before: (G,) int32 colour of each of those groups.
        moved: Masks whose group is another one now.
        ari_before: Adjusted Rand index before, None without ground truth.
        ari_after: The same after.
        seconds: How long the new cut took.
    """

    words: str
    before: Int32Array
    colors_before: Int32Array
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
        hits: Which masks the points of `room` lie in.
        colors: (G,) int32 number under which each group is shown and coloured; it stays with a group through corrections.
        looks: (N, D) float32 colours of each mask, unit length, to find groups that look alike.
        corrections: What people said.
        last: The latest correction, None at first.
        kept_as: Number of the run in the database, None where it is not kept.
        mask_names: What each mask shows ("chair"), N, None where that is unknown; () where nothing is known.
    """

    run: GroupingRun
    grouping: Grouping
    room: RoomCloud | None
    hits: MaskHits | None
    colors: Int32Array
    looks: Float32Array
    corrections: Corrections = field(default_factory=Corrections)
    last: GroupCorrection | None = None
    kept_as: int | None = None
    mask_names: tuple[str | None, ...] = ()

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What people said, oldest first."""
        return self.corrections.constraints

    @property
    def ari(self) -> float | None:
        """Adjusted Rand index of the groups as they are now, None without ground truth."""
        return score_ari(self.run, self.grouping)

    def name(self, group: int) -> str:
        """Return a group's name as the page shows it; it stays through corrections."""
        return f"group {int(self.colors[group]) + 1}"

    def called(self, group: int) -> str | None:
        """Return what a group's object is called: as it was named ("chair", or "chair?" as proposed), else as the scene says."""
        given = self.given(group)
        return given.shown if given is not None else self._called[group] if self._called else None

    def given(self, group: int) -> GivenName | None:
        """Return the name that a group was given, None where it was given none."""
        return self._given.get(group)

    def title(self, group: int) -> str:
        """Return a group's name with what its object is called, e.g. "chair, group 7"."""
        called = self.called(group)
        return self.name(group) if called is None else f"{called}, {self.name(group)}"

    def short_title(self, group: int) -> str:
        """Return the same where there is little room, e.g. "chair 7", or "group 7" where the object's name is unknown."""
        return f"{self.called(group) or 'group'} {int(self.colors[group]) + 1}"

    @cached_property
    def _called(self) -> tuple[str | None, ...]:
        return name_groups(self.grouping.labels, self.run.graph.areas, self.mask_names) if self.mask_names else ()

    @cached_property
    def _given(self) -> dict[int, GivenName]:
        return place_names(self.corrections.names, self.run.table.keys, self.grouping.labels)

    @cached_property
    def point_labels(self) -> Int32Array | None:
        """The group at each point of the room, (P,) int32, -1 = none; None without geometry."""
        return None if self.hits is None else self.hits.label(self.grouping.labels)

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
        opens_kept: Whether a kept run is being opened, rather than a new one made.
        progress: The latest report, None before the first.
        stage_started: Time on the monotonic clock at which the stage began, seconds.
        message: Why there is no result, "" where there is one or will be.
        result: The result; one of an earlier run while a new one is under way or after it failed.
    """

    version: int
    status: RunStatus
    evidence: Evidence
    opens_kept: bool = False
    progress: Progress | None = None
    stage_started: float = 0.0
    message: str = ""
    result: Result | None = None

    @property
    def is_running(self) -> bool:
        """Whether the run is under way."""
        return self.status == "running"


def score_ari(run: GroupingRun, grouping: Grouping) -> float | None:
    """Return the adjusted Rand index of groups of a run's masks, None without ground truth."""
    return score_masks(run.truth, grouping.labels).ari if run.truth is not None else None
