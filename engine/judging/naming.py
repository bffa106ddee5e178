"""Asks a judge's model what a mask shows: a name that a person has to confirm. Knows nothing about scenes, groups or the app.

Not every judge can: one that was trained to answer yes and no alone, as the bundled one, has no words for things.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from engine.errors import ModelError
from engine.judging.base import Judge
from engine.types import UInt8Array

QUESTION = "What is the object in this picture? Answer with its name alone, in one or two words."
ANSWER_TOKENS = 12
"""Tokens of an answer at most."""
LEAST_VOCABULARY = 1000
"""A tokenizer with fewer tokens has no words, as the bundled model's, which has 366."""
MAX_WORDS = 4
_ARTICLES = ("a ", "an ", "the ")
_LEAD = re.compile(r"^(this|it|that|the (object|picture|image))( (is|shows))? ", re.IGNORECASE)


@runtime_checkable
class NamingJudge(Judge, Protocol):
    """A judge whose model answers in words."""

    def say(self, crops: Sequence[UInt8Array], question: str) -> list[str]:
        """Return what the model says of each picture, (h, w, 3) uint8 each, as it comes.

        Raises:
            ModelError: If it cannot answer in words.
        """
        ...


def propose_names(judge: Judge, crops: Sequence[UInt8Array]) -> list[str | None]:
    """Return what a judge's model calls the object of each picture; None where its answer is no name.

    Args:
        judge: The judge.
        crops: Each (h, w, 3) uint8, in the style of `judge.prompt.picture`.

    Raises:
        ModelError: If its model cannot name things, or does not answer.
    """
    if not isinstance(judge, NamingJudge):
        raise cannot_name(judge.name)
    return [read_name(text) for text in judge.say(crops, QUESTION)]


def cannot_name(name: str) -> ModelError:
    """Return the error of a model that has no words for things."""
    return ModelError(
        f"The model {name!r} was trained to answer yes and no alone and cannot name things; choose another judge, such as "
        "Qwen/Qwen3-VL-2B-Instruct, or type a name yourself."
    )


def read_name(text: str) -> str | None:
    """Return the name in an answer, e.g. "office chair" of "An office chair."; None if it is no name of a thing."""
    line = text.strip().split("\n")[0].strip(" .,:;!?\"'*`").strip()
    line = _LEAD.sub("", line)
    for article in _ARTICLES:
        line = line[len(article) :] if line.lower().startswith(article) else line
    words = line.split()
    is_name = 0 < len(words) <= MAX_WORDS and all(re.fullmatch(r"[^\W\d_][\w'’-]*", word) for word in words)
    return " ".join(words).lower() if is_name and line.lower() not in ("yes", "no") else None
