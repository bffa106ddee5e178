"""Which pairs of masks are worth a link, and what geometry says about each. Never looks at all pairs.

Two masks are candidates when points of one land on the other in the other's view, or when both land on one mask of a third
view. Without geometry: nearest neighbours of appearance embeddings. Every view that sees both masks is a witness of whether it
shows them as one mask (view consensus, as in MaskClustering, Yan et al., CVPR 2024). Weights are made elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from engine.grouping.geometry import MaskTable, Projections
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array

MIN_SHARE = 0.1
"""Less of a mask than this landing on another is rim and noise."""
MAX_PER_MASK = 24
"""Links kept for one mask: its strongest ones."""
MAX_RIVALS = 8
"""Masks of one picture that one mask elsewhere attracts, compared with one another; more of them are a wall behind everything."""
PARTNERS = 2
"""How many others each mask that one mask attracts is compared with."""
CHUNK = 20_000


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """Candidate pairs and what is known about them without any judge.

    Attributes:
        pairs: (E, 2) int32 rows of masks, first < second, no repeats.
        overlap: (E,) float32 mean share of each mask's visible points that land on the other, [0, 1]; NaN where neither
            view sees the other mask.
        agree: (E,) int32 views that show both masks as one.
        witnesses: (E,) int32 views that see both.
        similarity: (E,) float32 cosine of appearance embeddings, NaN where there are none.
        gap_m: (E,) float32 metres between two parts of a surface that seems to go on from one into the other, NaN for all others.
        placed: (E,) float32 how well one mask's place fits what other views show there, the other mask's group, [0, 1]; NaN for all
            others.
        shared: (E,) int32 points of photos that both masks hold; 0 for all where none are given.
    """

    pairs: Int32Array
    overlap: Float32Array
    agree: Int32Array
    witnesses: Int32Array
    similarity: Float32Array
    gap_m: Float32Array
    placed: Float32Array
    shared: Int32Array = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self) -> None:
        """Give every pair its number of shared points."""
        if len(self.shared) == 0:
            object.__setattr__(self, "shared", np.zeros(len(self.pairs), np.int32))

    def __len__(self) -> int:
        return len(self.pairs)

    def with_continuations(self, pairs: Int32Array, gap_m: Float32Array) -> PairEvidence:
        """Return the evidence with links (C, 2) between parts of one surface, (C,) metres apart; known pairs stay as they are."""
        known = np.isin(code_pairs(np.sort(pairs, axis=1)), code_pairs(self.pairs))
        pairs, gap_m = np.sort(pairs, axis=1)[~known], gap_m[~known]
        if len(pairs) == 0:
            return self
        nan, zero = np.full(len(pairs), np.nan, np.float32), np.zeros(len(pairs), np.int32)
        return self.with_pairs(PairEvidence(pairs, nan, zero, zero, nan, gap_m, nan))

    def with_placements(self, pairs: Int32Array, fits: Float32Array) -> PairEvidence:
        """Return the evidence with links (P, 2) between masks and what fits their place; all else about those pairs is dropped."""
        nan, zero = np.full(len(pairs), np.nan, np.float32), np.zeros(len(pairs), np.int32)
        return self._with_new(pairs, PairEvidence(pairs, nan, zero, zero, nan, nan, fits))

    def with_witnesses(self, pairs: Int32Array, agree: Int32Array, witnesses: Int32Array) -> PairEvidence:
        """Return the evidence with links (J, 2) of which only views are witnesses; all else about those pairs is dropped."""
        nan = np.full(len(pairs), np.nan, np.float32)
        return self._with_new(pairs, PairEvidence(pairs, nan, agree, witnesses, nan, nan, nan))

    def _with_new(self, pairs: Int32Array, added: PairEvidence) -> PairEvidence:
        kept = ~np.isin(code_pairs(self.pairs), code_pairs(np.sort(pairs, axis=1)))
        return self.select(kept).with_pairs(replace(added, pairs=np.sort(pairs, axis=1)))

    def select(self, kept: BoolArray) -> PairEvidence:
        """Return the evidence of some pairs, (E,) bool."""
        return PairEvidence(*(getattr(self, f.name)[kept] for f in fields(self)))

    def with_pairs(self, added: PairEvidence) -> PairEvidence:
        """Return the evidence with more pairs, none of which is there yet, in order."""
        order = np.argsort(code_pairs(np.concatenate([self.pairs, added.pairs])), kind="stable")
        return PairEvidence(*(np.concatenate([getattr(self, f.name), getattr(added, f.name)])[order] for f in fields(self)))


def propose_by_geometry(table: MaskTable, projections: Projections, *, pose_error_m: float = 0.0) -> PairEvidence:
    """Propose pairs by where masks land; the gate widens with the pose error.

    Args:
        table: The masks.
        projections: Where they land in other views.
        pose_error_m: Error that is left after repair, metres; lowers the share at which a pair becomes a candidate.
    """
    gate = MIN_SHARE / (1 + pose_error_m / 0.03)
    strong = projections.shares >= gate
    rows, onto, shares = projections.rows[strong], projections.onto[strong], projections.shares[strong]
    kept = _strongest(rows, shares, len(table))
    rows, onto = rows[kept], onto[kept]
    pairs = unique_pairs(np.concatenate([np.stack([rows, onto], axis=1), _share_a_mask(table, projections)]))
    agree, witnesses = count_witnesses(table, projections, pairs)
    overlap = _overlaps(table, projections, pairs)
    unknown = np.full(len(pairs), np.nan, np.float32)
    return PairEvidence(pairs, overlap, agree, witnesses, unknown, unknown, unknown)


def add_rivals(
    table: MaskTable, projections: Projections, evidence: PairEvidence, *, attracts: BoolArray, apart: Int32Array | None = None
) -> PairEvidence:
    """Add what the views say about pairs that one mask attracts: the evidence against a bridge between two objects.

    A mask over two objects attracts the masks of both. What tells that they are two are the views that show both, and without
    these links nobody would ask them. Pairs of one picture are always asked about.

    Args:
        table: The masks.
        projections: Where they land in other views.
        evidence: Pairs so far.
        attracts: (E,) whether a pair speaks for one object.
        apart: (C, 2) int32 more pairs, known to be shown apart.
    """
    a, b = evidence.pairs[attracts].T
    centre, other = np.concatenate([a, b]), np.concatenate([b, a])
    codes = centre.astype(np.int64) * len(table.views) + table.view_of[other]
    order = np.argsort(codes, kind="stable")
    codes, other = codes[order], other[order]
    found = [np.zeros((0, 2), np.int32) if apart is None else apart]
    for gap in range(1, MAX_RIVALS):
        together = codes[:-gap] == codes[gap:]
        found.append(np.stack([other[:-gap][together], other[gap:][together]], axis=1))
    rivals = unique_pairs(np.concatenate(found))
    rivals = rivals[~np.isin(code_pairs(rivals), code_pairs(evidence.pairs))]
    agree, witnesses = count_witnesses(table, projections, rivals)
    unknown = np.full(len(rivals), np.nan, np.float32)
    return evidence.with_pairs(PairEvidence(rivals, unknown, agree, witnesses, unknown, unknown, unknown))


def pair_attracted(evidence: PairEvidence, attracts: BoolArray) -> tuple[Int32Array, Int32Array]:
    """Pair some of the masks that one mask attracts with one another, at random but always alike.

    Returns:
        (T,) rows of the attracting masks, and (T, 2) rows of the attracted ones; a pair comes once for each
        mask that attracts both.
    """
    a, b = evidence.pairs[attracts].T
    centre, other = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((np.random.default_rng(0).random(len(centre)), centre))
    centre, other = centre[order], other[order]
    centres, found = [np.zeros(0, np.int32)], [np.zeros((0, 2), np.int32)]
    for gap in range(1, PARTNERS + 1):
        together = centre[:-gap] == centre[gap:]
        centres.append(centre[:-gap][together])
        found.append(np.stack([other[:-gap][together], other[gap:][together]], axis=1))
    return np.concatenate(centres), np.concatenate(found)


def propose_by_appearance(table: MaskTable, embeddings: Float32Array, *, neighbours: int = 10) -> PairEvidence:
    """Propose each mask's nearest neighbours in other views.

    Args:
        table: The masks.
        embeddings: (N, D) float32, any scale; one row for each mask.
        neighbours: Pairs for one mask.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    found: list[Int32Array] = []
    step = 2000
    for start in range(0, len(unit), step):
        similar = unit[start : start + step] @ unit.T
        similar[table.view_of[start : start + step, None] == table.view_of[None, :]] = -np.inf
        k = min(neighbours, similar.shape[1])
        near = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        rows = np.repeat(np.arange(start, start + len(similar)), k)
        finite = np.isfinite(similar[rows - start, near.ravel()])
        found.append(np.stack([rows, near.ravel()], axis=1)[finite].astype(np.int32))
    pairs = unique_pairs(np.concatenate(found)) if found else np.zeros((0, 2), np.int32)
    similarity = np.einsum("ed,ed->e", unit[pairs[:, 0]], unit[pairs[:, 1]]).astype(np.float32)
    zeros = np.zeros(len(pairs), np.int32)
    unknown = np.full(len(pairs), np.nan, np.float32)
    return PairEvidence(pairs, unknown, zeros, zeros, similarity, unknown, unknown)


