"""Minimum-cost multicut of a signed graph: which nodes belong together when links attract (+) or repel (-).

Greedy additive edge contraction gives a start (Keuper et al., "Efficient decomposition of image and mesh graphs by lifted
multicuts", ICCV 2015); Kernighan-Lin style moves between neighbouring clusters and joins improve it until nothing does.
Positive components are solved one by one: no optimal cluster spans two of them. Knows nothing about masks.
"""

from __future__ import annotations

import heapq
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.types import Float64Array, Int32Array

HARD = 1e7
"""Weight of a link that must (+) or must not (-) hold: more than all other links of a scene together."""
MAX_ROUNDS = 20
EXCHANGE_WORK = 24
"""Nodes that exchanges between clusters may look at, for each node of the component: bounds the time on tangled graphs."""
EPSILON = 1e-9
KICK_LOSS = 4.0
"""A node that loses more than this by moving is not doubtful."""
KICK_TARGETS = 2
KICK_FOLLOWERS = 10
SPLIT_SEEDS = 12
"""Repelling pairs of a cluster from which a split is grown."""
SPLIT_REPULSION = 1.0
"""Pairs that repel less are no seeds."""
SPLIT_WORK = 100
"""Nodes that splits may look at, for each node of the component."""

Adjacency = list[dict[int, float]]


def cut_energy(labels: Int32Array, pairs: Int32Array, weights: Float64Array) -> float:
    """Return the sum of the weights of all links inside clusters, which a multicut maximises."""
    inside = labels[pairs[:, 0]] == labels[pairs[:, 1]] if len(pairs) else np.zeros(0, bool)
    return float(weights[inside].sum())


