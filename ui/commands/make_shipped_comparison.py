"""Makes the comparison that a first visit shows: `python -m ui.commands.make_shipped_comparison`, then `python -m engine.manifest`.

Run it again whenever the bundled base or the tuned adapter changes. It needs both, and takes a few minutes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from engine.assets import SCENES_DIR, SHIPPED_COMPARISON
from engine.evaluation.comparison.run import ComparisonSettings, Step, run_comparison
from engine.evaluation.pair_sampling import SamplingSettings
from engine.judging.registry import load_judge
from engine.scenes import find_scene, list_scenes
from engine.views.frames import FrameSource
from ui.pages.compare.words import headline_html
from ui.services.judges import Judges

SETTINGS = ComparisonSettings(("sh3d_living",), "base", "tuned", SamplingSettings(pairs=400, negatives="hard"))


def make(folder: Path, settings: ComparisonSettings, judges: Judges) -> None:
    """Compare in a new folder beside `folder`, then put it in its place."""
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    names = {info.name for info in list_scenes(SCENES_DIR)}
    scenes = [find_scene(name, SCENES_DIR) for name in settings.scenes if name in names]

    def tell(step: Step) -> None:
        sys.stderr.write(f"\r{step.share:4.0%} {step.words:<70.70}")

    run_comparison(
        [(scene, FrameSource(scene)) for scene in scenes],
        beside,
        settings,
        load=judges.get,
        on_step=tell,
    )
    sys.stderr.write("\n")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


if __name__ == "__main__":
    from engine.evaluation.comparison.run import read_comparison

    make(SHIPPED_COMPARISON, SETTINGS, Judges(load_judge, "base", others=lambda: ["tuned"]))
    sys.stdout.write(headline_html(read_comparison(SHIPPED_COMPARISON)) + "\n")
