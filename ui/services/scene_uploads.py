"""Files of a scene on their way from a browser: kept in a private folder, bounded, and deleted when the import has ended.

They never lie in the folder that is served, and only the browser that sent them can name them. Knows nothing about HTTP or Gradio.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from engine.errors import MaskgroupError
from engine.importing.archive import ENDING
from engine.importing.names import split_path
from engine.photos.video import is_video
from engine.scenes.names import printable

MAX_FILES = 5000
"""Files of one upload; more of them are packed into one."""
MAX_BATCHES = 8
"""Uploads that are on their way, of all browsers."""
IDLE_S = 3600.0
"""An upload of which nothing was heard for so long is deleted."""
STALE_S = 60.0
"""And already then, if no file of it is on its way and another upload needs its place."""
SPARE_BYTES = 2**28
"""What an upload leaves free on the disk."""
LOOSE = "my_scene"
"""What a scene is called whose files were brought without a folder."""
BATCH = re.compile("[0-9a-f]{32}")

Key = tuple[str, str]
"""The browser, and the upload's name in it."""


class UploadError(MaskgroupError):
    """A file cannot be taken."""


@dataclass
class _Batch:
    folder: Path
    heard: float
    n_bytes: int = 0
    n_open: int = 0
    is_gone: bool = False
    names: set[str] = field(default_factory=set[str])

    @property
    def content(self) -> Path:
        return self.folder / LOOSE


