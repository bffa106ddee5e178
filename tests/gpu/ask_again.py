"""Loads a base with an adapter in a process that knows only their folders, and writes its margins: started by a step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.files import write_atomically
from engine.judging.calibration.fit import margin_of
from engine.judging.local.loading import load_model
from engine.judging.sources import LoadOptions
from tests.gpu.crops import cycled_pairs
from tests.gpu.step import Setting
from tests.gpu.steps_judging import make_judge


def main(given: Sequence[str] | None = None) -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.ask_again", description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--loader", default="transformers")
    parser.add_argument("--count", type=int, required=True, help="pairs to ask")
    parser.add_argument("--result", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args(given)
    setting = Setting(tiny=arguments.tiny, folder=arguments.result.parent, pack=arguments.pack)
    options = LoadOptions(device=setting.device, loader=arguments.loader)
    loaded = load_model(arguments.base, name="random", adapter=arguments.adapter, options=options)
    judge = make_judge(loaded.model, loaded.processor, both_orders=False)
    verdicts = judge.judge(cycled_pairs(setting, arguments.count))
    write_atomically(arguments.result, {"margins": [margin_of(verdict.p_same) for verdict in verdicts]})


if __name__ == "__main__":
    main(sys.argv[1:])