def solve_multicut(count: int, pairs: Int32Array, weights: Float64Array) -> Int32Array:
    """Cluster the nodes of a signed graph.

    Args:
        count: Number of nodes.
        pairs: (E, 2) int32 links between different nodes; repeated links add up.
        weights: (E,) float64, positive = together, negative = apart; `HARD` and -`HARD` bind.

    Returns:
        (count,) int32 cluster of each node, numbered from 0 in order of first appearance.
    """
    pairs = np.asarray(pairs, np.int32).reshape(-1, 2)
    positive = weights > 0
    graph = coo_matrix((np.ones(int(positive.sum())), (pairs[positive, 0], pairs[positive, 1])), shape=(count, count))
    parts, part_of = connected_components(graph, directed=False)
    inside = part_of[pairs[:, 0]] == part_of[pairs[:, 1]]
    labels = np.zeros(count, np.int64)
    order = np.argsort(part_of, kind="stable")
    bounds = np.searchsorted(part_of[order], np.arange(parts + 1))
    local = np.empty(count, np.int64)
    local[order] = np.arange(count) - bounds[part_of[order]]
    links = np.flatnonzero(inside)
    links = links[np.argsort(part_of[pairs[links, 0]], kind="stable")]
    link_bounds = np.searchsorted(part_of[pairs[links, 0]], np.arange(parts + 1))
    for part in range(parts):
        nodes = order[bounds[part] : bounds[part + 1]]
        own = links[link_bounds[part] : link_bounds[part + 1]]
        if len(nodes) == 1 or not (weights[own] < 0).any():
            labels[nodes] = bounds[part]
        else:
            adjacency = _adjacency(len(nodes), local[pairs[own]], weights[own])
            labels[nodes] = bounds[part] + np.asarray(_improve(adjacency, _contract(adjacency)))
    # What no attracting link holds together is apart: moves may have taken away the nodes that connected it.
    held = positive & (labels[pairs[:, 0]] == labels[pairs[:, 1]])
    graph = coo_matrix((np.ones(int(held.sum())), (pairs[held, 0], pairs[held, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int32)


def _adjacency(count: int, pairs: NDArray[np.integer[Any]], weights: Float64Array) -> Adjacency:
    adjacency: Adjacency = [{} for _ in range(count)]
    first, second = cast("list[int]", pairs[:, 0].tolist()), cast("list[int]", pairs[:, 1].tolist())
    for a, b, weight in zip(first, second, cast("list[float]", weights.tolist()), strict=True):
        total = adjacency[a].get(b, 0.0) + weight
        adjacency[a][b] = total
        adjacency[b][a] = total
    return adjacency


def _contract(adjacency: Adjacency) -> list[int]:
    """Greedy additive edge contraction: merge the strongest attracting link until none attracts."""
    around = [dict(neighbours) for neighbours in adjacency]
    parent = list(range(len(around)))
    heap = [(-w, a, b) for a, neighbours in enumerate(around) for b, w in neighbours.items() if a < b and w > 0]
    heapq.heapify(heap)
    while heap:
        negative, a, b = heapq.heappop(heap)
        if parent[a] != a or parent[b] != b or around[a].get(b) != -negative:
            continue
        if len(around[a]) < len(around[b]):
            a, b = b, a
        parent[b] = a
        mine = around[a]
        del mine[b]
        for c, weight in around[b].items():
            if c == a:
                continue
            total = mine.get(c, 0.0) + weight
            mine[c] = total
            theirs = around[c]
            del theirs[b]
            theirs[a] = total
            if total > 0:
                heapq.heappush(heap, (-total, a, c) if a < c else (-total, c, a))
        around[b] = {}
    labels = [0] * len(parent)
    for node in range(len(parent)):
        root = node
        while parent[root] != root:
            root = parent[root]
        labels[node] = root
    return labels


def _improve(adjacency: Adjacency, labels: list[int]) -> list[int]:
    """Move single nodes, then runs of nodes between two clusters, join clusters, split clusters, until nothing gains."""
    fresh = len(labels)
    work, split_work = EXCHANGE_WORK * len(labels), SPLIT_WORK * len(labels)
    tried: set[tuple[int, int, int, int]] = set()
    for _ in range(MAX_ROUNDS):
        gained, fresh = _move_nodes(adjacency, labels, fresh)
        gained |= _join(_ties(adjacency, labels), labels)
        members: dict[int, list[int]] = {}
        for node, label in enumerate(labels):
            members.setdefault(label, []).append(node)
        ties = [(w, a, b) for a, around in _ties(adjacency, labels).items() for b, w in around.items() if a < b]
        for _, a, b in sorted(ties, reverse=True):
            size = len(members[a]) + len(members[b])
            state = (a, b, hash(tuple(members[a])), hash(tuple(members[b])))
            if state in tried or size > work or not members[a] or not members[b]:
                continue
            tried.add(state)
            work -= size
            gained |= _exchange(adjacency, labels, members, a, b)
        if not gained:
            gained, fresh = _kick(adjacency, labels, fresh)
        if not gained:
            gained, fresh, split_work = _split(adjacency, labels, fresh, split_work)
        if not gained:
            break
    return labels


def _pull(around: dict[int, float], labels: list[int]) -> dict[int, float]:
    """Sum a node's links by cluster."""
    sums: dict[int, float] = {}
    for other, weight in around.items():
        label = labels[other]
        sums[label] = sums.get(label, 0.0) + weight
    return sums


def _move_nodes(adjacency: Adjacency, labels: list[int], fresh: int) -> tuple[bool, int]:
    """Move each node to the cluster that pulls it most, or out on its own; nodes around a move are looked at again."""
    queue = list(range(len(labels)))
    waiting = set(queue)
    moved, budget = False, 20 * len(labels)
    while queue and budget:
        budget -= 1
        node = queue.pop()
        waiting.discard(node)
        sums = _pull(adjacency[node], labels)
        stay = sums.get(labels[node], 0.0)
        best, target = max(((w, label) for label, w in sums.items()), default=(0.0, labels[node]))
        if best < 0:
            best, target = 0.0, fresh
        if best > stay + EPSILON and target != labels[node]:
            fresh += target == fresh
            labels[node] = target
            moved = True
            for other in adjacency[node]:
                if other not in waiting:
                    waiting.add(other)
                    queue.append(other)
    return moved, fresh


def _kick(adjacency: Adjacency, labels: list[int], fresh: int) -> tuple[bool, int]:
    """Force each doubtful node into another cluster, let its neighbours follow while that gains, and keep it if all in all it does.

    This leaves local optima that no single move and no exchange between two clusters leaves.
    """
    kept = False
    for node, around in enumerate(adjacency):
        sums = _pull(around, labels)
        stay = sums.pop(labels[node], 0.0)
        sums[fresh] = 0.0
        for target, pull in sorted(sums.items(), key=lambda item: -item[1])[:KICK_TARGETS]:
            total = pull - stay
            if total < -KICK_LOSS or labels[node] == target:
                continue
            undo = [(node, labels[node])]
            labels[node] = target
            queue = list(around)
            spare = fresh + 1
            while queue and len(undo) < KICK_FOLLOWERS:
                other = queue.pop(0)
                if any(other == moved for moved, _ in undo):
                    continue
                others = _pull(adjacency[other], labels)
                now = others.pop(labels[other], 0.0)
                others[spare] = 0.0
                gain, where = max((w, label) for label, w in others.items())
                if gain > now + EPSILON:
                    total += gain - now
                    undo.append((other, labels[other]))
                    labels[other] = where
                    spare += where == spare
            if total > EPSILON:
                kept = True
                fresh = spare
                break
            for moved, label in reversed(undo):
                labels[moved] = label
    return kept, fresh


def _ties(adjacency: Adjacency, labels: list[int]) -> dict[int, dict[int, float]]:
    """Sum the links between each two clusters."""
    ties: dict[int, dict[int, float]] = {}
    for node, around in enumerate(adjacency):
        mine = ties.setdefault(labels[node], {})
        for other, weight in around.items():
            label = labels[other]
            if label != labels[node]:
                mine[label] = mine.get(label, 0.0) + weight
    return ties


def _join(ties: dict[int, dict[int, float]], labels: list[int]) -> bool:
    """Merge each cluster with the one that attracts it most, disjoint pairs at a time."""
    options = sorted(((w, a, b) for a, around in ties.items() for b, w in around.items() if a < b and w > EPSILON), reverse=True)
    used: set[int] = set()
    into: dict[int, int] = {}
    for _, a, b in options:
        if a not in used and b not in used:
            used |= {a, b}
            into[b] = a
    for node, label in enumerate(labels):
        labels[node] = into.get(label, label)
    return bool(into)


def _exchange(adjacency: Adjacency, labels: list[int], members: dict[int, list[int]], a: int, b: int) -> bool:
    """Kernighan-Lin between two clusters: move nodes one after another, bad moves included, and keep the best prefix."""
    nodes = members[a] + members[b]
    side = {node: a for node in members[a]} | {node: b for node in members[b]}
    gain: dict[int, float] = {}
    for node in nodes:
        own = 0.0
        for other, weight in adjacency[node].items():
            where = side.get(other)
            if where is not None:
                own += -weight if where == side[node] else weight
        gain[node] = own
    heap = [(-g, node) for node, g in gain.items()]
    heapq.heapify(heap)
    total, best, best_length, path = 0.0, EPSILON, 0, list[int]()
    while heap:
        negative, node = heapq.heappop(heap)
        if node not in gain or -negative != gain[node]:
            continue
        total += gain.pop(node)
        if total < -HARD / 2 and best_length == 0:
            break
        path.append(node)
        side[node] = b if side[node] == a else a
        if total > best:
            best, best_length = total, len(path)
        elif len(path) - best_length > 24:
            break
        for other, weight in adjacency[node].items():
            if other in gain:
                gain[other] += 2 * weight if side[other] != side[node] else -2 * weight
                heapq.heappush(heap, (-gain[other], other))
    for node in path[:best_length]:
        labels[node] = b if labels[node] == a else a
    if best_length:
        members[a] = [node for node in nodes if labels[node] == a]
        members[b] = [node for node in nodes if labels[node] == b]
    return best_length > 0


def _split(adjacency: Adjacency, labels: list[int], fresh: int, work: int) -> tuple[bool, int, int]:
    """Cut clusters in two where that gains: two halves grow from a pair that repels, then exchange nodes.

    A few wrong links can glue two large clusters, and then no node alone, and no short run of nodes, gains by leaving.
    """
    members: dict[int, list[int]] = {}
    for node, label in enumerate(labels):
        members.setdefault(label, []).append(node)
    split, queue = False, list(members)
    while queue:
        cluster = queue.pop()
        nodes = members[cluster]
        inside = set(nodes)
        seeds = sorted(
            (weight, a, b)
            for a in nodes
            for b, weight in adjacency[a].items()
            if a < b and weight < -SPLIT_REPULSION and b in inside
        )
        best, best_half = EPSILON, list[int]()
        for _, a, b in seeds[:SPLIT_SEEDS]:
            if work < len(nodes):
                return split, fresh, 0
            work -= len(nodes)
            half = _grow(adjacency, inside, a, b)
            for node in half:
                labels[node] = fresh
            halves = {cluster: [node for node in nodes if labels[node] == cluster], fresh: half}
            _exchange(adjacency, labels, halves, cluster, fresh)
            half = halves[fresh]
            gain = -sum(weight for node in half for other, weight in adjacency[node].items() if labels[other] == cluster)
            if gain > best and half and halves[cluster]:
                best, best_half = gain, half
            for node in nodes:
                labels[node] = cluster
        if best_half:
            for node in best_half:
                labels[node] = fresh
            members[cluster] = [node for node in nodes if labels[node] == cluster]
            members[fresh] = best_half
            queue += [cluster, fresh]
            split, fresh = True, fresh + 1
    return split, fresh, work


def _grow(adjacency: Adjacency, inside: set[int], a: int, b: int) -> list[int]:
    """Return b's half of a cluster: node after node joins the one of two halves, grown from a and b, that pulls it more clearly."""
    pull = dict.fromkeys(inside, 0.0)
    heap: list[tuple[float, int]] = []
    half: list[int] = []
    node: int | None = a
    while node is not None:
        # Towards b counts positive; the seeds go where they must.
        is_b = node == b or (node != a and pull[node] > 0)
        del pull[node]
        if is_b:
            half.append(node)
        for other, weight in adjacency[node].items():
            if other in pull:
                pull[other] += weight if is_b else -weight
                if other != b:
                    heapq.heappush(heap, (-abs(pull[other]), other))
        node = b if b in pull else None
        while node is None and heap:
            strength, other = heapq.heappop(heap)
            if other in pull and -strength == abs(pull[other]):
                node = other
    return half
