"""`maskgroup` whose comparisons wait at their first step while the file of `HOLD` is there: a tiny room is compared in a second,
and a person who wants to stop that would often come too late. All else is the program as it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from engine.evaluation.comparison.run import Step, run_comparison
from ui.cli import main
from ui.services import comparison_runs

HOLD = "MASKGROUP_TEST_HOLD"
"""Environment variable with the path of the file."""


def wait_at_steps(*asked: Any, on_step: Callable[[Step], None], **more: Any) -> None:
    """Run a comparison that says again and again where it stands, instead of going on, while it is held."""

    def held(step: Step, hold: Path) -> None:
        on_step(step)
        while hold.exists():
            time.sleep(0.05)
            on_step(step)

    run_comparison(*asked, on_step=partial(held, hold=Path(os.environ[HOLD])), **more)


if __name__ == "__main__":
    comparison_runs.run_comparison = wait_at_steps
    main()
