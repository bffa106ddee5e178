"""What a judge is: crops of two masks in, verdicts out. Knows nothing about scenes, files or the app.

`Judge` is all that its callers may rely on. The two protocols after it are for the one check that needs more of a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Protocol, cast, get_args, runtime_checkable

from engine.errors import ModelError
from engine.types import Float32Array, UInt8Array, Verdict
from engine.views.crops import PictureStyle

if TYPE_CHECKING:
    # It knows prompts, which are here.
    from engine.judging.calibration.fit import Calibration

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


NO_PROMPT = Prompt("none", "")
"""For a judge that asks no question in words: it sees masks on black."""


class Judge(Protocol):
    """Answers "do these two crops show one object?"."""

    @property
    def name(self) -> str:
        """Stored with every verdict."""
        ...

    @property
    def prompt(self) -> Prompt:
        """What it asks, and so how the masks must be shown to it: `prompt.picture`. `NO_PROMPT` if it asks nothing."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """What its probabilities went through, None where they are raw."""
        ...

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Return one verdict for each pair, in order.

        Args:
            pairs: Crops in the style of `prompt.picture`.
            both_orders: Ask (a, b) and (b, a) and average their logits, or (a, b) alone; None = as the judge was made.
                A judge to which both orders are one ignores it.

        Raises:
            ModelError: If the model cannot answer, or answers with something that is not a probability.
        """
        ...

    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        """Return what the judge sees of each crop, for comparing crops without asking about pairs.

        Args:
            crops: Each (h, w, 3) uint8, in the style of `prompt.picture`.

        Returns:
            (N, D) float32, one row a crop, as they come: neither centred nor of unit length. None for a judge that has nothing of
            the kind, and for no crops.
        """
        ...


@runtime_checkable
class ServedJudge(Judge, Protocol):
    """A judge behind a server."""

    @property
    def gives_probabilities(self) -> bool:
        """Whether the server lists probabilities; else its P(same) is read from words and only its answers mean anything."""
        ...

    @property
    def pairs_a_call(self) -> int:
        """Pairs that `judge` should be handed at once, so that the server is kept busy."""
        ...


@runtime_checkable
class TowerJudge(Judge, Protocol):
    """A judge with a vision tower of its own, which an adapter may have changed."""

    def leave_tower_out(self) -> bool:
        """Take an adapter's part in the vision tower out, for good; returns whether it had one."""
        ...


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
