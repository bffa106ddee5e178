"""Lets a judge of crops answer about masks by name: cuts the crops, asks in batches, says how masks look, stops where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.judging.base import CropPair, Judge
from engine.judging.calibration.operating_point import shift_probability
from engine.types import USUAL_THRESHOLD, Float32Array, MaskKey, MaskPair, UInt8Array, no_probability
from engine.views.crops import PictureStyle, show_mask
from engine.views.frames import FrameSource

BATCH = 64


class FramePairJudge:
    """A `PairJudge` on a scene's frames.

    Args:
        judge: Answers about crops.
        frames: Where the crops are cut from.
        tick: Called with the number of pairs answered in all, after each batch; may raise to cancel.
        threshold: P(same) from which the judge says "same"; answers are shifted in log-odds so that it becomes 1/2.
    """

    def __init__(
        self,
        judge: Judge,
        frames: FrameSource,
        *,
        tick: Callable[[int], None] = lambda _: None,
        threshold: float = USUAL_THRESHOLD,
    ) -> None:
        self._judge, self._frames, self._tick, self._threshold = judge, frames, tick, threshold
        self._style: PictureStyle = judge.prompt.picture
        self._crops: dict[MaskKey, UInt8Array] = {}
        self._answered = 0

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        """Return the probability of "same" for each pair, in order, as it stands to the threshold."""
        answers: list[float] = []
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            verdicts = self._judge.judge([CropPair(self._crop(pair.a), self._crop(pair.b)) for pair in batch])
            answers.extend(shift_probability(verdict.p_same, self._threshold) for verdict in verdicts)
            self._answered += len(batch)
            self._tick(self._answered)
        return answers

    def embed(self, keys: Sequence[MaskKey]) -> Float32Array | None:
        """Return what the judge sees of each mask, (N, D) float32, centred and of unit length; None if it has no embeddings.

        Raises:
            ModelError: If the judge gives numbers that are none.
        """
        rows: list[Float32Array] = []
        for start in range(0, len(keys), BATCH):
            crops = [self._crop(key) for key in keys[start : start + BATCH]]
            found = self._judge.embed(crops)
            if found is None:
                return None
            rows.append(found)
            self._tick(self._answered)
        if not rows:
            return None
        table = np.concatenate(rows)
        if not np.isfinite(table).all():
            raise no_probability(self._judge.name, float(table[~np.isfinite(table)][0]))
        table -= table.mean(axis=0)
        return (table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    def _crop(self, key: MaskKey) -> UInt8Array:
        if key not in self._crops:
            self._crops[key] = show_mask(self._frames.frame(key.view), key, style=self._style)
        return self._crops[key]
