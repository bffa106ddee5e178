"""Votes of blind tests: one line of JSON a vote, flushed to disk, and the running score. Knows nothing about Gradio."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import lock_descriptor

from engine.errors import MaskError, MaskgroupError
from engine.strict_json import to_json_text
from engine.types import MaskKey, MaskPair

Ballot = Literal["left", "right", "both", "neither"]
"""Who was right: the model shown on the left, the one on the right, both, or neither."""
FILE = "votes.jsonl"


@dataclass(frozen=True)
class Vote:
    """One vote.

    Attributes:
        annotator: Who voted.
        scene: The scene.
        pair: The masks in the order of the page.
        left: Model that was shown on the left.
        right: Model that was shown on the right.
        ballot: The vote.
        cast_at: When, ISO 8601 in UTC; "" lets `VoteBox.add` write the present.
    """

    annotator: str
    scene: str
    pair: MaskPair
    left: str
    right: str
    ballot: Ballot
    cast_at: str = ""

    @property
    def winner(self) -> str | None:
        """The model that won, None for a draw."""
        return {"left": self.left, "right": self.right}.get(self.ballot)


@dataclass(frozen=True)
class Score:
    """How two models stand.

    Attributes:
        first: One model.
        second: The other one.
        first_won: Votes for the first.
        second_won: Votes for the second.
        draws: Votes for both or neither.
        share: Share of the decided votes that the second one won; None where there is none.
        low: Lower end of its 95 % interval (Wilson 1927).
        high: Upper end.
    """

    first: str
    second: str
    first_won: int
    second_won: int
    draws: int
    share: float | None
    low: float | None
    high: float | None


class VoteBox:
    """The votes in a file; several processes may share it.

    Args:
        path: The file; it and its folder are made with the first vote.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, vote: Vote) -> None:
        """Keep a vote; it is on disk when this returns.

        Raises:
            MaskgroupError: If it cannot be written.
        """
        record = asdict(vote) | {"pair": [str(vote.pair.a), str(vote.pair.b)], "cast_at": vote.cast_at or _now()}
        line = (to_json_text(record, escape=False) + "\n").encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                lock_descriptor(file.fileno())
                file.seek(0)
                content = file.read()
                if content and not content.endswith(b"\n"):
                    file.write(b"\n")  # a line that a crash cut short must not swallow this one
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MaskgroupError(f"The vote could not be written to {self._path} ({error.strerror}); check the folder.") from error

    def all(self) -> list[Vote]:
        """Return all votes, oldest first; lines that are none are left out."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [vote for line in lines if (vote := _parse(line)) is not None]

    def score(self, first: str, second: str, *, annotator: str | None = None) -> Score:
        """Return how two models stand; of several votes of one person on one pair the latest counts."""
        latest: dict[tuple[str, str, MaskPair], Vote] = {}
        for vote in self.all():
            if {vote.left, vote.right} == {first, second} and annotator in (None, vote.annotator):
                latest[vote.annotator, vote.scene, vote.pair.canonical()] = vote
        return count(first, second, list(latest.values()))


def count(first: str, second: str, votes: Sequence[Vote]) -> Score:
    """Count votes between two models."""
    won = {name: sum(vote.winner == name for vote in votes) for name in (first, second)}
    decided = won[first] + won[second]
    draws = len(votes) - decided
    if not decided:
        return Score(first, second, 0, 0, draws, None, None, None)
    from scipy.stats import binomtest

    interval = binomtest(won[second], decided).proportion_ci(method="wilson")
    share = won[second] / decided
    return Score(first, second, won[first], won[second], draws, share, float(interval.low), float(interval.high))


def _parse(line: str) -> Vote | None:
    try:
        record: dict[str, Any] = json.loads(line)
        a, b = map(MaskKey.parse, record["pair"])
        ballot = record["ballot"]
        if ballot not in get_args(Ballot):
            return None
        words = [str(record[name]) for name in ("annotator", "scene", "left", "right", "cast_at")]
    except (ValueError, KeyError, TypeError, MaskError):
        return None
    annotator, scene, left, right, cast_at = words
    return Vote(annotator, scene, MaskPair(a, b), left, right, ballot, cast_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
