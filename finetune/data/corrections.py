"""People's settled answers, one a pair, as a snapshot in a run's folder.

The label store settles them (gold before majority before latest). Labels that are given later do not change a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import MaskError, RunError
from engine.files import write_atomically
from engine.types import Decision, MaskKey, MaskPair


class SettledLabel(Protocol):
    """One decision a pair; `db.labels.settling.Settled` is one."""

    @property
    def scene(self) -> str: ...

    @property
    def pair(self) -> MaskPair: ...

    @property
    def decision(self) -> Decision: ...

    @property
    def basis(self) -> str: ...


@dataclass(frozen=True)
class SettledPair:
    """What counts for a pair (in canonical order), and which rule decided: "gold", "majority" or "latest"."""

    scene: str
    pair: MaskPair
    decision: Decision
    basis: str


@dataclass(frozen=True)
class LeftOut:
    """A pair that is not trained on, and why."""

    scene: str
    pair: MaskPair
    reason: str


def take_decided(labels: Iterable[SettledLabel]) -> tuple[list[SettledPair], list[LeftOut]]:
    """Return the pairs that were decided, and those that were not, each sorted by scene and pair."""
    decided: list[SettledPair] = []
    left_out: list[LeftOut] = []
    for label in sorted(labels, key=lambda one: (one.scene, one.pair.canonical())):
        pair = label.pair.canonical()
        if label.decision in ("same", "different"):
            decided.append(SettledPair(label.scene, pair, label.decision, label.basis))
        else:
            said = "nobody could tell" if label.decision == "unsure" else "everybody skipped it"
            left_out.append(LeftOut(label.scene, pair, said))
    return decided, left_out


def write_corrections(path: Path, labels: Sequence[SettledLabel]) -> None:
    """Write labels to a run's folder."""
    rows = [[one.scene, str(one.pair.a), str(one.pair.b), one.decision, one.basis] for one in labels]
    write_atomically(path, {"corrections": rows})


def read_corrections(path: Path) -> list[SettledPair]:
    """Read labels; none where there is no file.

    Raises:
        RunError: If the file is broken.
    """
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["corrections"]
        return [SettledPair(scene, read_pair(a, b), decision, basis) for scene, a, b, decision, basis in rows]
    except (OSError, ValueError, KeyError, TypeError, MaskError) as error:
        raise RunError(f"{path} is no list of corrections ({error}); start a new run.") from error


def read_pair(a: str, b: str) -> MaskPair:
    """Read two masks written as VIEW:MASK.

    Raises:
        MaskError: If either has another form.
    """
    return MaskPair(MaskKey.parse(a), MaskKey.parse(b))
