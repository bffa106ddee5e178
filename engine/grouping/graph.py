"""Pairs to instances: a signed graph of masks as a value, and its cut.

A `MaskGraph` keeps all evidence, so that a new constraint or a new verdict only needs another cut. Weights are log-odds of "same
object": geometry through view consensus and overlap, the judge through its measured reliability, two masks of one view as a
repulsion that views showing them as one mask can overcome. Human constraints bind. Knows nothing about files, models or the app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, cast

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.grouping.candidates import PairEvidence, code_pairs, unique_pairs
from engine.grouping.constraints import Constraint, ConstraintConflict, settle_constraints
from engine.grouping.multicut import HARD, cut_energy, solve_multicut
from engine.grouping.similarity import MIN_KNOWN, weigh_answers
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array, MaskKey

Evidence = Literal["geometry", "vlm", "both"]

GEOMETRY_CAP = 4.0
"""Largest log-odds that geometry claims: one link in 55 may be wrong however clear it looks."""
CONTINUES = 1.5
"""Log-odds that a surface goes on into the part that begins where it is cut off: little, so that any overlap outweighs it."""
PLACED_LEAST = 0.5
PLACED_GAIN = 5.0
"""Log-odds that a mask belongs to the group in its place: the first, and this times how well they fit."""
SAME_VIEW_CLEAN = 8.0
SAME_VIEW_SOFT = 1.5
"""Repulsion of two masks of one view, log-odds: where masks are clean, and where objects look split."""
SPLIT_RATE_SOFT = 0.02
"""Share of masks that other views show as pieces of one mask from which masks count as over-segmented."""
SPLIT_MAX_ERROR_M = 0.02
BEST_MASKS = 5


@dataclass(frozen=True)
class JudgeReliability:
    """How often a judge is right.

    Attributes:
        sensitivity: Share of same-object pairs called the same, (0, 1).
        specificity: Share of different-object pairs called different, (0, 1).
        prior: Share of same-object pairs among those asked, (0, 1); only used where there is no geometry.
    """

    sensitivity: float = 0.85
    specificity: float = 0.85
    prior: float = 0.5

    def log_odds(self, p_same: Float32Array) -> Float64Array:
        """Turn probabilities (E,) into log-odds that never exceed what this judge's answers are worth."""
        p = np.clip(p_same.astype(np.float64), 1e-4, 1 - 1e-4)
        upper = np.log(self.sensitivity / (1 - self.specificity))
        lower = np.log((1 - self.sensitivity) / self.specificity)
        return np.clip(np.log(p / (1 - p)), lower, upper)


@dataclass(frozen=True, eq=False)
class MaskGraph:
    """All masks and links of a scene, with their evidence.

    Attributes:
        keys: The masks, N.
        view_of: (N,) int32 view of each mask.
        areas: (N,) int32 pixels.
        evidence: What geometry or appearance says about each link, E links.
        geometry: (E,) float64 log-odds from geometry, 0 where there is none.
        p_same: (E,) float32 the judge's mean probability, NaN where it was not asked.
        reliability: What the judge's answers are worth.
        likeness: (E,) float64 log-odds from looks, used where there is no geometry; None where nothing tells what they are worth.
        known_different: (K,) float32 the judge's answers about look-alikes of one view, the yardstick for its other answers where
            there is no geometry; empty until asked.
        novelty: How much of the judge's answers is news beside likeness, [0, 1]; used where there is no geometry.
        geometry_scale: What geometry's log-odds are worth on this scene, [0, 1], as the judge's answers have it; 1 until asked.
        use_geometry: False leaves geometry out of the weights (it may still have chosen the pairs).
        same_view_repulsion: Log-odds against two masks of one view being one object.
    """

    keys: tuple[MaskKey, ...]
    view_of: Int32Array
    areas: Int32Array
    evidence: PairEvidence
    geometry: Float64Array
    p_same: Float32Array
    reliability: JudgeReliability
    use_geometry: bool
    same_view_repulsion: float
    geometry_scale: float = 1.0
    likeness: Float64Array | None = None
    known_different: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))
    novelty: float = 1.0

    @property
    def is_same_view(self) -> BoolArray:
        """(E,) whether a link joins two masks of one view."""
        return self.view_of[self.evidence.pairs[:, 0]] == self.view_of[self.evidence.pairs[:, 1]]

    @property
    def asked(self) -> BoolArray:
        """(E,) whether the judge was asked about a link."""
        return ~np.isnan(self.p_same)

    @cached_property
    def weights(self) -> Float64Array:
        """Log-odds of each link, (E,) float64; computed at first use, not to be written to."""
        total = self.geometry_scale * self.geometry if self.use_geometry else np.zeros(len(self.evidence))
        asked = self.asked
        if not self.use_geometry and self.likeness is not None:
            total += self.likeness
        if not self.use_geometry and len(self.known_different) >= MIN_KNOWN and asked.any():
            total[asked] += self.novelty * weigh_answers(self.p_same[asked], self.known_different)
        else:
            total[asked] += self.reliability.log_odds(self.p_same[asked])
        if not self.use_geometry and self.likeness is None:
            prior = np.clip(self.reliability.prior, 0.02, 0.98)
            total[asked] += np.log(prior / (1 - prior))
        total[self.is_same_view] -= self.same_view_repulsion
        total.setflags(write=False)
        return total

    def with_answers(self, links: Int32Array, p_same: Float32Array) -> MaskGraph:
        """Return the graph with the judge's answers, (A,) float32, on the links (A,) int32."""
        answers = self.p_same.copy()
        answers[links] = p_same
        return replace(self, p_same=answers)


