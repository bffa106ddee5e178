"""The process of one training: `python -m finetune.runs.worker RUN_DIR`. Waits for its turn, trains, and reports how it ended.

Every outcome becomes one sentence in the run's events. If the process is killed, the next reader of the run notices.
"""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from db.runs import RunOutcome
from engine.errors import MaskgroupError
from finetune.run_folder import WORKER_FILE
from finetune.runs.events import EventWriter, Stage
from finetune.runs.processes import heartbeat, is_cancel_requested, request_cancel, turn, write_identity

LOG = logging.getLogger(__name__)
EXIT_CODES: dict[RunOutcome, int] = {"done": 0, "cancelled": 0, "failed": 1}


def work(run_dir: Path) -> RunOutcome:
    """Do a run, in this process."""
    events = EventWriter(run_dir)

    def is_cancelled() -> bool:
        return is_cancel_requested(run_dir)

    with heartbeat(run_dir):
        events.write("stage", Stage.WAITING)
        with turn(run_dir, is_cancelled=is_cancelled) as is_ours:
            outcome, words, verdict = _train(run_dir, is_ours=is_ours)
        try:
            events.write("end", words, outcome=outcome, promoted=bool(verdict.get("promoted", False)))
        except OSError:
            # The disk is full: readers find no end event and a process that is gone.
            LOG.exception("the end could not be written: %s", words)
    return outcome


def _train(run_dir: Path, *, is_ours: bool) -> tuple[RunOutcome, str, dict[str, Any]]:
    if not is_ours:
        return "cancelled", "Cancelled before it began.", {}
    # torch takes seconds and memory, which a waiting run does not need.
    from finetune.runs.stages import Cancelled, TrainingRun

    try:
        verdict = TrainingRun(run_dir, is_cancelled=lambda: is_cancel_requested(run_dir)).run()
    except Cancelled:
        return "cancelled", "Cancelled; resume it to go on from its last checkpoint.", {}
    except MaskgroupError as error:
        return "failed", str(error), {}
    except Exception as error:
        # Nobody reads a worker's traceback: the sentence goes to the page, the rest to the log.
        LOG.exception("the training failed")
        return "failed", explain(error), {}
    return "done", str(verdict["reason"]), verdict


def explain(error: BaseException) -> str:
    """Return one sentence about an error that is not a `MaskgroupError`."""
    # Brings torch, which a waiting run does not need.
    from engine.judging.local.passes import is_out_of_memory

    text = str(error)
    if is_out_of_memory(error):
        return (
            "Memory ran out; close other programs and resume it, or start a new run with fewer tokens at once (--pass-tokens), "
            "in 4 bits (--four-bit), or with the language model only (--language-only)."
        )
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or "No space left on device" in text:
        return "The disk is full; free some space, then resume it from its last checkpoint."
    return f"The training failed by a mistake of the program ({type(error).__name__}); its log has the details. Please report it."


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune.runs.worker", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    run_dir: Path = parser.parse_args().run_dir.resolve()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")

    def stop(_number: int, _frame: FrameType | None) -> None:
        request_cancel(run_dir)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if not (run_dir / WORKER_FILE).is_file():
        import os

        write_identity(run_dir, os.getpid())
    return EXIT_CODES[work(run_dir)]


if __name__ == "__main__":
    sys.exit(main())
