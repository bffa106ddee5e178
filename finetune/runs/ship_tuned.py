"""Ships the adapter of a run that `maskgroup train` made as the program's own "tuned" model.

    python -m finetune.runs.ship_tuned RUN_DIR --command "maskgroup train ..."

Copies PEFT's files to `assets/models/tuned-lora` and writes the model card with the command; then run `python -m engine.manifest`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.assets import TUNED_ADAPTER
from engine.errors import RunError
from engine.files import writing_folder
from finetune.config import read_config
from finetune.run_folder import VERDICT_FILE
from finetune.runs.export import export_adapter
from finetune.runs.model_card import write_card


def ship(run_dir: Path, out: Path, *, command: str) -> Path:
    """Replace `out` by the adapter of a run; returns `out`.

    Raises:
        RunError: If the run is not finished, or was not trained on the bundled model.
    """
    config = read_config(run_dir)
    path = run_dir / VERDICT_FILE
    if config.model != "base" or not path.is_file():
        raise RunError(f"{run_dir} is no finished training of the bundled model; give the folder of one.")
    with writing_folder(out, replaces=True, is_sole_writer=True) as partial:
        export_adapter(run_dir, partial)
        write_card(partial, name=out.name, config=config, verdict=json.loads(path.read_text(encoding="utf-8")), command=command)
    return out


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune.runs.ship_tuned", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--command", required=True, help="what the run was made with, for the model card")
    parser.add_argument("--out", type=Path, default=TUNED_ADAPTER)
    args = parser.parse_args()
    ship(args.run_dir, args.out, command=args.command)


if __name__ == "__main__":
    main()
