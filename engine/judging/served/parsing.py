"""Reads P(yes) and P(no) from a server's answer: from classes or log-probabilities if there are any, else from words.

A server lists only the k likeliest tokens. A token that is missing is not impossible: its probability is at most that of the last
one listed, and at most what the list leaves over. That *floor* replaces an answer that is not listed at all. With u = what may
be missing on a side, P(same) is then off by at most u / (listed + u); `AnswerMass.error_bound` says how much for one answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

VARIANTS = 5
"""Spellings of one answer that a local judge adds up: yes, Yes, YES, and the first two after a space."""
LEAST_FLOOR = 1e-9
"""Least that stands in for a missing side: servers round, so a list that seems to hold everything does not."""
LEAST = 1e-30
"""Least probability of a listed side, so that its logarithm stays finite."""
TEXT_FLOOR = 0.05
"""P(same) of a plain "no", and of a plain "yes" from 1: words carry no probability, so this says only which side, not how sure."""
CLASSES_OFF = 0.01
"""How far the probabilities of all classes may be from 1 together: servers round."""

_MARKS = "▁ĠĊ"
"""How some servers write a token's leading space or line break."""


@dataclass(frozen=True)
class AnswerMass:
    """What one answer says.

    Attributes:
        yes: Probability of yes in all its spellings, in [0, 1]; the floor where none was listed.
        no: The same for the spellings of "no".
        listed: Probability of the listed spellings of yes and no together, in [0, 1].
        missing: Most that the unlisted spellings of one side can add, in [0, 1].
    """

    yes: float
    no: float
    listed: float
    missing: float

    @property
    def p_same(self) -> float:
        """P(yes), given that it is yes or no."""
        return self.yes / (self.yes + self.no)

    @property
    def margin(self) -> float:
        """log P(yes) - log P(no)."""
        return math.log(self.yes) - math.log(self.no)

    @property
    def ambiguity(self) -> float:
        """Probability of neither; too high by at most twice `missing`."""
        return min(max(1 - self.listed, 0.0), 1.0)

    @property
    def error_bound(self) -> float:
        """How far `p_same` can be from the softmax over all spellings, listed or not."""
        return self.missing / (self.listed + self.missing) if self.missing else 0.0


def answer_of_token(token: str) -> str:
    """Return "yes" or "no" for a token that spells it, in any case and with space around it, else an empty string."""
    word = token.strip().strip(_MARKS).strip().lower()
    return word if word in ("yes", "no") else ""


def mass_from_logprobs(logprobs: Sequence[tuple[str, float]]) -> AnswerMass:
    """Add up the listed spellings of yes and no, and put the floor where a side is missing.

    Args:
        logprobs: The likeliest first tokens: text and natural log-probability, in any order; not empty.
    """
    probabilities = [(answer_of_token(token), math.exp(min(value, 0.0))) for token, value in logprobs]
    rest = max(1 - math.fsum(probability for _, probability in probabilities), 0.0)
    last = min(probability for _, probability in probabilities)
    yes, no = ([probability for answer, probability in probabilities if answer == side] for side in ("yes", "no"))
    floor = max(min(last, rest), LEAST_FLOOR)
    unlisted = max(VARIANTS - min(len(yes), len(no)), 0)
    return AnswerMass(
        yes=max(math.fsum(yes), LEAST) if yes else floor,
        no=max(math.fsum(no), LEAST) if no else floor,
        listed=min(math.fsum([*yes, *no]), 1.0),
        missing=max(min(unlisted * last, rest), 0.0 if yes and no else floor),
    )


def mass_from_text(text: str) -> AnswerMass | None:
    """Read an answer in words: what it starts with, else which of yes and no is said; None if neither or both are.

    A text carries no probability: the other side gets `TEXT_FLOOR`. A model that does not stop may say "yesyesno", which is a yes.
    """
    words = text.lower()
    start = re.match(r"[\W_]*(yes|no)(?:yes|no)*\b", words)
    said = {start[1]} if start else set(re.findall(r"\b(?:yes|no)\b", words))
    if len(said) != 1:
        return None
    yes = 1 - TEXT_FLOOR if said == {"yes"} else TEXT_FLOOR
    return AnswerMass(yes, 1 - yes, listed=1.0, missing=TEXT_FLOOR)


def mass_from_classes(values: Sequence[float], classes: Sequence[str]) -> AnswerMass:
    """Add up the classes that spell yes and those that spell no.

    Nothing is said of answers that are neither, so that the ambiguity is 0.

    Args:
        values: Probability of each class, or of yes alone.
        classes: What each class spells, in the order of `values`; both yes and no among them.

    Raises:
        ValueError: If there are as many values as neither fits, or they are no probabilities that add up to 1.
    """
    if any(not 0 <= value <= 1 for value in values):
        raise ValueError("values that are no probabilities")
    if len(values) == 1:
        return AnswerMass(max(values[0], LEAST), max(1 - values[0], LEAST), listed=1.0, missing=0.0)
    if len(values) != len(classes):
        raise ValueError(f"{len(values)} classes, not {len(classes)}")
    yes, no = (
        math.fsum(value for value, spelt in zip(values, classes, strict=True) if answer_of_token(spelt) == side)
        for side in ("yes", "no")
    )
    if abs(math.fsum(values) - 1) > CLASSES_OFF:
        raise ValueError(f"probabilities that add up to {math.fsum(values):.3f}")
    return AnswerMass(max(yes, LEAST), max(no, LEAST), listed=1.0, missing=0.0)


UNCLEAR = AnswerMass(0.5, 0.5, 0.0, 1.0)
"""An answer that says neither yes nor no."""
