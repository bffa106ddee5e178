"""Imports of scenes in worker threads, with progress, for the Scenes page; the copies of `scene_copies` are made here too.

An import lives here and not in a page, so that a reload, or a second page, finds it again. If the app ends before it has ended,
nothing of it is left. Knows nothing about Gradio.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from db.runs import RunStatus
from engine.checking.mends import MendingCancelled
from engine.errors import MaskgroupError, SceneError, on_one_line
from engine.importing import ImportCancelled, ImportedScene, Step, import_scene
from engine.importing.names import check_scene_name
from engine.scenes.folders import is_entry, is_folder
from engine.scenes.names import printable
from engine.scenes.scene_settings import clean_title, write_title
from engine.segmenting.run import SegmentingCancelled
from ui.services.scene_uploads import TakenUpload
from ui.services.workbench import Workbench

MAX_RUNNING = 2
"""Imports at once: more would only take turns at the disk."""
MAX_KEPT = 8
"""Ended imports that are still told of."""
MAX_PATH = 4096
WORDS: dict[Step, tuple[str, str, float, float]] = {
    "unpacking": ("Unpacking", "files", 0.0, 0.05),
    "copying": ("Copying", "files", 0.0, 0.6),
    "photos": ("Reading photos", "photos", 0.05, 0.05),
    "features": ("Looking for points", "photos", 0.1, 0.2),
    "matches": ("Finding the same points in other photos", "comparisons", 0.3, 0.35),
    "cameras": ("Placing cameras", "photos", 0.65, 0.25),
    "checking": ("Checking", "views", 0.9, 0.1),
}
"""What a step is called, what it counts, where it begins and how long it is, as shares of the whole."""

Task = Literal["import", "mend", "masks", "copy"]
"""What is done: a scene is brought in; a copy of one is made in which something is mended, with new masks, or to be edited."""
CANCELLED = (ImportCancelled, MendingCancelled, SegmentingCancelled)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportState:
    """Where an import, or a copy of a scene, stands; replaced, never changed.

    Attributes:
        number: Names it, counted from 1.
        shown: What is imported or copied, as people call it.
        status: What became of it.
        words: What is being done.
        share: How much is done, [0, 1].
        message: Why there is no scene; of one that is there, what should be known.
        scene: The new scene's name, "" until it is there.
        task: What is done.
        of: Name of the scene that is copied, "" for an import.
    """

    number: int
    shown: str
    status: RunStatus = "running"
    words: str = "Starting"
    share: float = 0.0
    message: str = ""
    scene: str = ""
    task: Task = "import"
    of: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.status == "running"


@dataclass(frozen=True)
class MadeScene:
    """What a job has made: the scene's name, and what should be known of it."""

    name: str
    message: str = ""


Report = Callable[[str, float], None]
"""Told what is being done, and the share that is done, [0, 1]."""
Work = Callable[[Report, Callable[[], bool]], MadeScene]
"""What a job does, given whom to tell how far it is, and whom to ask whether it is to stop."""


@dataclass
class _Job:
    state: ImportState
    cancel: threading.Event = field(default_factory=threading.Event)


