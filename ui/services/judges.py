"""The judges of the app by name, each loaded at its first question. Knows nothing about scenes or Gradio.

Names that come from a page are looked up in the list of models and never used as a path or an address.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.errors import ModelError
from engine.evaluation.trained_on import UNKNOWN, TrainedOn
from engine.judging.base import Judge
from engine.judging.sources import BASE, TUNED, has_tuned_adapter

MAX_LOADED = 4
"""Judges kept in memory; the one not asked for longest is dropped first."""
NO_RIVAL = "There is no second model yet: retrain the judge on the Retrain page (or with `maskgroup train`), and it appears here."


def shipped_models() -> list[str]:
    """Return the names of the models that come with the program."""
    return [BASE, TUNED] if has_tuned_adapter() else [BASE]


def name_models(sources: Sequence[str]) -> dict[str, str]:
    """Return short names for models given by hand: a folder goes by its own name, anything else by what was given."""
    named: dict[str, str] = {}
    for source in sources:
        folder = Path(source).expanduser()
        name = folder.resolve().name if folder.is_dir() else source
        named[source if name in named else name] = source
    return named


class Judges:
    """Every judge that the pages may ask.

    Args:
        open_judge: Loads a judge by its name.
        default: Name of the judge that pages open with.
        others: Lists the other names, in the order in which pages offer them; asked anew each time, as runs come and go.
        sources: What to give as `--model` on the command line for names that mean nothing there.
        behind: Gives the name of what a name stands for now: "tuned" is another model once another run is promoted. That name
            stands for itself, and is one of all names.
        flags: What the command line needs besides the name to load them as here.
        environment: Returns the settings (NAME=VALUE, quoted) that the command line needs to find a model.
        trained_on: Says what a judge was trained on, by its name.
    """

    def __init__(
        self,
        open_judge: Callable[[str], Judge],
        default: str,
        *,
        others: Callable[[], Sequence[str]] = list,
        sources: Mapping[str, str] | None = None,
        behind: Callable[[str], str] = str,
        flags: Sequence[str] = (),
        environment: Callable[[str], Sequence[str]] = lambda _: (),
        trained_on: Callable[[str], TrainedOn] = lambda _: UNKNOWN,
    ) -> None:
        self.behind = behind
        self.flags = tuple(flags)
        self.environment = environment
        self.trained_on = trained_on
        self._open_judge = open_judge
        self.default = default
        self._others = others
        self._sources = dict(sources or {})
        self._loaded: OrderedDict[str, Judge] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def names(self) -> list[str]:
        """Return all names, the default first."""
        return list(dict.fromkeys([self.default, *self._others()]))

    def rival(self) -> str | None:
        """Return the model to show beside the default: the tuned one, else the next one; None where there is no other."""
        others = [name for name in self.names() if name != self.default]
        return (TUNED if TUNED in others else others[0]) if others else None

    def loaded(self, name: str | None = None) -> Judge | None:
        """Return a judge that is in memory already, else None."""
        with self._lock:
            return self._loaded.get(self.behind(name or self.default))

    def source(self, name: str) -> str:
        """Return what the command line calls a model."""
        return self._sources.get(name, name)

    def get(self, name: str | None = None) -> Judge:
        """Return a judge, loading it at first use; None = the default one.

        Raises:
            ModelError: If there is no such model, or it cannot be loaded.
        """
        name = name or self.default
        if name not in self.names():
            raise ModelError(f"There is no model {name!r} here; the models are {', '.join(self.names())}.")
        name = self.behind(name)
        with self._lock:
            one_at_a_time = self._loading.setdefault(name, threading.Lock())
        with one_at_a_time:
            judge = self.loaded(name)
            if judge is None:
                judge = self._open_judge(name)
            with self._lock:
                self._loaded[name] = judge
                self._loaded.move_to_end(name)
                while len(self._loaded) > MAX_LOADED:
                    self._loaded.popitem(last=False)
        return judge
