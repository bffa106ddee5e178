"""What a check of a scene gives: a list of findings, each a sentence with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.types import LeftOutView

Topic = Literal["views", "pictures", "camera", "depth", "poses", "mesh", "points", "masks", "ground truth", "reading"]
Level = Literal["ok", "note", "doubt"]
"""ok = as it should be; note = worth knowing; doubt = results will suffer from it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        topic: What it is about.
        level: How good or bad it is.
        text: The sentence.
        figures: Its numbers by name, with units in the names; None = could not be told.
    """

    topic: Topic
    level: Level
    text: str
    figures: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class CheckReport:
    """What was found in one scene.

    Attributes:
        scene: Its name.
        folder: Where it is.
        format: Name of its format.
        n_views: Views that can be used.
        n_looked_at: Views whose pictures, depth and masks were read.
        left_out: Views that cannot be used, and why, among them those whose files turned out to be broken.
        findings: In the order in which they are told.
    """

    scene: str
    folder: str
    format: str
    n_views: int
    n_looked_at: int
    left_out: tuple[LeftOutView, ...]
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there is no doubt."""
        return all(finding.level != "doubt" for finding in self.findings)
