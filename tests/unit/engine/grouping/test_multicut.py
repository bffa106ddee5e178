"""The multicut solver against every partition of small graphs, and on graphs whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from engine.grouping.multicut import HARD, cut_energy, solve_multicut


def partitions(count: int) -> Iterator[list[int]]:
    """All partitions of `count` nodes as restricted growth strings."""

    def grow(labels: list[int], used: int) -> Iterator[list[int]]:
        if len(labels) == count:
            yield labels
            return
        for label in range(used + 1):
            yield from grow([*labels, label], max(used, label + 1))

    yield from grow([0], 1)


def best_energy(count: int, pairs: np.ndarray, weights: np.ndarray) -> float:
    return max(cut_energy(np.array(labels, np.int32), pairs, weights) for labels in partitions(count))


def random_graph(seed: int, count: int, density: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(count, k=1)
    kept = rng.random(len(a)) < density
    return np.stack([a[kept], b[kept]], axis=1).astype(np.int32), rng.normal(0, 1, int(kept.sum()))


def test_close_to_the_exact_solver_on_random_graphs() -> None:
    gaps = []
    for seed in range(60):
        count = 4 + seed % 5
        pairs, weights = random_graph(seed, count, 0.4 + 0.5 * (seed % 3) / 2)
        exact = best_energy(count, pairs, weights)
        found = cut_energy(solve_multicut(count, pairs, weights), pairs, weights)
        assert found <= exact + 1e-9
        gaps.append((exact - found) / max(exact, 1e-9))
    assert np.mean(np.array(gaps) < 1e-9) >= 0.9
    assert np.mean(gaps) < 0.02


def test_planted_clusters_are_found_through_noise() -> None:
    rng = np.random.default_rng(0)
    planted = np.repeat(np.arange(8), 25)
    a, b = np.triu_indices(200, k=1)
    kept = rng.random(len(a)) < 0.2
    pairs = np.stack([a[kept], b[kept]], axis=1).astype(np.int32)
    weights = np.where(planted[pairs[:, 0]] == planted[pairs[:, 1]], 1.0, -1.0) + rng.normal(0, 0.8, len(pairs))
    labels = solve_multicut(200, pairs, weights)
    assert cut_energy(labels, pairs, weights) >= cut_energy(planted, pairs, weights)
    assert adjusted_rand_score(planted, labels) > 0.95


def test_hard_links_bind_against_everything_else() -> None:
    pairs = np.array([[0, 1], [1, 2], [0, 2], [0, 3]], np.int32)
    labels = solve_multicut(4, pairs, np.array([500.0, 500.0, -HARD, HARD]))
    assert labels[0] != labels[2]
    assert labels[0] == labels[3]


def test_nodes_without_links_stay_alone() -> None:
    labels = solve_multicut(3, np.zeros((0, 2), np.int32), np.zeros(0))
    assert labels.tolist() == [0, 1, 2]


def test_no_nodes() -> None:
    assert solve_multicut(0, np.zeros((0, 2), np.int32), np.zeros(0)).tolist() == []


def test_kernighan_lin_leaves_a_greedy_trap() -> None:
    # Greedy joins 0-1 first (3.0) and is stuck; {0, 2} and {1, 3} are worth 5.8.
    pairs = np.array([[0, 1], [0, 2], [1, 3], [1, 2], [0, 3], [2, 3]], np.int32)
    weights = np.array([3.0, 2.9, 2.9, -4.0, -4.0, -4.0])
    labels = solve_multicut(4, pairs, weights)
    assert cut_energy(labels, pairs, weights) == pytest.approx(best_energy(4, pairs, weights))
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert labels[0] != labels[1]


def test_two_large_clusters_glued_by_one_node_are_split() -> None:
    # One node is drawn to all of both; pairs that repel make up for it, but no node alone gains by leaving.
    size, glue = 20, 40
    a, b = np.triu_indices(size, k=1)
    cliques = np.concatenate([np.stack([a, b], axis=1), np.stack([a, b], axis=1) + size])
    drawn = np.stack([np.arange(2 * size), np.full(2 * size, glue)], axis=1)
    rivals = np.stack([np.arange(11), np.arange(11) + size], axis=1)
    pairs = np.concatenate([cliques, drawn, rivals]).astype(np.int32)
    weights = np.concatenate([np.full(len(cliques), 1.0), np.full(len(drawn), 4.0), np.full(len(rivals), -8.0)])
    labels = solve_multicut(2 * size + 1, pairs, weights)
    assert len(set(labels[:size])) == 1
    assert len(set(labels[size : 2 * size])) == 1
    assert labels[0] != labels[size]
