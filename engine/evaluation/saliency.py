"""Where a judge looks: occlusion sensitivity (Zeiler and Fergus 2014, sec. 4.2) over both crops of a pair.

A patch slides over one crop at a time while the other stays whole. The answer depends most on the places where the patch moves the
log-odds of "same" most. This only asks questions, so it works with any judge: adapters, other architectures, servers. On crops
that show a mask on black the patch is black, which is how a judge sees pixels outside a mask; elsewhere it is the crop's mean
colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.judging.base import CropPair, Judge
from engine.types import Float32Array, UInt8Array

METHOD = "occlusion sensitivity (Zeiler and Fergus 2014)"
PATCHES_ACROSS = 7
"""Places of the patch along the longer side of a crop; patches overlap by half."""
BATCH = 16


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """What covering each part of the crops does.

    Attributes:
        a: (h, w) float32 for the first crop: fall of the log-odds of "same" where that part is covered. Positive parts speak for
            "same", negative ones for "different".
        b: The same for the second crop.
        p_same: The judge's answer on the whole crops.
    """

    a: Float32Array
    b: Float32Array
    p_same: float

    @property
    def strongest(self) -> float:
        """Largest size of any value, the scale on which both maps are drawn."""
        return max(float(np.abs(self.a).max(initial=0)), float(np.abs(self.b).max(initial=0)))


def explain_pair(
    judge: Judge,
    pair: CropPair,
    *,
    across: int = PATCHES_ACROSS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeatMaps:
    """Cover each part of both crops in turn and ask again.

    Args:
        judge: Whom to ask.
        pair: The crops as the judge sees them.
        across: Places of the patch along the longer side.
        on_progress: Told how many questions of how many are answered; may raise to stop.

    Returns:
        Maps of the crops' sizes. A pixel's value is the mean over the patches that covered it.
    """
    on_black = judge.prompt.picture == "on_black"
    boxes = [list_patches(crop, across) for crop in (pair.a, pair.b)]
    # A patch over background alone changes nothing, so it is not asked.
    kept = [[box for box in found if not on_black or crop[box].any()] for crop, found in zip((pair.a, pair.b), boxes, strict=True)]
    asked = [CropPair(pair.a, pair.b)]
    asked += [CropPair(cover(pair.a, box, on_black=on_black), pair.b) for box in kept[0]]
    asked += [CropPair(pair.a, cover(pair.b, box, on_black=on_black)) for box in kept[1]]
    odds: list[float] = []
    p_same = 0.5
    for start in range(0, len(asked), BATCH):
        verdicts = judge.judge(asked[start : start + BATCH])
        p_same = verdicts[0].p_same if start == 0 else p_same
        odds += [_log_odds(verdict.p_same) for verdict in verdicts]
        on_progress(len(odds), len(asked))
    falls = [odds[0] - value for value in odds[1:]]
    maps = [
        spread(pair.a.shape[:2], kept[0], falls[: len(kept[0])]),
        spread(pair.b.shape[:2], kept[1], falls[len(kept[0]) :]),
    ]
    if on_black:
        # Patches reach over the mask's border, but only what they hid can have moved the answer.
        maps = [np.where(crop.any(axis=-1), heat, np.float32(0)) for crop, heat in zip((pair.a, pair.b), maps, strict=True)]
    return HeatMaps(maps[0], maps[1], p_same)


def list_patches(crop: UInt8Array, across: int) -> list[tuple[slice, slice]]:
    """Return overlapping square patches that cover a crop, as (rows, columns)."""
    height, width = crop.shape[:2]
    step = max(1.0, max(height, width) / across)
    size = max(2, round(2 * step))

    def starts(length: int) -> list[int]:
        last = max(0, length - size)
        return sorted({round(k) for k in np.linspace(0, last, max(1, math.ceil(last / step) + 1))})

    return [(slice(y, y + size), slice(x, x + size)) for y in starts(height) for x in starts(width)]


def cover(crop: UInt8Array, box: tuple[slice, slice], *, on_black: bool) -> UInt8Array:
    """Return a copy of a crop with one patch covered: black, or the crop's mean colour."""
    covered = crop.copy()
    covered[box] = 0 if on_black else crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    return covered


def spread(shape: tuple[int, ...], boxes: list[tuple[slice, slice]], values: list[float]) -> Float32Array:
    """Return the mean value of the patches over each pixel, (h, w) float32; 0 where none lies."""
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for box, value in zip(boxes, values, strict=True):
        total[box] += value
        count[box] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)


def _log_odds(p: float) -> float:
    clipped = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))
