"""Whether two ways of running a model give the same answers: here and on a server, in float32 and in 4 bits.

Both ways are asked about the same pairs; probabilities are compared before calibration, because each side may have its own. Knows
nothing about how judges are loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.evaluation.served_check import PLAIN_DISTANCE, raw_probabilities
from engine.judging.base import AMBIGUOUS_ABOVE, CropPair, Judge, ServedJudge
from engine.types import USUAL_THRESHOLD, Float64Array, Verdict

PAIRS_A_CALL = 64
"""Pairs handed over at once: enough to fill passes and to keep a server busy, few enough to show progress."""
ROUNDING = 0.02
"""Mean change of P(same) up to which coarser rounding explains it: the bundled model's is 0.0005 in bfloat16 and 0.0009 in 4 bits;
an adapter that changes no answer makes 0.03."""
NEAR_THRESHOLD = 0.1
"""Distance from the threshold up to which rounding may change an answer."""

Meaning = Literal["alike", "rounding", "otherwise", "words"]
"""Equal up to the last digits; equal up to coarser rounding, such as bfloat16's; other weights or other pictures; words only on one
side, so that only answers can be compared."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What one way of running a model said.

    Attributes:
        p_same: P(same) of each pair before calibration, (N,) float64.
        unclear: Answers with more probability on neither yes nor no than on both.
        seconds: What all answers took together, without loading and without the first pair, which is asked once more beforehand.
        gives_probabilities: Whether `p_same` are probabilities; else they only stand for words.
    """

    p_same: Float64Array
    unclear: int
    seconds: float
    gives_probabilities: bool

    @property
    def pairs_a_second(self) -> float:
        """Pairs answered in a second."""
        return len(self.p_same) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class ChangedAnswer:
    """A pair that the two ways answer differently: its place among the pairs, and P(same) of both."""

    place: int
    a: float
    b: float


@dataclass(frozen=True)
class Agreement:
    """Two ways compared.

    Attributes:
        pairs: Pairs that both were asked about.
        changed: Pairs with different answers, the clearest first.
        farthest: How far a changed answer is from the threshold at most, by the nearer of its two P(same); 0 = none changed.
        mean: Mean of |P(same) of A - P(same) of B|; None where one side gives words only, as are the next three.
        p95: Its 95th percentile.
        most: Its maximum.
        correlation: Pearson's correlation of P(same); None too where one side never varies.
        meaning: What all this says.
    """

    pairs: int
    changed: tuple[ChangedAnswer, ...]
    farthest: float
    mean: float | None
    p95: float | None
    most: float | None
    correlation: float | None
    meaning: Meaning


def ask_all(
    judge: Judge,
    pairs: Sequence[CropPair],
    *,
    both_orders: bool,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Answers:
    """Ask about all pairs, and take the time.

    Args:
        judge: Whom to ask.
        pairs: Crops in the style of its prompt; not empty.
        both_orders: Ask both orders of a pair and average their logits.
        on_progress: Told how many of how many pairs are answered, after every call.

    Raises:
        ModelError: If the judge cannot answer.
    """
    # What is done only once (kernels are compiled, connections made) does not count.
    judge.judge(pairs[:1], both_orders=both_orders)
    verdicts: list[Verdict] = []
    seconds = 0.0
    on_progress(0, len(pairs))
    while len(verdicts) < len(pairs):
        at_once = max(judge.pairs_a_call, PAIRS_A_CALL) if isinstance(judge, ServedJudge) else PAIRS_A_CALL
        started = time.perf_counter()
        verdicts += judge.judge(pairs[len(verdicts) : len(verdicts) + at_once], both_orders=both_orders)
        seconds += time.perf_counter() - started
        on_progress(len(verdicts), len(pairs))
    return Answers(
        p_same=raw_probabilities(verdicts),
        unclear=sum(verdict.ambiguity > AMBIGUOUS_ABOVE for verdict in verdicts),
        seconds=seconds,
        gives_probabilities=not isinstance(judge, ServedJudge) or judge.gives_probabilities,
    )


def compare_answers(a: Answers, b: Answers, *, threshold: float = USUAL_THRESHOLD) -> Agreement:
    """Compare what two ways said about the same pairs.

    Args:
        a: The first way.
        b: The second way, of as many pairs.
        threshold: P(same) from which the answer is "same", on both sides.
    """
    places = np.flatnonzero((a.p_same >= threshold) != (b.p_same >= threshold)).tolist()
    changed = [ChangedAnswer(i, float(a.p_same[i]), float(b.p_same[i])) for i in places]
    changed.sort(key=lambda one: -_distance(one, threshold))
    farthest = _distance(changed[0], threshold) if changed else 0.0
    if not (a.gives_probabilities and b.gives_probabilities):
        return Agreement(len(a.p_same), tuple(changed), farthest, None, None, None, None, "words")
    change = np.abs(a.p_same - b.p_same)
    mean = float(change.mean())
    meaning: Meaning = "otherwise"
    if not changed and mean <= PLAIN_DISTANCE:
        meaning = "alike"
    elif mean <= ROUNDING and farthest <= NEAR_THRESHOLD:
        meaning = "rounding"
    varies = min(np.ptp(a.p_same), np.ptp(b.p_same)) > 0
    return Agreement(
        pairs=len(a.p_same),
        changed=tuple(changed),
        farthest=farthest,
        mean=mean,
        p95=float(np.percentile(change, 95)),
        most=float(change.max()),
        correlation=float(np.corrcoef(a.p_same, b.p_same)[0, 1]) if varies else None,
        meaning=meaning,
    )


def _distance(one: ChangedAnswer, threshold: float) -> float:
    """Return how far the nearer of a pair's two probabilities is from the threshold."""
    return min(abs(one.a - threshold), abs(one.b - threshold))


def meaning_in_words(found: Agreement) -> str:
    """Return what a comparison means, in one sentence."""
    count = len(found.changed)
    changes = "no answer changes" if not count else "1 answer changes" if count == 1 else f"{count} answers change"
    if found.meaning == "words":
        return f"One of the two gives words only, so that only answers can be compared: {changes}."
    if found.meaning == "alike":
        return "The two run the same weights: no answer changes, and P(same) differs by rounding only."
    if found.meaning == "rounding":
        where = f", at most {found.farthest:.3f} from the threshold" if count else ""
        return f"The two run the same weights as far as these pairs can tell: {changes}{where}; coarser rounding does that."
    return (
        f"The two do not answer like the same weights: P(same) is off by {found.mean:.3f} on average, and {changes}; "
        "see that both load the same base and adapter and get pictures of the same size."
    )
