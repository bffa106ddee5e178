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
from engine.types import BoolArray, Float64Array

FILE = "operating_point.json"
USUAL_THRESHOLD = 0.5
"""Where "same" begins for a model for which nobody chose another."""


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


class OperatingPoints:
    """The chosen thresholds.

    Args:
        folder: User's data folder, for models that have no folder of their own to write to.
        run_folder: Returns the folder of a run by its name, None if the name is not a run's.
        key: Returns under what name any other model's threshold is kept.
    """

    def __init__(
        self, folder: Path, *, run_folder: Callable[[str], Path | None] = lambda _: None, key: Callable[[str], str] = str
    ) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._key = key

    def get(self, model: str) -> OperatingPoint | None:
        """Return a model's threshold, None if none was chosen or the file is of no use."""
        own = self._run_folder(model)
        stored = _read(own / FILE) if own is not None else _read(self._folder / FILE).get(self._key(model))
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
        own = self._run_folder(model)
        path = (own or self._folder) / FILE
        content: dict[str, Any] = {} if own is not None else _read(path)
        if own is not None:
            content = asdict(point) if point else {}
        elif point is None:
            content.pop(self._key(model), None)
        else:
            content[self._key(model)] = asdict(point)
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