@dataclass(frozen=True)
class Group:
    """One object.

    Attributes:
        id: Number of the group, from 0, largest first.
        masks: Its masks, in view order.
        confidence: Mean confidence of its masks, [0, 1]; 0.5 for a mask that nothing links to anything.
        best_masks: Up to five masks that show it best: large and surely in it, one a view where possible.
    """

    id: int
    masks: tuple[MaskKey, ...]
    confidence: float
    best_masks: tuple[MaskKey, ...]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Every mask's group.

    Attributes:
        labels: (N,) int32 group of each mask of the graph.
        confidences: (N,) float64 probability, as the links have it, that a mask belongs to its group rather than the runner-up.
        groups: The groups by id.
        contradictions: Constraints that could not hold together.
        energy: Sum of the log-odds inside groups, constraints left out.
    """

    labels: Int32Array
    confidences: Float64Array
    groups: tuple[Group, ...]
    contradictions: tuple[ConstraintConflict, ...]
    energy: float


def build_graph(
    keys: Sequence[MaskKey],
    view_of: Int32Array,
    areas: Int32Array,
    evidence: PairEvidence,
    *,
    sizes_m: Float64Array | None = None,
    pose_error_m: float = 0.0,
    use_geometry: bool = True,
    reliability: JudgeReliability | None = None,
    likeness: Float64Array | None = None,
    beyond: Float64Array | None = None,
) -> MaskGraph:
    """Turn evidence into a graph.

    Args:
        keys: The masks, N.
        view_of: (N,) int32 view of each mask.
        areas: (N,) int32 pixels.
        evidence: Candidate pairs.
        sizes_m: (N,) float64 physical size of each mask, metres; used with `pose_error_m` to expect less overlap of small things.
        pose_error_m: Error of the poses in use, metres.
        use_geometry: Whether geometry enters the weights.
        reliability: What the judge is worth, where that is known already.
        likeness: (E,) float64 log-odds from looks, where there is no geometry.
        beyond: (E,) float64 log-odds that photos add to those of geometry.
    """
    geometry = weigh_geometry(evidence, sizes_m=sizes_m, pose_error_m=pose_error_m)
    if beyond is not None:
        geometry = geometry + beyond
    same_view = view_of[evidence.pairs[:, 0]] == view_of[evidence.pairs[:, 1]]
    pieces = same_view & (geometry > 0)
    # Each split leaves one pair of pieces. Pose error makes neighbours look like pieces: beyond a little of it nothing follows.
    is_split = pose_error_m < SPLIT_MAX_ERROR_M and float(pieces.sum()) > SPLIT_RATE_SOFT * len(keys)
    repulsion = SAME_VIEW_SOFT if is_split and use_geometry else SAME_VIEW_CLEAN
    return MaskGraph(
        keys=tuple(keys),
        view_of=view_of,
        areas=areas,
        evidence=evidence,
        geometry=geometry,
        p_same=np.full(len(evidence), np.nan, np.float32),
        reliability=reliability or JudgeReliability(),
        use_geometry=use_geometry,
        same_view_repulsion=repulsion,
        likeness=likeness,
    )


def weigh_geometry(evidence: PairEvidence, *, sizes_m: Float64Array | None = None, pose_error_m: float = 0.0) -> Float64Array:
    """Return log-odds (E,) from consensus and overlap.

    A pose error e shifts a mask of size d by about e, which leaves about exp(-e sqrt(2) / d) of a true overlap and adds as much of
    a neighbour's: what geometry is worth falls with it. Neighbours are many and touch everywhere, so the level at which a link
    turns positive rises a little.
    """
    level = 0.5 + 0.1 * min(1.0, pose_error_m / 0.02)
    trust = np.ones(len(evidence))
    if sizes_m is not None and pose_error_m > 0:
        size = np.fmin(sizes_m[evidence.pairs[:, 0]], sizes_m[evidence.pairs[:, 1]])
        trust = np.exp(-np.sqrt(2) * pose_error_m / np.maximum(np.nan_to_num(size, nan=0.3), 0.02))
    seen = evidence.witnesses > 0
    # One pseudo-witness at the level keeps a single view from settling a link.
    consensus = (evidence.agree + level) / (evidence.witnesses + 1)
    log_odds = _logit(consensus) - _logit(level)
    direct = ~np.isnan(evidence.overlap)
    overlap = np.clip(np.nan_to_num(evidence.overlap.astype(np.float64), nan=0.5), 0.03, 0.97)
    log_odds += np.where(direct, _logit(overlap) - _logit(level), 0)
    measured = np.where(seen | direct, np.clip(log_odds * trust, -GEOMETRY_CAP, GEOMETRY_CAP), 0.0)
    measured = np.where(np.isnan(evidence.gap_m), measured, CONTINUES)
    fit = np.nan_to_num(evidence.placed.astype(np.float64))
    return np.where(np.isnan(evidence.placed), measured, np.clip(PLACED_LEAST + PLACED_GAIN * fit, 0, GEOMETRY_CAP))


def _logit(p: Float64Array | float) -> Float64Array:
    odds = np.asarray(p, np.float64)
    return np.log(odds / (1 - odds))


def cut(graph: MaskGraph, *, constraints: Sequence[Constraint] = ()) -> Grouping:
    """Group the masks.

    Args:
        graph: Masks, links and evidence.
        constraints: What people said, oldest first. One that contradicts older ones is reported and set aside.
    """
    found = _solve(graph, constraints)
    confidences = _confide(found.labels, found.pairs, np.clip(found.weights, -2 * SAME_VIEW_CLEAN, 2 * SAME_VIEW_CLEAN))
    groups = _describe(graph, found.labels, confidences)
    energy = cut_energy(found.labels, found.pairs[: found.measured], found.weights[: found.measured])
    return Grouping(found.labels, confidences, groups, found.contradictions, energy)


def cut_labels(graph: MaskGraph) -> Int32Array:
    """Return the group of each mask alone, (N,) int32, where nobody asks how sure it is."""
    return _solve(graph, ()).labels


@dataclass(frozen=True, eq=False)
class _Solution:
    """Groups, and what they were cut by.

    Attributes:
        labels: (N,) int32 group of each mask, the largest first.
        pairs: (E, 2) int32 rows of all links: measured ones, constraints, rivals of one view.
        weights: (E,) float64 their log-odds.
        measured: How many of them, at the beginning, come from the graph.
        contradictions: Constraints that could not hold together.
    """

    labels: Int32Array
    pairs: Int32Array
    weights: Float64Array
    measured: int
    contradictions: tuple[ConstraintConflict, ...]


def _solve(graph: MaskGraph, constraints: Sequence[Constraint]) -> _Solution:
    pairs, weights = graph.evidence.pairs, graph.weights
    held, contradictions = settle_constraints(constraints, known=set(graph.keys))
    rows = {key: row for row, key in enumerate(graph.keys)}
    hard = np.asarray([(rows[c.a], rows[c.b]) for c in held], np.int32).reshape(-1, 2)
    signs = np.asarray([HARD if c.together else -HARD for c in held], np.float64)
    if not graph.use_geometry:  # links that were neither asked nor measured say nothing
        told = (weights != 0) | graph.asked
        pairs, weights = pairs[told], weights[told]
    all_pairs = np.concatenate([pairs, hard])
    all_weights = np.concatenate([weights, signs])
    rivals = _same_view_rivals(graph, all_pairs, all_weights)
    all_pairs = np.concatenate([all_pairs, rivals])
    all_weights = np.concatenate([all_weights, np.full(len(rivals), -graph.same_view_repulsion)])
    labels = _largest_first(solve_multicut(len(graph.keys), all_pairs, all_weights))
    return _Solution(labels, all_pairs, all_weights, len(pairs), contradictions)


def _same_view_rivals(graph: MaskGraph, pairs: Int32Array, weights: Float64Array) -> Int32Array:
    """Pairs of masks of one view that attracting links might bring into one group, and that have no link of their own."""
    count = len(graph.keys)
    positive = weights > 0
    links = coo_matrix((np.ones(int(positive.sum())), (pairs[positive, 0], pairs[positive, 1])), shape=(count, count))
    _, part = connected_components(links, directed=False)
    code = part.astype(np.int64) * (int(graph.view_of.max(initial=0)) + 1) + graph.view_of
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.r_[True, code[order][1:] != code[order][:-1]])
    found: list[Int32Array] = []
    for run in np.split(order, starts[1:]):
        if len(run) > 1:
            a, b = np.triu_indices(len(run), k=1)
            found.append(np.stack([run[a], run[b]], axis=1).astype(np.int32))
    if not found:
        return np.zeros((0, 2), np.int32)
    rivals = unique_pairs(np.concatenate(found))
    taken = unique_pairs(pairs[graph.view_of[pairs[:, 0]] == graph.view_of[pairs[:, 1]]])
    known = np.isin(code_pairs(rivals), code_pairs(taken))
    return rivals[~known]


def _largest_first(labels: Int32Array) -> Int32Array:
    sizes = np.bincount(labels)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[labels]


def _confide(labels: Int32Array, pairs: Int32Array, weights: Float64Array) -> Float64Array:
    """Probability that each mask belongs to its group rather than to the group, or the solitude, that comes second.

    Links of one mask are not independent, so their sum is divided by the square root of their number.
    """
    count = len(labels)
    nodes = np.concatenate([pairs[:, 0], pairs[:, 1]])
    others = labels[np.concatenate([pairs[:, 1], pairs[:, 0]])]
    doubled = np.concatenate([weights, weights])
    own = others == labels[nodes]
    stay = np.bincount(nodes[own], weights=doubled[own], minlength=count)
    links = np.bincount(nodes[own], minlength=count)
    code = nodes[~own].astype(np.int64) << 32 | others[~own]
    unique, inverse = np.unique(code, return_inverse=True)
    pulls = np.bincount(inverse, weights=doubled[~own], minlength=len(unique))
    runner_up = np.zeros(count)
    np.maximum.at(runner_up, (unique >> 32).astype(np.int64), pulls)
    return 1 / (1 + np.exp(-(stay - runner_up) / np.sqrt(np.maximum(links, 1))))


def _describe(graph: MaskGraph, labels: Int32Array, confidences: Float64Array) -> tuple[Group, ...]:
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(int(labels.max(initial=-1)) + 2))
    groups: list[Group] = []
    for number in range(len(bounds) - 1):
        rows = order[bounds[number] : bounds[number + 1]]
        members = cast("list[int]", rows.tolist())
        ranked = sorted(members, key=lambda r: -float(confidences[r]) * float(np.sqrt(graph.areas[r])))
        best: list[int] = []
        for row in ranked:
            if len(best) < BEST_MASKS and all(graph.view_of[row] != graph.view_of[r] for r in best):
                best.append(row)
        groups.append(
            Group(
                id=number,
                masks=tuple(graph.keys[r] for r in members),
                confidence=float(confidences[rows].mean()),
                best_masks=tuple(graph.keys[r] for r in best),
            )
        )
    return tuple(groups)
