"""What a backend is: a way of making judges of some models. The table of all of them stands in `engine.judging.registry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.judging.base import Judge, Prompt
from engine.judging.calibration.fit import Calibration
from engine.judging.sources import LoadOptions, ModelReference


@dataclass(frozen=True)
class JudgeOptions:
    """How a judge is wanted, whichever backend makes it.

    Attributes:
        prompt: What to ask.
        name: Stored with every verdict; None = the model's own.
        both_orders: Ask both orders of a pair and average their logits, unless `Judge.judge` is told otherwise.
        loading: Device, dtype and loader, for backends with weights on this machine.
        calibration: Fitted on this model and prompt; None = the one beside the weights, if any.
    """

    prompt: Prompt
    name: str | None = None
    both_orders: bool = True
    loading: LoadOptions = field(default_factory=LoadOptions)
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Backend:
    """A way of making judges.

    Attributes:
        name: What the backend goes by.
        matches: Whether a model is one of its own.
        load: Makes the judge of such a model. Raises ModelError if it cannot, or if it is asked for what it has not. Whatever is
            heavy is imported inside it: only who uses the backend pays for it.
    """

    name: str
    matches: Callable[[ModelReference], bool]
    load: Callable[[ModelReference, JudgeOptions], Judge]
