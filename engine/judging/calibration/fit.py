"""Calibration of a judge: a temperature and a bias for its logit, fitted on held-out pairs and kept beside the weights.

P(same) = sigmoid(margin / temperature + bias), where margin is log P(yes) - log P(no), the mean of both orders (Platt 1999;
Guo et al. 2017, "On Calibration of Modern Neural Networks"). A file applies only to
the weights and the prompt that it was fitted on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from engine.errors import ModelError
from engine.files import write_atomically
from engine.judging.base import Prompt
from engine.strict_json import as_object
from engine.types import BoolArray, Float64Array

CALIBRATION_FILE = "calibration.json"
HASHED_BYTES = 64 * 2**20
"""Bytes of each weights file that its fingerprint takes in, besides its size: enough to tell trainings apart."""
FARTHEST_LOGIT = 20.0
LEAST_SLOPE = 1e-3

MarginT = TypeVar("MarginT")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """What a fit found.

    Attributes:
        prompt: Reference of the prompt, e.g. "original@1".
        temperature: Divides the margin; above 1 = the model was too sure.
        bias: Added to the scaled log-odds of "same".
        pairs: How many pairs it was fitted on.
        source: Which pairs these were, in words.
    """

    prompt: str
    temperature: float
    bias: float
    pairs: int = 0
    source: str = ""

    @property
    def fields(self) -> dict[str, object]:
        """What a file holds under the prompt's reference, as JSON values; `read_fields` reads it."""
        return {name: value for name, value in asdict(self).items() if name != "prompt"}

    def apply(self, margin: MarginT) -> MarginT:
        """Return the calibrated logit of a margin: a float, a NumPy array or a tensor."""
        return cast("Any", margin) / self.temperature + self.bias


def usable_with(calibration: Calibration | None, prompt: Prompt) -> Calibration | None:
    """Return a calibration if it was fitted on this prompt, else None: fitted on another question it would spoil the answers."""
    return calibration if calibration is not None and calibration.prompt == prompt.reference else None


def fit_calibration(margins: Float64Array, is_same: BoolArray, *, prompt: str, source: str = "", doubt: float = 0.0) -> Calibration:
    """Fit temperature and bias by maximum likelihood, with Platt's smoothed targets.

    Args:
        margins: (N,) float64, mean of both orders.
        is_same: (N,) bool, the truth.
        prompt: Reference of the prompt that was asked.
        source: Which pairs these are, in words.
        doubt: How hard the fit is held to "no change" (temperature 1, bias 0), as nats a pair for a temperature that is e times
            another, and for a bias of 2: pairs of few objects look like many and are few. 0 = maximum likelihood.

    Raises:
        ModelError: If a margin is not a number, all pairs have one answer, or the margins say nothing about the truth.
    """
    # Imported here because SciPy's optimiser takes a moment to load and only fitting needs it.
    from scipy.optimize import minimize

    if not np.isfinite(margins).all():
        raise ModelError("The model's answers are no numbers (NaN or infinite), so nothing can be fitted; copy or train it again.")
    if is_same.all() or not is_same.any():
        raise ModelError(
            f"A calibration needs pairs that are the same and pairs that are not; got {int(is_same.sum())} of {len(is_same)} same."
        )
    # Platt's targets stop short of 0 and 1, so that pairs which the margins separate do not drive the fit to certainty.
    same = int(is_same.sum())
    target = np.where(is_same, (same + 1) / (same + 2), 1 / (len(is_same) - same + 2))

    def loss(free: Float64Array) -> tuple[float, Float64Array]:
        slope, bias = free
        z = slope * margins + bias
        pull = (1 / (1 + np.exp(-np.clip(z, -500, 500))) - target) / len(z)
        # Beyond a slope of 0 the logarithm ends; the fit is refused there anyway.
        log_slope = math.log(max(slope, LEAST_SLOPE))
        held = doubt * (log_slope**2 + (bias / 2) ** 2)
        back = doubt * np.array([2 * log_slope / max(slope, LEAST_SLOPE), bias / 2])
        return float((np.logaddexp(0, z) - target * z).mean() + held), np.array([pull @ margins, pull.sum()]) + back

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B")
    slope, bias = (float(value) for value in found.x)
    if not slope > LEAST_SLOPE:
        raise ModelError(
            f"The model's answers do not rise with the truth (slope {slope:.3g}): no temperature helps; train it or pick another."
        )
    return Calibration(prompt, 1 / slope, bias, len(margins), source)


