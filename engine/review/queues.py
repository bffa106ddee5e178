"""Orders the links of a grouping by how much they deserve a person's time, and says why. People's answers are an input.

Each queue is a function from a `LinkPool` to links, best first. Handing out pairs and drawing pictures is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from engine.grouping.graph import Grouping, MaskGraph
from engine.review.link_values import LinkValues, pick_representatives
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array, MaskPair

QueueKind = Literal["impact", "uncertain", "disagreement", "contradictions", "geometry", "diverse", "random"]
QUEUES: tuple[QueueKind, ...] = get_args(QueueKind)
SURE_GEOMETRY = 1.0
"""Log-odds from which geometry counts as having an opinion."""
MAX_DIVERSE = 200
DIVERSE_POOL = 3000
WORTH_OF = 20
"""A queue's worth is the mean over its next so many pairs."""


@dataclass(frozen=True, eq=False)
class LinkPool:
    """The links of a scene with all that is known about them, E links of N masks.

    Attributes:
        graph: Masks and links.
        grouping: Their groups now.
        values: What a label on each link would change.
        p_same: (E,) float32 the judge's probability of "same", NaN where it was not asked.
        p_rival: (E,) float32 another judge's, NaN where it was not asked.
        threshold: Probability from which a judge's answer is "same".
        described: (N, D) float32 appearance of each mask; None if the queue "diverse" is not wanted.
        is_done: (E,) bool links that are not to be shown: labelled, filtered out, or with somebody else.
    """

    graph: MaskGraph
    grouping: Grouping
    values: LinkValues
    p_same: Float32Array
    p_rival: Float32Array
    threshold: float
    described: Float32Array | None
    is_done: BoolArray

    @property
    def is_open(self) -> BoolArray:
        """(E,) links that may be shown: masks of two views on which nobody has decided."""
        return ~self.is_done & ~self.graph.is_same_view & ~self.values.is_told

    def pair(self, link: int) -> MaskPair:
        """Return the masks of a link."""
        a, b = self.graph.evidence.pairs[link]
        return MaskPair(self.graph.keys[int(a)], self.graph.keys[int(b)])


def order_links(kind: QueueKind, pool: LinkPool, *, seed: int = 0) -> Int32Array:
    """Return the links of a queue, best first, as (n,) int32; it is empty for "contradictions", which are about labels, not links.

    Args:
        kind: What a pair is worth showing for.
        pool: The scene's links with their values; done ones are left out.
        seed: Of the queue "random": equal seeds give equal orders.
    """
    return _ORDERS[kind](pool, seed)


def queue_worth(pool: LinkPool, links: Int32Array) -> float:
    """Return how many masks a label is expected to move into their right group, as a mean over the next pairs."""
    return float(pool.values.worth[links[:WORTH_OF]].mean()) if len(links) else 0.0


def explain_link(kind: QueueKind, pool: LinkPool, link: int) -> str:
    """Return why a queue shows a pair, in a plain sentence."""
    p, rival = float(pool.p_same[link]), float(pool.p_rival[link])
    chance, moved = float(pool.values.p_change[link]), int(pool.values.moved[link])
    if kind == "impact":
        masks, s = (f"{moved} mask", "s") if moved == 1 else (f"{moved} masks", "")
        if pool.values.is_inside[link]:
            return f"One group, but little holds it together here: if these differ, {masks} leave{s} it ({chance:.0%} likely)."
        return f"Two groups that may be one object: if so, {masks} join{s} the other group ({chance:.0%} likely)."
    if kind == "uncertain":
        if np.isnan(p):
            return "Geometry can hardly tell: this pair is as close to a coin toss as any."
        return f"The judge gives {p:.0%} to one object, close to where its answer turns ({pool.threshold:.0%})."
    if kind == "disagreement":
        one, two = ("one object" if value >= pool.threshold else "two objects" for value in (p, rival))
        return f"Two models disagree: one says {one} ({p:.0%}), the other says {two} ({rival:.0%})."
    if kind == "geometry":
        judged = "one object" if p >= pool.threshold else "two objects"
        return f"The judge says {judged} ({p:.0%}), but where the masks lie in the room says otherwise."
    if kind == "diverse":
        return "This pair looks unlike those labelled so far: it teaches the judge something new."
    return "Drawn by chance: labels on such pairs measure the judge without bias."


def _by_impact(pool: LinkPool, _seed: int) -> Int32Array:
    # One link for each event: a second answer on the same two groups would change nothing more.
    links = pick_representatives(pool.graph, pool.grouping, _only_open(pool))
    return _sorted(links, -pool.values.worth[links])


