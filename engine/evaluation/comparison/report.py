"""What a comparison shows beyond its table: confusion, reliability, precision and recall, and accuracy by kinds of pairs.

Arrays and predictions in, numbers out; knows nothing about files or plots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from engine.evaluation.comparison.paired import ComparedPair
from engine.evaluation.pair_facts import PairFacts
from engine.evaluation.pair_sampling import class_of
from engine.evaluation.predictions import Prediction, split_scores
from engine.types import Float64Array

RELIABILITY_BINS = 10
MAX_CLASSES = 12
"""Classes with the most pairs that a breakdown lists."""

Dimension = Literal["crop size", "visible share", "view angle", "class", "kind of pair"]

SIZES_PX = ((0, 400), (400, 1600), (1600, 6400), (6400, None))
"""Masks as large as squares with sides of up to 20, 40, 80 and more pixels."""
SHARES = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, None))
ANGLES_DEG = ((0.0, 15.0), (15.0, 45.0), (45.0, 90.0), (90.0, None))
KIND_WORDS = {
    None: "same object",
    "random": "random other object",
    "same_class": "look-alike: same class",
    "nearest": "look-alike: nearest in colour",
    "copy": "identical copy",
}


@dataclass(frozen=True)
class Confusion:
    """Counts of answers; an ambiguous answer counts as the wrong one, as everywhere."""

    same_right: int
    same_missed: int
    different_right: int
    different_missed: int


@dataclass(frozen=True)
class ReportBin:
    """One tenth of P(same): the mean of P(same) in it, the share that truly is the same, and how many pairs."""

    mean_p: float
    share_same: float
    pairs: int


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision over recall.

    Attributes:
        precision: (K,) float64.
        recall: (K,) float64, falling.
        threshold: (K,) float64 threshold of each point; the last is 1.
        average_precision: Area under it, as a step function.
    """

    precision: Float64Array
    recall: Float64Array
    threshold: Float64Array
    average_precision: float


@dataclass(frozen=True)
class Rate:
    """A share of pairs with its 95 % interval (Wilson 1927; takes pairs as independent)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    """Both runs' accuracy on some of the pairs."""

    label: str
    pairs: int
    a: Rate
    b: Rate


def confusion(predictions: Iterable[Prediction]) -> Confusion:
    """Count answers against the truth."""
    counts = {(truth, right): 0 for truth in (True, False) for right in (True, False)}
    for prediction in predictions:
        counts[prediction.is_same, prediction.is_right] += 1
    return Confusion(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def reliability(predictions: Sequence[Prediction]) -> list[ReportBin]:
    """Return the bins of P(same) that hold pairs, in order; their mean distance from the diagonal is the metric `ece`."""
    p_same, is_same = split_scores(predictions)
    place = np.minimum((p_same * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    return [
        ReportBin(float(p_same[place == k].mean()), float(is_same[place == k].mean()), int((place == k).sum()))
        for k in range(RELIABILITY_BINS)
        if (place == k).any()
    ]


def precision_recall(predictions: Sequence[Prediction]) -> Curve | None:
    """Return the curve, None if there are no probabilities or the pairs are all of one kind."""
    p_same, is_same = split_scores(predictions)
    if len(p_same) == 0 or is_same.all() or not is_same.any():
        return None
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_curve,
    )

    precision, recall, threshold = precision_recall_curve(is_same, p_same)
    return Curve(precision, recall, np.append(threshold, 1.0), float(average_precision_score(is_same, p_same)))


def break_down(
    pairs: Sequence[ComparedPair],
    facts: Mapping[tuple[str, str, str], PairFacts],
    *,
    name_of: Callable[[str, int], str | None] = lambda scene, instance: None,
) -> dict[Dimension, list[Slice]]:
    """Return both runs' accuracy by kinds of pairs; a dimension without data is left out.

    Args:
        pairs: Both runs' answers to the same pairs.
        facts: By scene and the two masks' names.
        name_of: What an object of a scene is called, None where that is unknown: its class is then a number.
    """

    known_name = cache(name_of)

    def classes(pair: ComparedPair) -> list[str]:
        found = {_class_words(key.mask, known_name(pair.scene, key.mask)) for key in (pair.a.pair.a, pair.a.pair.b)}
        return sorted(words for words in found if words is not None)

    def fact(read: Callable[[PairFacts], float | None]) -> Callable[[ComparedPair], float | None]:
        def value(pair: ComparedPair) -> float | None:
            known = facts.get((pair.scene, str(pair.a.pair.a), str(pair.a.pair.b)))
            return None if known is None else read(known)

        return value

    found: dict[Dimension, list[Slice]] = {
        "kind of pair": _by_label(
            pairs, lambda p: [KIND_WORDS[p.a.negative_kind if not p.a.is_same else None]], KIND_WORDS.values()
        ),
        "crop size": _by_range(pairs, fact(lambda f: f.crop_px), SIZES_PX, lambda v: f"{v:.0f} px"),
        "visible share": _by_range(pairs, fact(lambda f: f.visible_share), SHARES, lambda v: f"{v:.0%}"),
        "view angle": _by_range(pairs, fact(lambda f: f.view_angle_deg), ANGLES_DEG, lambda v: f"{v:.0f}°"),
        "class": sorted(_by_label(pairs, classes), key=lambda s: -s.pairs)[:MAX_CLASSES],
    }
    return {dimension: slices for dimension, slices in found.items() if slices}


def kind_words(pair: ComparedPair) -> str:
    """Return what kind of pair it is, in words."""
    if pair.a.is_same:
        return KIND_WORDS[None]
    return KIND_WORDS[pair.a.negative_kind] if pair.a.negative_kind is not None else "other object"


def _class_words(instance: int, name: str | None) -> str | None:
    number = class_of(instance)
    return name or (None if number is None else f"class {number}")


def _by_range(
    pairs: Sequence[ComparedPair],
    value: Callable[[ComparedPair], float | None],
    ranges: Sequence[tuple[float, float | None]],
    write: Callable[[float], str],
) -> list[Slice]:
    labels = [f"{write(low)} and more" if high is None else f"{write(low)} to {write(high)}" for low, high in ranges]

    def label(pair: ComparedPair) -> list[str]:
        number = value(pair)
        if number is None:
            return []
        return [text for text, (low, high) in zip(labels, ranges, strict=True) if low <= number and (high is None or number < high)]

    return _by_label(pairs, label, labels)


def _by_label(
    pairs: Sequence[ComparedPair], labels_of: Callable[[ComparedPair], Sequence[str]], order: Iterable[str] = ()
) -> list[Slice]:
    members: dict[str, list[ComparedPair]] = defaultdict(list)
    for pair in pairs:
        for label in labels_of(pair):
            members[label].append(pair)
    names = [name for name in order if name in members]
    names += sorted(name for name in members if name not in names)
    return [
        Slice(
            name,
            len(members[name]),
            _rate(sum(p.a.is_right for p in members[name]), len(members[name])),
            _rate(sum(p.b.is_right for p in members[name]), len(members[name])),
        )
        for name in names
    ]


def _rate(right: int, total: int) -> Rate:
    from scipy.stats import binomtest

    interval = binomtest(right, total).proportion_ci(method="wilson")
    return Rate(right / total, float(interval.low), float(interval.high))
