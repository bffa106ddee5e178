"""What a person's answer on a link would change: how likely it is to contradict the groups, and how many masks would move.

Links that would change the same thing form one event: all links between two groups (they may be one object), or all links
across the weakest place inside a group (it may be two objects). Knows nothing about people, files or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix

from engine.grouping.constraints import Constraint
from engine.grouping.graph import Grouping, MaskGraph
from engine.types import Float64Array, Int32Array

SHARED_BY_NEIGHBOURS = 0.5
"""Views, of those of the smaller one, that two neighbouring objects are expected to share."""
SHARED_BY_PARTS = 0.1
"""Views that two groups of one object are expected to share: one object has one mask a view, but a group may hold a stray mask."""
TOLD = 30.0
"""Log-odds of a link on which a person has decided."""


@dataclass(frozen=True, eq=False)
class LinkValues:
    """What each link is worth, E links.

    Attributes:
        event: (E,) int32 the event that a link belongs to.
        p_change: (E,) float64 probability, estimated from the links, that a true answer contradicts the groups.
        moved: (E,) int32 masks that would then change their group.
        is_inside: (E,) bool whether both masks are in one group now.
        is_told: (E,) bool whether a person has decided about the link.
    """

    event: Int32Array
    p_change: Float64Array
    moved: Int32Array
    is_inside: np.ndarray
    is_told: np.ndarray

    @property
    def worth(self) -> Float64Array:
        """(E,) float64 masks expected to move to their right group by a label on each link."""
        return np.where(self.is_told, 0.0, self.p_change * self.moved)


def value_links(graph: MaskGraph, grouping: Grouping, constraints: Sequence[Constraint] = ()) -> LinkValues:
    """Value all links of a graph.

    Args:
        graph: The scene's masks and the links between them, weighed.
        grouping: The groups of this graph under `constraints`.
        constraints: Pairs that people called same or different.
    """
    pairs, weights = graph.evidence.pairs, graph.weights
    told = _told(graph, constraints)
    weights = np.where(told != 0, told * TOLD, weights)
    labels = grouping.labels
    a, b = labels[pairs[:, 0]].astype(np.int64), labels[pairs[:, 1]].astype(np.int64)
    inside = a == b
    sizes = np.bincount(labels, minlength=1)
    event = np.zeros(len(pairs), np.int64)
    moved = np.zeros(len(pairs), np.int32)
    between = np.flatnonzero(~inside)
    if len(between):
        low, high = np.minimum(a, b)[between], np.maximum(a, b)[between]
        _, event[between] = np.unique(low << 32 | high, return_inverse=True)
        moved[between] = np.minimum(sizes[low], sizes[high])
    first = int(event[between].max(initial=-1)) + 1
    order = np.flatnonzero(inside)[np.argsort(a[inside], kind="stable")]
    starts = np.flatnonzero(np.r_[True, a[order][1:] != a[order][:-1]]) if len(order) else np.zeros(0, int)
    for links in np.split(order, starts[1:]) if len(order) else []:
        inner, parts = _merge_events(pairs[links], weights[links])
        event[links], moved[links] = first + inner, parts
        first += int(inner.max()) + 1
    rivalry = np.zeros(first)
    if len(between):
        rivalry[event[between]] = _rivalry(graph, grouping, labels[pairs[between]])
    ties = np.bincount(event, weights=weights, minlength=first)
    counts = np.bincount(event, minlength=first)
    # Links of one event are not independent, so n of them count as the square root of n.
    evened = np.clip((ties / np.sqrt(np.maximum(counts, 1)) + rivalry)[event], -TOLD, TOLD)
    p_same = 1 / (1 + np.exp(-evened))
    p_change = np.where(inside, 1 - p_same, p_same)
    return LinkValues(event.astype(np.int32), p_change, moved, inside, told != 0)


def pick_representatives(graph: MaskGraph, grouping: Grouping, values: LinkValues) -> Int32Array:
    """Return one open link for each event, the easiest one to judge: large masks that surely belong to their groups.

    Returns:
        (events with an open link,) int32 links, in no particular order.
    """
    pairs = graph.evidence.pairs
    sure = np.minimum(grouping.confidences[pairs[:, 0]], grouping.confidences[pairs[:, 1]])
    size = np.sqrt(np.minimum(graph.areas[pairs[:, 0]], graph.areas[pairs[:, 1]]).astype(np.float64))
    clear = np.where(values.is_told | graph.is_same_view, -1.0, (0.2 + sure) * size)
    order = np.lexsort((-clear, values.event))
    is_first = np.r_[True, values.event[order][1:] != values.event[order][:-1]] if len(order) else np.zeros(0, bool)
    best = order[is_first]
    return best[clear[best] >= 0].astype(np.int32)


def _told(graph: MaskGraph, constraints: Sequence[Constraint]) -> Int32Array:
    """(E,) int32: 1 where a person said "same" of a link, -1 where "different", 0 where nobody said anything."""
    said = {(c.a, c.b): 1 if c.together else -1 for c in constraints}
    said |= {(b, a): sign for (a, b), sign in said.items()}
    told = np.zeros(len(graph.evidence), np.int32)
    if not said:
        return told
    rows = {key: row for row, key in enumerate(graph.keys)}
    count = len(graph.keys)
    pairs = graph.evidence.pairs.astype(np.int64)
    codes = pairs[:, 0] * count + pairs[:, 1]
    order = np.argsort(codes)
    for (a, b), sign in said.items():
        if a in rows and b in rows and rows[a] < rows[b]:
            at = int(np.searchsorted(codes[order], rows[a] * count + rows[b]))
            if at < len(codes) and codes[order[at]] == rows[a] * count + rows[b]:
                told[order[at]] = sign
    return told


def _rivalry(graph: MaskGraph, grouping: Grouping, groups: Int32Array) -> Float64Array:
    """Log-odds of "one object" for pairs of groups, (L, 2) int32, by the views that show both; (L,) float64.

    One object has one mask a view, so its parts share next to none; two neighbours share many. Both numbers are taken as Poisson.
    """
    views = coo_matrix((np.ones(len(graph.view_of)), (grouping.labels, graph.view_of))).tocsr()
    views.data[:] = 1.0
    shared = np.asarray(views[groups[:, 0]].multiply(views[groups[:, 1]]).sum(axis=1)).ravel()
    count = np.asarray(views.sum(axis=1)).ravel()
    apart = np.maximum(SHARED_BY_NEIGHBOURS * np.minimum(count[groups[:, 0]], count[groups[:, 1]]), 2 * SHARED_BY_PARTS)
    return (apart - SHARED_BY_PARTS) - shared * np.log(apart / SHARED_BY_PARTS)


def _merge_events(pairs: Int32Array, weights: Float64Array) -> tuple[Int32Array, Int32Array]:
    """Join a group's masks by its strongest links first, as Kruskal's spanning tree does.

    Args:
        pairs: (L, 2) int32 the links inside one group.
        weights: (L,) float64.

    Returns:
        (L,) int32 number of the join that first connects a link's ends, and (L,) int32 masks in the smaller of the two parts.
    """
    nodes, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    count = len(nodes)
    joined_at = np.full((count, count), -1, np.int32)
    smaller: list[int] = []
    part_of = list(range(count))
    members: list[list[int]] = [[node] for node in range(count)]
    strongest_first: list[int] = np.argsort(-weights, kind="stable").tolist()
    for link in strongest_first:
        one, two = part_of[int(ends[link, 0])], part_of[int(ends[link, 1])]
        if one == two:
            continue
        if len(members[one]) < len(members[two]):
            one, two = two, one
        joined_at[np.ix_(members[one], members[two])] = len(smaller)
        joined_at[np.ix_(members[two], members[one])] = len(smaller)
        smaller.append(len(members[two]))
        for node in members[two]:
            part_of[node] = one
        members[one] += members[two]
        members[two] = []
    inner = joined_at[ends[:, 0], ends[:, 1]]
    return inner, np.asarray(smaller, np.int32)[inner]
