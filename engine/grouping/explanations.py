"""Says in words why two masks are, or are not, one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from engine.grouping.constraints import Constraint
from engine.grouping.graph import Grouping, MaskGraph
from engine.grouping.multicut import HARD
from engine.types import MaskKey

MAX_SAID = 3
"""Things people said that are listed before the links, newest last."""


@dataclass(frozen=True)
class Link:
    """One link of the graph, explained.

    Attributes:
        a: One mask.
        b: The other mask.
        log_odds: Its weight: positive speaks for one object.
        joined: Whether both are in one group.
        evidence: In words, e.g. "VLM 0.91, overlap 0.62, one object in 6 of 7 views".
    """

    a: MaskKey
    b: MaskKey
    log_odds: float
    joined: bool
    evidence: str


def explain_group(
    graph: MaskGraph, grouping: Grouping, group: int, *, constraints: Sequence[Constraint] = (), limit: int = 20
) -> list[Link]:
    """Return the links of a group that say most: its own first, then those that were cut although they attract.

    Args:
        graph: The graph that was cut.
        grouping: Its cut.
        group: Id of the group.
        constraints: What people said.
        limit: Links at most.
    """
    pairs, weights = graph.evidence.pairs, graph.weights
    a, b = grouping.labels[pairs[:, 0]] == group, grouping.labels[pairs[:, 1]] == group
    inside = np.flatnonzero(a & b)
    outside = np.flatnonzero((a ^ b) & (weights > 0))
    ranked = [*inside[np.argsort(-np.abs(weights[inside]), kind="stable")], *outside[np.argsort(-weights[outside], kind="stable")]]
    explained = [explain_link(graph, grouping, int(link), constraints=constraints) for link in ranked[:limit]]
    shown = {frozenset((link.a, link.b)) for link in explained}
    # What people said binds whether or not anything else links the two masks.
    said = [link for link in _said(graph, grouping, group, constraints) if frozenset((link.a, link.b)) not in shown]
    return [*said[-MAX_SAID:], *explained][:limit]


def _said(graph: MaskGraph, grouping: Grouping, group: int, constraints: Sequence[Constraint]) -> list[Link]:
    row_of = {key: row for row, key in enumerate(graph.keys)} if constraints else {}
    links: list[Link] = []
    for constraint in constraints:
        rows = row_of.get(constraint.a), row_of.get(constraint.b)
        if None in rows:
            continue
        first, second = (int(grouping.labels[row]) for row in rows)
        if group in (first, second) and (first == second) == constraint.together:
            log_odds = HARD if constraint.together else -HARD
            links.append(Link(constraint.a, constraint.b, log_odds, first == second, _say(constraint)))
    return links


def _say(constraint: Constraint) -> str:
    day = f" on {constraint.said_on}" if constraint.said_on else ""
    return f"you said {'same' if constraint.together else 'different'}{day}"


def explain_link(graph: MaskGraph, grouping: Grouping, link: int, *, constraints: Sequence[Constraint] = ()) -> Link:
    """Explain the link with the given index."""
    first, second = cast("list[int]", graph.evidence.pairs[link].tolist())
    a, b = graph.keys[first], graph.keys[second]
    words: list[str] = []
    if not np.isnan(graph.p_same[link]):
        words.append(f"VLM {graph.p_same[link]:.2f}")
    if not np.isnan(graph.evidence.overlap[link]):
        words.append(f"overlap {graph.evidence.overlap[link]:.2f}")
    if graph.evidence.witnesses[link]:
        seen = int(graph.evidence.witnesses[link])
        words.append(f"one object in {int(graph.evidence.agree[link])} of {seen} view{'s' if seen > 1 else ''}")
    if graph.evidence.shared[link]:
        shared = int(graph.evidence.shared[link])
        words.append(f"{shared} point{'s' if shared > 1 else ''} of the photos on both")
    if not np.isnan(graph.evidence.similarity[link]):
        words.append(f"looks {graph.evidence.similarity[link]:.2f} alike")
    if not np.isnan(graph.evidence.gap_m[link]):
        words.append(f"in one plane, the surface goes on {100 * graph.evidence.gap_m[link]:.0f} cm away")
    if not np.isnan(graph.evidence.placed[link]):
        words.append(f"other views show this object in the mask's place, fit {graph.evidence.placed[link]:.2f}")
    if a.view == b.view:
        words.append("in one picture")
    for constraint in constraints:
        if {constraint.a, constraint.b} == {a, b}:
            words.append(_say(constraint))
    joined = bool(grouping.labels[first] == grouping.labels[second])
    return Link(a, b, float(graph.weights[link]), joined, ", ".join(words) or "no evidence")
