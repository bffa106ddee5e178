"""Lets a person's answer on one pair also count for masks that surely belong to the same objects.

If poses are off, all links between two parts of an object are wrong in the same way, and outvote a single "same" between two of its
masks. So masks that are tightly linked form a supernode. An answer on a pair counts as evidence for all links between the pair's
two supernodes. It binds only the pair itself; other masks of the supernodes may still go elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.grouping.constraints import Constraint
from engine.grouping.graph import Grouping, MaskGraph
from engine.types import Int32Array

TIGHT = 1.0
"""Log-odds from which a link inside a group holds a supernode together."""
SPREAD = 5.0
"""Log-odds that an answer adds to the other links between two supernodes: more than geometry claims at most."""


def find_supernodes(graph: MaskGraph, grouping: Grouping) -> Int32Array:
    """Return the supernode of each mask, (N,) int32: parts of groups that hang together by tight links.

    Args:
        graph: The scene's masks and the links between them, weighed.
        grouping: Their groups before anybody said anything.
    """
    pairs, count = graph.evidence.pairs, len(graph.keys)
    tight = (grouping.labels[pairs[:, 0]] == grouping.labels[pairs[:, 1]]) & (graph.weights >= TIGHT)
    links = coo_matrix((np.ones(int(tight.sum())), (pairs[tight, 0], pairs[tight, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int32)


def spread_labels(graph: MaskGraph, supernodes: Int32Array, constraints: Sequence[Constraint]) -> MaskGraph:
    """Return the graph with people's answers spread over the links between supernodes.

    Supernodes that were called the same count as one from then on. Two supernodes with as many answers for as against stay
    unchanged.

    Args:
        graph: Masks and links before any answers are spread.
        supernodes: (N,) int32 from `find_supernodes`.
        constraints: Pairs that people called same or different.
    """
    rows = {key: row for row, key in enumerate(graph.keys)}
    net: Counter[tuple[int, int]] = Counter()
    for said in constraints:
        if said.a in rows and said.b in rows:
            one, two = sorted((int(supernodes[rows[said.a]]), int(supernodes[rows[said.b]])))
            net[one, two] += 1 if said.together else -1
    joined = np.asarray([key for key, sign in net.items() if sign > 0], np.int32).reshape(-1, 2)
    apart = [key for key, sign in net.items() if sign < 0]
    count = int(supernodes.max(initial=-1)) + 1
    links = coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(count, count))
    part = np.asarray(connected_components(links, directed=False)[1], np.int64)
    torn = {tuple(sorted((int(part[a]), int(part[b])))) for a, b in apart}
    ends = supernodes[graph.evidence.pairs]
    a, b = part[ends[:, 0]], part[ends[:, 1]]
    shift = np.where((a == b) & (ends[:, 0] != ends[:, 1]), SPREAD, 0.0)
    if torn:
        codes = np.asarray([low * count + high for low, high in torn])
        is_torn = np.isin(np.minimum(a, b) * count + np.maximum(a, b), codes)
        # If two supernodes were called both the same and different, nothing follows for their other masks.
        shift = np.where(is_torn, np.where(a == b, 0.0, -SPREAD), shift)
    scale = graph.geometry_scale if graph.geometry_scale > 0 else 1.0
    return replace(graph, geometry=graph.geometry + shift / scale)
