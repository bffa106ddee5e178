"""`maskgroup` that gives what it has acknowledged minutes to finish when it is told to end: a busy machine takes longer than 1.5 s.

With `HASTY` set it gives no time at all, which shows what would be lost.
"""

from __future__ import annotations

import os

from ui.cli import main
from ui.web import ending

HASTY = "MASKGROUP_TEST_HASTY"

if __name__ == "__main__":
    ending.FINISH_S, ending.END_S = (0.0, 0.0) if HASTY in os.environ else (240.0, 300.0)
    main()
