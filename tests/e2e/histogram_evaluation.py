"""Evaluates a scene with a judge that compares colours: `python -m tests.e2e.histogram_evaluation SCENE OUT PAIRS`.

A judge without weights, so that being killed at any moment is tested where no model is installed, and in seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.assets import SCENES_DIR
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.judging.base import CropPair
from engine.scenes import find_scene
from engine.types import UInt8Array, Verdict


class ColorJudge:
    """Answers by how much two crops' colour histograms overlap (Swain and Ballard 1991)."""

    name = "colors"

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        """Return one verdict for each pair; a few milliseconds each, so that a kill falls between them."""
        time.sleep(0.01 * len(pairs))
        overlaps = [float(np.minimum(histogram(pair.a), histogram(pair.b)).sum()) for pair in pairs]
        return [Verdict(p_same=p, ambiguity=0.0, model=self.name, prompt="none", latency_s=0.01) for p in overlaps]


def histogram(crop: UInt8Array) -> np.ndarray:
    """Return the share of each of 64 colours among the pixels that are not black, (64,) float64."""
    pixels = crop[crop.any(axis=-1)].astype(np.int64) // 64
    counts = np.bincount(pixels @ np.array([16, 4, 1]), minlength=64)
    return counts / max(counts.sum(), 1)


def main(scene: str, out: str, pairs: str) -> None:
    """Evaluate; goes on where an earlier call was stopped."""
    settings = EvaluationSettings(model="colors", sampling=SamplingSettings(pairs=int(pairs), negatives="hard"))
    evaluate_scene(find_scene(scene, SCENES_DIR), Path(out), settings, ColorJudge)


if __name__ == "__main__":
    main(*sys.argv[1:])
