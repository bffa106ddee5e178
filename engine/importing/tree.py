"""A folder as a source. Links are followed where the readers of scenes follow them: inside the scene, or where that is allowed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engine.errors import SceneError
from engine.importing.locate import FoundScene
from engine.importing.names import MAX_DEPTH
from engine.importing.sources import CHUNK_BYTES, Bounds, SourceFile
from engine.scenes.folders import inside, list_names
from engine.scenes.names import is_foreign
from engine.scenes.regular_files import require_file
from engine.scenes.replica import OWN_LABELS


class FolderSource:
    """The files of a folder that holds a scene; see `Source`.

    Args:
        path: What the person named.
        found: The scene in it.
        tick: Called while files are listed; may raise.

    Raises:
        SceneError: If something in it cannot be copied.
    """

    def __init__(self, path: Path, found: FoundScene, *, tick: Callable[[], None]) -> None:
        self.path = found.folder
        self.name = found.folder.name
        self.n_passed_over = 0
        self._bounds = Bounds(path)
        self._files: list[SourceFile] = []
        self._list((), (found.folder,), tick)
        if found.labels is not None and not any(file.parts == (OWN_LABELS,) for file in self._files):
            size = require_file(found.labels, "labels of the mesh")
            self._bounds.add(size)
            self._files.append(SourceFile((OWN_LABELS,), size, found.labels))

    @property
    def files(self) -> Sequence[SourceFile]:
        """All files to copy."""
        return self._files

    def _list(self, parts: tuple[str, ...], way: tuple[Path, ...], tick: Callable[[], None]) -> None:
        """List one folder and those in it; `way` is how it was reached, links resolved."""
        tick()
        if len(parts) > MAX_DEPTH:
            raise SceneError(f"{way[-1]}: lies in more than {MAX_DEPTH} folders, expected a scene; move it elsewhere.")
        for name in list_names(way[-1]):
            if is_foreign(name):
                self.n_passed_over += 1
                continue
            path = inside(self.path, *parts, name)
            if _is_directory(path):
                if path in way:
                    raise SceneError(f"{self.path.joinpath(*parts, name)}: leads back to {path}; remove the link.")
                self._bounds.add()
                self._list((*parts, name), (*way, path), tick)
            else:
                size = require_file(path, "a file or a folder")
                self._bounds.add(size)
                self._files.append(SourceFile((*parts, name), size, path))

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yield the bytes of a file, piece by piece.

        Raises:
            SceneError: If it cannot be read, or is no plain file any more.
        """
        path = file.key
        assert isinstance(path, Path)
        try:
            # Not blocking and no link, so that a pipe or a link that replaces the file just now changes nothing.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SceneError(f"{path}: is no file any more, expected one; import again when nobody changes the folder.")
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise SceneError(
                f"{path}: cannot be read ({error.strerror}), expected a file of the scene; check its permissions."
            ) from error


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # what it is instead, or that it is not there, is said where it is required to be a file
