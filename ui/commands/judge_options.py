"""What all commands that ask a judge share: the options, and which threshold it decides at."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.judging.calibration.operating_point import OperatingPoint
from engine.judging.sources import Dtype, Loader
from engine.types import USUAL_THRESHOLD
from ui.services.open_judge import find_judge
from ui.services.thresholds import open_points
from ui.settings import Settings

MODEL_HELP = "base, tuned, a run, a model or adapter folder, a hub id, or http://HOST:PORT/v1#MODEL."

ModelOption = Annotated[str, typer.Option(help=MODEL_HELP)]
PromptOption = Annotated[str | None, typer.Option(help="original, context, blurred or views; default: the model's own.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; default: auto.")]
DtypeOption = Annotated[Dtype | None, typer.Option(help="What local models are computed with; default: auto.")]
FourBitOption = Annotated[bool, typer.Option("--four-bit", help="Load the language model's weights in 4 bits, with bitsandbytes.")]
LoaderOption = Annotated[Loader | None, typer.Option(help="unsloth needs NVIDIA; default: transformers.")]
ThresholdOption = Annotated[
    float | None, typer.Option(help='P(same) from which the answer is "same"; default: the one kept for the model, else 0.5.')
]


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
