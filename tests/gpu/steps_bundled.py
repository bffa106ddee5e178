"""The bundled model, whose answers mean something: on the GPU in each number format against float32 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from engine.judging.base import CropPair
from engine.judging.registry import load_judge
from engine.judging.sources import LoadOptions
from engine.types import Float64Array
from tests.gpu.crops import some_pairs
from tests.gpu.step import Figures, Setting

PAIRS = 400


def compare_bundled(setting: Setting) -> Figures:
    """Return for float32, bfloat16 and 4 bits on the device the share of equal answers and the largest change of P(same)."""
    pairs = some_pairs(setting, PAIRS)
    expected = probabilities(pairs, LoadOptions(device="cpu", dtype="float32"))
    figures: dict[str, float | int | str | None] = {
        "device": setting.device,
        "pairs": len(pairs),
        "same_share": float(np.mean(expected >= 0.5)),
    }
    ways = {"float32": LoadOptions(device=setting.device, dtype="float32")}
    ways["bfloat16"] = LoadOptions(device=setting.device, dtype="bfloat16")
    if find_spec("bitsandbytes") is not None:
        ways["4_bits"] = LoadOptions(device=setting.device, four_bit=True)
    for name, options in ways.items():
        found = probabilities(pairs, options)
        figures[f"{name}_equal_answers"] = float(np.mean((found >= 0.5) == (expected >= 0.5)))
        figures[f"{name}_largest_change"] = float(np.abs(found - expected).max())
    return figures


def probabilities(pairs: Sequence[CropPair], options: LoadOptions) -> Float64Array:
    """Return P(same) of each pair, (N,) float64, asked in both orders."""
    return np.array([verdict.p_same for verdict in load_judge("base", loading=options).judge(pairs)])
