"""Takes sharp pictures at even motion out of a video, with PyAV, which only this module imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import SceneError
from engine.photos.place import INSTALL
from engine.scenes.pictures import MAX_PIXELS
from engine.scenes.regular_files import require_file
from engine.types import Float32Array, Int32Array, UInt8Array

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")
MAX_BYTES = 8 * 2**30
MAX_FRAMES = 40_000
DEFAULT_COUNT = 60
SMALL = (160, 90)
"""Size at which sharpness and motion are measured, pixels."""
LEAST_MOTION = 0.2
"""Mean change of grey a frame, of 255, that counts even while the camera rests, so that a still video has pictures too."""


@dataclass(frozen=True, eq=False)
class VideoPicture:
    """A picture of a video: its number among all, from 0, and its pixels, (H, W, 3) uint8 RGB, upright."""

    number: int
    rgb: UInt8Array


def is_video(path: Path) -> bool:
    """Whether a path is named like a video."""
    return path.suffix.lower() in VIDEOS


def read_video(
    path: Path, *, count: int = DEFAULT_COUNT, tick: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[VideoPicture]:
    """Yield pictures of a video: its motion is cut into equal parts, and of each part the sharpest picture is taken.

    Args:
        path: The video.
        count: Pictures at most.
        tick: Called with the pictures looked at so far and how many there are, 0 where the file does not say; may raise to stop.

    Raises:
        SceneError: If PyAV is not installed, or the video is broken, too large, or has no picture.
    """
    if find_spec("av") is None:
        raise SceneError(f"{path}: reading videos needs PyAV, which is not installed here; {INSTALL}, or bring photos.")
    require_file(path, "a video", limit=MAX_BYTES)
    small: list[Float32Array] = []
    sharpness: list[float] = []
    motion: list[float] = []
    for number, total, frame in _decode(path):
        tick(number, total)
        grey = np.asarray(frame.to_ndarray(width=SMALL[0], height=SMALL[1], format="gray"), np.float32)
        inner = grey[1:-1, 1:-1]
        bend = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
        sharpness.append(float(bend.var()))
        motion.append(float(np.abs(grey - small[-1]).mean()) if small else 0.0)
        small = [grey]
    if not sharpness:
        raise SceneError(f"{path}: found no picture in the video, expected at least one; record or copy it again.")
    chosen = set(choose_pictures(np.asarray(sharpness), np.asarray(motion), count=count).tolist())
    last = max(chosen)
    for number, _, frame in _decode(path):
        if number in chosen:
            rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            turns = round(float(getattr(frame, "rotation", 0)) / 90) % 4
            yield VideoPicture(number, np.ascontiguousarray(np.rot90(rgb, k=turns)))
        if number >= last:
            return


def choose_pictures(sharpness: np.ndarray, motion: np.ndarray, *, count: int) -> Int32Array:
    """Return the numbers of the pictures to take, ascending: of each equal part of the motion the sharpest.

    Args:
        sharpness: (F,) how sharp each picture is.
        motion: (F,) how much it differs from the one before.
        count: Pictures at most.
    """
    way = np.cumsum(motion + LEAST_MOTION)
    part = np.minimum(((way - way[0]) / max(float(way[-1] - way[0]), 1e-9) * count).astype(np.int64), count - 1)
    order = np.lexsort((-sharpness, part))
    first = np.flatnonzero(np.r_[True, part[order][1:] != part[order][:-1]])
    return np.sort(order[first]).astype(np.int32)


def _decode(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Yield number, how many there are, and frame of all pictures of a video."""
    av: Any = import_module("av")  # its types are partly unknown
    try:
        with av.open(str(path)) as container:
            streams = container.streams.video
            if not streams:
                raise SceneError(f"{path}: found no picture in the file, expected a video; is it a sound recording?")
            stream = streams[0]
            stream.thread_type = "AUTO"
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise SceneError(
                    f"{path}: the pictures are larger than {MAX_PIXELS // 1_000_000} million pixels; make them smaller."
                )
            for number, frame in enumerate(container.decode(stream)):
                if number >= MAX_FRAMES:
                    raise SceneError(f"{path}: found more than {MAX_FRAMES:,} pictures, expected a video of a few minutes; cut it.")
                yield number, int(stream.frames), frame
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise SceneError(f"{path}: the video is broken or cut short ({error}), expected MP4 or MOV; copy it again.") from error
