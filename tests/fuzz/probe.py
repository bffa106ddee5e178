"""Opens one scene and reads everything in it, in a process of its own with limits on time and memory."""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from engine.errors import MaskError, RenderError, SceneError
from engine.scenes import open_scene, survey_scenes
from engine.types import HasNotes
from engine.views.frames import FrameSource

CPU_S = 5
"""For each of the two: the list of all scenes, and reading this one. A folder that is refused is refused twice."""
MEMORY_BYTES = 10**9
HANG_S = 60.0
"""Wall clock after which a process counts as hanging: it waits, as it may compute for `CPU_S` only."""

Ending = Literal["read", "refused", "traceback", "too slow", "too large", "hung", "hides others"]


@dataclass(frozen=True)
class Outcome:
    """How reading a folder ended: in which way, what was said, CPU seconds and bytes of memory it took beyond the start."""

    ending: Ending
    said: str
    cpu_s: float
    memory: int


def probe(folder: Path, *, others: tuple[str, ...] = ()) -> Outcome:
    """Read a folder in a child process.

    Args:
        folder: The scene.
        others: Names of whole scenes beside it that a list of scenes must still have.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _limit()
        with os.fdopen(sender, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(json.dumps(_read(folder, others)))
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, encoding="utf-8") as answer:
        is_done = bool(select.select([answer], [], [], HANG_S)[0])
        if not is_done:
            os.kill(child, signal.SIGKILL)
        text = answer.read()
    _, status, usage = os.wait4(child, 0)
    cpu = usage.ru_utime + usage.ru_stime
    if not is_done:
        return Outcome("hung", "", cpu, 0)
    if not text:
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome("too slow" if killed in (signal.SIGXCPU, signal.SIGKILL) else "traceback", f"signal {killed}", cpu, 0)
    ending, said, memory = json.loads(text)
    if ending in ("read", "refused") and memory > MEMORY_BYTES:
        ending = "too large"
    return Outcome(ending, said, cpu, memory)


def _limit() -> None:
    # Memory that is mapped already is no measure: libraries reserve much of it.
    most = psutil.Process().memory_info().vms + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    """Let the process compute for `CPU_S` from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(usage.ru_utime + usage.ru_stime) + CPU_S, hard))


def _read(folder: Path, others: tuple[str, ...]) -> tuple[Ending, str, int]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ending: Ending = "read"
    said = ""
    try:
        _limit_time()
        listed = {info.name for info in survey_scenes(folder.parent).scenes}
        if not listed >= set(others):
            ending, said = "hides others", f"listed {sorted(listed)}"
        _limit_time()
        try:
            said = read_everything(folder) or said
        except (SceneError, MaskError, RenderError) as error:
            ending, said = (ending if ending != "read" else "refused"), str(error)
            if "\n" in said or ("expected" not in said and "has no" not in said):
                ending = "traceback"
    except BaseException:  # noqa: BLE001  # whatever it is, it is what is looked for
        ending, said = "traceback", traceback.format_exc()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return ending, said[-4000:], grown


def read_everything(folder: Path) -> str:
    """Read all views, pictures, depth, masks and the mesh of a scene; returns the last sentence said about a part of it, if any."""
    scene = open_scene(folder)
    frames = FrameSource(scene, width=64, height=48)
    said = ""
    for read in (
        lambda: scene.mesh,
        *(lambda name=name: scene.view(name) for name in scene.view_names),
        *(lambda name=name: scene.color(name) for name in scene.view_names),
        *(lambda name=name: scene.depth(name) for name in scene.view_names),
        *(lambda name=name: scene.stored_instance_map(name) for name in scene.view_names),
        *(lambda name=name: frames.frame(name) for name in scene.view_names),
        *(lambda view=view: scene.view(view.name) for view in scene.left_out),
        lambda: scene.notes,
    ):
        try:
            read()
        except (SceneError, MaskError, RenderError) as error:
            said = str(error)
    truth = getattr(scene.reader, "read_ground_truth_map", None)
    for name in scene.view_names if truth is not None else ():
        try:
            truth(name)  # pyright: ignore[reportOptionalCall]
        except SceneError as error:
            said = str(error)
    assert isinstance(scene.reader, HasNotes) or not scene.notes
    return said
