"""Pairs that were asked before, to be asked again: those of stored predictions, ours or the original project's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from engine.errors import MaskError
from engine.evaluation.pair_sampling import SampledPair, SeenMask
from engine.evaluation.predictions import EvaluationError, Prediction, read_predictions
from engine.evaluation.result_files import PREDICTIONS
from engine.strict_json import to_json_text
from engine.types import MaskKey

SHOWN = 3
"""Missing masks that an error names."""


def read_given_pairs(folder: Path, room: str) -> tuple[Prediction, ...]:
    """Return what was asked about a room, in its order.

    Args:
        folder: Holds ROOM/predictions.jsonl, as evaluate, reproduce and the original write it.
        room: The room.

    Raises:
        EvaluationError: If the file is missing, empty or malformed.
    """
    path = folder / room / PREDICTIONS
    if not (given := read_predictions(path)):
        raise EvaluationError(f"{path} holds no pairs; expected predictions that evaluate, reproduce or the original wrote.")
    return tuple(given)


def digest(given: Sequence[Prediction]) -> str:
    """Return what tells one list of pairs from another, 16 hexadecimal digits."""
    rows = [[str(one.pair.a), str(one.pair.b), one.is_same] for one in given]
    return hashlib.sha256(to_json_text(rows).encode()).hexdigest()[:16]


def find_given_pairs(given: Sequence[Prediction], masks: Sequence[SeenMask]) -> list[SampledPair]:
    """Return given pairs with the instances that their masks show in a scene.

    A pair that was asked twice comes twice, as scores of so many answers are to be compared.

    Args:
        given: What was asked.
        masks: All masks of the scene.

    Raises:
        MaskError: If the scene lacks one of the masks, or its ground truth gives a pair another answer.
    """
    instances = {mask.key: mask.instance for mask in masks}
    missing = sorted({key for one in given for key in (one.pair.a, one.pair.b)} - instances.keys())
    if missing:
        named = ", ".join(f"{key.mask} in view {key.view}" for key in missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise MaskError(
            f"The scene lacks {len(missing)} of the masks that were asked about before ({named}); "
            "give the scene that the predictions are of, with all its views and the same ground truth."
        )
    pairs = [_as_sampled(i, one, instances) for i, one in enumerate(given)]
    for one, pair in zip(given, pairs, strict=True):
        if one.is_same != pair.is_same:
            told = "one object" if one.is_same else "different objects"
            a, b = one.pair.a, one.pair.b
            raise MaskError(
                f"Mask {a.mask} of view {a.view} and mask {b.mask} of view {b.view} were {told} before and are not so by this "
                "scene's ground truth; give the scene that the predictions are of."
            )
    return pairs


def _as_sampled(number: int, one: Prediction, instances: dict[MaskKey, int]) -> SampledPair:
    # The original's negatives are random ones, and it does not say so.
    kind = None if one.is_same else one.negative_kind or "random"
    # Without a twin a number that is nobody else's.
    twin = -1 - number if one.twin is None else one.twin
    return SampledPair(one.pair, instances[one.pair.a], instances[one.pair.b], twin, kind)
