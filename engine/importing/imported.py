"""What is done with a scene after it was imported: it can be removed. Only what lies right below the imported scenes is touched."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from engine.errors import SceneError
from engine.files import UNFINISHED
from engine.importing.names import check_scene_name
from engine.importing.run import ASIDE


def remove_scene(folder: Path, name: str) -> None:
    """Delete an imported scene with all its files.

    It is gone in one step; what is left of it after a crash, the next import deletes.

    Args:
        folder: Where scenes are imported to.
        name: The scene's name.

    Raises:
        SceneError: If there is no such scene, it is a link, or it may not be removed.
    """
    target = folder / check_scene_name(name)
    try:
        if not stat.S_ISDIR(target.lstat().st_mode):
            raise SceneError(f"{target}: is no folder but a link or a file, expected an imported scene; remove it yourself.")
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, suffix=UNFINISHED, dir=folder))
        os.rename(target, aside / "removed")
    except OSError as error:
        raise SceneError(
            f"{target}: cannot be removed ({error.strerror or error}), expected an imported scene; look whether it is still "
            "there, and at its folder's permissions."
        ) from error
    shutil.rmtree(aside, ignore_errors=True)
