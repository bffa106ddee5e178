"""The runs as models: through it `resolve_model` finds a training's adapter by its name, and what "tuned" is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError
from engine.judging.adapters import has_adapter
from engine.judging.sources import RunWeights
from finetune.config import RESERVED_NAMES, read_config
from finetune.run_folder import ADAPTER, CONFIG_FILE
from finetune.runs.promotion import tuned_run


@dataclass(frozen=True)
class RunModels:
    """A `RunLookup` over a folder of runs.

    Attributes:
        folder: The folder; it need not exist.
    """

    folder: Path

    def promoted(self) -> str | None:
        """Return the run that is the tuned model now, None where none was promoted."""
        return tuned_run(self.folder)

    def find(self, name: str) -> RunWeights | None:
        """Return a run's weights, None where there is no run of that name.

        Raises:
            ModelError: If its training was not finished.
        """
        run = self.folder / name
        if name in RESERVED_NAMES or "/" in name or name.startswith(".") or not (run / CONFIG_FILE).is_file():
            return None
        if not has_adapter(run / ADAPTER):
            raise ModelError(f"The run {name!r} has no adapter: its training was not finished; resume it, or use another model.")
        return RunWeights(read_config(run).model, run / ADAPTER)
