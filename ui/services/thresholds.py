"""Which threshold a judge decides at: chosen on the Compare page, used by the app and the command line alike.

The threshold of a run lies in the run's folder. That of any other model (a bundled one too: what came with the program is never
written to) lies in `operating_point.json` of the data folder, beside the labels, under the model's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from engine.errors import ModelError
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints, PointPlace
from engine.types import USUAL_THRESHOLD
from ui.services.open_judge import find_judge
from ui.settings import Settings

ThresholdOption = Annotated[
    float | None, typer.Option(help='P(same) from which the answer is "same"; default: the one kept for the model, else 0.5.')
]


def open_points(settings: Settings, *, sources: Mapping[str, str] | None = None) -> OperatingPoints:
    """Return the thresholds that people chose.

    Args:
        settings: Where the runs and the data folder are.
        sources: What `--model` calls models that go by another name in the app.
    """
    named = sources or {}

    def place(name: str) -> PointPlace:
        model = named.get(name, name)
        try:
            found = find_judge(model, settings)
        except ModelError:
            # A page may still show a model that is gone.
            return PointPlace(None, model)
        return PointPlace(settings.runs_folder / found.key if found.kind == "run" else None, found.key)

    return OperatingPoints(settings.data_folder, place=place)


def choose_threshold(given: float | None, model: str, settings: Settings, *, prompt: str | None = None) -> float:
    """Return the threshold that a command decides at, and say on stderr where it is a kept one.

    Args:
        given: What the command was told, None where it was not.
        model: The judge's name.
        settings: Where the thresholds are.
        prompt: Name of the prompt that is asked; a threshold was chosen for the model's own, and counts for no other.

    Raises:
        ModelError: If what was given is no probability.
    """
    if given is not None:
        return OperatingPoint(given).threshold
    point = open_points(settings).get(model)
    if point is None or (prompt is not None and prompt != find_judge(model, settings).prompt):
        return USUAL_THRESHOLD
    typer.echo(
        f'{model} says "same" from {point.threshold:.0%} on, the threshold kept for it; --threshold gives another.', err=True
    )
    return point.threshold
