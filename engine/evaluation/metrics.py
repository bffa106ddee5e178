"""Scores predictions: the original's metrics and more, with 95 % bootstrap intervals. Knows nothing about files or models.

Every metric is a ratio of sums over pairs. Pairs of one instance are not independent, so the bootstrap draws instances (of mask A),
not pairs: the sums are kept for each instance, and a resample is a weighting of these rows (Efron and Tibshirani 1993, ch. 8;
Cameron, Gelbach and Miller 2008 for clusters). Intervals are percentiles.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.pair_sampling import NEGATIVE_KINDS, class_of
from engine.evaluation.predictions import Prediction
from engine.types import Float64Array

RESAMPLES = 2000
CONFIDENCE = 0.95
ECE_BINS = 10
WORST = 10
"""How many instances the worst list names."""

SPECIFICITY_OF = {kind: f"specificity_{kind}" for kind in NEGATIVE_KINDS}
"""Metric name of the specificity on one kind of negative."""

METRICS = (
    "accuracy", "precision", "recall", "specificity", "f1", "twin_accuracy", "ambiguity_rate", "ece",
    "swap_disagreement", "swap_difference", *SPECIFICITY_OF.values(),
)  # fmt: skip
"""All metrics, in the order of every row of values here."""

_SUMS = ("n", "tp", "fp", "tn", "fn", "ambiguous", "twins", "twins_right", "swaps", "swaps_disagree", "swap_difference")
_COLUMN = {name: i for i, name in enumerate(_SUMS)}
_KINDS_AT = len(_SUMS)
_BINS_AT = _KINDS_AT + 2 * len(NEGATIVE_KINDS)
_WIDTH = _BINS_AT + 3 * ECE_BINS


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval; None if the pairs do not determine it (no such pairs, or a single instance)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class GroupScore:
    """How many pairs touch a class or an instance, and the share that was answered right."""

    key: int | None
    pairs: int
    accuracy: float


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
        samples: How many pairs were counted.
        ambiguous: Pairs whose answer was neither yes nor no, a forced one included; they count as wrong.
        forced: Pairs that were asked about again, in one word, because the first answer was ambiguous.
        negatives: Pairs of each kind of negative.
        estimates: Every metric of `METRICS` by name.
        classes: Every class, worst first; key None gathers instances without one. A pair counts for both of its classes.
        worst_instances: The instances with the lowest accuracy, worst first.
    """

    samples: int
    ambiguous: int
    forced: int
    negatives: Mapping[str, int]
    estimates: Mapping[str, Estimate]
    classes: tuple[GroupScore, ...]
    worst_instances: tuple[GroupScore, ...]


def score(predictions: Sequence[Prediction], *, seed: int = 0) -> Scores:
    """Score predictions of one scene."""
    table = sum_by_cluster(predictions, [prediction.pair.a.mask for prediction in predictions])
    values = metric_values(table.sum(axis=0))
    low, high = interval(metric_values(bootstrap_weights(len(table), seed=seed) @ table))
    negatives = {kind: sum(p.negative_kind == kind for p in predictions) for kind in NEGATIVE_KINDS}
    return Scores(
        samples=len(predictions),
        ambiguous=sum(p.said_same is None for p in predictions),
        forced=sum(p.forced for p in predictions),
        negatives={kind: count for kind, count in negatives.items() if count},
        estimates={name: Estimate(*(or_none(row[i]) for row in (values, low, high))) for i, name in enumerate(METRICS)},
        classes=tuple(_group(predictions, by_class=True)),
        worst_instances=tuple(g for g in _group(predictions, by_class=False) if g.accuracy < 1)[:WORST],
    )


def sum_by_cluster(predictions: Sequence[Prediction], clusters: Sequence[Hashable]) -> Float64Array:
    """Sum what the metrics need over the pairs of each cluster.

    Args:
        predictions: Judged pairs, with the truth of each.
        clusters: Cluster of each pair; pairs of different clusters are taken as independent.

    Returns:
        (C, K) float64, clusters in order of first appearance.
    """
    rows = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    table = np.zeros((len(rows), _WIDTH))
    twins: dict[tuple[Hashable, int], list[bool]] = defaultdict(list)
    for prediction, cluster in zip(predictions, clusters, strict=True):
        table[rows[cluster]] += _sums_of(prediction)
        if prediction.twin is not None:
            twins[cluster, prediction.twin].append(prediction.is_right)
    for (cluster, _), right in twins.items():
        if len(right) == 2:
            table[rows[cluster], _COLUMN["twins"]] += 1
            table[rows[cluster], _COLUMN["twins_right"]] += all(right)
    return table


