"""Puts a training's data together: corrections first, then generated pairs, and separately the frozen pairs of the result.

No object of the frozen evaluation pairs, nor a copy or look-alike of one in its scene, is ever trained on. The same scenes, labels
and settings always give the same data. Identical copies never become negatives, because their pictures cannot be told apart.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.errors import MaskError, RunError
from engine.evaluation.pair_sampling import NegativeMode, SampledPair, SamplingSettings, SeenMask, sample_pairs
from engine.strict_json import to_json_text
from engine.types import MaskKey, MaskPair
from finetune.config import NegativeChoice
from finetune.data.corrections import LeftOut, SettledLabel, SettledPair, read_pair, take_decided
from finetune.data.scene_pool import MIN_AREA_PX, Part, ScenePool

Source = Literal["correction", "truth", "groups"]
Kind = Literal["correction", "positive", "random", "look_alike", "mined"]
Miner = Callable[[ScenePool, Sequence[MaskPair]], Sequence[float]]
"""Gives P(same) of pairs, from the judge to beat."""

FROZEN_SEED = 90210
"""The evaluation pairs do not depend on the run's seed: all runs on the same scenes are judged on the same pairs."""
STALE = "the scene has no such mask any more"
CANDIDATES = 3
"""Negatives that the judge is asked about for each one that is mined."""


@dataclass(frozen=True)
class NegativeMix:
    """How negatives are found, each a share in [0, 1]; the rest is any other object.

    Attributes:
        mined: What the judge to beat gets most wrong; look-alikes where no judge is asked.
        alike: Of the same class, or the nearest in colour.
    """

    mined: float
    alike: float


TRAINING_MIX: Mapping[NegativeChoice, NegativeMix] = {"hard": NegativeMix(0.4, 0.4), "random": NegativeMix(0.0, 0.0)}
HELD_OUT_MIX = NegativeMix(0.0, 0.5)
"""As in the frozen pairs, whatever is trained on: the calibration fitted on held-out pairs takes their mix for the world's, and
with harder ones it would answer "different" too often."""


@dataclass(frozen=True)
class TrainingPair:
    """One pair with its answer, where it comes from and, for a negative, how it was found."""

    scene: str
    pair: MaskPair
    is_same: bool
    source: Source
    kind: Kind


@dataclass(frozen=True, eq=False)
class DataSet:
    """The data of one run.

    Attributes:
        training: Pairs to train on, each once; training shows them in both orders.
        validation: Pairs of the held-out curve, of objects that are not trained on.
        evaluation: Frozen pairs of the result, by scene.
        left_out: Labelled pairs that are not trained on, with the reason.
        content_hash: Hash of all pairs, their answers and their pictures; 64 hexadecimal digits.
    """

    training: tuple[TrainingPair, ...]
    validation: tuple[TrainingPair, ...]
    evaluation: Mapping[str, tuple[SampledPair, ...]]
    left_out: tuple[LeftOut, ...]
    content_hash: str

    def counts(self) -> dict[str, int]:
        """Return the number of pairs from each source, by plain names."""
        counts = Counter(f"{pair.source} {'same' if pair.is_same else 'different'}" for pair in self.training)
        kinds = Counter(f"different, {pair.kind}" for pair in self.training if not pair.is_same)
        frozen = sum(len(pairs) for pairs in self.evaluation.values())
        totals = {"training": len(self.training), "validation": len(self.validation), "evaluation": frozen}
        stale = sum(one.reason == STALE for one in self.left_out)
        left_out = {"left out": len(self.left_out), **({"left out, stale": stale} if stale else {})}
        return {**totals, **dict(sorted(counts.items())), **dict(sorted(kinds.items())), **left_out}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSet:
        """Read what `to_json` gave."""
        frozen = {
            scene: tuple(SampledPair(read_pair(a, b), i, j, twin, kind) for a, b, i, j, twin, kind in rows)
            for scene, rows in values["evaluation"].items()
        }
        training, validation = (
            tuple(TrainingPair(scene, read_pair(a, b), same, source, kind) for scene, a, b, same, source, kind in values[part])
            for part in ("training", "validation")
        )
        left_out = tuple(LeftOut(scene, read_pair(a, b), reason) for scene, a, b, reason in values["left_out"])
        return cls(training, validation, frozen, left_out, values["content_hash"])

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON values, as a run's folder keeps it."""
        return {
            "content_hash": self.content_hash,
            "counts": self.counts(),
            "training": [_row(pair) for pair in self.training],
            "validation": [_row(pair) for pair in self.validation],
            "evaluation": {
                scene: [[str(p.pair.a), str(p.pair.b), p.instance_a, p.instance_b, p.twin, p.negative_kind] for p in pairs]
                for scene, pairs in self.evaluation.items()
            },
            "left_out": [[one.scene, str(one.pair.a), str(one.pair.b), one.reason] for one in self.left_out],
        }


