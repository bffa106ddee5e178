"""The P(same) from which a model says "same": precision and recall at every threshold, and the chosen one, kept with the model.

A run's threshold lies in its own folder; that of a bundled or downloaded model in one file of the user's data folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from engine.errors import ModelError
from engine.files import write_atomically
from engine.types import USUAL_THRESHOLD, BoolArray, Float64Array

FILE = "operating_point.json"


@dataclass(frozen=True)
class OperatingPoint:
    """A chosen threshold.

    Attributes:
        threshold: P(same) from which on the answer is "same", in (0, 1).
        precision: Share of "same" answers that were right where it was chosen, or None.
        recall: Share of same pairs that were found where it was chosen, or None.
        chosen_on: What it was chosen on, for people.
    """

    threshold: float
    precision: float | None = None
    recall: float | None = None
    chosen_on: str = ""

    def __post_init__(self) -> None:
        """Refuse a threshold that is none.

        Raises:
            ModelError: If it is not between 0 and 1.
        """
        if not (math.isfinite(self.threshold) and 0 < self.threshold < 1):
            raise ModelError(f"A threshold is a probability between 0 and 1, not {self.threshold!r}; choose one in between.")


@dataclass(frozen=True)
class Rates:
    """What a threshold gives on judged pairs; a rate is None if no pair determines it."""

    threshold: float
    precision: float | None
    recall: float | None
    accuracy: float | None
    said_same: int
    pairs: int


def shift_probability(p_same: float, threshold: float) -> float:
    """Return a probability relative to a threshold: shifted in log-odds so that the threshold itself becomes 1/2.

    Grouping, which weighs answers as evidence, takes a chosen threshold into account in this way.
    """
    if threshold == USUAL_THRESHOLD:
        return p_same
    p = min(max(p_same, 1e-6), 1 - 1e-6)
    return 1 / (1 + (1 - p) / p * threshold / (1 - threshold))


def rates_at(p_same: Float64Array, is_same: BoolArray, threshold: float) -> Rates:
    """Count what "same from `threshold` on" gives.

    Args:
        p_same: (N,) float64 probabilities.
        is_same: (N,) bool truth.
        threshold: In (0, 1).
    """
    said = p_same >= threshold
    right = int((said & is_same).sum())
    return Rates(
        threshold,
        precision=right / int(said.sum()) if said.any() else None,
        recall=right / int(is_same.sum()) if is_same.any() else None,
        accuracy=float((said == is_same).mean()) if len(said) else None,
        said_same=int(said.sum()),
        pairs=len(said),
    )


@dataclass(frozen=True)
class PointPlace:
    """Where a model's threshold is kept.

    Attributes:
        folder: The folder of a run, None for a model that has none of its own to write to.
        key: Under what name it stands in the data folder's file, where there is no such folder.
    """

    folder: Path | None
    key: str


class OperatingPoints:
    """The chosen thresholds.

    Args:
        folder: User's data folder, for models that have no folder of their own to write to.
        place: Says where a model's threshold is kept, by the model's name.
    """

    def __init__(self, folder: Path, *, place: Callable[[str], PointPlace] = lambda model: PointPlace(None, model)) -> None:
        self._folder = folder
        self._place = place

    def get(self, model: str) -> OperatingPoint | None:
        """Return a model's threshold, None if none was chosen or the file is of no use."""
        at = self._place(model)
        stored = _read(at.folder / FILE) if at.folder is not None else _read(self._folder / FILE).get(at.key)
        if not isinstance(stored, dict):
            return None
        fields = cast("dict[str, Any]", stored)
        try:
            return OperatingPoint(
                float(fields["threshold"]), fields.get("precision"), fields.get("recall"), str(fields.get("chosen_on", ""))
            )
        except (KeyError, TypeError, ValueError, ModelError):
            return None

    def save(self, model: str, point: OperatingPoint | None) -> Path:
        """Keep a threshold with its model; None forgets it. Returns the file that was written.

        Raises:
            ModelError: If it cannot be written.
        """
        at = self._place(model)
        path = (at.folder or self._folder) / FILE
        content: dict[str, Any] = {} if at.folder is not None else _read(path)
        if at.folder is not None:
            content = asdict(point) if point else {}
        elif point is None:
            content.pop(at.key, None)
        else:
            content[at.key] = asdict(point)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise ModelError(
                f"The threshold of {model!r} cannot be written to {path}: {error.strerror}; check the folder."
            ) from error
        return path


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}
