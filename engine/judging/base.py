"""What a judge is: crops of two masks in, verdicts out. Knows nothing about scenes, files or the app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol, cast, get_args

from engine.errors import ModelError
from engine.types import UInt8Array, Verdict
from engine.views.crops import PictureStyle

DEFAULT_PROMPT = "original"
BUNDLED_PROMPT = "original"
"""What measured best for the bundled model; see docs/judging.md for the table and how to print it."""
AMBIGUOUS_ABOVE = 0.5
"""Probability mass on neither yes nor no from which on an answer is ambiguous: a decoded answer would most likely be neither."""


@dataclass(frozen=True)
class Prompt:
    """A question as it is asked.

    Attributes:
        name: Name of its file.
        text: The question that follows the two pictures.
        version: Counts changes of the wording.
        picture: How the two masks are shown.
        forced: Added to the question when the first answer was neither yes nor no. It never says what is right.
    """

    name: str
    text: str
    version: int = 1
    picture: PictureStyle = "on_black"
    forced: str = ""

    @property
    def reference(self) -> str:
        """Name and version, e.g. "original@1", as stored with every verdict."""
        return f"{self.name}@{self.version}"

    @property
    def forced_text(self) -> str:
        """The second question, asked after an ambiguous answer."""
        return f"{self.text} {self.forced}".strip()


@dataclass(frozen=True, eq=False)
class CropPair:
    """Two pictures in the order in which the judge sees them, each (h, w, 3) uint8, made in the style that its prompt asks for."""

    a: UInt8Array
    b: UInt8Array


class Judge(Protocol):
    """Answers "do these two crops show one object?"."""

    name: str

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        """Return one verdict for each pair, in order.

        Raises:
            ModelError: If the model cannot answer, or answers with something that is not a probability.
        """
        ...


def picture_style(judge: Judge) -> PictureStyle:
    """Return how the masks must be shown to a judge: as its prompt says, or on black where it asks no prompt."""
    prompt = getattr(judge, "prompt", None)
    return prompt.picture if isinstance(prompt, Prompt) else "on_black"


def prompt_names() -> list[str]:
    """Return the names of all prompts, sorted."""
    folder = resources.files("engine.judging") / "prompts"
    return sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))


def load_prompt(name: str = DEFAULT_PROMPT) -> Prompt:
    """Read a prompt from `engine/judging/prompts/<name>.txt`.

    Raises:
        ModelError: If there is no such prompt, or its file has another form.
    """
    if name not in prompt_names():
        raise ModelError(f"There is no prompt {name!r}; the prompts are {', '.join(prompt_names())}.")
    content = (resources.files("engine.judging") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    return parse_prompt(name, content)


def parse_prompt(name: str, content: str) -> Prompt:
    """Read a prompt's file: lines `version: N` and `picture: STYLE`, the question, what forces an answer, with `---` between.

    Raises:
        ModelError: If it has another form.
    """
    head, *texts = (part.strip() for part in f"\n{content}\n".split("\n---\n"))
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    version, picture = fields.get("version", ""), fields.get("picture", "")
    if len(texts) != 2 or not all(texts) or not version.isdigit() or picture not in get_args(PictureStyle):
        raise ModelError(
            f"The prompt {name!r} has another form: expected 'version: N', 'picture: {' | '.join(get_args(PictureStyle))}', "
            "then '---', the question, '---' and the forced question."
        )
    return Prompt(name, texts[0], version=int(version), picture=cast("PictureStyle", picture), forced=texts[1])


def default_prompt(model: str) -> str:
    """Return a model's default prompt: the one that measured best for the bundled model and its adapters
    (docs/judging.md), the original's for all others."""
    return BUNDLED_PROMPT if model in ("base", "tuned") else DEFAULT_PROMPT
