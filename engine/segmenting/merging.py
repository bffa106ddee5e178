"""Joins neighbouring regions, the surest first, until what is left is rather different than one. Knows no picture."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from engine.segmenting.measures import Adjacency, measure
from engine.types import Float64Array, Int32Array

Score = Callable[[Float64Array], Float64Array]
"""From the measures of borders, (E, M), to how likely each parts two objects, (E,) in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Join:
    """What happened when two regions were joined, for those who learn from it.

    Attributes:
        kept: The region that now is both.
        gone: The region that it took in.
        around: (K,) int32 its neighbours now.
        measures: (K, M) float64 of its borders with them.
    """

    kept: int
    gone: int
    around: Int32Array
    measures: Float64Array


class RegionGraph:
    """Regions that are joined one by one.

    Args:
        adjacency: The regions and their borders.
        score: How likely a border parts two objects.
    """

    def __init__(self, adjacency: Adjacency, score: Score) -> None:
        count = len(adjacency.regions)
        self._regions = adjacency.regions.copy()
        self._area, self._score = adjacency.area, score
        self._parent = np.arange(count)
        self._version = [0] * count
        self._is_there = [True] * count
        self._borders: list[dict[int, tuple[Float64Array, float]]] = [{} for _ in range(count)]
        self._heap: list[tuple[float, int, int, int, int]] = []
        pairs = list(zip(adjacency.first.tolist(), adjacency.second.tolist(), strict=True))
        for (a, b), sums, length in zip(pairs, adjacency.borders, adjacency.lengths.tolist(), strict=True):
            self._borders[a][b] = self._borders[b][a] = (sums, length)
        if pairs:
            costs = score(
                measure(self._regions, adjacency.first, adjacency.second, adjacency.borders, adjacency.lengths, adjacency.area)
            )
            self._heap = [(cost, a, b, 0, 0) for cost, (a, b) in zip(costs.tolist(), pairs, strict=True)]
            heapq.heapify(self._heap)

    def join_below(self, most: float, on_join: Callable[[Join], None] | None = None) -> None:
        """Join regions, the likeliest first, while a border parts two objects with a probability below `most`."""
        while self._heap and self._heap[0][0] < most:
            _, a, b, version_a, version_b = heapq.heappop(self._heap)
            if self._is_there[a] and self._is_there[b] and (self._version[a], self._version[b]) == (version_a, version_b):
                self._join(a, b, on_join)

    def absorb_small(self, least: float) -> None:
        """Join every region of fewer pixels than `least` with the neighbour that it is likeliest one with, the smallest first."""
        small = [(float(area), at) for at, area in enumerate(self._regions[:, 0]) if self._is_there[at] and area < least]
        heapq.heapify(small)
        while small:
            area, at = heapq.heappop(small)
            if not self._is_there[at] or self._regions[at, 0] != area or not self._borders[at]:
                continue
            around, measures = self._measure_around(at)
            other = int(around[int(self._score(measures).argmin())])
            kept = self._join(at, other, None)
            if self._regions[kept, 0] < least:
                heapq.heappush(small, (float(self._regions[kept, 0]), kept))

    def find_roots(self) -> Int32Array:
        """Return the number of the joined region of each first region, (N,) int32, from 0 without gaps."""
        root = self._parent
        while True:
            further = root[root]
            if (further == root).all():
                break
            root = further
        return np.unique(root, return_inverse=True)[1].astype(np.int32)

    def _join(self, a: int, b: int, on_join: Callable[[Join], None] | None) -> int:
        """Let the region with more neighbours take in the other; returns the one that is left."""
        if len(self._borders[a]) < len(self._borders[b]):
            a, b = b, a
        own, taken = self._borders[a], self._borders[b]
        self._regions[a] += self._regions[b]
        self._is_there[b], self._parent[b] = False, a
        self._version[a] += 1
        del own[b], taken[a]
        for other, (sums, length) in taken.items():
            del self._borders[other][b]
            if other in own:
                sums, length = own[other][0] + sums, own[other][1] + length
            own[other] = self._borders[other][a] = (sums, length)
        if own:
            around, measures = self._measure_around(a)
            version = self._version[a]
            for other, cost in zip(cast("list[int]", around.tolist()), self._score(measures).tolist(), strict=True):
                heapq.heappush(self._heap, (cost, a, other, version, self._version[other]))
            if on_join is not None:
                on_join(Join(a, b, around, measures))
        return a

    def _measure_around(self, at: int) -> tuple[Int32Array, Float64Array]:
        own = self._borders[at]
        around = np.fromiter(own, np.int32, len(own))
        sums, lengths = np.stack([border[0] for border in own.values()]), np.array([border[1] for border in own.values()])
        return around, measure(self._regions, np.full(len(own), at, np.int32), around, sums, lengths, self._area)