@dataclass(frozen=True)
class DataSettings:
    """The settings of a training that concern its data; see `TrainConfig`."""

    pairs: int
    evaluation_pairs: int
    validation_pairs: int
    negatives: NegativeChoice = "hard"
    seed: int = 0


def build_data_set(
    pools: Sequence[ScenePool], labels: Sequence[SettledLabel], settings: DataSettings, *, mine: Miner | None = None
) -> DataSet:
    """Put a run's data together.

    Args:
        pools: The opened scenes, and which part of the data each object is in.
        labels: One decision a pair; those of other scenes are listed as left out.
        settings: Numbers of pairs of each part, the kind of negatives, and the seed.
        mine: Asks the judge to beat for P(same); None = hard negatives by class only.

    Raises:
        RunError: If there is nothing to train on, or nothing to measure on.
    """
    settled, left_out = take_decided(labels)
    kept, frozen_labels, unused = _sort_corrections(settled, pools)
    evaluation = _evaluation_pairs(pools, frozen_labels, settings.evaluation_pairs)
    taken = {(pair.scene, pair.pair.canonical()) for pair in kept}
    wanted = [max(settings.pairs // 2 - sum(pair.is_same == side for pair in kept), 0) for side in (True, False)]
    generated = _generate(pools, "training", wanted, TRAINING_MIX[settings.negatives], settings.seed, taken, mine)
    half = settings.validation_pairs // 2
    validation = _generate(pools, "validation", [half, half], HELD_OUT_MIX, FROZEN_SEED, set(), None)
    training = [*kept, *generated]
    if not any(pair.is_same for pair in training) or all(pair.is_same for pair in training):
        raise RunError(
            f"The scenes give {sum(pair.is_same for pair in training)} pairs of one object among {len(training)}, "
            "and training needs such pairs and others; add scenes with ground truth or geometry, or label more pairs."
        )
    if not any(evaluation.values()):
        raise RunError(
            "Nothing is left to judge the training by: the scenes have too few objects to hold some back; "
            "add a scene with ground truth, or name one to evaluate on."
        )
    order: list[int] = np.random.default_rng(settings.seed).permutation(len(training)).tolist()
    shuffled = tuple(training[i] for i in order)
    digest = hash_content(pools, [*training, *validation])
    return DataSet(shuffled, tuple(validation), evaluation, (*left_out, *unused), digest)


def hash_content(pools: Sequence[ScenePool], pairs: Sequence[TrainingPair]) -> str:
    """Return a digest of pairs, answers and pictures that does not depend on their order."""
    by_name = {pool.name: pool for pool in pools}
    digest = hashlib.sha256()
    for row in sorted(to_json_text(_row(pair)) for pair in pairs):
        digest.update(row.encode())
    for scene, key in sorted({(pair.scene, key) for pair in pairs for key in (pair.pair.a, pair.pair.b)}):
        crop = by_name[scene].crops[key]
        digest.update(f"{scene} {key} {crop.shape}".encode() + crop.tobytes())
    return digest.hexdigest()


def _row(pair: TrainingPair) -> list[object]:
    return [pair.scene, str(pair.pair.a), str(pair.pair.b), pair.is_same, pair.source, pair.kind]


def _sort_corrections(
    settled: Sequence[SettledPair], pools: Sequence[ScenePool]
) -> tuple[list[TrainingPair], list[SettledPair], list[LeftOut]]:
    """Return corrections to train on, those that may measure the run (in scenes without ground truth), and those left out."""
    by_name = {pool.name: pool for pool in pools}
    kept: list[TrainingPair] = []
    frozen: list[SettledPair] = []
    unused: list[LeftOut] = []
    for one in settled:
        pool = by_name.get(one.scene)
        if pool is None:
            unused.append(LeftOut(one.scene, one.pair, "its scene is not among those trained on"))
            continue
        if not all(key in pool.crops for key in (one.pair.a, one.pair.b)):
            unused.append(LeftOut(one.scene, one.pair, STALE))
            continue
        parts = {pool.part_of(one.pair.a), pool.part_of(one.pair.b)}
        if parts == {"training"}:
            kept.append(TrainingPair(one.scene, one.pair, one.decision == "same", "correction", "correction"))
        elif parts == {"evaluation"} and pool.origin != "truth":
            frozen.append(one)
        else:
            unused.append(LeftOut(one.scene, one.pair, "its objects are held back to judge the training by"))
    return kept, frozen, unused


def _evaluation_pairs(
    pools: Sequence[ScenePool], frozen_labels: Sequence[SettledPair], count: int
) -> dict[str, tuple[SampledPair, ...]]:
    """Draw the frozen pairs: half of the negatives hard, half random; from labels in scenes without ground truth."""
    judged = [pool for pool in pools if pool.origin == "truth" and pool.masks_of("evaluation")]
    found: dict[str, tuple[SampledPair, ...]] = {}
    for pool in judged:
        half = max(count // len(judged), 4) // 2
        drawn: dict[MaskPair, SampledPair] = {}
        modes: tuple[NegativeMode, NegativeMode] = ("hard", "random")
        for turn, mode in enumerate(modes):
            # Three times as many as wanted, because copies are dropped: no crop tells them apart.
            sampled = [p for p in _sample(pool, "evaluation", 3 * half, mode, FROZEN_SEED + turn) if p.negative_kind != "copy"]
            new = [p for p in sampled if p.pair.canonical() not in drawn]
            for side in (True, False):
                for pair in [p for p in new if p.is_same == side][: max(half // 2, 1)]:
                    numbered = SampledPair(pair.pair, pair.instance_a, pair.instance_b, 2 * pair.twin + turn, pair.negative_kind)
                    drawn.setdefault(pair.pair.canonical(), numbered)
        if drawn:
            found[pool.name] = tuple(drawn.values())
    for number, one in enumerate(frozen_labels):
        # Instances are not known here; equal numbers only mean "same".
        pair = SampledPair(one.pair, 0, 0 if one.decision == "same" else 1, number, None if one.decision == "same" else "random")
        found[one.scene] = (*found.get(one.scene, ()), pair)
    return found


def _sample(pool: ScenePool, part: Part, count: int, mode: NegativeMode, seed: int) -> list[SampledPair]:
    masks: list[SeenMask] = pool.masks_of(part)
    objects = max(len({mask.instance for mask in masks}), 1)
    settings = SamplingSettings(
        pairs=max(count, 1), negatives=mode, seed=seed, max_per_instance=-(-2 * count // objects) + 4, min_area_px=MIN_AREA_PX
    )
    try:
        return sample_pairs(masks, settings, copies=pool.copies, embed=pool.embed)
    except MaskError:
        return []


def _generate(
    pools: Sequence[ScenePool],
    part: Part,
    wanted: Sequence[int],
    mix: NegativeMix,
    seed: int,
    taken: set[tuple[str, MaskPair]],
    mine: Miner | None,
) -> list[TrainingPair]:
    """Draw `wanted` = (positives, negatives) from the objects of a part, each scene by how many objects it has there."""
    objects = [len({mask.instance for mask in pool.masks_of(part)}) for pool in pools]
    rooms = [(pool, n) for pool, n in zip(pools, objects, strict=True) if n > 1]
    ends = np.cumsum([n for _, n in rooms]) / max(sum(n for _, n in rooms), 1)
    made: list[TrainingPair] = []
    done = [0, 0]
    for (pool, _), end in zip(rooms, ends, strict=True):
        share = [round(float(end) * total) - before for total, before in zip(wanted, done, strict=True)]
        done = [before + now for before, now in zip(done, share, strict=True)]
        known = {pair for scene, pair in taken if scene == pool.name}
        made += _draw(pool, part, share[0], share[1], mix, seed, mine, known)
    return made


def _draw(
    pool: ScenePool,
    part: Part,
    positives: int,
    negatives: int,
    mix: NegativeMix,
    seed: int,
    mine: Miner | None,
    known: set[MaskPair],
) -> list[TrainingPair]:
    """Draw pairs of one scene that are not in `known`."""
    source: Source = "truth" if pool.origin == "truth" else "groups"
    drawn = [
        p
        for p in _sample(pool, part, 2 * (max(positives, negatives) + len(known)), "random", seed)
        if p.negative_kind != "copy" and p.pair.canonical() not in known
    ]
    pairs = [TrainingPair(pool.name, p.pair, True, source, "positive") for p in drawn if p.is_same][:positives]
    easy = [p.pair for p in drawn if not p.is_same]
    mined: list[MaskPair] = []
    alike: list[MaskPair] = []
    want_mined = round(mix.mined * negatives) if mine is not None else 0
    want_alike = round((mix.mined + mix.alike) * negatives) - want_mined
    if want_mined or want_alike:
        hard = _unlike(pool, part, want_alike + CANDIDATES * want_mined // 2, "hard", seed + 1, known)
        alike, candidates = hard[:want_alike], hard[want_alike:]
        if mine is not None and want_mined:
            candidates += _unlike(pool, part, CANDIDATES * want_mined - len(candidates), "random", seed + 2, known)
            chosen_alike = {pair.canonical() for pair in alike}
            candidates = [pair for pair in {p.canonical(): p for p in candidates}.values() if pair.canonical() not in chosen_alike]
            wrong = np.argsort([-p for p in mine(pool, candidates)], kind="stable")[:want_mined]
            mined = [candidates[i] for i in wrong]
    chosen: dict[MaskPair, TrainingPair] = {}
    kinds: tuple[tuple[Kind, list[MaskPair]], ...] = (("mined", mined), ("look_alike", alike), ("random", easy))
    for kind, found in kinds:
        for pair in found:
            if len(chosen) < negatives:
                chosen.setdefault(pair.canonical(), TrainingPair(pool.name, pair, False, source, kind))
    return [*pairs, *chosen.values()]


def _unlike(pool: ScenePool, part: Part, count: int, mode: NegativeMode, seed: int, known: set[MaskPair]) -> list[MaskPair]:
    """Draw negatives that are no copies and not known."""
    drawn = _sample(pool, part, 2 * count, mode, seed) if count > 0 else []
    return [p.pair for p in drawn if not p.is_same and p.negative_kind != "copy" and p.pair.canonical() not in known]


def masks_in(pairs: Sequence[TrainingPair]) -> list[tuple[str, MaskKey]]:
    """Return the masks of pairs, each once, sorted by scene and key."""
    return sorted({(pair.scene, key) for pair in pairs for key in (pair.pair.a, pair.pair.b)})
