"""Which scenes the app has: those of --scenes, those that were imported, and those that came with the program.

They are looked for anew each time, so an imported scene is there without a restart. Of scenes of one name the first counts, in that
order, because labels and addresses name a scene by its name; the others are listed as left out.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.assets import SCENES_DIR
from engine.errors import SceneError
from engine.scenes import LeftOutFolder, SceneInfo, SceneList, survey_scenes

Origin = Literal["given", "imported", "bundled"]
SURVEY_S = 3.0
"""Seconds in which a page's scenes are opened; more of them are listed without being opened."""
WORDS: dict[Origin, str] = {
    "given": "the scenes of --scenes",
    "imported": "the imported scenes",
    "bundled": "the scenes that came with the program",
}


@dataclass(frozen=True)
class ListedScene:
    """A scene of the app.

    Attributes:
        info: What its folder says.
        origin: Where it comes from.
        place: The folder of scenes that it lies in.
        label: What choosers call it: its title if no other scene is called so, else with its name.
    """

    info: SceneInfo
    origin: Origin
    place: Path
    label: str


@dataclass(frozen=True)
class ListedScenes:
    """All scenes of the app, those of the first folder first, and what was left out."""

    scenes: tuple[ListedScene, ...]
    left_out: tuple[LeftOutFolder, ...]


class SceneFolders:
    """The folders that the app's scenes lie in.

    Args:
        given: The folder of --scenes.
        imported: Where scenes are imported to; it need not be there.
        bundled: The scenes that came with the program.
    """

    def __init__(self, given: Path, *, imported: Path | None = None, bundled: Path | None = None) -> None:
        self.imported = imported
        self.places: list[tuple[Origin, Path]] = []
        for origin, place in (("given", given), ("imported", imported), ("bundled", bundled)):
            if place is not None and all(_is_same(place, other) is False for _, other in self.places):
                self.places.append((self._origin_of(place, origin), place))

    def _origin_of(self, place: Path, usual: str) -> Origin:
        if _is_same(place, SCENES_DIR):
            return "bundled"
        is_imported = usual == "imported" or (self.imported is not None and _is_same(place, self.imported))
        return "imported" if is_imported else "given"

    def survey(self, *, budget_s: float | None = SURVEY_S) -> ListedScenes:
        """Look which scenes there are.

        Args:
            budget_s: Seconds for opening scenes that changed since the last look; None = all are opened.

        Raises:
            SceneError: If the first folder is none.
        """
        started = time.monotonic()
        found: dict[str, tuple[SceneInfo, Origin, Path]] = {}
        left_out: list[LeftOutFolder] = []
        for number, (origin, place) in enumerate(self.places):
            survey = _survey(place, started, budget_s, is_required=number == 0)
            left_out += survey.left_out
            for info in survey.scenes:
                if info.name in found:
                    other = WORDS[found[info.name][1]]
                    reason = f"a scene of this name is among {other}, which counts; rename the folder {place / info.name}."
                    left_out.append(LeftOutFolder(info.name, reason))
                else:
                    found[info.name] = info, origin, place
        called = Counter(title for info, _, _ in found.values() for title in {info.title or info.name, info.name})
        return ListedScenes(tuple(_label(called, *scene) for scene in found.values()), tuple(left_out))

    def find(self, name: str) -> ListedScene | None:
        """Return a scene by its name, None where there is none."""
        return next((scene for scene in self.survey().scenes if scene.info.name == name), None)


def _label(called: Counter[str], info: SceneInfo, origin: Origin, place: Path) -> ListedScene:
    title = info.title or info.name
    label = title if title == info.name or called[title] == 1 else f"{title} ({info.name})"
    return ListedScene(info, origin, place, label)


def _survey(place: Path, started: float, budget_s: float | None, *, is_required: bool) -> SceneList:
    left_s = None if budget_s is None else max(0.0, budget_s - (time.monotonic() - started))
    try:
        return survey_scenes(place, budget_s=left_s) if is_required or place.exists() else SceneList((), ())
    except (SceneError, OSError) as error:
        if is_required:
            raise
        return SceneList((), (LeftOutFolder(place.name, str(error)),))


def _is_same(one: Path, other: Path) -> bool:
    return one.expanduser().resolve() == other.expanduser().resolve()
