"""What a judge is: crops of two masks in, verdicts out. Knows nothing about scenes, files or the app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

from engine.errors import ModelError
from engine.types import UInt8Array, Verdict

DEFAULT_PROMPT = "original"


@dataclass(frozen=True)
class Prompt:
    """A question as it is asked, by the name under which it is stored with every verdict."""

    name: str
    text: str


@dataclass(frozen=True, eq=False)
class CropPair:
    """Two crops in the order in which the judge sees them, each (h, w, 3) uint8."""

    a: UInt8Array
    b: UInt8Array


class Judge(Protocol):
    """Answers "do these two crops show one object?"."""

    name: str

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        """Return one verdict for each pair, in order."""
        ...


def load_prompt(name: str = DEFAULT_PROMPT) -> Prompt:
    """Read a prompt from `engine/judging/prompts/<name>.txt`.

    Raises:
        ModelError: If there is no such prompt.
    """
    folder = resources.files("engine.judging") / "prompts"
    names = sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))
    if name not in names:
        raise ModelError(f"There is no prompt {name!r}; the prompts are {', '.join(names)}.")
    return Prompt(name=name, text=(folder / f"{name}.txt").read_text(encoding="utf-8").strip())
