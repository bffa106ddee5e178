"""Exports of groups as zips for download: one a scene at a time, in worker threads, with progress. Knows nothing about Gradio.

An export lives here and not in a page, so that a reload, or a second page, finds it again. It ends with the app.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import tempfile
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from db.runs import RunStatus
from engine.errors import MaskgroupError
from engine.exporting.source import GroupedScene, from_run
from engine.exporting.write import FORMATS, ExportCancelled, Format, pack, write_export
from ui.services.grouping_runs import GroupingRuns
from ui.services.kept_groups import SIZE, describe_origin
from ui.services.workbench import Workbench
from ui.web.uploads import EXPORTS

MAX_KEPT = 4
"""Zips that are kept for download, of all scenes."""
MAX_BYTES = 2 * 2**30
"""Larger exports are made on the command line."""
WITH_PHOTOS = ("scene", "colmap")
"""Formats with a copy of the photos."""
PHOTO_BYTES_A_PIXEL = 2.0
MASK_BYTES_A_PIXEL = 0.1
"""Bytes a pixel of photos and masks, assumed on the safe side for photographs: only pure noise takes more."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportState:
    """Where a scene's export stands; replaced, never changed.

    Attributes:
        status: What became of it.
        version: Version of the groups that were exported, as in `RunState`.
        words: What is being done.
        share: How much is done, [0, 1].
        message: Why there is no zip, "" where there is one or will be.
        path: The zip, None until it is whole.
        notes: What could not be written, a sentence each.
        made: When it was finished, "" before.
    """

    status: RunStatus
    version: int
    words: str = "Starting"
    share: float = 0.0
    message: str = ""
    path: Path | None = None
    notes: tuple[str, ...] = ()
    made: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.status == "running"


@dataclass
class _Job:
    state: ExportState
    cancel: threading.Event = field(default_factory=threading.Event)


