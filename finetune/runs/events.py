"""Events of a training as JSON lines: what its process writes, and what pages and the command line read.

One event a line, written in one call; a line without its newline is not complete yet. Knows what the parts of a training are
called, and nothing about how they are done.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from db.runs import FINISHED, RunOutcome
from engine.strict_json import to_json_text
from finetune.run_folder import EVENTS_FILE

TAIL_BYTES = 2**16
"""Far more than the last event takes."""
Kind = Literal["stage", "progress", "step", "validation", "log", "warning", "end"]


class Stage(StrEnum):
    """The parts of a training, in their order. The words stand in the files of runs, and are what people read."""

    WAITING = "waiting for its turn"
    READING = "reading the scenes"
    LOADING_RIVAL = "loading the model to beat"
    CHOOSING = "choosing pairs"
    JUDGING_RIVAL = "judging the model to beat"
    PREPARING = "preparing the pictures"
    TRAINING = "training"
    SAVING = "saving the adapter"
    JUDGING_NEW = "judging the new model"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: "stage" = a new part of the work began; "progress" = how much is done; "step" = one step of the optimizer;
            "validation" = a point of the held-out curve; "log", "warning" = a sentence; "end" = nothing more will come.
        time: Seconds since 1970, UTC.
        text: Name of the stage, the sentence, or at the end the outcome in words.
        values: Numbers and flags, as JSON values.
    """

    kind: Kind
    time: float
    text: str
    values: dict[str, Any]

    def number(self, name: str) -> float:
        """Return a value as a float; NaN where it is missing."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else math.nan

    @property
    def is_wait(self) -> bool:
        """Whether from here on the run waits for its turn: its process has begun, its work has not."""
        return self.kind == "stage" and self.text == Stage.WAITING

    @property
    def outcome(self) -> RunOutcome:
        """How the run ended, of an event of kind "end"."""
        said = self.values.get("outcome")
        for known in FINISHED:
            if known == said:
                return known
        return "failed"


class EventWriter:
    """Appends events to a run's file."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / EVENTS_FILE
        _cut_unfinished(self._path)

    def write(self, kind: Kind, text: str = "", **values: Any) -> None:
        """Append one event; NaN and infinity are written as null, as JSON has neither.

        Raises:
            OSError: If the disk is full.
        """
        line = to_json_text(asdict(Event(kind, time.time(), text, values))) + "\n"
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def read_events(run_dir: Path) -> list[Event]:
    """Return a run's events, oldest first; an unfinished last line and lines that are no event are left out."""
    path = run_dir / EVENTS_FILE
    return list(_parse(path.read_bytes())) if path.is_file() else []


def has_ended(run_dir: Path) -> bool:
    """Whether the last event says that nothing more will come; the end of the file is read, as whoever waits asks often."""
    path = run_dir / EVENTS_FILE
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        events = list(_parse(stream.read()))
    return bool(events) and events[-1].kind == "end"


def _parse(content: bytes) -> Iterator[Event]:
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        try:
            found = json.loads(line)
            yield Event(found["kind"], float(found["time"]), str(found["text"]), dict(found["values"]))
        except (ValueError, KeyError, TypeError):
            continue


def _cut_unfinished(path: Path) -> None:
    """Cut off what a killed process left without a newline, so that the next line starts on its own."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
