"""The folder from which Gradio serves pictures and files: one for each running app, private, empty at first, gone at the end."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import lock_descriptor

from db.schema.private_files import make_private_folder
from engine.errors import MaskgroupError

FOLDER = "served"
UPLOADS_FOLDER = "uploads"
"""Holds files of scenes that are on their way; nothing in it is served."""
LOCK_ENDING = ".lock"
_made: list[Path] = []
_held: list[int] = []
"""Descriptors of the locks of this process's folders; the system frees them when it ends, however it ends."""


def make_served_folder(data_folder: Path, *, name: str = FOLDER) -> Path:
    """Make this app's folder, and delete those of apps that have ended.

    Args:
        data_folder: Where the app keeps its files.
        name: What the folder with those of all apps is called. Only the files of the usual one are served.

    Raises:
        MaskgroupError: If it cannot be made.
    """
    above = data_folder / name
    try:
        make_private_folder(above)
        os.chmod(above, 0o700)
        with _locked(above / LOCK_ENDING):
            _delete_abandoned(above)
            folder = Path(tempfile.mkdtemp(prefix="app-", dir=above))
            _held.append(_lock(folder.with_name(folder.name + LOCK_ENDING)))
    except OSError as error:
        raise MaskgroupError(
            f"The app cannot keep its files in {above} ({error.strerror}); free some space or choose another place with --db."
        ) from error
    if not _made:
        atexit.register(delete_served_folders)
    _made.append(folder)
    return folder


def delete_served_folders() -> None:
    """Delete the folders that this process made, because it ends; where Python ends it, it does so itself."""
    for folder in _made:
        _delete(folder)


def use_for_gradio(folder: Path) -> None:
    """Let Gradio keep all its files there, uploads and examples too; call it before any component is made."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(folder / "examples")


def _delete_abandoned(above: Path) -> None:
    for folder in above.glob("app-*"):
        if folder.name.endswith(LOCK_ENDING):
            if not folder.with_name(folder.name.removesuffix(LOCK_ENDING)).exists():
                folder.unlink(missing_ok=True)
            continue
        try:
            descriptor = _lock(folder.with_name(folder.name + LOCK_ENDING))
        except OSError:
            # Its app runs.
            continue
        _delete(folder)
        os.close(descriptor)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.with_name(folder.name + LOCK_ENDING).unlink()


def _lock(path: Path, *, waits: bool = False) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not lock_descriptor(descriptor, blocking=waits):
            raise BlockingIOError(f"{path} is locked by another process")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _locked(path: Path):
    descriptor = _lock(path, waits=True)
    try:
        yield
    finally:
        os.close(descriptor)
