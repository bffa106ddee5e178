"""What people said about pairs of masks, and what to do when it cannot all hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from engine.types import MaskKey


@dataclass(frozen=True)
class Constraint:
    """Two masks that must (`together`) or must not be one object.

    Attributes:
        a: One mask.
        b: The other mask.
        together: Whether they are one object.
        said_on: Day on which a person said so, e.g. "2026-11-23"; "" where nobody noted it. Two sayings of one thing are equal.
    """

    a: MaskKey
    b: MaskKey
    together: bool
    said_on: str = field(default="", compare=False)


@dataclass(frozen=True)
class ConstraintConflict:
    """A constraint that older ones rule out.

    Attributes:
        constraint: The one that was set aside.
        cycle: The fewest constraints that cannot hold together, `constraint` last.
    """

    constraint: Constraint
    cycle: tuple[Constraint, ...]

    def __str__(self) -> str:
        steps = "; ".join(f"{c.a} and {c.b} are {'the same' if c.together else 'different'}" for c in self.cycle)
        return f"These cannot all be true: {steps}. The last one was set aside; undo one of them."


def settle_constraints(
    constraints: Sequence[Constraint], *, known: Collection[MaskKey]
) -> tuple[tuple[Constraint, ...], tuple[ConstraintConflict, ...]]:
    """Keep the constraints that can hold together.

    Args:
        constraints: Oldest first. A repeated pair counts once.
        known: Masks of the scene; constraints on others are left out.

    Returns:
        Constraints that hold, and for each other one the shortest cycle that rules it out.
    """
    held: list[Constraint] = []
    refused: list[ConstraintConflict] = []
    links: dict[MaskKey, dict[MaskKey, Constraint]] = {}
    parts = _Parts()
    apart: list[Constraint] = []
    for constraint in constraints:
        a, b = constraint.a, constraint.b
        if a not in known or b not in known or (a == b and constraint.together):
            continue
        if not constraint.together:
            path = _path(links, a, b) if parts.of(a) == parts.of(b) else None
            if path is not None:
                refused.append(ConstraintConflict(constraint, (*path, constraint)))
                continue
            apart.append(constraint)
        else:
            cycle = _shortest_conflict(links, parts, apart, constraint)
            if cycle is not None:
                refused.append(ConstraintConflict(constraint, (*cycle, constraint)))
                continue
            links.setdefault(a, {}).setdefault(b, constraint)
            links.setdefault(b, {}).setdefault(a, constraint)
            parts.join(a, b)
        held.append(constraint)
    return tuple(held), tuple(refused)


class _Parts:
    """Which masks must-links have tied together so far, so that paths are looked for only where there is one."""

    def __init__(self) -> None:
        self._parent: dict[MaskKey, MaskKey] = {}

    def of(self, key: MaskKey) -> MaskKey:
        while (parent := self._parent.get(key, key)) != key:
            self._parent[key] = self._parent.get(parent, parent)
            key = parent
        return key

    def join(self, a: MaskKey, b: MaskKey) -> None:
        self._parent[self.of(a)] = self.of(b)


def _path(links: dict[MaskKey, dict[MaskKey, Constraint]], start: MaskKey, goal: MaskKey) -> tuple[Constraint, ...] | None:
    """Shortest chain of must-links from `start` to `goal`, empty where they are one mask, None where there is none."""
    came: dict[MaskKey, tuple[MaskKey, Constraint] | None] = {start: None}
    queue = deque([start])
    while queue:
        key = queue.popleft()
        if key == goal:
            chain: list[Constraint] = []
            step = came[key]
            while step is not None:
                chain.append(step[1])
                step = came[step[0]]
            return tuple(reversed(chain))
        for other, constraint in links.get(key, {}).items():
            if other not in came:
                came[other] = (key, constraint)
                queue.append(other)
    return None


def _shortest_conflict(
    links: dict[MaskKey, dict[MaskKey, Constraint]], parts: _Parts, apart: Sequence[Constraint], new: Constraint
) -> tuple[Constraint, ...] | None:
    """Fewest held constraints that a new must-link would contradict, None where it contradicts nothing."""
    best: tuple[Constraint, ...] | None = None
    joined = {parts.of(new.a), parts.of(new.b)}
    for limit in apart:
        if {parts.of(limit.a), parts.of(limit.b)} != joined:
            continue
        for first, second in ((limit.a, limit.b), (limit.b, limit.a)):
            left = _path(links, first, new.a)
            right = None if left is None else _path(links, new.b, second)
            if left is not None and right is not None and (best is None or len(left) + len(right) + 1 < len(best)):
                best = (*left, limit, *right)
    return best
