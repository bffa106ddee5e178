"""Where a judge's calibration is kept: beside the weights of a run or of a person's own folder, in the data folder for all others.

What came with the program is never written to, unless its maintainer asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.judging.base import load_prompt
from engine.judging.calibration.book import CalibrationBook
from engine.judging.calibration.fit import Calibration, save_calibration, weights_fingerprint
from engine.judging.sources import ModelReference
from ui.settings import Settings


@dataclass(frozen=True)
class Home:
    """Where one judge's calibrations are kept.

    Attributes:
        judge: What the judge is called in the data folder: its model's key.
        folder: The folder of its weights, None where they are not on this machine's disk as a folder.
        is_own: Whether calibrations go into that folder.
        weights: Fingerprint of the weights, None where they cannot be seen.
    """

    judge: str
    folder: Path | None = None
    is_own: bool = False
    weights: str | None = None


def find_home(model: ModelReference) -> Home:
    """Return where a judge's calibrations are kept."""
    weights = None if model.folder is None else weights_fingerprint(model.folder)
    if weights is None:
        return Home(model.key)
    return Home(model.key, model.folder, not model.is_shipped, weights)


def save_at_home(home: Home, calibration: Calibration, settings: Settings, *, beside_weights: bool = False) -> Path:
    """Keep a calibration, and return the file.

    Raises:
        ModelError: If it cannot be written.
    """
    if home.folder is not None and (home.is_own or beside_weights):
        return save_calibration(home.folder, calibration)
    return CalibrationBook(settings.data_folder).save(home.judge, calibration, weights=home.weights)


def find_kept(model: ModelReference, prompt: str, settings: Settings) -> Calibration | None:
    """Return what the data folder holds for a judge and a prompt, None where it holds nothing.

    Raises:
        ModelError: If the file is broken.
    """
    book = CalibrationBook(settings.data_folder)
    if not book.path.is_file():
        return None
    home = find_home(model)
    if home.is_own:
        return None
    reference = load_prompt(prompt).reference
    kept = book.get(home.judge, reference, weights=home.weights)
    if kept is None and home.folder is not None:
        # Older files have what came with the program, where it was given by its path, under the path as it was typed.
        kept = book.get(str(home.folder), reference, weights=home.weights)
    return kept
