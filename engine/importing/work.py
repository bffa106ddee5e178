"""What an import tells while it works, how it is stopped, and what it was asked for besides the source. Reads nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.errors import MaskgroupError

Step = Literal["unpacking", "copying", "photos", "features", "matches", "cameras", "checking"]
"""What is being done: an archive of nothing but pictures is unpacked, or files of a scene are copied; photos are read, and their
cameras found in three steps; then views are looked at."""
Report = Callable[[Step, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


class ImportCancelled(MaskgroupError):
    """A person stopped the import."""


@dataclass(frozen=True)
class Work:
    """An import under way.

    Attributes:
        report: Told how far it is.
        is_cancelled: Asked often; True stops it.
        count: Pictures at most that are taken of a video.
    """

    report: Report
    is_cancelled: Callable[[], bool]
    count: int

    def tick(self) -> None:
        """Stop here if a person asked for that.

        Raises:
            ImportCancelled: If so.
        """
        if self.is_cancelled():
            raise ImportCancelled("The import was stopped; nothing was kept.")
