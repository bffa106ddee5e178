"""predictions.jsonl: one judged pair a line, in the fields of the original's files and more. Reads both, writes ours.

A line is complete once it has its newline. A killed run leaves at most one incomplete line at the end, which is cut off before the
file grows again. So no pair is lost or judged twice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
from filelock import lock_descriptor

from engine.errors import MaskgroupError
from engine.evaluation.pair_sampling import NEGATIVE_KINDS, NegativeKind
from engine.strict_json import to_json_text
from engine.types import USUAL_THRESHOLD, BoolArray, Float64Array, MaskKey, MaskPair

BATCH = 2
"""Pairs in a batch of the original; only numbers the lines."""


class EvaluationError(MaskgroupError):
    """The results of an evaluation are missing, broken or do not fit together."""


@dataclass(frozen=True)
class Prediction:
    """What a judge said about a pair whose answer is known.

    Attributes:
        index: Position in the sample, from 0.
        pair: The masks; their ids are raw instance ids of the ground truth.
        is_same: The truth.
        said_same: The answer, or None if it was ambiguous (which counts as wrong).
        p_same: Probability of "same", mean of both orders in logit space; None in the original's files.
        p_same_ab: Probability with mask A first, or None.
        p_same_ba: Probability with mask B first; None if only one order was asked.
        threshold: Probability from which the answer is "same".
        ambiguity: Probability mass on neither yes nor no, or None.
        negative_kind: How a negative was found, or None.
        twin: Number shared by a positive and its negative, or None.
        model: Name of the judge, "" where unknown.
        prompt: Name and version of the prompt, "" where unknown.
        latency_s: Seconds for this pair, or None.
        forced: Whether the first answer was ambiguous, so that this one was asked for again, in one word.
        uncalibrated: p_same before the judge's calibration; None if it has none.
    """

    index: int
    pair: MaskPair
    is_same: bool
    said_same: bool | None
    p_same: float | None = None
    p_same_ab: float | None = None
    p_same_ba: float | None = None
    threshold: float = USUAL_THRESHOLD
    ambiguity: float | None = None
    negative_kind: NegativeKind | None = None
    twin: int | None = None
    model: str = ""
    prompt: str = ""
    latency_s: float | None = None
    forced: bool = False
    uncalibrated: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth; an ambiguous one never is."""
        return self.said_same is not None and self.said_same == self.is_same

    @property
    def counted_same(self) -> bool:
        """The answer that is counted: an ambiguous one counts as the wrong one."""
        return not self.is_same if self.said_same is None else self.said_same


class PredictionWriter:
    """Appends predictions to a file that one process at a time may write; use it in a `with` block.

    Predictions that the file already has are in `kept`. Every record is handed to the operating system in one write before
    `append` returns, so it survives a kill of this process.

    Args:
        path: predictions.jsonl; created where missing, in a folder that exists.

    Raises:
        EvaluationError: If another process is writing it, or a line before the last is broken.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        try:
            # The lock is on the open file itself: the system drops it when this process ends, however it ends.
            if not lock_descriptor(self._file.fileno(), blocking=False):
                raise EvaluationError(f"{path} is being written by another process; wait or choose another --out.")
            self._file.seek(0)
            content = self._file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self.kept = parse_predictions(whole, path)
            if len(whole) < len(content):
                self._file.truncate(len(whole))
        except BaseException:
            self._file.close()
            raise

    def append(self, prediction: Prediction) -> None:
        """Write one record, newline included."""
        line = (to_json_text(to_record(prediction), escape=False) + "\n").encode()
        while line:
            line = line[self._file.write(line) :]

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read_predictions(path: Path) -> list[Prediction]:
    """Read a predictions.jsonl, the original's or ours; an incomplete last line is left out.

    Raises:
        EvaluationError: If the file is missing or a line is broken.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}); expected a file that evaluate wrote.") from error
    if content and not content.endswith(b"\n"):
        head, _, last = content.rpartition(b"\n")
        content = content if _is_json(last) else head
    return parse_predictions(content, path)


