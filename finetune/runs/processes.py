"""A training's own process: starts it, finds it after a restart of the app, stops it, and says whether it is alive.

A process is identified by its number and its start time, because the system may reuse the number. A heartbeat file distinguishes a
working process from one that hangs. Knows nothing about what the process does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout

from engine.errors import RunError
from engine.files import write_atomically
from finetune.run_folder import CANCEL_FILE, HEARTBEAT_FILE, LOCK_FILE, LOG_FILE, WORKER_FILE
from finetune.runs.events import has_ended

HEARTBEAT_S = 1.0
SILENT_AFTER_S = 60.0
POLL_S = 0.3

Life = Literal["none", "alive", "silent", "dead"]
_children: dict[Path, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class WorkerState:
    """The state of a run's process: never started, alive, alive but without a heartbeat for a minute, or gone.

    Attributes:
        exit_code: How it ended, negative = by that signal; None = not known.
    """

    life: Life
    pid: int | None = None
    exit_code: int | None = None


def start_worker(run_dir: Path) -> None:
    """Start the process of a run; it continues when this process ends.

    Raises:
        RunError: If one is alive already, or it cannot be started.
    """
    if worker_state(run_dir).life in ("alive", "silent"):
        raise RunError(f"The training {run_dir.name!r} is under way already; wait for it or cancel it.")
    (run_dir / CANCEL_FILE).unlink(missing_ok=True)
    # glibc gives freed memory back page by page, which costs much time when tensors come and go; threads that spin while they wait
    # for one another slow each other down tenfold where other programs want the cores too.
    tuned = {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "67108864",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    try:
        with (run_dir / LOG_FILE).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "finetune.runs.worker", str(run_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=Path(__file__).resolve().parents[2],
                env={**tuned, **os.environ, "PYTHONUNBUFFERED": "1"},
            )
        _children[run_dir] = child
        write_identity(run_dir, child.pid)
    except OSError as error:
        raise RunError(
            f"The training's process could not be started ({error.strerror}); free some memory or disk, then try again."
        ) from error


def write_identity(run_dir: Path, pid: int) -> None:
    """Record which process works on a run, and since when it has waited."""
    with contextlib.suppress(psutil.NoSuchProcess):
        values = {"pid": pid, "create_time": psutil.Process(pid).create_time(), "queued_at": time.time()}
        write_atomically(run_dir / WORKER_FILE, dict(values))


def worker_state(run_dir: Path) -> WorkerState:
    """Return what is known of a run's process."""
    child = _children.get(run_dir)
    code = child.poll() if child is not None else None
    try:
        found = json.loads((run_dir / WORKER_FILE).read_text(encoding="utf-8"))
        pid, created = int(found["pid"]), float(found["create_time"])
    except (OSError, ValueError, KeyError, TypeError):
        return WorkerState("none" if child is None else "alive" if code is None else "dead", None, code)
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - created) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        is_same = False
    if not is_same:
        return WorkerState("dead", pid, code)
    with contextlib.suppress(OSError):
        if time.time() - (run_dir / HEARTBEAT_FILE).stat().st_mtime > SILENT_AFTER_S:
            return WorkerState("silent", pid)
    return WorkerState("alive", pid)


def wait_for_end(run_dir: Path, timeout_s: float = 15.0) -> None:
    """Wait until a run's process, which has written how it ended, is gone; give up after `timeout_s` seconds."""
    until = time.monotonic() + timeout_s
    while worker_state(run_dir).life in ("alive", "silent") and time.monotonic() < until:
        time.sleep(0.1)


def explain_death(state: WorkerState) -> str:
    """Return a sentence about a process that ended without saying why."""
    if state.exit_code == -9:
        return "The training's process was killed, as the system does when memory runs out; close other programs, then resume it."
    if state.exit_code is not None and state.exit_code < 0:
        return f"The training's process was ended by signal {-state.exit_code}; resume it from its last checkpoint."
    return "The training's process is gone: it was killed or the machine was restarted; resume it from its last checkpoint."


def request_cancel(run_dir: Path) -> None:
    """Ask a run's process to stop after its current step."""
    (run_dir / CANCEL_FILE).touch()


def is_cancel_requested(run_dir: Path) -> bool:
    """Whether the run was asked to stop."""
    return (run_dir / CANCEL_FILE).exists()


def kill_worker(run_dir: Path, *, wait_s: float = 5.0) -> None:
    """End a run's process at once, if it is alive."""
    state = worker_state(run_dir)
    if state.life in ("alive", "silent") and state.pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.pid)
            process.kill()
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(wait_s)


@contextmanager
def heartbeat(run_dir: Path) -> Generator[None]:
    """Touch the heartbeat file from a thread while the block runs."""
    stop = threading.Event()
    path = run_dir / HEARTBEAT_FILE

    def beat() -> None:
        while not stop.is_set():
            # A full disk must not stop the heartbeat; the training itself reports it.
            with contextlib.suppress(OSError):
                path.touch()
                os.utime(path)
            stop.wait(HEARTBEAT_S)

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def turn(run_dir: Path, *, is_cancelled: Callable[[], bool]) -> Generator[bool]:
    """Wait until no other training runs and none waits longer; yields whether it is this one's turn (False = cancelled meanwhile).

    The lock belongs to the process; the system releases it when the process ends, however it ends.
    """
    lock = FileLock(run_dir.parent / LOCK_FILE, blocking=False)
    try:
        while not lock.is_locked and not is_cancelled():
            if not _is_someone_before(run_dir):
                with contextlib.suppress(Timeout):
                    lock.acquire()
            if not lock.is_locked:
                time.sleep(POLL_S)
        yield lock.is_locked
    finally:
        lock.release()


def _is_someone_before(run_dir: Path) -> bool:
    mine = _queued_at(run_dir)
    for other in run_dir.parent.iterdir():
        if other == run_dir or not (other / WORKER_FILE).is_file() or _queued_at(other) >= mine:
            continue
        if worker_state(other).life == "alive" and not has_ended(other):
            return True
    return False


def _queued_at(run_dir: Path) -> float:
    try:
        return float(json.loads((run_dir / WORKER_FILE).read_text(encoding="utf-8"))["queued_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return float("inf")