def margin_of(p_same: float) -> float:
    """Return the logit of a probability, kept within +-`FARTHEST_LOGIT`.

    Raises:
        ModelError: If it is not a number.
    """
    if math.isnan(p_same):
        raise ModelError("A probability is no number (NaN), so nothing can be fitted or compared; judge these pairs again.")
    if not 0 < p_same < 1:
        return FARTHEST_LOGIT if p_same >= 1 else -FARTHEST_LOGIT
    return min(max(math.log(p_same) - math.log1p(-p_same), -FARTHEST_LOGIT), FARTHEST_LOGIT)


def save_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a model folder's calibration for one prompt beside those for its other prompts, and return the file.

    Raises:
        ModelError: If the folder holds no weights.
    """
    path = folder / CALIBRATION_FILE
    weights = weights_fingerprint(folder)
    if weights is None:
        raise ModelError(f"{folder} holds no safetensors weights, so no calibration can belong to them; give a model's folder.")
    content = read_calibration_file(path, "prompts")
    kept = cast("dict[str, Any]", content["prompts"]) if content.get("weights") == weights else {}
    kept[calibration.prompt] = calibration.fields
    write_atomically(path, {"weights": weights, "prompts": kept})
    return path


def load_calibration(source: str | Path, prompt: Prompt) -> Calibration | None:
    """Return the calibration in a model's or an adapter's folder for a prompt, or None if there is none for these weights.

    Raises:
        ModelError: If the file is there but broken.
    """
    path = Path(source) / CALIBRATION_FILE
    if not path.is_file():
        return None
    content = read_calibration_file(path, "prompts")
    if content.get("weights") != weights_fingerprint(path.parent):
        logger.warning("%s was fitted on other weights than those beside it and is left out; fit it again.", path)
        return None
    fields = content["prompts"].get(prompt.reference)
    return None if fields is None else read_fields(prompt.reference, fields, path)


def read_fields(prompt: str, fields: Any, path: Path) -> Calibration:
    """Return what a file holds for one prompt.

    Raises:
        ModelError: If it is not a calibration.
    """
    try:
        found = Calibration(prompt, **fields)
        if not (found.temperature > 0 and math.isfinite(found.temperature) and math.isfinite(found.bias)):
            raise ValueError(f"temperature {found.temperature}, bias {found.bias}")
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} is broken for {prompt} ({error}); fit it again or remove it.") from error
    return found


def weights_fingerprint(folder: Path) -> str | None:
    """Return a fingerprint of a folder's safetensors files, or None if there are none."""
    files = sorted(folder.glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"{file.name} {file.stat().st_size} ".encode() + stream.read(HASHED_BYTES))
    return digest.hexdigest() if files else None


def read_calibration_file(path: Path, part: str) -> dict[str, Any]:
    """Return what a file of calibrations holds, {} if there is none.

    Args:
        path: The file of JSON; it may be missing.
        part: The field that must be there and hold a table.

    Raises:
        ModelError: If it has another form.
    """
    if not path.is_file():
        return {}
    try:
        content = as_object(json.loads(path.read_text(encoding="utf-8")))
        if content is None or not isinstance(content.get(part), dict):
            raise ValueError(f"expected a table {part!r}")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no calibration ({error}); fit it again or remove it.") from error
    return content
