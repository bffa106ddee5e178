"""From many people's labels on a pair to one decision: gold, else the majority, else the latest. Runs no query."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from db.labels.rows import Label
from engine.types import Decision, MaskPair

Basis = Literal["gold", "majority", "latest"]


@dataclass(frozen=True)
class Settled:
    """What a pair counts as.

    Attributes:
        scene: Name of the scene.
        pair: The masks in canonical order.
        decision: What counts; "unsure" if nobody could tell, "skip" if everybody skipped the pair.
        basis: Why: a gold label, the majority, or the latest label if there is no majority.
        label: The latest label with this decision, which stands for the others.
        said: How many people said what, gold labels left out.
    """

    scene: str
    pair: MaskPair
    decision: Decision
    basis: Basis
    label: Label
    said: dict[Decision, int]


def settle(current: Iterable[Label]) -> list[Settled]:
    """Decide every pair.

    Only "same" and "different" count. "unsure" results if neither was said, "skip" if nothing else was.

    Args:
        current: The newest label of each annotator on each pair.

    Returns:
        One entry a pair, in the order in which the pairs were first labelled.
    """
    by_pair: dict[tuple[str, MaskPair], list[Label]] = defaultdict(list)
    for label in current:
        by_pair[label.scene, label.pair.canonical()].append(label)
    return [_settle_pair(*key, sorted(labels, key=lambda row: (row.created_at, row.id))) for key, labels in by_pair.items()]


def _settle_pair(scene: str, pair: MaskPair, labels: list[Label]) -> Settled:
    said: Counter[Decision] = Counter(label.decision for label in labels if not label.is_gold)
    gold = [label for label in labels if label.is_gold]
    if gold:
        return Settled(scene, pair, gold[-1].decision, "gold", gold[-1], dict(said))
    weighty = next(
        chosen
        for wanted in (("same", "different"), ("unsure",), ("skip",))
        if (chosen := [label for label in labels if label.decision in wanted])
    )
    tally: Counter[Decision] = Counter(label.decision for label in weighty)
    ranked = tally.most_common()
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return Settled(scene, pair, weighty[-1].decision, "latest", weighty[-1], dict(said))
    winner = ranked[0][0]
    last = [label for label in weighty if label.decision == winner][-1]
    return Settled(scene, pair, winner, "majority", last, dict(said))
