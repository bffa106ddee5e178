"""What answers and likeness are worth where there is no geometry: measured against pairs that are known to differ.

Two masks of one picture are two objects. Each mask's nearest look-alike in its own picture is therefore a hard negative that nobody
had to label: how alike such pairs look, and how often the judge takes them for one object, is the yardstick for all other pairs.
"""

from __future__ import annotations

import numpy as np

from engine.grouping.candidates import PairEvidence, unique_pairs
from engine.grouping.geometry import MaskTable
from engine.types import Float32Array, Float64Array, Int32Array

MIN_KNOWN = 8
"""Known pairs from which on they are a yardstick."""
TYPICAL_SAME = 0.7
"""Quantile of the open pairs' scores that is taken for a typical pair of one object."""
APPEARANCE_CAP = 2.5
ANSWER_CAP = 4.0
"""Largest log-odds that likeness, and an answer, may claim."""


def find_look_alikes(table: MaskTable, embeddings: Float32Array) -> Int32Array:
    """Return each mask's nearest neighbour in its own view, (P, 2) int32 rows, the smaller first, without repeats."""
    unit = _unit(embeddings)
    found: list[Int32Array] = []
    for view in range(len(table.views)):
        rows = np.flatnonzero(table.view_of == view).astype(np.int32)
        if len(rows) > 1:
            alike = unit[rows] @ unit[rows].T
            np.fill_diagonal(alike, -np.inf)
            found.append(np.stack([rows, rows[alike.argmax(axis=1)]], axis=1))
    return unique_pairs(np.concatenate(found)) if found else np.zeros((0, 2), np.int32)


def weigh_likeness(evidence: PairEvidence, known: Float64Array) -> Float64Array:
    """Return the log-odds, (E,) float64, that likeness alone gives each candidate pair; 0 where nothing is known to differ."""
    if len(known) < MIN_KNOWN or len(evidence) == 0:
        return np.zeros(len(evidence))
    return weigh_against(evidence.similarity.astype(np.float64), known, cap=APPEARANCE_CAP)


def likeness_of(embeddings: Float32Array, pairs: Int32Array) -> Float64Array:
    """Return the cosine of the looks, (N, D) float32, of each pair, (P, 2) int32 rows: (P,) float64."""
    unit = _unit(embeddings)
    return np.einsum("pd,pd->p", unit[pairs[:, 0]], unit[pairs[:, 1]]).astype(np.float64)


def measure_novelty(p_same: Float32Array, likeness: Float64Array) -> float:
    """Return how much a judge's answers say beyond likeness, [0, 1], from pairs that are known to differ.

    Likeness and answers are added as if each erred on its own. A judge that sees what likeness sees errs on the same pairs: among
    pairs with one truth, what both have in common is their correlation r, and 1 - r of an answer is news. What K pairs show by
    chance, a standard error of 1 / sqrt(K), is taken off r.

    Args:
        p_same: (K,) float32, the judge's answers about pairs known to differ.
        likeness: (K,) float64, the cosine of their looks.
    """
    answers = _logit(p_same)
    if len(answers) < MIN_KNOWN or min(answers.std(), likeness.std()) < 1e-6:
        return 1.0
    shared = float(np.corrcoef(answers, likeness)[0, 1]) - 1 / np.sqrt(len(answers))
    return 1.0 - float(np.clip(shared, 0, 1))


def weigh_against(scores: Float64Array, known: Float64Array, *, cap: float, usual: Float64Array | None = None) -> Float64Array:
    """Return the log-odds of scores, (E,), against those of pairs known to differ, (K,).

    Both kinds are taken for normal distributions of one width, that of the known pairs. The mean of "same" is a high quantile of
    the scores, at least half a width above: where a judge cannot tell look-alikes from the same object, no answer says much.

    Args:
        scores: (E,) float64 scores to weigh.
        known: (K,) float64 scores of pairs known to differ.
        cap: Largest log-odds.
        usual: (U,) float64 scores among which the high quantile is taken; None = `scores` themselves.
    """
    centre, width = float(known.mean()), max(float(known.std()), 1e-3)
    distance = (scores - centre) / width
    typical = max(float(np.quantile(distance if usual is None else (usual - centre) / width, TYPICAL_SAME)), 0.5)
    return np.clip(typical * (distance - typical / 2), -cap, cap)


def weigh_answers(p_same: Float32Array, known_different: Float32Array) -> Float64Array:
    """Return the log-odds of a judge's answers, (A,), against its answers to look-alikes, (K,)."""
    return weigh_against(_logit(p_same), _logit(known_different), cap=ANSWER_CAP)


def _logit(p: Float32Array) -> Float64Array:
    clipped = np.clip(p.astype(np.float64), 1e-3, 1 - 1e-3)
    return np.log(clipped / (1 - clipped))


def _unit(embeddings: Float32Array) -> Float32Array:
    return (embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)).astype(np.float32)