def _sums_of(prediction: Prediction) -> Float64Array:
    row = np.zeros(_WIDTH)
    row[_COLUMN["n"]] = 1
    row[_COLUMN[("t" if prediction.is_right else "f") + ("p" if prediction.counted_same else "n")]] = 1
    row[_COLUMN["ambiguous"]] = prediction.said_same is None
    if prediction.p_same_ab is not None and prediction.p_same_ba is not None:
        row[_COLUMN["swaps"]] = 1
        answers = {p >= prediction.threshold for p in (prediction.p_same_ab, prediction.p_same_ba)}
        row[_COLUMN["swaps_disagree"]] = len(answers) == 2
        row[_COLUMN["swap_difference"]] = abs(prediction.p_same_ab - prediction.p_same_ba)
    if prediction.negative_kind is not None:
        at = _KINDS_AT + 2 * NEGATIVE_KINDS.index(prediction.negative_kind)
        row[at : at + 2] = 1, prediction.is_right
    if prediction.p_same is not None:
        at = _BINS_AT + 3 * min(int(prediction.p_same * ECE_BINS), ECE_BINS - 1)
        row[at : at + 3] = 1, prediction.p_same, prediction.is_same
    return row


def metric_values(sums: Float64Array) -> Float64Array:
    """Return the metrics of summed rows: (..., K) float64 to (..., M) float64 in the order of `METRICS`; NaN = undefined.

    ECE is that of P(same) as a probability: over equal bins of it, the mean distance between P(same) and the share of same.
    """
    n, tp, fp, tn, fn, ambiguous, twins, twins_right, swaps, disagree, difference = np.moveaxis(sums[..., :_KINDS_AT], -1, 0)
    kinds = sums[..., _KINDS_AT:_BINS_AT].reshape(*sums.shape[:-1], len(NEGATIVE_KINDS), 2)
    bins = sums[..., _BINS_AT:].reshape(*sums.shape[:-1], ECE_BINS, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [
            (tp + tn) / n,
            tp / (tp + fp),
            tp / (tp + fn),
            tn / (tn + fp),
            2 * tp / (2 * tp + fp + fn),
            twins_right / twins,
            ambiguous / n,
            np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1) / bins[..., 0].sum(axis=-1),
            disagree / swaps,
            difference / swaps,
            *np.moveaxis(kinds[..., 1] / kinds[..., 0], -1, 0),
        ]
    return np.stack(values, axis=-1)


def bootstrap_weights(clusters: int, *, seed: int = 0) -> Float64Array:
    """Return how often each cluster is drawn in each resample, (RESAMPLES, clusters) float64; no rows for fewer than 2 clusters."""
    if clusters < 2:
        return np.zeros((0, clusters))
    return np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(np.float64)


def interval(resampled: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the percentile interval of each column of (R, M) float64 as two (M,) float64; NaN where nothing is defined."""
    if len(resampled) == 0:
        nothing = np.full(resampled.shape[1], np.nan)
        return nothing, nothing
    tail = 50 * (1 - CONFIDENCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value is NaN, as documented
        low, high = np.nanpercentile(resampled, [tail, 100 - tail], axis=0)
    return low, high


def or_none(value: float) -> float | None:
    """Return a finite float, or None for NaN."""
    return float(value) if np.isfinite(value) else None


def _group(predictions: Sequence[Prediction], *, by_class: bool) -> list[GroupScore]:
    right: dict[int | None, list[bool]] = defaultdict(list)
    for prediction in predictions:
        instances = (prediction.pair.a.mask, prediction.pair.b.mask)
        for key in {class_of(i) if by_class else i for i in instances}:
            right[key].append(prediction.is_right)
    groups = [GroupScore(key, len(answers), sum(answers) / len(answers)) for key, answers in right.items()]
    return sorted(groups, key=lambda g: (g.accuracy, -g.pairs, -1 if g.key is None else g.key))


def to_report(scores: Scores) -> dict[str, object]:
    """Return what metrics.json holds: the original's fields, then ours."""
    values = {name: estimate.value for name, estimate in scores.estimates.items()}
    return {
        "accuracy": values["accuracy"],
        "precision": values["precision"],
        "recall": values["recall"],
        "num_samples": scores.samples,
        "num_total_attempts": scores.samples + scores.forced,
        "num_ambiguous_raw": scores.ambiguous,
        "num_forced": scores.forced,
        **{name: value for name, value in values.items() if name not in ("accuracy", "precision", "recall")},
        "intervals_95": {name: None if e.low is None else [e.low, e.high] for name, e in scores.estimates.items()},
        "num_negatives": dict(scores.negatives),
        "classes": [{"class": g.key, "pairs": g.pairs, "accuracy": g.accuracy} for g in scores.classes],
        "worst_instances": [{"instance": g.key, "pairs": g.pairs, "accuracy": g.accuracy} for g in scores.worst_instances],
    }
