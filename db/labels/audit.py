"""Finds labels that cannot all be right: contradictions, people who disagree, repeated decisions. Runs no query."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from db.labels.rows import Label
from db.labels.settling import settle
from engine.types import MaskKey, MaskPair


@dataclass(frozen=True)
class LabelContradiction:
    """Masks that "same" labels join and a "different" label separates.

    Attributes:
        scene: Name of the scene.
        cycle: The shortest chain of masks, each labelled "same" as the next; first and last are labelled "different".
        label_ids: The labels along the chain, then the one that says "different".
    """

    scene: str
    cycle: tuple[MaskKey, ...]
    label_ids: tuple[int, ...]


@dataclass(frozen=True)
class Disagreement:
    """A pair that people labelled both "same" and "different"; `label_ids` lists all labels that count, oldest first."""

    scene: str
    pair: MaskPair
    label_ids: tuple[int, ...]


@dataclass(frozen=True)
class Duplicate:
    """A pair that one person labelled several times without undoing; the last of `label_ids` counts."""

    scene: str
    pair: MaskPair
    annotator: str
    label_ids: tuple[int, ...]


@dataclass(frozen=True)
class AuditReport:
    """Everything that was found, each kind in the order of the labels."""

    n_labels: int
    contradictions: tuple[LabelContradiction, ...]
    disagreements: tuple[Disagreement, ...]
    duplicates: tuple[Duplicate, ...]

    @property
    def is_clean(self) -> bool:
        """Whether all labels can be right; a duplicate alone is not a fault."""
        return not self.contradictions and not self.disagreements


def audit(current: Iterable[Label], history: Iterable[Label]) -> AuditReport:
    """Examine labels.

    Args:
        current: The labels that count, oldest first.
        history: All labels ever given, undone ones included.
    """
    counting = list(current)
    return AuditReport(
        n_labels=len(counting),
        contradictions=tuple(find_contradictions(counting)),
        disagreements=tuple(find_disagreements(counting)),
        duplicates=tuple(find_duplicates(history)),
    )


def find_contradictions(current: Iterable[Label]) -> list[LabelContradiction]:
    """Return a shortest cycle for every "different" label whose masks are joined by "same" labels.

    If people disagree on a pair, its settled answer is used here (`db.labels.settling`); the disagreement is reported separately.
    """
    by_scene: dict[str, dict[MaskPair, Label]] = defaultdict(dict)
    for entry in settle(current):
        if entry.decision in ("same", "different"):
            by_scene[entry.scene][entry.pair] = entry.label
    found: list[LabelContradiction] = []
    for scene, labels in by_scene.items():
        joined: dict[MaskKey, dict[MaskKey, Label]] = defaultdict(dict)
        for pair, label in labels.items():
            if label.decision == "same":
                joined[pair.a][pair.b] = joined[pair.b][pair.a] = label
        for pair, label in labels.items():
            chain = _shortest_chain(joined, pair) if label.decision == "different" else None
            if chain is not None:
                links = [joined[a][b].id for a, b in pairwise(chain)]
                found.append(LabelContradiction(scene, tuple(chain), (*links, label.id)))
    return found


def find_disagreements(current: Iterable[Label]) -> list[Disagreement]:
    """Return the pairs that somebody called "same" and somebody else "different", and that no gold label settles."""
    by_pair: dict[tuple[str, MaskPair], list[Label]] = defaultdict(list)
    settled: set[tuple[str, MaskPair]] = set()
    for label in current:
        if label.is_gold:
            settled.add((label.scene, label.pair.canonical()))
        elif label.decision in ("same", "different"):
            by_pair[label.scene, label.pair.canonical()].append(label)
    return [
        Disagreement(scene, pair, tuple(label.id for label in labels))
        for (scene, pair), labels in by_pair.items()
        if len(Counter(label.decision for label in labels)) > 1 and (scene, pair) not in settled
    ]


def find_duplicates(history: Iterable[Label]) -> list[Duplicate]:
    """Return the pairs that a person labelled more than once without undoing the earlier label."""
    rows = list(history)
    undone = {row.undoes for row in rows}
    by_person: dict[tuple[str, MaskPair, str, bool], list[Label]] = defaultdict(list)
    for row in rows:
        if row.undoes is None and row.id not in undone:
            by_person[row.scene, row.pair.canonical(), row.annotator, row.is_gold].append(row)
    return [
        Duplicate(*key[:3], tuple(row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id))))
        for key, rows in by_person.items()
        if len(rows) > 1
    ]


def _shortest_chain(joined: dict[MaskKey, dict[MaskKey, Label]], ends: MaskPair) -> list[MaskKey] | None:
    """Return the masks from one end to the other along "same" labels, by breadth-first search; None if there is no path."""
    if ends.a not in joined or ends.b not in joined:
        return None
    came_from: dict[MaskKey, MaskKey | None] = {ends.a: None}
    waiting = deque([ends.a])
    while waiting:
        mask = waiting.popleft()
        if mask == ends.b:
            chain = [mask]
            while (before := came_from[chain[-1]]) is not None:
                chain.append(before)
            return chain[::-1]
        for neighbour in joined[mask]:
            if neighbour not in came_from:
                came_from[neighbour] = mask
                waiting.append(neighbour)
    return None
