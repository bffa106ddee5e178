"""What is exported: the masks of a scene with the group of each, whatever they come from. Knows no format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.errors import MaskgroupError
from engine.grouping.constraints import Constraint
from engine.grouping.geometry import MaskTable
from engine.grouping.graph import Grouping
from engine.grouping.group_names import GivenName, name_groups, name_own_masks, place_names
from engine.grouping.instances import InstanceCloud, fuse_cloud, label_mesh
from engine.grouping.pipeline import GroupingRun
from engine.types import NOTHING, Float64Array, Frame, Int32Array, MaskKey, Scene

MAX_NUMBER = 65_535
"""Largest number of a group: pictures of masks have 16 bits."""


@dataclass(frozen=True)
class Origin:
    """Where groups come from; written into manifest.json.

    Attributes:
        source: In words: a kept run of the app, or a folder of `maskgroup group`.
        settings: How the scene was grouped, as JSON values.
        model: The judge that was asked, None where none was.
        corrections: What people said, oldest first.
        made: When it was grouped, "" where that is not known.
        command: The command line that groups the scene in the same way, "" where that is not known.
    """

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str | None = None
    corrections: tuple[Constraint, ...] = ()
    made: str = ""
    command: str = ""


@dataclass(frozen=True, eq=False)
class GroupedScene:
    """The masks of a scene and their groups.

    Attributes:
        scene: The scene.
        table: Its masks at the size at which they were grouped, N, with the poses that were used.
        labels: (N,) int32 row of each mask's group, -1 = none.
        confidences: (N,) float64 probability that a mask belongs to its group.
        numbers: The number of each group, as people see it: from 1, each used once.
        called: What each group's object is called ("chair"), by a person or the scene, None where that is unknown.
        pose_error_m: Error of the poses in use, metres.
        origin: Where the groups come from.
        size: (width, height) within which the frames fitted that were grouped, pixels.
    """

    scene: Scene
    table: MaskTable
    labels: Int32Array
    confidences: Float64Array
    numbers: tuple[int, ...]
    called: tuple[str | None, ...]
    pose_error_m: float
    origin: Origin
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse numbers that pictures of masks cannot hold.

        Raises:
            MaskgroupError: If there are any.
        """
        if self.numbers and (max(self.numbers) > MAX_NUMBER or min(self.numbers) < 1 or len(set(self.numbers)) < len(self.numbers)):
            raise MaskgroupError(
                f"The groups of scene {self.scene.name!r} are numbered {min(self.numbers)} to {max(self.numbers)}, expected "
                f"different numbers of 1 to {MAX_NUMBER}: masks are written with 16 bits. Group the scene again."
            )

    def title(self, group: int) -> str:
        """Return a group's name, e.g. "chair, group 7"."""
        called, name = self.called[group], f"group {self.numbers[group]}"
        return name if called is None else f"{called}, {name}"

    @cached_property
    def number_of(self) -> dict[MaskKey, int]:
        """The number of each mask's group; masks without a group are left out."""
        return {
            key: self.numbers[label] for key, label in zip(self.table.keys, self.labels.tolist(), strict=True) if label != NOTHING
        }

    @cached_property
    def masks_of(self) -> tuple[tuple[MaskKey, ...], ...]:
        """The masks of each group, in view order."""
        found = [list[MaskKey]() for _ in self.numbers]
        for key, label in zip(self.table.keys, self.labels.tolist(), strict=True):
            if label != NOTHING:
                found[int(label)].append(key)
        return tuple(tuple(keys) for keys in found)

    @cached_property
    def grouped_in(self) -> dict[str, set[int]]:
        """The masks with a group, by view."""
        found: dict[str, set[int]] = {}
        for key in self.number_of:
            found.setdefault(key.view, set[int]()).add(key.mask)
        return found

    @cached_property
    def group_confidences(self) -> tuple[float, ...]:
        """Mean confidence of each group's masks."""
        return tuple(
            float(self.confidences[self.labels == group].mean()) if masks else 0.0 for group, masks in enumerate(self.masks_of)
        )

    @cached_property
    def cloud(self) -> InstanceCloud | None:
        """The groups in 3D, labels are rows of groups: on the scene's mesh, else on a cloud of its depth; None without geometry."""
        if not self.table.has_geometry:
            return None
        mesh = self.scene.mesh
        if mesh is not None:
            return label_mesh(mesh, self.table, self.labels, pose_error_m=self.pose_error_m)
        return fuse_cloud(self.table, self.labels)

    def paint(self, frame: Frame) -> Int32Array:
        """Return the number of the group at each pixel of a frame of any size, (H, W) int32, 0 = none."""
        ids = np.asarray(sorted(frame.mask_areas), np.int64)
        if len(ids) == 0:
            return np.zeros(frame.instance_map.shape, np.int32)
        known = self.number_of
        numbers = np.asarray([known.get(MaskKey(frame.view, int(i)), 0) for i in ids], np.int32)
        place = np.minimum(np.searchsorted(ids, frame.instance_map), len(ids) - 1)
        return np.where(frame.instance_map == NOTHING, 0, numbers[place]).astype(np.int32)


def from_run(
    scene: Scene,
    run: GroupingRun,
    *,
    grouping: Grouping | None = None,
    numbers: Sequence[int] | None = None,
    given: Sequence[GivenName] = (),
    origin: Origin,
    size: tuple[int, int],
) -> GroupedScene:
    """Take the groups of a run.

    Args:
        scene: Its scene.
        run: The run.
        grouping: The groups as they are now; None = those of the run.
        numbers: The number of each group; None = from 1, in order.
        given: Names that groups were given; those that nobody has confirmed stay behind.
        origin: Where the groups come from.
        size: (width, height) within which frames fitted, pixels.
    """
    now = grouping or run.grouping
    names = name_own_masks(scene, run.truth, run.table.keys)
    called = list(name_groups(now.labels, run.table.areas, names))
    for group, name in place_names([one for one in given if not one.proposed_by], run.table.keys, now.labels).items():
        called[group] = name.name
    return GroupedScene(
        scene=scene,
        table=run.table,
        labels=now.labels,
        confidences=now.confidences,
        numbers=tuple(numbers if numbers is not None else range(1, len(now.groups) + 1)),
        called=tuple(called),
        pose_error_m=run.registration.error_after_m,
        origin=origin,
        size=size,
    )


def place_labels(table: MaskTable, group_of: Mapping[MaskKey, int], numbers: Sequence[int]) -> Int32Array:
    """Return the row of each mask's group, (N,) int32, -1 where a mask has none.

    Args:
        table: The masks.
        group_of: Number of each mask's group.
        numbers: The numbers, in the order of rows.
    """
    row_of = {number: row for row, number in enumerate(numbers)}
    return np.asarray([row_of[group_of[key]] if key in group_of else NOTHING for key in table.keys], np.int32)
