"""A judge that compares colour histograms: all of a backend in one file, without weights. `--model histogram:4` asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from engine.errors import ModelError
from engine.judging.backends import Backend, JudgeOptions
from engine.judging.base import CropPair, Judge, Prompt
from engine.judging.calibration.fit import Calibration, usable_with
from engine.judging.sources import LoadOptions, ModelReference
from engine.types import Float32Array, UInt8Array, Verdict


class HistogramJudge:
    """Answers by how much two crops' colour histograms overlap (Swain and Ballard 1991, "Color Indexing").

    Args:
        levels: How many levels each colour channel is cut into.
        name: Stored with every verdict.
        prompt: Only how it wants the masks shown counts; it reads no question.
        calibration: Makes P(same) of a share of right answers; used only with the prompt that it was fitted on.
    """

    def __init__(self, levels: int, *, name: str, prompt: Prompt, calibration: Calibration | None = None) -> None:
        self.name, self.prompt = name, prompt
        self.calibration = usable_with(calibration, prompt)
        self._levels = levels

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Return one verdict for each pair, in order. Which crop comes first makes no difference, so both orders are one."""
        return [self._verdict(pair) for pair in pairs]

    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        """Return the square roots of the histograms, (N, levels^3) float32: grouping finds look-alikes by them."""
        return np.stack([np.sqrt(self._histogram(crop)) for crop in crops]) if crops else None

    def _verdict(self, pair: CropPair) -> Verdict:
        began = time.perf_counter()
        overlap = float(np.minimum(self._histogram(pair.a), self._histogram(pair.b)).sum())
        raw = min(max(overlap, 0.01), 0.99)
        logit = np.log(raw / (1 - raw))
        return Verdict(
            p_same=raw if self.calibration is None else float(1 / (1 + np.exp(-self.calibration.apply(logit)))),
            ambiguity=0.0,
            model=self.name,
            prompt=self.prompt.reference,
            latency_s=time.perf_counter() - began,
            uncalibrated=None if self.calibration is None else raw,
        )

    def _histogram(self, crop: UInt8Array) -> Float32Array:
        """Return the share of each colour among the pixels that are not black, (levels^3,) float32."""
        cells = crop[crop.any(axis=-1)].astype(np.int64) * self._levels // 256
        places = cells @ np.array([self._levels**2, self._levels, 1])
        counts = np.bincount(places, minlength=self._levels**3)
        return (counts / max(int(counts.sum()), 1)).astype(np.float32)


def is_histogram(model: ModelReference) -> bool:
    """Whether a model is "histogram:LEVELS"."""
    return model.kind == "other" and model.name.startswith("histogram:")


def load_histogram(model: ModelReference, options: JudgeOptions) -> Judge:
    """Make the judge of "histogram:LEVELS".

    Raises:
        ModelError: If LEVELS is no number from 1 to 16, or options are given that mean nothing here.
    """
    levels = model.name.removeprefix("histogram:")
    if not (levels.isascii() and levels.isdigit() and 1 <= int(levels) <= 16):
        raise ModelError(f"{model.name!r} has no number of levels from 1 to 16 after the colon; try histogram:4.")
    if options.loading != LoadOptions():
        raise ModelError(f"{model.name} has no weights: leave --device, --dtype, --four-bit and --loader out.")
    return HistogramJudge(int(levels), name=options.name or model.name, prompt=options.prompt, calibration=options.calibration)


HISTOGRAM = Backend("histogram", is_histogram, load_histogram)
