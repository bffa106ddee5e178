"""Finds what the documentation tells people to type: fenced blocks, the commands in them, and commands within sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "assets").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    ((?:maskgroup|python -m) .+)$", re.MULTILINE)
INLINE = re.compile(r"`((?:maskgroup|python -m) [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file, from the root.
        language: What stands behind the opening fence.
        text: What is in it.
    """

    page: str
    language: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """What it is looked up by: its page and its first line."""
        return self.page, self.text.splitlines()[0].strip()

    def commands(self) -> list[str]:
        """Its commands, comments left out, continued lines joined, words one space apart."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=_has_comment(line), posix=False) for line in lines]
        return [" ".join(line) for line in words if line]


def _has_comment(line: str) -> bool:
    # A "#" begins a comment behind a space only: an address names its model behind one.
    return re.search(r"(^|\s)#\s", line) is not None and not re.search(r"\S#\S", line)


def blocks() -> list[Block]:
    """Return all fenced blocks of the documentation."""
    return [
        Block(str(page.relative_to(ROOT)), language, text)
        for page in PAGES
        for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


def inline_commands() -> Iterator[tuple[str, str]]:
    """Yield (page, command) for every command within a sentence or on an indented line."""
    for page in PAGES:
        prose = FENCE.sub("", page.read_text(encoding="utf-8"))
        for found in [*INLINE.findall(prose), *INDENTED.findall(prose.replace("\\\n", " "))]:
            yield str(page.relative_to(ROOT)), " ".join(found.replace("\\|", "|").split())
