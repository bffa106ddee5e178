"""What people said of one scene, up to a row of the history; read and looked through once, until another row is written."""

from __future__ import annotations

from functools import cached_property

from db.labels.audit import LabelContradiction, find_contradictions
from engine.types import MaskPair
from ui.services.workbench import Workbench


class SceneLabels:
    """The labels of a scene that count.

    Args:
        bench: Keeps labels and opens scenes.
        scene: Name of the scene.
        newest: Number of the newest row of all labels, asked for before these are read.
    """

    def __init__(self, bench: Workbench, scene: str, newest: int) -> None:
        self.newest = newest
        self._bench, self._scene = bench, scene
        self.people: dict[MaskPair, set[str]] = bench.labels.people_by_pair(scene)
        """Who has a label on each pair; pairs in canonical order."""

    @cached_property
    def stale(self) -> int:
        """How many labels are about masks or views that are not there any more."""
        return sum(len(self.people[pair]) for pair in self._bench.stale_pairs(self._scene, self.people))

    @cached_property
    def contradictions(self) -> list[LabelContradiction]:
        """Labels that cannot all be right."""
        # Labels on masks that are gone can no longer be looked at: they are stale, and stop nothing.
        labels = self._bench.labels.current(self._scene)
        stale = {label.id for label in self._bench.stale_labels(labels)}
        return find_contradictions(label for label in labels if label.id not in stale)
