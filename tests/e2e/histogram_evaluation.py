"""Evaluates a scene with a judge that compares colours: `python -m tests.e2e.histogram_evaluation SCENE OUT PAIRS`.

The documentation's example of a backend, made slow: without weights, so that being killed at any moment is tested where no model is
installed, and in seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from docs.examples.histogram_judge import HistogramJudge
from engine.assets import SCENES_DIR
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.judging.base import NO_PROMPT, CropPair
from engine.scenes import find_scene
from engine.types import Verdict


class SlowHistogramJudge(HistogramJudge):
    """Takes a few milliseconds a pair, so that a kill falls between them, and says the same time of each."""

    def __init__(self) -> None:
        super().__init__(4, name="colors", prompt=NO_PROMPT)

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Return one verdict for each pair."""
        time.sleep(0.01 * len(pairs))
        return [replace(verdict, latency_s=0.01) for verdict in super().judge(pairs, both_orders=both_orders)]


def main(scene: str, out: str, pairs: str) -> None:
    """Evaluate; goes on where an earlier call was stopped."""
    settings = EvaluationSettings(model="colors", sampling=SamplingSettings(pairs=int(pairs), negatives="hard"))
    evaluate_scene(find_scene(scene, SCENES_DIR), Path(out), settings, SlowHistogramJudge)


if __name__ == "__main__":
    main(*sys.argv[1:])
