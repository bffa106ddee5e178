"""What a step of the proof is: a function that returns figures, run in a process of its own. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Figures = Mapping[str, float | int | bool | str | None]
"""What a step measured, by name; None = a figure that does not exist here."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: What it is called by.
        target: Its function as "module:function"; it takes a `Setting` and returns `Figures`.
        limit_s: Seconds after which it is ended.
        shows: What its figures show, in a few words.
    """

    name: str
    target: str
    limit_s: float
    shows: str


@dataclass(frozen=True)
class Setting:
    """Where and how large a step runs.

    Attributes:
        tiny: Smallest sizes, on the CPU: shows only that the step runs.
        folder: An empty folder for the step's files.
        pack: The folder that `python -m tests.gpu.pack` made, or None: the step makes what it needs.
    """

    tiny: bool
    folder: Path
    pack: Path | None = None

    @property
    def device(self) -> str:
        """Where the step computes."""
        return "cpu" if self.tiny else "cuda"


class Missing(Exception):
    """Something that a step needs is not on this machine: it is skipped, for the reason that this says."""
