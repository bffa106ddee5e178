"""The sizes at which tests start every benchmark: they show that it runs and prints what it should, not how fast anything is."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.training_room import write_training_room

HELP = "the smallest sizes, which show only that it runs"


def add_tiny_option(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be run at its smallest; every benchmark has this option."""
    parser.add_argument("--tiny", action="store_true", help=HELP)


@contextmanager
def tiny_scene() -> Generator[Path]:
    """Folder of a furnished room with six views of 160x90 pixels and ground truth, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        yield write_training_room(Path(folder))
