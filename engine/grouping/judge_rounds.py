"""Spends a judge's calls where they change the grouping: in rounds, on links near the cut and on contradictions.

Calls grow with the number of masks, never with pairs: each round gives every mask a few of its own links. A link that the judge
could not overturn is not asked, except for a few that show how reliable the judge is on this scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import numpy as np

from engine.grouping.graph import JudgeReliability, MaskGraph, cut
from engine.grouping.similarity import measure_novelty
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array, MaskKey, MaskPair, no_probability

DEFAULT_CALLS_PER_MASK = 6.0
ROUNDS = 4
PROBES = 96
"""Look-alikes of one view that the judge is tried on where there is no geometry; at most an eighth of the budget."""
BATCH = 128
"""Pairs asked between two reports of progress."""
FLIPPABLE = 3.5
"""Log-odds beyond which no answer of a judge changes a link's sign."""
CALIBRATION_LINKS = 32
"""Links of each kind, already settled by geometry, on which the judge is tried."""
TRUSTED_SCALE = 0.7
"""Geometry whose log-odds turned out to be worth less than this cannot say how reliable the judge is."""
PSEUDO_COUNT = 8
"""Answers that the assumed reliability counts for beside the measured ones."""


@runtime_checkable
class MaskEmbedder(Protocol):
    """A judge that can also say how masks look, each on its own."""

    def embed(self, keys: Sequence[MaskKey]) -> Float32Array | None:
        """Return (N, D) float32, unit length, near for masks that look alike; None where the judge has no such thing."""
        ...


class PairJudge(Protocol):
    """Answers "are these two masks one object?" by names; crops and models are its own affair."""

    def ask(self, pairs: Sequence[MaskPair]) -> Sequence[float]:
        """Return the probability of "same" for each pair, in order."""
        ...


@dataclass(frozen=True, eq=False)
class Asked:
    """What asking gave.

    Attributes:
        graph: The graph with the answers and the measured reliability.
        calls: Pairs that were asked.
    """

    graph: MaskGraph
    calls: int


