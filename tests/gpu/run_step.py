"""Runs one step in this process and writes what came of it: started by `tests.gpu.prove`, once for each step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from engine.files import write_atomically
from tests.gpu.step import Figures, Missing, Setting


def main(given: Sequence[str] | None = None) -> None:
    """Run the step; an error ends the process with its traceback, and no result is written."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.run_step", description=__doc__)
    parser.add_argument("target", help="module:function")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder for the step's files")
    parser.add_argument("--result", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args(given)
    setting = Setting(tiny=arguments.tiny, folder=arguments.folder, pack=arguments.pack)
    try:
        if not setting.tiny:
            need_gpu()
        content = {"status": "ok", "reason": None, "figures": dict(find_function(arguments.target)(setting))}
    except Missing as missing:
        content = {"status": "skipped", "reason": str(missing), "figures": {}}
    write_atomically(arguments.result, content)


def find_function(target: str) -> Callable[[Setting], Figures]:
    """Return the function that "module:function" names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def need_gpu() -> None:
    """Make sure that there is an NVIDIA GPU.

    Raises:
        Missing: If torch sees none.
    """
    import torch

    if not torch.cuda.is_available():
        raise Missing("no GPU")


if __name__ == "__main__":
    main(sys.argv[1:])
