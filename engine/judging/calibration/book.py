"""Calibrations of judges without a folder of their own to keep them in: bundled models, hub models, models on a server.

They are in one JSON file in the user's data folder, by the judge's name, then by prompt. If the weights are on this machine, a
calibration applies only to the weights that it was fitted on. A model on a server may be replaced without anybody noticing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.files import write_atomically
from engine.judging.calibration.fit import Calibration, read_calibration_file, read_fields
from engine.strict_json import as_object

BOOK_FILE = "calibrations.json"


class CalibrationBook:
    """The calibrations of one user.

    Args:
        folder: The data folder; made when the first calibration is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / BOOK_FILE

    def get(self, judge: str, prompt: str, *, weights: str | None = None) -> Calibration | None:
        """Return a judge's calibration for a prompt, None if there is none for these weights.

        Args:
            judge: What the judge is called.
            prompt: Reference of the prompt.
            weights: Fingerprint of its weights, None if they cannot be seen.

        Raises:
            ModelError: If the file is broken.
        """
        entry = as_object(self._read().get(judge))
        if entry is None or entry.get("weights") != weights:
            return None
        prompts: dict[str, Any] = entry.get("prompts") or {}
        fields = prompts.get(prompt)
        return None if fields is None else read_fields(prompt, fields, self.path)

    def save(self, judge: str, calibration: Calibration, *, weights: str | None = None) -> Path:
        """Keep a judge's calibration beside those for its other prompts, and return the file.

        Raises:
            ModelError: If the file is broken or cannot be written.
        """
        content = self._read()
        there = as_object(content.get(judge))
        kept: dict[str, Any] = there["prompts"] if there is not None and there.get("weights") == weights else {}
        kept[calibration.prompt] = calibration.fields
        content[judge] = {"weights": weights, "prompts": kept}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, {"judges": content})
        except OSError as error:
            raise ModelError(f"The calibration of {judge!r} cannot be written to {self.path} ({error.strerror}).") from error
        return self.path

    def _read(self) -> dict[str, Any]:
        return read_calibration_file(self.path, "judges").get("judges", {})