def ask_in_rounds(
    graph: MaskGraph,
    judge: PairJudge,
    *,
    budget: int | None = None,
    rounds: int = ROUNDS,
    look_alikes: Sequence[tuple[MaskPair, float]] = (),
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> Asked:
    """Ask a judge about the links that matter.

    Args:
        graph: Masks and links; answers that it holds already are kept and not asked again.
        judge: Whom to ask.
        budget: Calls in all; None = `DEFAULT_CALLS_PER_MASK` for each mask.
        rounds: Rounds of cut and ask.
        look_alikes: Pairs of one view, known to differ, and how alike they look: a few are asked first, as the yardstick where
            there is no geometry.
        tick: Called with (calls so far, budget) before each round and after each batch; may raise to cancel.
    """
    total = round(DEFAULT_CALLS_PER_MASK * len(graph.keys)) if budget is None else max(0, budget)
    calls = 0

    def ask(links: Int32Array) -> MaskGraph:
        return calibrate(_ask(graph, judge, links, tick=lambda done: tick(calls + done, total)))

    probes = [look_alikes[i] for i in _spread(len(look_alikes), min(PROBES, total // 8))] if not graph.use_geometry else []
    if probes:
        known = np.asarray(_answers(judge, [pair for pair, _ in probes]), np.float32)
        novelty = measure_novelty(known, np.asarray([likeness for _, likeness in probes]))
        graph = replace(graph, known_different=known, novelty=novelty)
        calls += len(probes)
    chosen = _calibration(graph)[:total]
    if len(chosen):
        graph = ask(chosen)
        calls += len(chosen)
    for number in range(rounds):
        tick(calls, total)
        share = (total - calls) // (rounds - number)
        chosen = _choose(graph, share)
        if len(chosen) == 0:
            break
        graph = ask(chosen)
        calls += len(chosen)
    tick(calls, total)
    return Asked(graph, calls)


def _spread(count: int, picks: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, picks)).astype(int)).tolist() if count and picks else []


def calibrate(graph: MaskGraph) -> MaskGraph:
    """Measure the judge on links that geometry settled; without geometry, measure how many of the asked pairs are the same.

    Without geometry nothing independent tells right from wrong, so sensitivity and specificity stay as assumed.
    """
    asked, start = graph.asked, JudgeReliability()
    yes = graph.p_same[asked] >= 0.5
    if len(yes) == 0:
        return graph
    if not graph.use_geometry:
        rate = (float(yes.mean()) - (1 - start.specificity)) / (start.sensitivity + start.specificity - 1)
        return replace(graph, reliability=replace(graph.reliability, prior=float(np.clip(rate, 0.05, 0.95))))
    settled = graph.geometry[asked] * (1 if graph.geometry_scale > TRUSTED_SCALE else 0)
    sure_same, sure_apart = settled > FLIPPABLE, settled < -FLIPPABLE
    reliability = JudgeReliability(
        sensitivity=_smoothed(int((yes & sure_same).sum()), int(sure_same.sum()), start.sensitivity),
        specificity=_smoothed(int((~yes & sure_apart).sum()), int(sure_apart.sum()), start.specificity),
    )
    return replace(graph, reliability=reliability, geometry_scale=_measure_geometry(graph, reliability))


def _measure_geometry(graph: MaskGraph, reliability: JudgeReliability) -> float:
    """Find the scale of geometry's log-odds under which the judge's answers are most likely (temperature scaling).

    Poor poses make geometry sure of wrong things; the answers show it. A weak prior keeps 1 where there are few answers.
    """
    asked = graph.asked
    yes, log_odds = graph.p_same[asked] >= 0.5, graph.geometry[asked]
    scales = np.linspace(0.05, 1, 20)
    likelihood: list[float] = []
    for scale in cast("list[np.float64]", list(scales)):
        same = 1 / (1 + np.exp(-scale * log_odds))
        p_yes = same * reliability.sensitivity + (1 - same) * (1 - reliability.specificity)
        likelihood.append(float(np.log(np.where(yes, p_yes, 1 - p_yes)).sum()) + PSEUDO_COUNT * float(np.log(scale)) / 2)
    return float(scales[int(np.argmax(likelihood))])


def _smoothed(right: int, count: int, prior: float) -> float:
    return float(np.clip((right + prior * PSEUDO_COUNT) / (count + PSEUDO_COUNT), 0.5, 0.99))


def _ask(graph: MaskGraph, judge: PairJudge, links: Int32Array, *, tick: Callable[[int], None]) -> MaskGraph:
    # In the order of their masks: a judge reads what two neighbouring questions share only once.
    links = np.sort(links)
    answers: list[float] = []
    for start in range(0, len(links), BATCH):
        batch = links[start : start + BATCH]
        rows = cast("list[list[int]]", graph.evidence.pairs[batch].tolist())
        pairs = [MaskPair(graph.keys[a], graph.keys[b]) for a, b in rows]
        answers.extend(_answers(judge, pairs))
        tick(len(answers))
    return graph.with_answers(links, np.asarray(answers, np.float32))


def _answers(judge: PairJudge, pairs: Sequence[MaskPair]) -> Sequence[float]:
    """Ask; an answer that is no probability must not pass for a link that was not asked, which is what NaN means in a graph.

    Raises:
        ModelError: If there is one.
    """
    given = judge.ask(pairs)
    assert len(given) == len(pairs), "a judge answers every pair"
    for p_same in given:
        if not 0 <= p_same <= 1:
            raise no_probability(type(judge).__name__, p_same)
    return given


def _calibration(graph: MaskGraph) -> Int32Array:
    """Links that geometry settled either way, evenly spread; none where geometry is not used or leaves nothing to ask."""
    if not graph.use_geometry or not (np.abs(graph.geometry) < FLIPPABLE).any():
        return np.zeros(0, np.int32)
    free = ~graph.asked & ~graph.is_same_view
    picks: list[Int32Array] = []
    for settled in (graph.geometry > FLIPPABLE, graph.geometry < -FLIPPABLE):
        pool = np.flatnonzero(settled & free)
        picks.append(pool[np.linspace(0, len(pool) - 1, min(CALIBRATION_LINKS, len(pool))).astype(int)].astype(np.int32))
    return np.concatenate(picks)


def _choose(graph: MaskGraph, count: int) -> Int32Array:
    """Pick the links whose answers may change the cut: most doubtful first, each mask in turn."""
    weights = graph.weights
    open_links: BoolArray = ~graph.asked & ~graph.is_same_view & (np.abs(weights) < FLIPPABLE)
    links = np.flatnonzero(open_links).astype(np.int32)
    if count <= 0 or len(links) == 0:
        return np.zeros(0, np.int32)
    priority = _priority(graph, weights, links)
    order = np.argsort(-priority, kind="stable")
    taken = np.zeros(len(graph.keys), np.int32)
    per_mask = max(1, -(-2 * count // max(1, len(graph.keys))))
    first: list[int] = []
    later: list[int] = []
    for link in links[order].tolist():
        a, b = graph.evidence.pairs[link]
        if taken[a] < per_mask or taken[b] < per_mask:
            taken[a] += 1
            taken[b] += 1
            first.append(link)
        else:
            later.append(link)
        if len(first) >= count:
            break
    return np.asarray((first + later)[:count], np.int32)


def _priority(graph: MaskGraph, weights: Float64Array, links: Int32Array) -> Float64Array:
    """How likely an answer is to change the cut, (len(links),) float64, larger = sooner."""
    pairs = graph.evidence.pairs
    if not graph.use_geometry and not graph.asked.any():
        alike = np.nan_to_num(graph.evidence.similarity[links], nan=0.0) + np.nan_to_num(graph.evidence.overlap[links], nan=0.0)
        return alike.astype(np.float64)
    grouping = cut(graph)
    a, b = grouping.labels[pairs[:, 0]].astype(np.int64), grouping.labels[pairs[:, 1]].astype(np.int64)
    code = np.minimum(a, b) << 32 | np.maximum(a, b)
    _, inverse = np.unique(code, return_inverse=True)
    ties = np.bincount(inverse, weights=weights)[inverse][links]
    joined = (a == b)[links]
    doubt = 1 - np.minimum(grouping.confidences[pairs[links, 0]], grouping.confidences[pairs[links, 1]])
    against = np.where(joined, weights[links] < 0, weights[links] > 0)
    near_merge = np.where(joined, 0.0, 1 / (1 + np.abs(ties)))
    size = np.log1p(np.minimum(graph.areas[pairs[links, 0]], graph.areas[pairs[links, 1]])) / 20
    return against + near_merge + 1 / (1 + np.abs(weights[links])) + doubt + size
