"""Where a judge's calibration is kept: beside the weights of a run or of a person's own folder, in the data folder for all others.

What came with the program is never written to, unless its maintainer asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.assets import MODELS_DIR
from engine.judging.base import load_prompt
from engine.judging.calibration.book import CalibrationBook
from engine.judging.calibration.fit import Calibration, save_calibration, weights_fingerprint
from engine.judging.sources import find_source, is_address
from finetune.runs.promotion import resolve_judge
from ui.settings import Settings


@dataclass(frozen=True)
class Home:
    """Where one judge's calibrations are kept.

    Attributes:
        judge: What the judge is called in the data folder: its name, hub id or address, and its adapter's folder where it has one.
        folder: The folder of its weights, None where they are not on this machine's disk as a folder.
        is_own: Whether calibrations go into that folder.
        weights: Fingerprint of the weights, None where they cannot be seen.
    """

    judge: str
    folder: Path | None = None
    is_own: bool = False
    weights: str | None = None


def find_home(model: str, settings: Settings) -> Home:
    """Return where a judge's calibrations are kept.

    Raises:
        ModelError: If there is no such judge.
    """
    source = resolve_judge(model, settings.runs_folder)
    if is_address(source.model):
        return Home(source.model)
    found = find_source(source.model, source.adapter)
    folder = found.adapter or Path(found.base)
    weights = weights_fingerprint(folder)
    if weights is None:
        return Home(source.model)
    is_bundled = folder.resolve().is_relative_to(MODELS_DIR.resolve())
    return Home(source.name if is_bundled else str(folder.resolve()), folder, not is_bundled, weights)


def save_at_home(home: Home, calibration: Calibration, settings: Settings, *, beside_weights: bool = False) -> Path:
    """Keep a calibration, and return the file.

    Raises:
        ModelError: If it cannot be written.
    """
    if home.folder is not None and (home.is_own or beside_weights):
        return save_calibration(home.folder, calibration)
    return CalibrationBook(settings.data_folder).save(home.judge, calibration, weights=home.weights)


def find_kept(model: str, prompt: str, settings: Settings) -> Calibration | None:
    """Return what the data folder holds for a judge and a prompt, None where it holds nothing.

    Raises:
        ModelError: If there is no such judge, or the file is broken.
    """
    book = CalibrationBook(settings.data_folder)
    if not book.path.is_file():
        return None
    home = find_home(model, settings)
    return None if home.is_own else book.get(home.judge, load_prompt(prompt).reference, weights=home.weights)
