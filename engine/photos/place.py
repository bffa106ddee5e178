"""Places photos: writes them aside, lets a process of its own find their cameras (pycolmap), and reads what it found.

The process can be stopped at any moment. Learned matchers would be another such process with the same result.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from engine.errors import MaskgroupError
from engine.photos.model_text import HALF_PIXEL, read_model
from engine.photos.pairs import choose_pairs, describe_photo
from engine.photos.placed import PlacedPhotos, nothing_placed
from engine.photos.sfm_process import DATABASE, JOB, MIN_MODEL, MODELS, PAIRS, PHOTOS, PROGRESS
from engine.strict_json import to_json_text
from engine.types import Float32Array, Float64Array, Int32Array, UInt8Array

logger = logging.getLogger(__name__)

Step = Literal["features", "matches", "cameras"]
MAX_SIDE_PX = 1024
"""Photos are made so small at most before features are looked for."""
POLL_S = 0.2
COLMAP_PAIRS = 2**31 - 1
"""COLMAP names a pair of images by the first one's number times this plus the second one's."""
INSTALL = "pip install 'maskgroup[photos]'"


class PlacingStopped(MaskgroupError):
    """A person stopped it."""


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo: its name and a function that gives its pixels, (H, W, 3) uint8, upright."""

    name: str
    read: Callable[[], UInt8Array]


def can_place() -> bool:
    """Whether pycolmap is installed."""
    return find_spec("pycolmap") is not None


def require_pycolmap() -> None:
    """Check that pycolmap is installed.

    Raises:
        MaskgroupError: If it is not.
    """
    if not can_place():
        raise MaskgroupError(f"Photos without poses need pycolmap, which is not installed here, to find their cameras; {INSTALL}.")


def place_photos(
    photos: Sequence[Photo],
    *,
    on_progress: Callable[[Step, int, int], None] = lambda step, done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> PlacedPhotos:
    """Find the cameras of photos, and points that they share. Two threads; the same photos give the same result.

    Photos of one size are taken for one camera's. Beyond a hundred photos, neighbours in order and those that look alike are
    compared instead of all with all.

    Args:
        photos: The photos, in the order in which they were taken.
        on_progress: Called with what is done, how much of it, and how much there is.
        is_cancelled: Asked often; True stops the process at once.

    Raises:
        PlacingStopped: If it was stopped.
        MaskgroupError: If pycolmap is missing or fails.
    """
    require_pycolmap()
    folder = Path(tempfile.mkdtemp(prefix="maskgroup-photos-"))
    try:
        (folder / PHOTOS).mkdir()
        sizes: list[tuple[int, int]] = []
        small: list[tuple[int, int]] = []
        looks: list[Float32Array] = []
        for number, photo in enumerate(photos):
            _stop_if(is_cancelled)
            on_progress("features", 0, len(photos))
            rgb = photo.read()
            sizes.append((rgb.shape[1], rgb.shape[0]))
            looks.append(describe_photo(rgb))
            picture = Image.fromarray(rgb)
            picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
            small.append(picture.size)
            picture.save(folder / PHOTOS / _file_name(number), compress_level=1)
        full = np.asarray(sizes, np.int32).reshape(-1, 2)
        names = tuple(photo.name for photo in photos)
        if len(photos) < 2:
            return nothing_placed(names, full)
        pairs = choose_pairs(looks)
        lines = [f"{_file_name(a)} {_file_name(b)}" for a, b in pairs.tolist()]
        (folder / PAIRS).write_text("\n".join(lines) + "\n", encoding="ascii")
        cameras = [[_file_name(n) for n, size in enumerate(small) if size == same] for same in sorted(set(small))]
        (folder / JOB).write_text(to_json_text({"cameras": cameras}), encoding="ascii")
        _run(folder, len(photos), len(pairs), on_progress, is_cancelled)
        return _read(folder, names, full, np.asarray(small, np.int32))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stop_if(is_cancelled: Callable[[], bool]) -> None:
    if is_cancelled():
        raise PlacingStopped("Placing the photos was stopped; start again to get a result.")


def _file_name(number: int) -> str:
    return f"{number:05d}.png"


def _number_of(file_name: str) -> int:
    return int(file_name.partition(".")[0])


def _run(
    folder: Path, photos: int, pairs: int, on_progress: Callable[[Step, int, int], None], is_cancelled: Callable[[], bool]
) -> None:
    """Run the process to its end, or stop it."""
    log = folder / "log.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.photos.sfm_process", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=Path(__file__).parents[2],
        )
        try:
            while process.poll() is None:
                _stop_if(is_cancelled)
                on_progress(*_how_far(folder, photos, pairs))
                time.sleep(POLL_S)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise MaskgroupError(
            f"pycolmap failed on the photos (exit status {process.returncode}, it said: {said[0][:300]}), expected cameras; "
            f"try fewer or other photos, or install it again with {INSTALL}."
        )


