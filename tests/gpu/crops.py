"""Crops of the bundled room for the proof: from the pack, else made here; when tiny, a few random pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice, product
from pathlib import Path

import numpy as np

from engine.judging.base import CropPair
from engine.types import UInt8Array
from tests.gpu.step import Setting

FILE = "crops.npz"
SCENE = "sh3d_living"
TINY_SIDES = (48, 64, 80)


def view_pair(setting: Setting) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Return crops of all masks of two neighbouring views, each (h, w, 3) uint8 on black."""
    if setting.pack is not None:
        return read_crops(setting.pack / FILE)
    if setting.tiny:
        rng = np.random.default_rng(0)
        pictures = [rng.integers(0, 255, (side, 64, 3)).astype(np.uint8) for side in TINY_SIDES]
        return pictures[:2], pictures[1:]
    from tests.bench.bench_judging import view_crops

    return view_crops(SCENE)


def some_pairs(setting: Setting, count: int) -> list[CropPair]:
    """Return at most `count` pairs, drawn from all pairs of the two views with a fixed seed."""
    pairs = all_pairs(setting)
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
    return [pairs[i] for i in chosen]


def cycled_pairs(setting: Setting, count: int) -> list[CropPair]:
    """Return exactly `count` pairs: those of `some_pairs`, again from the first where there are fewer."""
    return list(islice(cycle(some_pairs(setting, count)), count))


def all_pairs(setting: Setting) -> list[CropPair]:
    """Return every mask of the one view with every mask of the other."""
    return [CropPair(a, b) for a, b in product(*view_pair(setting))]


def write_crops(path: Path, first: Sequence[UInt8Array], second: Sequence[UInt8Array]) -> None:
    """Write crops as one row of bytes and their sizes: no objects, so no pickles."""
    crops = [*first, *second]
    sizes = np.array([crop.shape[:2] for crop in crops], np.int32)
    values = np.concatenate([crop.reshape(-1) for crop in crops])
    np.savez_compressed(path, values=values, sizes=sizes, first=np.int32(len(first)))


def read_crops(path: Path) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Read what `write_crops` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        values, sizes, count = stored["values"], stored["sizes"], int(stored["first"])
    ends = np.cumsum(sizes.prod(axis=1) * 3)
    parts = np.split(values, ends[:-1])
    crops = [part.reshape(int(h), int(w), 3) for part, (h, w) in zip(parts, sizes, strict=True)]
    return crops[:count], crops[count:]
