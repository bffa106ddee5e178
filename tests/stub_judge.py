"""The judge of tests that need none of a model's weights: answers by a function of the two crops, and counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.errors import ModelError
from engine.judging.base import NO_PROMPT, CropPair, Prompt
from engine.judging.calibration.fit import Calibration
from engine.types import Float32Array, UInt8Array, Verdict


def by_colour(pair: CropPair) -> float:
    """Say "same" where the crops' mean colours are near."""
    distance = np.abs(pair.a.mean(axis=(0, 1)) - pair.b.mean(axis=(0, 1))).mean()
    return float(np.exp(-distance / 20))


class StubJudge:
    """A judge that answers by a rule.

    Args:
        answer: Gives P(same) of a pair.
        name: Stored with every verdict.
        prompt: What it claims to ask.
        calibration: What its answers claim to have gone through.
        before: Called before each batch is answered: waits, or raises.
        embedding: Gives the (D,) float32 embedding of a crop, None for a judge without embeddings.
        swap_disagreement: Put into every verdict.
    """

    def __init__(
        self,
        answer: Callable[[CropPair], float] = by_colour,
        *,
        name: str = "stub",
        prompt: Prompt = NO_PROMPT,
        calibration: Calibration | None = None,
        before: Callable[[], object] = lambda: None,
        embedding: Callable[[UInt8Array], Float32Array] | None = None,
        swap_disagreement: float | None = None,
    ) -> None:
        self.name, self.prompt, self.calibration = name, prompt, calibration
        self.batches: list[int] = []
        """How many pairs each call brought."""
        self.orders: list[bool | None] = []
        """What each call said of orders."""
        self._answer, self._before, self._embedding, self._swap = answer, before, embedding, swap_disagreement

    @property
    def asked(self) -> int:
        """Pairs asked so far."""
        return sum(self.batches)

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Answer every pair in the order given."""
        self._before()
        self.batches.append(len(pairs))
        self.orders.append(both_orders)
        return [
            Verdict(
                p_same=self._answer(pair),
                ambiguity=0.0,
                model=self.name,
                prompt=self.prompt.reference,
                latency_s=0.001,
                swap_disagreement=self._swap,
            )
            for pair in pairs
        ]

    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        """Return the embeddings of crops, (N, D) float32."""
        if self._embedding is None or not crops:
            return None
        return np.stack([self._embedding(crop) for crop in crops])


def refuse() -> None:
    """Fail as a judge does that cannot answer: the `before` of one that nobody should ask."""
    raise ModelError("Nobody should be asked.")


class SpeakingJudge(StubJudge):
    """A judge whose model answers in words, always the same.

    Args:
        said: What it says of every picture.
    """

    def __init__(self, said: str) -> None:
        super().__init__(name="speaker")
        self.said = said

    def say(self, crops: Sequence[UInt8Array], question: str) -> list[str]:
        """Say it of every picture."""
        return [self.said] * len(crops)
