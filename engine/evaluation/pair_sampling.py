"""Samples the pairs on which a judge is measured: positives uniformly over instances, each with a negative that shares its mask A.

The same masks and settings always give the same pairs. Knows nothing about scenes, pictures or models: it gets a list of masks, and
learns how they look only through a callback.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import Literal, get_args

import numpy as np

from engine.errors import MaskError
from engine.types import Float32Array, MaskKey, MaskPair

NegativeMode = Literal["random", "hard"]
NegativeKind = Literal["random", "same_class", "nearest", "copy"]
"""How a negative was found: any other instance, one of the same class, the nearest in appearance, or an identical copy of the
instance (whichever way it was found: a crop cannot tell copies apart, so they are always counted apart)."""

NEGATIVE_MODES: tuple[NegativeMode, ...] = get_args(NegativeMode)
NEGATIVE_KINDS: tuple[NegativeKind, ...] = get_args(NegativeKind)

Embed = Callable[[MaskKey], Float32Array]
"""Gives a mask's appearance as a vector, (D,) float32; similarity is the cosine."""


@dataclass(frozen=True)
class SamplingSettings:
    """Settings that decide which pairs are sampled.

    Attributes:
        pairs: Pairs wanted; half are positive. Fewer come back where a scene cannot give them.
        negatives: "hard" = of the same class where one is seen, else the nearest in appearance; "random" = any other instance.
        seed: The same seed and masks give the same pairs in the same order.
        max_per_instance: Most positives of one instance, so that large objects do not fill the sample.
        min_area_px: Smaller masks are never sampled, pixels.
    """

    pairs: int = 300
    negatives: NegativeMode = "random"
    seed: int = 0
    max_per_instance: int = 30
    min_area_px: int = 100

    def __post_init__(self) -> None:
        """Refuse values that no sample can have.

        Raises:
            MaskError: If a number is out of range or the mode is unknown.
        """
        if self.negatives not in NEGATIVE_MODES:
            raise MaskError(f"Negatives {self.negatives!r} are unknown; expected {' or '.join(NEGATIVE_MODES)}.")
        lowest = {"pairs": 1, "max_per_instance": 1, "min_area_px": 1, "seed": 0}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise MaskError(f"{name} is {getattr(self, name)}; expected {least} or more.")


@dataclass(frozen=True)
class SeenMask:
    """One mask with the instance that it shows (a raw ground-truth id) and its size."""

    key: MaskKey
    instance: int
    area_px: int


@dataclass(frozen=True)
class SampledPair:
    """A pair whose answer is known.

    Attributes:
        pair: The masks, in the order shown to the judge; a positive and its twin share mask A.
        instance_a: Instance that mask A shows.
        instance_b: Instance that mask B shows.
        twin: Number shared by a positive and its negative.
        negative_kind: None for a positive.
    """

    pair: MaskPair
    instance_a: int
    instance_b: int
    twin: int
    negative_kind: NegativeKind | None

    @property
    def is_same(self) -> bool:
        """Whether the masks show one instance."""
        return self.instance_a == self.instance_b


def class_of(instance: int) -> int | None:
    """Return the class in a raw id (class * 1000 + instance), or None if it has none (ids below 1000)."""
    return instance // 1000 if instance >= 1000 else None


def sample_pairs(
    masks: Sequence[SeenMask],
    settings: SamplingSettings,
    *,
    copies: Mapping[int, int] | None = None,
    embed: Embed | None = None,
) -> list[SampledPair]:
    """Sample pairs of masks from different views; no pair comes twice, in either order.

    Args:
        masks: All masks of the scene.
        settings: How many, how hard, how chosen.
        copies: Group of every instance that has identical copies (`engine.views.identical_copies`); None = none known.
        embed: Appearance of a mask, for hard negatives of instances without a class; None = a random mask is taken instead.

    Returns:
        Positives, each followed by its negative where there is one; at most `settings.pairs` in all.

    Raises:
        MaskError: If no instance is seen in two views with large enough masks.
    """
    by_instance: dict[int, list[MaskKey]] = defaultdict(list)
    for mask in sorted(masks, key=lambda m: m.key):
        if mask.area_px >= settings.min_area_px:
            by_instance[mask.instance].append(mask.key)
    rng = np.random.default_rng(settings.seed)
    negatives = _NegativeSampler(by_instance, settings.negatives, copies or {}, embed, rng)
    sampled: list[SampledPair] = []
    for twin, (instance, pair) in enumerate(_draw_positives(by_instance, settings.max_per_instance, rng)):
        sampled.append(SampledPair(pair, instance, instance, twin, None))
        if len(sampled) < settings.pairs:
            sampled += negatives.draw(pair.a, instance, twin)
        if len(sampled) >= settings.pairs:
            break
    if not sampled:
        raise MaskError(
            f"No instance is seen in two views with at least {settings.min_area_px} pixels in each, so no pairs can be sampled; "
            "lower --min-area or take a scene with more views."
        )
    return sampled