class GroupExports:
    """All exports.

    Args:
        bench: Opens the scenes.
        runs: Holds the groups.
    """

    def __init__(self, bench: Workbench, runs: GroupingRuns) -> None:
        self._bench, self._runs = bench, runs
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def state(self, scene: str) -> ExportState | None:
        """Return where a scene's export stands, None where there is none or its zip was deleted meanwhile."""
        with self._lock:
            job = self._jobs.get(scene)
            if job is not None and job.state.path is not None and not job.state.path.is_file():
                del self._jobs[scene]
                return None
            return None if job is None else job.state

    def start(self, scene: str, wanted: Format | None, served: Path) -> threading.Thread:
        """Start an export of a scene's groups as they are now, in a thread of its own, which is returned.

        Args:
            scene: The scene.
            wanted: The format; None = all that the scene gives.
            served: The folder from which files are served.

        Raises:
            MaskgroupError: If there are no groups, an export is under way, or it would be too large.
        """
        # Before the room is read, which takes seconds.
        with self._lock:
            self._refuse_second(scene)
        grouped, version, command = self._take_groups(scene, wanted)
        size = estimate_bytes(grouped, wanted)
        if size > MAX_BYTES:
            raise MaskgroupError(
                f"This export would have about {size / 2**30:.1f} GB, of {MAX_BYTES / 2**30:.0f} GB that a page gives; choose "
                f"another format, or run `{command}`."
            )
        with self._lock:
            self._refuse_second(scene)
            # Taken out, so that the new one stands last: the first ones are deleted first.
            before = self._jobs.pop(scene, None)
            job = self._jobs[scene] = _Job(ExportState("running", version))
            if before is not None:
                _delete(before.state.path)
        worker = threading.Thread(
            target=self._work, args=(scene, job, grouped, wanted, served, command), daemon=True, name=f"export-{scene}"
        )
        worker.start()
        return worker

    def _refuse_second(self, scene: str) -> None:
        before = self._jobs.get(scene)
        if before is not None and before.state.is_running:
            raise MaskgroupError("An export of this scene is under way; wait for it, or stop it first.")

    def cancel(self, scene: str) -> None:
        """Ask an export to stop; it does before its next view."""
        with self._lock:
            job = self._jobs.get(scene)
        if job is not None:
            job.cancel.set()

    def _take_groups(self, scene: str, wanted: Format | None) -> tuple[GroupedScene, int, str]:
        """Return the groups as they are now, their version, and the command line that does the same."""
        opened = self._bench.open_scene(scene).scene
        state = self._runs.state(scene)
        result = self._runs.result(scene)
        run = next((one for one in self._runs.kept(scene) if one.id == result.kept_as), None)
        origin = describe_origin(scene, result.run.options, result.constraints, run=run)
        numbers = [int(color) + 1 for color in result.colors]
        grouped = from_run(
            opened,
            result.run,
            grouping=result.grouping,
            numbers=numbers,
            given=result.corrections.names,
            origin=origin,
            size=SIZE,
        )
        what = ["--format", wanted] if wanted is not None else []
        # The run's number, where it is kept: a scene's name means its newest run.
        command = shlex.join(["maskgroup", "export", scene if run is None else str(run.id), "--out", "out", *what])
        return grouped, 0 if state is None else state.version, command

    def _work(self, scene: str, job: _Job, grouped: GroupedScene, wanted: Format | None, served: Path, command: str) -> None:
        folder: Path | None = None
        try:
            exports = served / EXPORTS
            exports.mkdir(mode=0o700, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="groups-", dir=exports))
            name = f"{_file_name(scene)}-{wanted or 'all'}"
            written = write_export(
                grouped,
                folder / name,
                None if wanted is None else [wanted],
                command=command,
                tells_folder=False,
                report=lambda words, share: self._set(job, words=words, share=0.9 * share),
                is_cancelled=job.cancel.is_set,
            )
            self._set(job, words="Packing", share=0.9)
            pack(folder / name, folder / f"{name}.zip", is_cancelled=job.cancel.is_set)
            shutil.rmtree(folder / name)
        except ExportCancelled as error:
            self._fail(job, "cancelled", str(error), folder)
        except (MaskgroupError, OSError) as error:
            self._fail(job, "failed", str(error), folder)
        except Exception:
            # A thread's exception would reach nobody: the page must not wait for ever.
            log.exception("the export of %s failed", scene)
            self._fail(job, "failed", "The export failed by a mistake of the program; its log has the details.", folder)
        else:
            notes = (*(f"{name} was left out. {why}" for name, why in written.left_out.items()), *written.notes)
            made = f"{datetime.now().astimezone():%H:%M}"
            self._set(job, status="done", words="", share=1.0, path=folder / f"{name}.zip", notes=notes, made=made)
            self._delete_old(scene)

    def _set(self, job: _Job, **changes: object) -> None:
        with self._lock:
            job.state = replace(job.state, **changes)  # pyright: ignore[reportArgumentType]  # names of its fields

    def _fail(self, job: _Job, status: RunStatus, message: str, folder: Path | None) -> None:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._set(job, status=status, message=message)

    def _delete_old(self, newest: str) -> None:
        with self._lock:
            done = [name for name, job in self._jobs.items() if job.state.path is not None and name != newest]
            for name in done[: max(0, len(done) - MAX_KEPT + 1)]:
                _delete(self._jobs.pop(name).state.path)


def estimate_bytes(grouped: GroupedScene, wanted: Format | None) -> float:
    """Return about how much an export takes on the disk before it is packed, bytes."""
    formats = FORMATS if wanted is None else (wanted,)
    views = grouped.table.views
    pixels = 0
    if views and any(name in ("masks", "coco", *WITH_PHOTOS) for name in formats):
        camera = grouped.scene.view(views[0].name).camera
        height, width = views[0].index_map.shape if camera is None else (camera.height, camera.width)
        pixels = len(views) * height * width
    size = MASK_BYTES_A_PIXEL * pixels * sum(name in ("masks", "coco") for name in formats)
    size += (PHOTO_BYTES_A_PIXEL + MASK_BYTES_A_PIXEL) * pixels * sum(name in WITH_PHOTOS for name in formats)
    if "scannet" in formats and grouped.scene.mesh is not None:
        size += 2 * len(grouped.numbers) * len(grouped.scene.mesh.vertices)
    return size


def _file_name(scene: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", scene)[:60].strip(".") or "scene"


def _delete(path: Path | None) -> None:
    if path is not None:
        shutil.rmtree(path.parent, ignore_errors=True)
