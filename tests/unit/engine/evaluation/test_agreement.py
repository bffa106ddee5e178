"""Two ways of running a model compared: what counts as rounding, what as other weights, and what words can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.evaluation.agreement import PAIRS_A_CALL, Answers, ask_all, compare_answers, meaning_in_words
from engine.judging.base import NO_PROMPT, CropPair
from engine.types import Float32Array, UInt8Array, Verdict


def answers(*p_same: float, gives_probabilities: bool = True) -> Answers:
    return Answers(np.array(p_same), unclear=0, seconds=2.0, gives_probabilities=gives_probabilities)


def test_last_digits_are_no_difference() -> None:
    found = compare_answers(answers(0.1, 0.9, 0.4999), answers(0.1005, 0.9, 0.4995))
    assert (found.meaning, found.changed, found.farthest) == ("alike", (), 0.0)
    assert meaning_in_words(found) == "The two run the same weights: no answer changes, and P(same) differs by rounding only."


def test_changed_answers_near_the_threshold_are_rounding_and_come_clearest_first() -> None:
    found = compare_answers(answers(0.1, 0.9, 0.49, 0.52), answers(0.11, 0.9, 0.51, 0.48))
    assert found.meaning == "rounding"
    assert [one.place for one in found.changed] == [3, 2]
    assert found.farthest == pytest.approx(0.02)
    assert (found.mean, found.most) == (pytest.approx(0.0175), pytest.approx(0.04))
    assert found.p95 == pytest.approx(np.percentile([0.01, 0, 0.02, 0.04], 95))
    assert found.correlation == pytest.approx(np.corrcoef([0.1, 0.9, 0.49, 0.52], [0.11, 0.9, 0.51, 0.48])[0, 1])
    assert "2 answers change, at most 0.020 from the threshold" in meaning_in_words(found)


def test_the_threshold_is_that_of_both() -> None:
    assert not compare_answers(answers(0.49, 0.9), answers(0.51, 0.9), threshold=0.7).changed


@pytest.mark.parametrize("other", [(0.3, 0.7), (0.1, 0.2)], ids=["all a little", "one clearly"])
def test_far_answers_are_other_weights(other: tuple[float, float]) -> None:
    found = compare_answers(answers(0.1, 0.9), answers(*other))
    assert found.meaning == "otherwise"
    assert "do not answer like the same weights" in meaning_in_words(found)


def test_one_clear_change_among_many_is_no_rounding() -> None:
    same = [0.1] * 99
    found = compare_answers(answers(*same, 0.9), answers(*same, 0.1))
    assert found.mean is not None
    assert found.mean < 0.05
    assert (found.meaning, found.farthest) == ("otherwise", pytest.approx(0.4))
    assert "1 answer changes" in meaning_in_words(found)


def test_words_tell_answers_only() -> None:
    found = compare_answers(answers(0.3, 0.6), answers(0.05, 0.95, gives_probabilities=False))
    assert (found.meaning, found.mean, found.p95, found.most, found.correlation) == ("words", None, None, None, None)
    assert meaning_in_words(found) == "One of the two gives words only, so that only answers can be compared: no answer changes."


def test_nothing_that_varies_has_no_correlation() -> None:
    assert compare_answers(answers(0.3, 0.3), answers(0.3, 0.31)).correlation is None


class Counting:
    """A judge that keeps in which calls it was asked; what it says before calibration is the first pixel."""

    name, prompt, calibration = "counting", NO_PROMPT, None

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool | None]] = []

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        self.calls.append((len(pairs), both_orders))
        return [Verdict(0.5, 0.9 if p.a[0, 0, 0] > 250 else 0, self.name, "", 0.0, uncalibrated=p.a[0, 0, 0] / 255) for p in pairs]

    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        return None


def test_all_are_asked_in_order_after_the_first_was_tried() -> None:
    judge, told = Counting(), []
    pairs = [CropPair(crop, crop) for crop in (np.full((1, 1, 3), i, np.uint8) for i in range(PAIRS_A_CALL + 3))]
    said = ask_all(judge, pairs, both_orders=False, on_progress=lambda done, total: told.append((done, total)))
    assert judge.calls == [(1, False), (PAIRS_A_CALL, False), (3, False)]
    assert told == [(0, len(pairs)), (PAIRS_A_CALL, len(pairs)), (len(pairs), len(pairs))]
    assert said.p_same.tolist() == [i / 255 for i in range(len(pairs))]
    assert (said.unclear, said.gives_probabilities) == (0, True)
    assert said.pairs_a_second > 0
