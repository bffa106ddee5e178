"""What every kind of source gives to an import: a list of files whose number and sizes are within bounds, and their bytes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import SceneError
from engine.scenes.names import printable

MAX_FILES = 20_000
"""Files and folders of one scene."""
MAX_BYTES = 50 * 2**30
"""Size of all files of one scene, unpacked."""
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class SourceFile:
    """One file that will be copied.

    Attributes:
        parts: Where it goes: names of folders, then its own; none leads out of the scene.
        size: Bytes that it promises to have.
        key: What the source finds it by.
    """

    parts: tuple[str, ...]
    size: int
    key: object


class Source(Protocol):
    """Where a scene comes from."""

    @property
    def path(self) -> Path:
        """The archive, or the scene's folder."""
        ...

    @property
    def name(self) -> str:
        """What the scene is called if nobody says otherwise."""
        ...

    @property
    def files(self) -> Sequence[SourceFile]:
        """All files to copy."""
        ...

    @property
    def n_passed_over(self) -> int:
        """Files that are hidden or belong to operating systems, and are not copied."""
        ...

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yield the bytes of one of the files, piece by piece. They may be more or fewer than it promised.

        Raises:
            SceneError: If it cannot be read.
        """
        ...


class Bounds:
    """Adds up what a source promises, and stops at what one scene may have.

    Args:
        path: The source, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = 0
        self.n_bytes = 0

    def add(self, size: int = 0) -> None:
        """Count a file of so many bytes, or a folder.

        Raises:
            SceneError: If that is one too many, or too much.
        """
        self._entries += 1
        self.n_bytes += size
        if self._entries > MAX_FILES:
            raise SceneError(
                f"{self._path}: found more than {MAX_FILES:,} files and folders, expected one scene; leave out views, or split it."
            )
        if self.n_bytes > MAX_BYTES:
            raise SceneError(
                f"{self._path}: found more than {MAX_BYTES:,} bytes in its files, expected one scene; leave out views, or split it."
            )


def copy_files(found: Source, folder: Path, on_progress: Callable[[int, int], None], tick: Callable[[], None]) -> None:
    """Write all files of a source into a new folder.

    Args:
        found: The source.
        folder: The folder; the one that it is made in is there.
        on_progress: Told how many files are written, and how many there are.
        tick: Called often; may raise to stop.

    Raises:
        SceneError: If a file of the source cannot be read, or has other bytes than it promised.
        OSError: If something cannot be written.
    """
    needed, free = sum(file.size for file in found.files), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed and {free:,} free")
    folder.mkdir()
    for done, file in enumerate(found.files):
        on_progress(done, len(found.files))
        path = folder.joinpath(*file.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with path.open("xb") as copy:
            for chunk in found.read(file):
                tick()
                size += len(chunk)
                if size > file.size:
                    break
                copy.write(chunk)
        if size != file.size:
            raise SceneError(
                f"{found.path}: {printable('/'.join(file.parts))} has other than the {file.size:,} bytes that were announced, "
                "expected a file that nobody changes; import it again."
            )
    on_progress(len(found.files), len(found.files))