@dataclass(frozen=True)
class TakenUpload:
    """A whole upload, which is the taker's to delete.

    Attributes:
        source: What is imported: the only file if it is a zip archive or a video, the only folder, or the folder with all files.
        shown: What people call it.
        folder: What is to be deleted in the end.
    """

    source: Path
    shown: str
    folder: Path

    def delete(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class IncomingFile:
    """One file that is being written; `close` it, or `abandon` it."""

    def __init__(self, uploads: SceneUploads, batch: _Batch, path: Path, file: IO[bytes]) -> None:
        self._uploads, self._batch, self._path, self._file = uploads, batch, path, file
        self._written = 0

    def write(self, content: bytes) -> None:
        """Add bytes.

        Raises:
            UploadError: If that is more than an upload may have, or they cannot be written.
        """
        self._uploads.count(self._batch, len(content))
        self._written += len(content)
        try:
            self._file.write(content)
        except OSError as error:
            raise UploadError(f"The upload cannot be kept ({error.strerror or error}); free some space on the server.") from error

    def close(self) -> None:
        """Say that the file is whole.

        Raises:
            UploadError: If it cannot be written.
        """
        try:
            self._file.close()
        except OSError as error:
            self.abandon()
            raise UploadError(f"The upload cannot be kept ({error.strerror or error}); free some space on the server.") from error
        self._uploads.closed(self._batch)

    def abandon(self) -> None:
        """Delete what there is of it."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)
        self._uploads.count(self._batch, -self._written)
        self._uploads.closed(self._batch, lost=self._path)


class SceneUploads:
    """All uploads that are on their way.

    Args:
        folder: A private folder, empty at first.
        max_bytes: What one upload may have.
        clock: Tells the time in seconds.
    """

    def __init__(self, folder: Path, *, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self._folder, self._clock = folder, clock
        self._batches: dict[Key, _Batch] = {}
        self._lock = threading.Lock()

    def open_file(self, browser: str, name: str, path: str, size: int) -> IncomingFile | None:
        """Begin a file of an upload; the upload begins with its first one.

        Args:
            browser: Who sends it.
            name: Names the upload; 32 hexadecimal digits, made by the browser.
            path: Where the file goes, as the browser has it: folders with "/" between, then its own name.
            size: Bytes that it will have.

        Returns:
            What to write to; None if it is hidden or belongs to an operating system, and is passed over.

        Raises:
            UploadError: If it cannot be taken.
        """
        try:
            parts = split_path(path)
        except ValueError as error:
            raise UploadError(f"{printable(path)} cannot be taken: {error}; rename it, or pack the scene into a zip.") from error
        if parts is None:
            return None
        if not parts:
            raise UploadError("A file without a name cannot be taken; pack the scene into a zip.")
        if BATCH.fullmatch(name) is None:
            raise UploadError("The upload has no proper name; reload the page and try again.")
        batch = self._begin(browser, name, "/".join(parts), size)
        target = batch.content.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except OSError as error:
            self.closed(batch, lost=target)
            raise UploadError(
                f"{printable('/'.join(parts))} cannot be kept ({error.strerror or error}); pack the scene into a zip."
            ) from error
        return IncomingFile(self, batch, target, file)

    def _begin(self, browser: str, name: str, path: str, size: int) -> _Batch:
        with self._lock:
            self._delete_idle()
            batch = self._batches.get((browser, name))
            have = 0 if batch is None else batch.n_bytes
            if size < 0 or have + size > self.max_bytes:
                raise self._too_large()
            if batch is None:
                self._make_place()
                if len(self._batches) >= MAX_BATCHES:
                    raise UploadError(f"{MAX_BATCHES} uploads are under way, as many as may be; wait for one to end.")
                free = shutil.disk_usage(self._folder).free
                if size + SPARE_BYTES > free:
                    raise UploadError(
                        f"The server has {free / 2**20:,.0f} MB left, too few for this upload; free some space there."
                    )
                folder = Path(tempfile.mkdtemp(prefix="upload-", dir=self._folder))
                batch = self._batches[browser, name] = _Batch(folder, self._clock())
                batch.content.mkdir()
            if len(batch.names) >= MAX_FILES:
                raise UploadError(f"An upload may have {MAX_FILES:,} files, and this one has more; pack the scene into a zip.")
            if path in batch.names:
                raise UploadError(f"{printable(path)} came twice, expected one file of each name; pack the scene into a zip.")
            batch.names.add(path)
            batch.n_open += 1
            batch.heard = self._clock()
            return batch

    def _too_large(self) -> UploadError:
        return UploadError(
            f"An upload may have {self.max_bytes / 2**20:,.0f} MB, and this one has more; leave out views, or let whoever runs the "
            "app raise --max-upload-mb."
        )

    def count(self, batch: _Batch, size: int) -> None:
        """Count bytes of an upload.

        Raises:
            UploadError: If it has too many, or was given up.
        """
        with self._lock:
            if batch.is_gone and size > 0:
                raise UploadError("The upload was stopped.")
            if size > 0 and batch.n_bytes + size > self.max_bytes:
                raise self._too_large()
            batch.n_bytes += size
            batch.heard = self._clock()

    def closed(self, batch: _Batch, *, lost: Path | None = None) -> None:
        """Note that a file of an upload is not written to any more; `lost` is where it lay if it is not kept."""
        with self._lock:
            batch.n_open -= 1
            if lost is not None:
                batch.names.discard(lost.relative_to(batch.content).as_posix())
            if batch.is_gone and batch.n_open == 0:
                shutil.rmtree(batch.folder, ignore_errors=True)

    def take(self, browser: str, name: str) -> TakenUpload:
        """Take a whole upload out.

        Raises:
            UploadError: If this browser has none of that name, or files of it are still on their way.
        """
        with self._lock:
            batch = self._batches.get((browser, name))
            if batch is None or not batch.names:
                raise UploadError("There is no such upload here; choose the files once more.")
            if batch.n_open:
                raise UploadError("The upload is still on its way; wait until it is whole.")
            del self._batches[browser, name]
        only = next(iter(batch.names)) if len(batch.names) == 1 else None
        if only is not None and (only.lower().endswith(ENDING) or is_video(Path(only))):
            return TakenUpload(batch.content / only, Path(only).name, batch.folder)
        tops = {path.split("/")[0] for path in batch.names if "/" in path}
        is_one_folder = len(tops) == 1 and all("/" in path for path in batch.names)
        if is_one_folder:
            top = next(iter(tops))
            return TakenUpload(batch.content / top, top, batch.folder)
        return TakenUpload(batch.content, only or f"{len(batch.names)} files", batch.folder)

    def drop(self, browser: str, name: str) -> None:
        """Give an upload up, if this browser has one of that name."""
        with self._lock:
            batch = self._batches.pop((browser, name), None)
            if batch is not None:
                self._delete(batch)

    def _delete_idle(self) -> None:
        now = self._clock()
        for key, batch in list(self._batches.items()):
            if now - batch.heard > IDLE_S:
                self._delete(self._batches.pop(key))

    def _make_place(self) -> None:
        stale = [key for key, batch in self._batches.items() if not batch.n_open and self._clock() - batch.heard > STALE_S]
        if len(self._batches) >= MAX_BATCHES and stale:
            self._delete(self._batches.pop(min(stale, key=lambda key: self._batches[key].heard)))

    def _delete(self, batch: _Batch) -> None:
        batch.is_gone = True
        if batch.n_open == 0:
            shutil.rmtree(batch.folder, ignore_errors=True)
