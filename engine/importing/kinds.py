"""The list of what scenes are imported from: recognises the kind of a source, and opens it.

A new kind is one entry in `KINDS`. One that has to make the scene first, as from photos or a video, makes it in a temporary folder
of its own, gives that as a `FolderSource`, and deletes it at the end of the block; everything after that is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import SceneError
from engine.importing.archive import open_archive
from engine.importing.sources import Source
from engine.importing.tree import open_tree
from engine.scenes.folders import is_entry, is_folder

Step = Literal["copying", "features", "matches", "cameras", "checking"]
"""What is being done: files are copied, cameras of plain photos are found in three steps, then views are looked at."""
Report = Callable[[Step, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        name: What it is called, after "a".
        matches: Whether a path is of this kind. Asked in order; the path exists.
        open: Opens it for the time of a block. It is given the path, whom to tell what is done before files can be copied, and a
            function to call often, which may raise.
    """

    name: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, Report, Callable[[], None]], AbstractContextManager[Source]]


def _open_folder(path: Path, report: Report, tick: Callable[[], None]) -> AbstractContextManager[Source]:
    return nullcontext(open_tree(path, tick=tick))


@contextmanager
def _open_zip(path: Path, report: Report, tick: Callable[[], None]):
    with open_archive(path) as archive:
        yield archive


def _is_anything(path: Path) -> bool:
    """Zip archives come last: their reader says best what is wrong with a file that nobody can read."""
    return True


KINDS: tuple[SourceKind, ...] = (
    SourceKind("folder with a scene in it", is_folder, _open_folder),
    SourceKind("zip archive with a scene in it", _is_anything, _open_zip),
)
"""All kinds, in the order in which they are tried."""


def open_source(path: Path, report: Report, tick: Callable[[], None]) -> AbstractContextManager[Source]:
    """Open what a scene is imported from, by the first kind that matches.

    Raises:
        SceneError: If there is nothing at that path, or it cannot be opened.
    """
    if "\0" in str(path) or not is_entry(path):
        expected = ", or ".join(f"a {kind.name}" for kind in KINDS)
        raise SceneError(f"{path}: found nothing, expected {expected}; check the path.")
    return next(kind for kind in KINDS if kind.matches(path)).open(path, report, tick)