class SceneImports:
    """All imports.

    Args:
        bench: Lists scenes; its folders say where imported ones go.
        folder: Where scenes are imported to.
        roots: Folders of this machine from which people may import by path.
        on_imported: Told of each new scene, in the worker's thread.

    Raises:
        SceneError: If one of the roots is no folder.
    """

    def __init__(
        self,
        bench: Workbench,
        folder: Path,
        *,
        roots: Iterable[Path] = (),
        on_imported: Callable[[ImportedScene], None] = lambda imported: None,
    ) -> None:
        self.folder = folder
        self.roots = tuple(_check_root(root) for root in roots)
        self._bench, self._on_imported = bench, on_imported
        self._jobs: dict[int, _Job] = {}
        self._count = 0
        self._lock = threading.Lock()

    def states(self) -> list[ImportState]:
        """Return where all imports stand, the latest first."""
        with self._lock:
            return [job.state for job in reversed(self._jobs.values())]

    def start_upload(self, upload: TakenUpload, called: str = "") -> threading.Thread:
        """Import what was uploaded, in a thread, which is returned. The upload is deleted in the end, however that is.

        Args:
            upload: The upload.
            called: What the scene is to be called, "" = as its folder or archive.

        Raises:
            MaskgroupError: If as many imports as may be are under way.
        """
        try:
            return self.start(
                "import",
                upload.shown,
                lambda report, is_cancelled: self._import(upload.source, called, report, is_cancelled),
                tell=lambda text: _tell_upload(text, upload),
                clean_up=upload.delete,
            )
        except MaskgroupError:
            upload.delete()
            raise

    def start_path(self, text: str, called: str = "") -> threading.Thread:
        """Import from a path of this machine, in a thread, which is returned.

        Args:
            text: A folder, zip archive or video below one of the roots: its whole path, or the rest after a root.
            called: What the scene is to be called, "" = as its folder or archive.

        Raises:
            MaskgroupError: If it does not lie there, or as many imports as may be are under way.
        """
        path = self._find_below(text.strip())
        return self.start("import", path.name, lambda report, is_cancelled: self._import(path, called, report, is_cancelled))

    def cancel(self, number: int) -> None:
        """Ask an import to stop; it does before its next piece of a file, or its next view."""
        with self._lock:
            job = self._jobs.get(number)
        if job is not None:
            job.cancel.set()

    def dismiss(self, number: int) -> None:
        """Tell no more of an import that has ended."""
        with self._lock:
            job = self._jobs.get(number)
            if job is not None and not job.state.is_running:
                del self._jobs[number]

    def _find_below(self, text: str) -> Path:
        """Return the path that was named, links resolved."""
        if not self.roots:
            raise SceneError("No folder of the server is open for imports; upload the scene, or start the app with --import-root.")
        # The same sentence whether there is something or not: it is nobody's business what lies elsewhere.
        refusal = SceneError(
            f"{printable(text[:200])} names nothing below {' or '.join(map(str, self.roots))}, from where scenes may be imported; "
            "give a folder or zip archive there."
        )
        if not text or "\0" in text or len(text) > MAX_PATH:
            raise refusal
        for root in self.roots:
            try:
                path = (root / text).resolve()
                if path != root and path.is_relative_to(root) and is_entry(path):
                    return path
            except (OSError, RuntimeError, ValueError, SceneError):
                continue
        raise refusal

    def start(
        self,
        task: Task,
        shown: str,
        work: Work,
        *,
        of: str = "",
        tell: Callable[[str], str] = str,
        clean_up: Callable[[], None] = lambda: None,
    ) -> threading.Thread:
        """Do something that makes a scene in a thread, which is returned.

        Args:
            task: What is done.
            shown: What it is done with, as people call it.
            work: Does it.
            of: The scene that is copied.
            tell: Turns a sentence about a failure into what people are told.
            clean_up: Called in the end, however that is.

        Raises:
            MaskgroupError: If as many as may be are under way, or the same is being done with the scene.
        """
        with self._lock:
            running = [job.state for job in self._jobs.values() if job.state.is_running]
            if of and any((one.task, one.of) == (task, of) for one in running):
                raise MaskgroupError(f"This is being done with {shown} already; wait for it to end, or stop it.")
            if len(running) >= MAX_RUNNING:
                raise MaskgroupError(f"{MAX_RUNNING} imports are under way, as many as may be; wait for one to end, or stop it.")
            self._count += 1
            job = self._jobs[self._count] = _Job(ImportState(self._count, on_one_line(shown), task=task, of=of))
            ended = [number for number, other in self._jobs.items() if not other.state.is_running]
            for number in ended[: max(0, len(ended) - MAX_KEPT)]:
                del self._jobs[number]
        worker = threading.Thread(
            target=self._work, args=(job, work, tell, clean_up), daemon=True, name=f"import-{job.state.number}"
        )
        worker.start()
        return worker

    def _work(self, job: _Job, work: Work, tell: Callable[[str], str], clean_up: Callable[[], None]) -> None:
        try:
            made = work(lambda words, share: self._set(job, words=words, share=share), job.cancel.is_set)
        except CANCELLED as error:
            ended = {"status": "cancelled", "message": str(error)}
        except MaskgroupError as error:
            ended = {"status": "failed", "message": tell(str(error))}
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("the %s of %s failed", job.state.task, printable(job.state.shown))
            ended = {"status": "failed", "message": "It failed by a mistake of the program; its log has the details."}
        else:
            self._bench.forget(made.name)
            ended = {"status": "done", "scene": made.name, "message": made.message, "share": 1.0}
        # Before anybody is told that it has ended: then nothing of the upload is left.
        clean_up()
        self._set(job, **ended)

    def _import(self, source: Path, called: str, report: Report, is_cancelled: Callable[[], bool]) -> MadeScene:
        # What cannot be a title is left aside: nothing that was uploaded is lost for a name, which can be given afterwards too.
        title = clean_title(called) or ""

        def rename(found: str) -> str:
            return self.free_name(_as_name(title) or found)

        def tell_step(step: Step, done: int, total: int) -> None:
            words, what, begin, length = WORDS[step]
            report(f"{words}: {done:,} of {total:,} {what}", begin + length * done / max(1, total))

        imported = import_scene(source, self.folder, rename=rename, on_progress=tell_step, is_cancelled=is_cancelled)
        if title not in ("", imported.name):
            write_title(imported.folder, title)
        self._on_imported(imported)
        return MadeScene(imported.name, " ".join(imported.told))

    def free_name(self, wanted: str) -> str:
        """Return a name that no scene of the app has, and that nothing beside the imported scenes has: with a number if need be."""
        listed = self._bench.folders.survey()
        taken = {scene.info.name.casefold() for scene in listed.scenes} | {entry.name.casefold() for entry in listed.left_out}
        number, name = 1, wanted
        while name.casefold() in taken or is_entry(self.folder / name):
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _set(self, job: _Job, **changes: object) -> None:
        with self._lock:
            job.state = replace(job.state, **changes)  # pyright: ignore[reportArgumentType]  # names of its fields


def _check_root(root: Path) -> Path:
    resolved = root.expanduser().resolve()
    if not is_folder(resolved):
        raise SceneError(f"{root}: found no folder, expected one from which scenes may be imported; check --import-root.")
    return resolved


def _as_name(title: str) -> str | None:
    """Return a title as the name of a scene, None if a folder cannot be called so."""
    try:
        return check_scene_name(title)
    except SceneError:
        return None


def _tell_upload(text: str, upload: TakenUpload) -> str:
    """Return a sentence about an upload without the place at which it lies for a moment."""
    content = upload.source if upload.source.is_dir() else upload.source.parent
    return text.replace(f"{content}/", "").replace(str(content), on_one_line(upload.shown))
