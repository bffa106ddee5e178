"""How far people agree with each other and with gold labels, and how fast they are. Runs no query."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from db.labels.rows import Label
from engine.types import Decision, MaskPair

RATINGS: tuple[Decision, ...] = ("same", "different", "unsure")
"""What counts as a rating; who skips a pair has not rated it."""


@dataclass(frozen=True)
class Person:
    """One person's work.

    Attributes:
        name: The annotator's name.
        labels: Their labels that count, gold ones left out.
        median_s: Median seconds a label, None if no label has its time.
        gold: Pairs that they rated and that a gold label settles.
        gold_right: How many of these they answered like the gold label.
    """

    name: str
    labels: int
    median_s: float | None
    gold: int
    gold_right: int

    @property
    def gold_share(self) -> float | None:
        """Agreement with gold, [0, 1]; None if there is nothing to compare."""
        return self.gold_right / self.gold if self.gold else None


@dataclass(frozen=True)
class PairOfPeople:
    """Two people's agreement.

    Attributes:
        first: One of them.
        second: The other.
        pairs: Pairs of masks that both rated.
        agreed: How many of these they rated alike.
        kappa: Cohen's kappa; None if it is not defined, because both always gave the same single rating.
    """

    first: str
    second: str
    pairs: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """The agreement of all people.

    Attributes:
        people: What each annotator did, in the order of their names.
        between: Every two people who rated a pair in common.
        fleiss: Fleiss' kappa over the pairs that two or more people rated; None if it is not defined.
        fleiss_pairs: Number of pairs that `fleiss` is computed over.
    """

    people: tuple[Person, ...]
    between: tuple[PairOfPeople, ...]
    fleiss: float | None
    fleiss_pairs: int


def measure_agreement(current: Iterable[Label]) -> Agreement:
    """Measure how far people agree with each other and with gold labels.

    Args:
        current: The newest label of each annotator on each pair.
    """
    gold: dict[tuple[str, MaskPair], Decision] = {}
    ratings: dict[tuple[str, MaskPair], dict[str, Decision]] = defaultdict(dict)
    own: dict[str, list[Label]] = defaultdict(list)
    for label in sorted(current, key=lambda row: (row.created_at, row.id)):
        key = label.scene, label.pair.canonical()
        if label.is_gold:
            gold[key] = label.decision
            continue
        own[label.annotator].append(label)
        if label.decision in RATINGS:
            ratings[key][label.annotator] = label.decision
    people: list[Person] = []
    for name in sorted(own):
        seconds = [label.seconds for label in own[name] if label.seconds is not None]
        tried = [key for key in gold if name in ratings[key]]
        right = sum(ratings[key][name] == gold[key] for key in tried)
        people.append(Person(name, len(own[name]), median(seconds) if seconds else None, len(tried), right))
    between: list[PairOfPeople] = []
    for first, second in combinations(sorted(own), 2):
        both: list[tuple[Decision, Decision]] = [
            (rated[first], rated[second]) for rated in ratings.values() if first in rated and second in rated
        ]
        if both:
            between.append(PairOfPeople(first, second, len(both), sum(a == b for a, b in both), cohen_kappa(both)))
    several = [list(rated.values()) for rated in ratings.values() if len(rated) > 1]
    return Agreement(tuple(people), tuple(between), fleiss_kappa(several), len(several))


def cohen_kappa(both: Sequence[tuple[Decision, Decision]]) -> float | None:
    """Return Cohen's kappa of two people's ratings, None if it is not defined."""
    if len({rating for pair in both for rating in pair}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    kappa = float(cohen_kappa_score([a for a, _ in both], [b for _, b in both]))
    return kappa if math.isfinite(kappa) else None


def fleiss_kappa(items: Sequence[Sequence[str]]) -> float | None:
    """Return Fleiss' kappa (Psychological Bulletin 76, 1971), None if it is not defined.

    Items may have different numbers of ratings, at least two; each item's agreement is weighted by its number of ratings.

    Args:
        items: The ratings of each item.
    """
    total = sum(len(ratings) for ratings in items)
    if total == 0:
        return None
    shares = Counter(rating for ratings in items for rating in ratings)
    by_chance = sum((count / total) ** 2 for count in shares.values())
    agreed = 0.0
    for ratings in items:
        n = len(ratings)
        agreed += n * sum(count * (count - 1) for count in Counter(ratings).values()) / (n * (n - 1))
    observed = agreed / total
    return None if math.isclose(by_chance, 1.0) else (observed - by_chance) / (1 - by_chance)