def _how_far(folder: Path, photos: int, pairs: int) -> tuple[Step, int, int]:
    """Return what the process is doing, how much of it is done, and how much there is."""
    if (folder / MODELS).exists():
        progress = folder / PROGRESS
        done = progress.stat().st_size if progress.exists() else 0
        return "cameras", min(done, photos), photos
    features, matches = _count(folder, "keypoints"), _count(folder, "matches")
    return ("matches", matches, pairs) if matches or features >= photos else ("features", features, photos)


def _count(folder: Path, table: Literal["keypoints", "matches"]) -> int:
    if not (folder / DATABASE).exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True, timeout=1)
        try:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0  # not there yet, or being written


def _read(folder: Path, names: tuple[str, ...], sizes: Int32Array, small: Int32Array) -> PlacedPhotos:
    """Read the largest model, in pixels of the photos as they came."""
    nothing = nothing_placed(names, sizes)
    scale = sizes / small
    matched, matched_at = _read_matches(folder / DATABASE, scale)
    models = [read_model(path, _number_of, scale) for path in sorted((folder / MODELS).iterdir()) if (path / "images.txt").exists()]
    models.sort(key=lambda model: (-len(model.photos), -len(model.points)))
    if not models:
        return replace(nothing, matched=matched, matched_at=matched_at)
    best = models[0]
    poses, lenses = nothing.poses.copy(), nothing.lenses.copy()
    poses[best.photos], lenses[best.photos] = best.poses, best.lenses
    is_left = np.isnan(poses[:, 0, 0])
    others = [count for model in models[1:] if (count := int(is_left[model.photos].sum())) >= MIN_MODEL]
    return PlacedPhotos(
        names,
        sizes,
        poses,
        lenses,
        best.points,
        best.colors,
        best.errors,
        best.seen_point,
        best.seen_by,
        best.seen_at,
        matched,
        matched_at,
        np.asarray(others, np.int32),
    )


def _read_matches(database: Path, scale: Float64Array) -> tuple[Int32Array, Float32Array]:
    """Return the matches that the epipolar geometry of two photos confirms, as in `PlacedPhotos`."""
    matched, at = [np.zeros((0, 2), np.int32)], [np.zeros((0, 2, 2), np.float32)]
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        images = {int(number): _number_of(name) for number, name in connection.execute("SELECT image_id, name FROM images")}
        features: dict[int, Float32Array] = {}
        for number, rows, columns, data in connection.execute("SELECT image_id, rows, cols, data FROM keypoints"):
            photo = images[int(number)]
            where = np.frombuffer(data or b"", np.float32).reshape(rows, columns)[:, :2]
            features[photo] = (where * scale[photo] - HALF_PIXEL).astype(np.float32)
        query = "SELECT pair_id, rows, cols, data FROM two_view_geometries WHERE rows > 0"
        for pair, rows, columns, data in connection.execute(query):
            first, second = images[int(pair) // COLMAP_PAIRS], images[int(pair) % COLMAP_PAIRS]
            which = np.frombuffer(data, np.uint32).reshape(rows, columns).astype(np.int64)
            matched.append(np.tile(np.asarray([[first, second]], np.int32), (rows, 1)))
            at.append(np.stack([features[first][which[:, 0]], features[second][which[:, 1]]], axis=1))
    finally:
        connection.close()
    return np.concatenate(matched), np.concatenate(at)
