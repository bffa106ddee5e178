"""Where the cameras of photos stood and what points they share, as a value and as a file. Knows nothing about how it was found."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.files import writing_file
from engine.types import BoolArray, Camera, Float32Array, Float64Array, Int32Array, UInt8Array

VERSION = 1


@dataclass(frozen=True, eq=False)
class PlacedPhotos:
    """What structure from motion found about N photos. Its unit of length is arbitrary.

    Attributes:
        names: The photos, N.
        sizes: (N, 2) int32 width and height of each, pixels.
        poses: (N, 4, 4) float64 camera-to-world, OpenCV axes; NaN for photos that could not be placed.
        lenses: (N, 4) float64 focal length, cx, cy (pixels, integer coordinates are pixel centres) and the radial distortion k1.
        points: (P, 3) float64 world frame.
        colors: (P, 3) uint8 RGB of each point.
        errors: (P,) float32 mean reprojection error of each point, pixels.
        seen_point: (S,) int32 point of each sighting, ascending.
        seen_by: (S,) int32 photo that sees it.
        seen_at: (S, 2) float32 where, pixels (column, row).
        matched: (M, 2) int32 two photos that hold the same feature, as their epipolar geometry confirms.
        matched_at: (M, 2, 2) float32 where each of the two holds it, pixels.
        others: (G,) int32 photos in each other model that was found, of places that could not be joined to the largest one.
    """

    names: tuple[str, ...]
    sizes: Int32Array
    poses: Float64Array
    lenses: Float64Array
    points: Float64Array
    colors: UInt8Array
    errors: Float32Array
    seen_point: Int32Array
    seen_by: Int32Array
    seen_at: Float32Array
    matched: Int32Array
    matched_at: Float32Array
    others: Int32Array

    @cached_property
    def is_placed(self) -> BoolArray:
        """(N,) whether each photo has a pose."""
        return ~np.isnan(self.poses[:, 0, 0])

    def camera(self, photo: int) -> Camera:
        """Return the pinhole camera of a photo, without its distortion."""
        (width, height), (focal, cx, cy, _) = self.sizes[photo].tolist(), self.lenses[photo].tolist()
        return Camera(width, height, focal, focal, cx, cy)

    def select(self, names: tuple[str, ...]) -> PlacedPhotos | None:
        """Return the same of some photos, in another order; None where one of them is not among these."""
        rows = {name: row for row, name in enumerate(self.names)}
        if not all(name in rows for name in names):
            return None
        chosen = np.asarray([rows[name] for name in names], np.int64)
        place = np.full(len(self.names), -1, np.int32)
        place[chosen] = np.arange(len(chosen))
        seen, both = place[self.seen_by] >= 0, (place[self.matched] >= 0).all(axis=1)
        return PlacedPhotos(
            names,
            self.sizes[chosen],
            self.poses[chosen],
            self.lenses[chosen],
            self.points,
            self.colors,
            self.errors,
            self.seen_point[seen],
            place[self.seen_by[seen]],
            self.seen_at[seen],
            place[self.matched[both]],
            self.matched_at[both],
            self.others,
        )


def nothing_placed(names: tuple[str, ...], sizes: Int32Array) -> PlacedPhotos:
    """Return the result of photos of which none could be placed."""
    count = len(names)
    return PlacedPhotos(
        names,
        sizes,
        np.full((count, 4, 4), np.nan),
        np.zeros((count, 4)),
        np.zeros((0, 3)),
        np.zeros((0, 3), np.uint8),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
        np.zeros((0, 2), np.float32),
        np.zeros((0, 2), np.int32),
        np.zeros((0, 2, 2), np.float32),
        np.zeros(0, np.int32),
    )


def say_placed(placed: PlacedPhotos) -> tuple[str, ...]:
    """Say what could not be placed, and what helps; a sentence each, none where all photos were placed."""
    count, done = len(placed.names), int(placed.is_placed.sum())
    if count == 0 or done == count:
        return ()
    if done == 0:
        return (
            f"No camera of the {count} photos could be placed: too few of them show the same details; take at least ten sharp "
            "photos that overlap by more than half, with textured things in sight.",
        )
    missing = [name for name, is_placed in zip(placed.names, placed.is_placed.tolist(), strict=True) if not is_placed]
    named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    words = [f"{done} of {count} photos were placed; not {named}, which share too few details with them: take photos in between."]
    if len(placed.others):
        sizes = ", ".join(str(n) for n in placed.others.tolist())
        words.append(
            f"The photos seem to show several places: {sizes} of those left over fit together, but not with the others; "
            "take photos that join the places, or make a scene of each."
        )
    return tuple(words)


def save_placed(placed: PlacedPhotos, path: Path) -> None:
    """Write the result to a .npz file, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    arrays = {field.name: getattr(placed, field.name) for field in fields(placed) if field.name != "names"}
    with writing_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, version=np.int32(VERSION), names=np.asarray(placed.names, np.str_), **arrays)


def load_placed(path: Path) -> PlacedPhotos:
    """Read what `save_placed` wrote.

    Raises:
        SceneError: If it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION:
                raise ValueError(f"version {int(file['version'])}")
            names = tuple(str(name) for name in file["names"].tolist())
            found = PlacedPhotos(names, *(file[field.name] for field in fields(PlacedPhotos) if field.name != "names"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path}: cannot be read ({error}), expected placed photos; delete it, and it is made again.") from error
    _check(found, path)
    return found


def _check(placed: PlacedPhotos, path: Path) -> None:
    count, points = len(placed.names), len(placed.points)
    seen, matched = len(placed.seen_point), len(placed.matched)
    shapes = {
        "sizes": (count, 2),
        "poses": (count, 4, 4),
        "lenses": (count, 4),
        "points": (points, 3),
        "colors": (points, 3),
        "errors": (points,),
        "seen_by": (seen,),
        "seen_at": (seen, 2),
        "matched": (matched, 2),
        "matched_at": (matched, 2, 2),
    }
    poses = placed.poses.reshape(count, -1) if placed.poses.shape[:1] == (count,) else np.zeros((0, 1))
    is_whole = np.isfinite(poses).sum(axis=1)
    wrong = next((name for name, shape in shapes.items() if getattr(placed, name).shape != shape), None)
    numbers = (placed.points, placed.lenses, placed.errors, placed.seen_at, placed.matched_at)
    if wrong is None and not all(values.dtype.kind == "f" and np.isfinite(values).all() for values in numbers):
        wrong = "a number"
    indices = ((placed.seen_point, points), (placed.seen_by, count), (placed.matched, count))
    if wrong is None and not all(_within(values, limit) for values, limit in indices):
        wrong = "an index"
    if wrong is None and not np.isin(is_whole, (0, 16)).all():
        wrong = "a pose"
    if wrong is not None:
        raise SceneError(f"{path}: {wrong} does not fit the rest, expected placed photos; delete it, and it is made again.")


def _within(values: Int32Array, limit: int) -> bool:
    return values.dtype.kind == "i" and (values.size == 0 or (int(values.min()) >= 0 and int(values.max()) < limit))