def unique_pairs(pairs: Int32Array) -> Int32Array:
    """Return (E, 2) pairs with the smaller row first, sorted, without repeats or loops."""
    if len(pairs) == 0:
        return np.zeros((0, 2), np.int32)
    low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
    codes = np.unique((low << 32 | high)[low != high])
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1).astype(np.int32)


def code_pairs(pairs: Int32Array) -> NDArray[np.int64]:
    """Return one number for each of (E, 2) pairs."""
    return pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1].astype(np.int64)


def _strongest(rows: Int32Array, shares: Float32Array, count: int) -> BoolArray:
    """Mark each row's `MAX_PER_MASK` largest shares; ties are spread, or one side of an object would take all places."""
    spread = (np.arange(len(rows)) * 0.6180339887) % 1 * 0.3
    order = np.lexsort((-(shares + spread), rows))
    starts = np.searchsorted(rows[order], np.arange(count))
    place = np.arange(len(rows)) - starts[rows[order]]
    kept = np.zeros(len(rows), bool)
    kept[order[place < MAX_PER_MASK]] = True
    return kept


def _share_a_mask(table: MaskTable, projections: Projections) -> Int32Array:
    """Pairs of masks of one view that land on one mask of another: the pieces of an over-segmented object."""
    rows, views = np.nonzero(projections.dominant >= 0)
    onto = projections.dominant[rows, views].astype(np.int64)
    codes = onto * len(table.views) + table.view_of[rows]
    order = np.argsort(codes, kind="stable")
    codes, rows = codes[order], rows[order]
    found: list[Int32Array] = []
    # Pieces of one object in one view are few: runs longer than this are a wall behind everything.
    for gap in range(1, 6):
        together = codes[:-gap] == codes[gap:]
        found.append(np.stack([rows[:-gap][together], rows[gap:][together]], axis=1).astype(np.int32))
    return np.concatenate(found)