def _by_uncertainty(pool: LinkPool, _seed: int) -> Int32Array:
    links = np.flatnonzero(pool.is_open).astype(np.int32)
    asked = ~np.isnan(pool.p_same[links])
    distance = np.abs(pool.graph.weights[links])
    # Judged pairs and pairs with geometry alone are compared on one scale: the distance of the log-odds from the turning point.
    p = np.clip(pool.p_same[links].astype(np.float64), 1e-6, 1 - 1e-6)
    turn = np.log(pool.threshold / (1 - pool.threshold))
    distance[asked] = np.abs(np.log(p[asked] / (1 - p[asked])) - turn)
    if asked.any():
        links, distance = links[asked], distance[asked]
    return _sorted(links, distance)


def _by_disagreement(pool: LinkPool, _seed: int) -> Int32Array:
    with np.errstate(invalid="ignore"):
        differ = (pool.p_same >= pool.threshold) != (pool.p_rival >= pool.threshold)
    differ &= ~np.isnan(pool.p_same) & ~np.isnan(pool.p_rival) & pool.is_open
    links = np.flatnonzero(differ).astype(np.int32)
    return _sorted(links, -np.abs(pool.p_same[links] - pool.p_rival[links]).astype(np.float64))


def _by_geometry(pool: LinkPool, _seed: int) -> Int32Array:
    measured = pool.graph.geometry
    with np.errstate(invalid="ignore"):
        against = np.where(pool.p_same >= pool.threshold, measured < -SURE_GEOMETRY, measured > SURE_GEOMETRY)
    links = np.flatnonzero(against & ~np.isnan(pool.p_same) & pool.is_open).astype(np.int32)
    p = pool.p_same[links].astype(np.float64)
    return _sorted(links, -np.abs(measured[links]) * np.abs(p - pool.threshold))


def _by_diversity(pool: LinkPool, _seed: int) -> Int32Array:
    """Farthest point first (k-center greedy, Sener & Savarese, ICLR 2018) over pairs; labelled pairs are covered already."""
    links = np.flatnonzero(pool.is_open).astype(np.int32)
    if pool.described is None or len(links) == 0:
        return np.zeros(0, np.int32)
    links = links[np.linspace(0, len(links) - 1, min(DIVERSE_POOL, len(links))).astype(int)]
    features = _pair_features(pool, links)
    done = np.flatnonzero(pool.values.is_told).astype(np.int32)
    if len(done):
        known = _pair_features(pool, done[:MAX_DIVERSE])
        distance = np.min(1 - features @ known.T, axis=1)
    else:
        distance = 1 - features @ features.mean(axis=0)
    picked: list[int] = []
    for _ in range(min(MAX_DIVERSE, len(links))):
        best = int(np.argmax(distance))
        picked.append(best)
        distance = np.minimum(distance, 1 - features @ features[best])
        distance[picked] = -np.inf
    return links[picked]


def _by_chance(pool: LinkPool, seed: int) -> Int32Array:
    # One random order of all links; links that are done drop out, and the rest stays random.
    order = np.random.default_rng(seed).permutation(len(pool.is_done)).astype(np.int32)
    return order[pool.is_open[order]]


def _nothing(_pool: LinkPool, _seed: int) -> Int32Array:
    return np.zeros(0, np.int32)


_ORDERS: dict[QueueKind, Callable[[LinkPool, int], Int32Array]] = {
    "impact": _by_impact,
    "uncertain": _by_uncertainty,
    "disagreement": _by_disagreement,
    "contradictions": _nothing,
    "geometry": _by_geometry,
    "diverse": _by_diversity,
    "random": _by_chance,
}


def _only_open(pool: LinkPool) -> LinkValues:
    values = pool.values
    return LinkValues(values.event, values.p_change, values.moved, values.is_inside, values.is_told | pool.is_done)


def _pair_features(pool: LinkPool, links: Int32Array) -> Float32Array:
    """(n, 2 D) float32 unit rows that are the same for (a, b) and (b, a): what the two share and where they differ."""
    assert pool.described is not None
    a, b = (pool.described[pool.graph.evidence.pairs[links, side]] for side in (0, 1))
    features = np.concatenate([a + b, np.abs(a - b)], axis=1)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def _sorted(links: Int32Array, key: Float64Array) -> Int32Array:
    return links[np.argsort(key, kind="stable")]
