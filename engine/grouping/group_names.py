"""What groups are called, by the objects that their masks show. Knows masks and groups, never where names come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from engine.types import NOTHING, Int32Array, MaskKey, Scene

UNSURE = "?"
"""Follows a name that a model proposed and nobody has confirmed."""
LEAST_SHARE = 0.5
"""A group is called by a class that more than this share of its named area has."""


@dataclass(frozen=True)
class GivenName:
    """A name that was given to a group.

    Attributes:
        name: The name.
        masks: The group's masks when it was given: they are how the group is found again after corrections.
        proposed_by: The model that proposed it while no person has confirmed it, "" where a person gave it.
        given_on: When, as ISO 8601.
    """

    name: str
    masks: tuple[MaskKey, ...]
    proposed_by: str = ""
    given_on: str = ""

    @property
    def shown(self) -> str:
        """The name as it is shown: a proposal ends in a question mark."""
        return f"{self.name}{UNSURE}" if self.proposed_by else self.name


def place_names(given: Sequence[GivenName], keys: Sequence[MaskKey], labels: Int32Array) -> dict[int, GivenName]:
    """Find the groups that given names belong to now.

    A name goes with most of its masks. Where several come to one group, that of most masks counts, of equal ones the latest.

    Args:
        given: The names, oldest first.
        keys: All masks, N.
        labels: (N,) int32 group of each, -1 = none.
    """
    group_of = {key: label for key, label in zip(keys, labels.tolist(), strict=True) if label != NOTHING}
    placed: dict[int, tuple[int, GivenName]] = {}
    for name in given:
        groups = Counter(group_of[key] for key in name.masks if key in group_of)
        if not groups:
            continue
        group, count = groups.most_common(1)[0]
        if group not in placed or count >= placed[group][0]:
            placed[group] = count, name
    return {group: name for group, (_, name) in placed.items()}


def give_names(
    given: Sequence[GivenName],
    groups: Mapping[int, Sequence[MaskKey]],
    names: Mapping[int, str],
    *,
    replaced: Sequence[GivenName],
    proposed_by: str = "",
) -> tuple[GivenName, ...]:
    """Return names with new ones.

    Args:
        given: All names so far, oldest first.
        groups: The masks of each group that gets a name.
        names: Its new name, "" = none.
        replaced: The names that these groups have now.
        proposed_by: The model that proposes them, "" = a person gives them.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kept = [one for one in given if not any(one is other for other in replaced)]
    return (*kept, *(GivenName(name, tuple(groups[group]), proposed_by, when) for group, name in names.items() if name))


def name_masks(truth: Int32Array | None, count: int, name_of: Callable[[int], str | None]) -> tuple[str | None, ...]:
    """Return what each mask shows, None where that is unknown.

    Args:
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        count: Number of masks.
        name_of: What an object is called.
    """
    if truth is None:
        return (None,) * count
    known = {int(instance): name_of(int(instance)) for instance in np.unique(truth) if instance != NOTHING}
    return tuple(known.get(int(instance)) for instance in truth)


def name_own_masks(scene: Scene, truth: Int32Array | None, keys: Sequence[MaskKey]) -> tuple[str | None, ...]:
    """Return what each mask is called: as the tool that made it says, else as the object that it shows; None = unknown.

    Args:
        scene: Where the masks come from.
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        keys: The masks, N.
    """
    own = tuple(scene.mask_name_of(key.mask) for key in keys)
    return own if any(own) else name_masks(truth, len(keys), scene.name_of)


def name_groups(labels: Int32Array, areas: Int32Array, names: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return what each group is called: as most of its masks' area is, None where nothing has more than half.

    Args:
        labels: (N,) int32 group of each mask.
        areas: (N,) int32 pixels of each mask.
        names: What each mask shows, N.
    """
    shown = [Counter[str]() for _ in range(int(labels.max(initial=NOTHING)) + 1)]
    for label, area, name in zip(labels.tolist(), areas.tolist(), names, strict=True):
        if label != NOTHING and name is not None:
            shown[label][name] += area
    called: list[str | None] = []
    for areas_by_name in shown:
        name, area = areas_by_name.most_common(1)[0] if areas_by_name else ("", 0)
        called.append(name if area > LEAST_SHARE * areas_by_name.total() else None)
    return tuple(called)