def parse_predictions(content: bytes, path: Path) -> list[Prediction]:
    """Parse lines of JSON; `path` is for messages.

    Raises:
        EvaluationError: If a line is not JSON or lacks a field of the original's.
    """
    found: list[Prediction] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(from_record(json.loads(line), len(found)))
        except (ValueError, KeyError, TypeError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise EvaluationError(
                f"{path}, line {number}: no prediction ({what}); expected prediction, gt, view_i, view_j, inst_i and inst_j; "
                "remove the line or evaluate again."
            ) from error
    return found


def to_record(prediction: Prediction) -> dict[str, object]:
    """Return the JSON fields: the original's first, then ours."""
    said = prediction.said_same
    return {
        "batch": prediction.index // BATCH,
        "item": prediction.index % BATCH,
        "prediction": None if said is None else int(said),
        "gt": int(prediction.is_same),
        "raw_output": "ambiguous" if said is None else "yes" if said else "no",
        "view_i": prediction.pair.a.view,
        "view_j": prediction.pair.b.view,
        "inst_i": prediction.pair.a.mask,
        "inst_j": prediction.pair.b.mask,
        "is_negative": not prediction.is_same,
        "index": prediction.index,
        "p_same": prediction.p_same,
        "p_same_ab": prediction.p_same_ab,
        "p_same_ba": prediction.p_same_ba,
        "threshold": prediction.threshold,
        "ambiguity": prediction.ambiguity,
        "negative_kind": prediction.negative_kind,
        "twin": prediction.twin,
        "model": prediction.model,
        "prompt": prediction.prompt,
        "latency_s": prediction.latency_s,
        "forced": prediction.forced,
        "uncalibrated": prediction.uncalibrated,
    }


def from_record(record: object, position: int) -> Prediction:
    """Read the JSON fields of one line; `position` stands in for `index` in the original's files.

    `is_negative` is not read: the original leaves it set on negatives that fell back to positives, so only `gt` is the truth.
    An original's answer is ambiguous where `prediction` is neither 0 nor 1, or `raw_output` has neither yes nor no.

    Raises:
        ValueError: If a value is out of range.
        KeyError: If a field of the original's is missing.
        TypeError: If the line is no JSON object or a value has another type.
    """
    if not isinstance(record, dict):
        raise TypeError(f"it is a {type(record).__name__}, not an object")
    fields = cast("dict[str, Any]", record)
    truth, kind = fields["gt"], fields.get("negative_kind")
    if truth not in (0, 1):
        raise ValueError(f"gt is {truth!r}, not 0 or 1")
    if kind is not None and kind not in NEGATIVE_KINDS:
        raise ValueError(f"negative_kind is {kind!r}, not one of {', '.join(NEGATIVE_KINDS)}")
    prediction = fields["prediction"]
    is_answer = prediction in (0, 1) and not is_ambiguous_text(fields.get("raw_output"))
    twin, index = fields.get("twin"), fields.get("index")
    return Prediction(
        index=position if index is None else int(index),
        pair=MaskPair(
            MaskKey(str(fields["view_i"]), int(fields["inst_i"])),
            MaskKey(str(fields["view_j"]), int(fields["inst_j"])),
        ),
        is_same=bool(truth),
        said_same=bool(prediction) if is_answer else None,
        p_same=_probability(fields, "p_same"),
        p_same_ab=_probability(fields, "p_same_ab"),
        p_same_ba=_probability(fields, "p_same_ba"),
        threshold=_threshold(fields),
        ambiguity=_probability(fields, "ambiguity"),
        negative_kind=kind,
        twin=None if twin is None else int(twin),
        model=str(fields.get("model", "")),
        prompt=str(fields.get("prompt", "")),
        latency_s=_seconds(fields),
        forced=bool(fields.get("forced", False)),
        uncalibrated=_probability(fields, "uncalibrated"),
    )


def is_ambiguous_text(raw_output: object) -> bool:
    """Whether a generated answer (the chat's text after its last "assistant" line) has neither or both of the words yes and no."""
    if not isinstance(raw_output, str):
        return False
    words = set(re.findall(r"[a-z]+", raw_output.rpartition("assistant\n")[2].lower()))
    return ("yes" in words) == ("no" in words)


def _probability(fields: dict[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number) or not 0 <= number <= 1:
        raise ValueError(f"{name} is {value!r}, not in [0, 1]")
    return number


def _threshold(fields: dict[str, Any]) -> float:
    number = float(fields.get("threshold", 0.5))
    if not 0 < number < 1:
        raise ValueError(f"threshold is {number}, not between 0 and 1")
    return number


def _seconds(fields: dict[str, Any]) -> float | None:
    number = None if fields.get("latency_s") is None else float(fields["latency_s"])
    return number if number is None or math.isfinite(number) else None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def split_scores(predictions: Sequence[Prediction]) -> tuple[Float64Array, BoolArray]:
    """Return P(same) and the truth of the predictions that have a P(same): (N,) float64 and (N,) bool."""
    scored = [p for p in predictions if p.p_same is not None]
    return np.array([p.p_same for p in scored], np.float64), np.array([p.is_same for p in scored], bool)
