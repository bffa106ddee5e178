"""Imports a scene: copies or makes it aside, opens and checks it, and puts it in its place in one step. Whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from filelock import lock_descriptor

from engine.checking.findings import CheckReport
from engine.checking.run import check_scene
from engine.errors import SceneError, on_one_line
from engine.files import UNFINISHED
from engine.importing.kinds import Content, open_source, recognise, unpack
from engine.importing.names import check_scene_name
from engine.importing.work import Report, Work
from engine.photos.video import DEFAULT_COUNT
from engine.scenes import open_scene
from engine.scenes.folders import is_entry
from engine.types import LeftOutView

ASIDE = ".import."
"""How the folders begin that imports work in. Names with a dot in front are nobody's scene."""


@dataclass(frozen=True)
class ImportedScene:
    """A scene that was imported.

    Attributes:
        name: Its name.
        folder: Where it is now.
        format: Name of its format.
        n_files: Files that it has.
        n_bytes: Their bytes.
        n_passed_over: Files of the source that were left: hidden, an operating system's, or beside the scene.
        report: What was found when it was checked.
        told: Sentences about how it was made, that the person should read.
    """

    name: str
    folder: Path
    format: str
    n_files: int
    n_bytes: int
    n_passed_over: int
    report: CheckReport
    told: tuple[str, ...] = ()


def import_scene(
    source: Path,
    folder: Path,
    *,
    name: str | None = None,
    rename: Callable[[str], str] = lambda found: found,
    count: int = DEFAULT_COUNT,
    on_progress: Report = lambda step, done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> ImportedScene:
    """Bring a scene into a folder of scenes, and check it. Until it is whole and was opened, nothing of it is to be seen there.

    Args:
        source: A folder or a zip archive with one scene of any format in it, at most two folders deep, or with photos or a video,
            of which a scene is made; or a video. It is not changed.
        folder: Where the scene's folder is made; it is made too if it is not there.
        name: What the scene is called; None = as its folder, the archive or the video.
        rename: Gives the name that is taken instead of that one, where `name` is None.
        count: Pictures at most that are taken of a video.
        on_progress: Called with what is being done, how much of it is done, and how much there is.
        is_cancelled: Asked often; True stops.

    Raises:
        ImportCancelled: If it was stopped; nothing is left.
        SceneError: If there is no scene in it that can be opened or made, it may not be copied, there is a scene of that name
            already, or the copy cannot be written; nothing is left.
        MaskgroupError: If what it needs is not installed.
    """
    work = Work(on_progress, is_cancelled, count)
    if name is not None:
        require_free(folder / check_scene_name(name))
    with open_source(source, work) as opened:
        try:
            with working_aside(folder) as aside:
                unpacked = aside / "unpacked"
                try:
                    content = opened if isinstance(opened, Content) else recognise(unpack(opened, unpacked, work), work)
                    chosen = check_scene_name(name or rename(content.name))
                    target = aside.parent / chosen
                    require_free(target)
                    staged = aside / "scenes" / chosen
                    staged.parent.mkdir()
                    made = content.stage(staged, work)
                    report = check_copy(staged, content.shown, target, partial(work.report, "checking"), work.tick)
                except SceneError as error:
                    raise SceneError(_moved(str(error), unpacked, source)) from error
                work.tick()
                sizes = [path.stat().st_size for path in staged.rglob("*") if path.is_file()]
                require_free(target)
                os.rename(staged, target)
        except OSError as error:
            raise SceneError(
                f"{folder}: cannot be written ({error.strerror or error}), expected a folder with space for the scene; check its "
                "permissions, free some space, or import it to another place."
            ) from error
    return ImportedScene(chosen, target, report.format, len(sizes), sum(sizes), made.n_passed_over, report, tuple(made.told))


def require_free(target: Path) -> None:
    """Check that nothing has a new scene's name yet.

    Raises:
        SceneError: If something has.
    """
    if is_entry(target):
        raise SceneError(
            f"{target}: found something of that name already, expected a new scene; give another name, or move it away first."
        )


@contextmanager
def working_aside(folder: Path) -> Generator[Path]:
    """Make a hidden folder in a folder of scenes, links resolved; it is deleted at the end.

    Where an import was killed, the next one deletes what it left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    above = _lock(folder, waits=True)
    descriptor = None
    try:
        if above is not None:
            for left in folder.glob(f"{ASIDE}*{UNFINISHED}"):
                _delete_abandoned(left)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, suffix=UNFINISHED, dir=folder))
        descriptor = _lock(aside)
    finally:
        if above is not None:
            os.close(above)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _delete_abandoned(aside: Path) -> None:
    descriptor = _lock(aside)
    if descriptor is not None:  # else its import goes on, or nobody can tell
        shutil.rmtree(aside, ignore_errors=True)
        os.close(descriptor)


def _lock(folder: Path, *, waits: bool = False) -> int | None:
    """Lock a folder until its descriptor is closed or the process ends; None if another has it, or there are no locks here."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with suppress(OSError):
            if lock_descriptor(descriptor, blocking=waits):
                return descriptor
        os.close(descriptor)
    return None


def check_copy(
    staged: Path, shown: Path, target: Path, on_progress: Callable[[int, int], None], tick: Callable[[], None]
) -> CheckReport:
    """Open and check the copy. Its sentences say where the scene came from if it is refused, else where it will be."""

    def progress(done: int, total: int) -> None:
        tick()
        on_progress(done, total)

    try:
        report = check_scene(open_scene(staged), on_progress=progress)
        if report.n_views == 0:
            raise SceneError(f"{staged}: none of its views can be read: {report.left_out[0].reason}")
    except SceneError as error:
        raise SceneError(_moved(str(error), staged, shown)) from error
    return replace(
        report,
        folder=str(target),
        left_out=tuple(LeftOutView(view.name, _moved(view.reason, staged, target)) for view in report.left_out),
        findings=tuple(replace(finding, text=_moved(finding.text, staged, target)) for finding in report.findings),
    )


def _moved(text: str, old: Path, new: Path) -> str:
    for path in (str(old), on_one_line(str(old))):
        text = text.replace(path, str(new))
    return text
