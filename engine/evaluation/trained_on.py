"""Records with a model's weights which scenes it was trained on, and recognises these scenes even under other names.

A scene is identified by the smallest fingerprints of its pictures and meshes. This sample is the same for every copy of the scene
and nearly the same for a part of it (Broder 1997, "On the resemblance and containment of documents"). Pictures that were encoded
or rendered again are not recognised.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError, SceneError
from engine.evaluation.result_files import METRICS_FILE
from engine.files import write_text_atomically
from engine.scenes.regular_files import require_file
from engine.strict_json import to_json_text

FILE = "trained_on.json"
SAMPLE = 24
"""Fingerprints kept of a scene."""
SHARED = 0.25
"""Share of the smaller sample from which on two scenes are one."""
HASHED_BYTES = 64 * 2**10
"""Bytes of each file that its fingerprint takes in, besides its size."""
SEEN = {".jpg", ".jpeg", ".png", ".ply"}
NOT_SEEN = {"depth", "masks", "gt_masks"}
"""Folders whose pictures may be alike in two scenes: empty masks, for instance."""


@dataclass(frozen=True)
class SceneMark:
    """What a scene is recognised by.

    Attributes:
        name: What its folder was called.
        pictures: The smallest fingerprints of its pictures and meshes, sorted; empty where only the name is known.
        held_back: Whether some of its objects were kept out of training, to measure on.
    """

    name: str
    pictures: tuple[str, ...] = ()
    held_back: bool = False

    def is_same_scene(self, other: SceneMark) -> bool:
        """Whether both are one scene: by their pictures, by name only where one has none."""
        if not self.pictures or not other.pictures:
            return self.name == other.name
        shared = len(set(self.pictures) & set(other.pictures))
        return shared >= max(1, SHARED * min(len(self.pictures), len(other.pictures)))


@dataclass(frozen=True)
class TrainedOn:
    """What is known of a model's training.

    Attributes:
        scenes: Scenes that it was trained on.
        is_all: Whether the list is complete; for a model from elsewhere nobody here knows.
    """

    scenes: tuple[SceneMark, ...] = ()
    is_all: bool = False

    def find(self, mark: SceneMark) -> SceneMark | None:
        """Return the scene of the training that equals a scene; None if none does."""
        return next((scene for scene in self.scenes if scene.is_same_scene(mark)), None)

    def includes(self, folder: Path) -> bool | None:
        """Return whether the model was trained on the scene in a folder; None if that is not known."""
        if self.scenes and self.find(mark_scene(folder)) is not None:
            return True
        return False if self.is_all else None


UNKNOWN = TrainedOn()


def mark_scene(folder: Path, *, held_back: bool = False) -> SceneMark:
    """Look at a scene's pictures and meshes; the first bytes of each are read. Those that cannot be read are passed over."""
    prints: set[str] = set()
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_SEEN]
        for name in names:
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in SEEN:
                continue
            try:
                size = require_file(path, "a picture or a mesh")
                with path.open("rb") as stream:
                    content = stream.read(HASHED_BYTES)
            except (SceneError, OSError):
                continue
            prints.add(hashlib.sha256(f"{size} ".encode() + content).hexdigest()[:16])
    return SceneMark(folder.resolve().name, tuple(sorted(prints)[:SAMPLE]), held_back)


def write_marks(folder: Path, scenes: Iterable[SceneMark]) -> None:
    """Store what a model or an adapter was trained on beside its weights."""
    rows = [{"name": scene.name, "held_back": scene.held_back, "pictures": list(scene.pictures)} for scene in scenes]
    write_text_atomically(folder / FILE, to_json_text({"scenes": rows}, indent=1) + "\n")


def read_marks(folder: Path) -> TrainedOn:
    """Return what is stored beside weights; for older adapters, the scene names in their metrics.json.

    Raises:
        ModelError: If the file is there but broken.
    """
    path = folder / FILE
    if not path.is_file():
        names = _old_names(folder / METRICS_FILE)
        return TrainedOn(tuple(map(SceneMark, names)), is_all=bool(names))
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["scenes"]
        return TrainedOn(tuple(SceneMark(str(r["name"]), tuple(map(str, r["pictures"])), bool(r["held_back"])) for r in rows), True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is broken ({error}); copy the model again, or remove the file.") from error


def marks_of(base: str | Path, adapter: Path | None) -> TrainedOn:
    """Return what weights with an adapter on them were trained on: both count.

    Raises:
        ModelError: If a file is there but broken.
    """
    parts = [read_marks(Path(base)) if Path(base).is_dir() else UNKNOWN]
    parts += [read_marks(adapter)] if adapter is not None else []
    return TrainedOn(tuple(scene for part in parts for scene in part.scenes), all(part.is_all for part in parts))


def _old_names(path: Path) -> Sequence[str]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return [str(Path(name).name) for name in content["config"]["scenes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
