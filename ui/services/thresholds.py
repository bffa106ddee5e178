"""Which threshold a judge decides at: chosen on the Compare page, used by the app and the command line alike.

The threshold of a run lies in the run's folder. That of any other model (a bundled one too: what came with the program is never
written to) lies in `operating_point.json` of the data folder, beside the labels, under the model's key.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import ModelError
from engine.judging.calibration.operating_point import OperatingPoints, PointPlace
from ui.services.open_judge import find_judge
from ui.settings import Settings


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