def count_witnesses(table: MaskTable, projections: Projections, pairs: Int32Array) -> tuple[Int32Array, Int32Array]:
    """Count the views that show both masks of each pair as one, and the views that see both, (E,) int32 each.

    A view in which a mask is scattered over several masks is no witness.
    """
    seen = projections.dominant.copy()
    rows = np.arange(len(table))
    seen[rows, table.view_of] = rows
    agree, witnesses = np.zeros(len(pairs), np.int32), np.zeros(len(pairs), np.int32)
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        a, b = seen[pairs[part, 0]], seen[pairs[part, 1]]
        both = (a >= 0) & (b >= 0)
        witnesses[part] = both.sum(axis=1)
        agree[part] = (both & (a == b)).sum(axis=1)
    return agree, witnesses


def _overlaps(table: MaskTable, projections: Projections, pairs: Int32Array) -> Float32Array:
    """Mean of both directions' shares; a direction whose view does not see the mask is left out."""
    codes = projections.rows.astype(np.int64) << 32 | projections.onto.astype(np.int64)
    order = np.argsort(codes)
    codes, shares = codes[order], projections.shares[order]
    total = np.zeros(len(pairs), np.float64)
    directions = np.zeros(len(pairs), np.float64)
    for first, second in ((0, 1), (1, 0)):
        a, b = pairs[:, first], pairs[:, second]
        wanted = a.astype(np.int64) << 32 | b.astype(np.int64)
        place = np.minimum(np.searchsorted(codes, wanted), max(0, len(codes) - 1))
        found = codes[place] == wanted if len(codes) else np.zeros(len(pairs), bool)
        seen = projections.dominant[a, table.view_of[b]] != -1
        total += np.where(found & seen, shares[place] if len(codes) else 0, 0)
        directions += seen
    return np.where(directions > 0, total / np.maximum(directions, 1), np.nan).astype(np.float32)


def physical_sizes(table: MaskTable) -> Float64Array:
    """Edge of a square as large as each mask's surface, (N,) float64 metres; NaN without depth."""
    sizes = np.full(len(table), np.nan)
    for view in table.views:
        if view.depth is None or view.camera is None:
            continue
        rows = view.index_map.ravel()
        valid = (rows >= 0) & (view.depth.ravel() > 0)
        rows, depth = rows[valid], view.depth.ravel()[valid].astype(np.float64)
        if len(rows) == 0:
            continue
        area = np.bincount(rows - rows.min(), weights=(depth**2) / (view.camera.fx * view.camera.fy))
        present = np.flatnonzero(area)
        sizes[present + rows.min()] = np.sqrt(area[present])
    return sizes
