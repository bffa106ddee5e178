"""`maskgroup` whose imports wait at every step while the file of `HOLD` is there: a tiny room is imported in a second, and a person
who wants to stop that, or to reload the page meanwhile, would often come too late. All else is the program as it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.importing import ImportedScene, Step, import_scene
from ui.cli import main
from ui.services import scene_imports

HOLD = "MASKGROUP_TEST_HOLD_IMPORTS"
"""Environment variable with the path of the file."""


def wait_at_steps(
    *asked: Any, on_progress: Callable[[Step, int, int], None], is_cancelled: Callable[[], bool], **more: Any
) -> ImportedScene:
    """Run an import that stays where it is, unless it is stopped, while it is held."""

    def held(step: Step, done: int, total: int) -> None:
        on_progress(step, done, total)
        while Path(os.environ[HOLD]).exists() and not is_cancelled():
            time.sleep(0.05)

    return import_scene(*asked, on_progress=held, is_cancelled=is_cancelled, **more)


if __name__ == "__main__":
    scene_imports.import_scene = wait_at_steps
    main()
