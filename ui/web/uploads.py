"""How much uploads and pictures in the served folder may take: it has a bound, what is oldest goes first. Knows no Gradio."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 200 * 2**20
MAX_FILES = 2000
MAX_REQUEST_BYTES = 12 * 2**20
"""Of one upload, with all its files."""
SCENE_UPLOAD = "/maskgroup/scenes/upload"
"""Where files of a scene are sent to. They never lie in the served folder, and have bounds of their own."""
EXPORTS = "exports"
"""Folder in the served one whose files are not uploads: whoever writes there bounds them."""
KEEP_S = 600.0
"""What is younger is not deleted to make room: it may be on somebody's screen."""


@dataclass(frozen=True)
class _Found:
    path: Path
    size: int
    changed: float


class UploadQuota:
    """Watches a folder.

    Args:
        folder: The served folder.
        max_bytes: What all its files may have.
        max_files: How many they may be.
        keep_s: How long a file is safe from being deleted for newer ones.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES, keep_s: float = KEEP_S) -> None:
        self.folder = folder
        self._max_bytes, self._max_files, self._keep_s = max_bytes, max_files, keep_s
        self._lock = threading.Lock()
        self._promised: dict[object, int] = {}

    def make_room(self, ticket: object, size: int) -> str | None:
        """Make room for an upload, deleting the oldest files where that is needed; call `done` with the ticket afterwards.

        Args:
            ticket: Names the upload.
            size: Its bytes; uploads under way count with theirs.

        Returns:
            None, or a sentence that says why there is no room.
        """
        with self._lock:
            found = sorted(self._files(), key=lambda file: file.changed)
            held = sum(file.size for file in found) + sum(self._promised.values())
            count = len(found) + len(self._promised)
            oldest_kept = time.time() - self._keep_s
            for file in found:
                if held + size <= self._max_bytes and count + 1 <= self._max_files:
                    break
                if file.changed > oldest_kept:
                    break
                with contextlib.suppress(OSError):
                    file.path.unlink()
                    held -= file.size
                    count -= 1
            if held + size > self._max_bytes or count + 1 > self._max_files:
                return (
                    f"The app holds {count} files and {held / 2**20:.0f} MB, of {self._max_files} and "
                    f"{self._max_bytes / 2**20:.0f} MB that it may; try again in {self._keep_s / 60:.0f} minutes."
                )
            self._promised[ticket] = size
            return None

    def done(self, ticket: object) -> None:
        """Say that an upload has ended, well or not."""
        with self._lock:
            self._promised.pop(ticket, None)

    def _files(self) -> list[_Found]:
        found: list[_Found] = []
        exports = self.folder / EXPORTS
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):
                if exports not in path.parents and path.is_file() and not path.is_symlink():
                    state = path.stat()
                    found.append(_Found(path, state.st_size, state.st_mtime))
        return found