def _draw_positives(
    by_instance: Mapping[int, list[MaskKey]], max_per_instance: int, rng: np.random.Generator
) -> Iterator[tuple[int, MaskPair]]:
    """Give one pair of every instance in random order, then a second one of each, and so on until the cap."""
    piles: list[list[tuple[int, MaskPair]]] = []
    for instance in sorted(by_instance):
        options = [(a, b) for a, b in combinations(by_instance[instance], 2) if a.view != b.view]
        order: list[int] = rng.permutation(len(options)).tolist()
        picked = [options[i] for i in order[:max_per_instance]]
        flipped = rng.random(len(picked)) < 0.5
        piles.append([(instance, MaskPair(b, a) if flip else MaskPair(a, b)) for (a, b), flip in zip(picked, flipped, strict=True)])
    shuffled: list[int] = rng.permutation(len(piles)).tolist()
    for layer in zip_longest(*(piles[i] for i in shuffled)):
        yield from (drawn for drawn in layer if drawn is not None)


class _NegativeSampler:
    """Finds, for a mask, a mask of another instance in another view; never the same pair twice."""

    def __init__(
        self,
        by_instance: Mapping[int, list[MaskKey]],
        mode: NegativeMode,
        copies: Mapping[int, int],
        embed: Embed | None,
        rng: np.random.Generator,
    ) -> None:
        self._by_instance = by_instance
        self._mode: NegativeMode = mode
        self._copies = copies
        self._embed = embed
        self._rng = rng
        self._used: set[MaskPair] = set()
        self._vectors: dict[MaskKey, Float32Array] = {}

    def draw(self, a: MaskKey, instance: int, twin: int) -> list[SampledPair]:
        """Return the negative as a list of one, or an empty list where the scene has none."""
        options = {i: keys for i in sorted(self._by_instance) if i != instance and (keys := self._free_masks(a, i))}
        if not options:
            return []
        kind: NegativeKind = "random"
        if self._mode == "hard":
            alike = {i: keys for i, keys in options.items() if class_of(i) is not None and class_of(i) == class_of(instance)}
            if alike:
                options, kind = alike, "same_class"
            elif self._embed is not None:
                options, kind = self._nearest(a, options), "nearest"
        other = list(options)[self._rng.integers(len(options))]
        b = options[other][self._rng.integers(len(options[other]))]
        if instance in self._copies and self._copies.get(other) == self._copies[instance]:
            kind = "copy"
        pair = MaskPair(a, b)
        self._used.add(pair.canonical())
        return [SampledPair(pair, instance, other, twin, kind)]

    def _free_masks(self, a: MaskKey, instance: int) -> list[MaskKey]:
        keys = self._by_instance[instance]
        return [key for key in keys if key.view != a.view and MaskPair(a, key).canonical() not in self._used]

    def _nearest(self, a: MaskKey, options: Mapping[int, list[MaskKey]]) -> dict[int, list[MaskKey]]:
        """Of one random mask of every instance, the one that looks most like `a`."""
        one_each = {i: keys[self._rng.integers(len(keys))] for i, keys in options.items()}
        query = self._vector(a)
        nearest = max(one_each, key=lambda i: float(self._vector(one_each[i]) @ query))
        return {nearest: [one_each[nearest]]}

    def _vector(self, key: MaskKey) -> Float32Array:
        if key not in self._vectors:
            assert self._embed is not None
            vector = self._embed(key)
            self._vectors[key] = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
        return self._vectors[key]
