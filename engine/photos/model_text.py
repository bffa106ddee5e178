"""Reads and writes models of COLMAP in text with all that maskgroup needs: cameras, poses, points and who sees them.

What a scene's reader needs of such models is in `engine/scenes/listed/colmap_model.py`; this module sees only what pycolmap wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from scipy.spatial.transform import Rotation

from engine.photos.placed import PlacedPhotos
from engine.types import Float32Array, Float64Array, Int32Array, UInt8Array

HALF_PIXEL = 0.5
"""COLMAP counts pixels from their corners, maskgroup from their centres."""


@dataclass(frozen=True, eq=False)
class Model:
    """One model; fields as in `PlacedPhotos`, poses and lenses of the R photos that it holds.

    Attributes:
        photos: (R,) int32 numbers of its photos.
    """

    photos: Int32Array
    poses: Float64Array
    lenses: Float64Array
    points: Float64Array
    colors: UInt8Array
    errors: Float32Array
    seen_point: Int32Array
    seen_by: Int32Array
    seen_at: Float32Array


def read_model(folder: Path, number_of: Callable[[str], int], scale: Float64Array) -> Model:
    """Read a model of SIMPLE_RADIAL cameras.

    Args:
        folder: Where cameras.txt, images.txt and points3D.txt are.
        number_of: Gives a photo's number from its file's name.
        scale: (N, 2) float64 how much larger each photo is than the one that the model was made from, across and down.
    """
    cameras: dict[int, list[float]] = {}
    for words in _rows(folder / "cameras.txt"):
        cameras[int(words[0])] = [float(word) for word in words[4:8]]
    photos: list[int] = []
    poses: list[Float64Array] = []
    lenses: list[list[float]] = []
    sightings: list[tuple[int, int, float, float]] = []
    lines = [line for line in (folder / "images.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for head, seen in zip(lines[::2], lines[1::2], strict=True):
        words = head.split()
        number = int(number_of(words[9]))
        w, x, y, z, *translation = (float(word) for word in words[1:8])
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix().T
        pose[:3, 3] = -pose[:3, :3] @ np.asarray(translation)
        sx, sy = (float(value) for value in scale[number])
        focal, cx, cy, k1 = cameras[int(words[8])]
        photos.append(number)
        poses.append(pose)
        lenses.append([focal * (sx + sy) / 2, cx * sx - HALF_PIXEL, cy * sy - HALF_PIXEL, k1])
        values = seen.split()
        for u, v, point in zip(values[::3], values[1::3], values[2::3], strict=True):
            if point != "-1":
                sightings.append((int(point), number, float(u) * sx - HALF_PIXEL, float(v) * sy - HALF_PIXEL))
    ids: list[int] = []
    points: list[list[float]] = []
    for words in _rows(folder / "points3D.txt"):
        ids.append(int(words[0]))
        points.append([float(word) for word in words[1:8]])
    table = np.asarray(points, np.float64).reshape(-1, 7)
    order = np.argsort(np.asarray(ids, np.int64), kind="stable")
    place = {ids[old]: new for new, old in enumerate(cast("list[int]", order.tolist()))}
    sightings = sorted((place[point], by, u, v) for point, by, u, v in sightings if point in place)
    seen = np.asarray(sightings, np.float64).reshape(-1, 4)
    return Model(
        np.asarray(photos, np.int32),
        np.asarray(poses, np.float64).reshape(-1, 4, 4),
        np.asarray(lenses, np.float64).reshape(-1, 4),
        table[order, :3],
        table[order, 3:6].astype(np.uint8),
        table[order, 6].astype(np.float32),
        seen[:, 0].astype(np.int32),
        seen[:, 1].astype(np.int32),
        seen[:, 2:].astype(np.float32),
    )


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def write_model(placed: PlacedPhotos, files: tuple[str, ...], folder: Path) -> None:
    """Write placed photos as a model in text, which COLMAP, nerfstudio and maskgroup open.

    Args:
        placed: The photos; those without a pose are left out.
        files: The name of each photo's file, N.
        folder: An existing folder for cameras.txt, images.txt and points3D.txt.

    Raises:
        OSError: If it cannot be written.
    """
    numbers = np.flatnonzero(placed.is_placed).tolist()
    kinds: dict[tuple[float, ...], int] = {}
    images: list[str] = []
    tracks: list[list[str]] = [[] for _ in range(len(placed.points))]
    order = np.argsort(placed.seen_by, kind="stable")
    bounds = np.searchsorted(placed.seen_by[order], np.arange(len(placed.names) + 1))
    for image, number in enumerate(numbers, start=1):
        width, height = placed.sizes[number].tolist()
        focal, cx, cy, k1 = placed.lenses[number].tolist()
        kind = (width, height, focal, cx + HALF_PIXEL, cy + HALF_PIXEL, k1)
        camera = kinds.setdefault(kind, len(kinds) + 1)
        pose = placed.poses[number]
        x, y, z, w = Rotation.from_matrix(pose[:3, :3].T).as_quat().tolist()
        translation = (-pose[:3, :3].T @ pose[:3, 3]).tolist()
        numbers_text = " ".join(f"{value:.17g}" for value in (w, x, y, z, *translation))
        images.append(f"{image} {numbers_text} {camera} {files[number]}")
        mine = order[bounds[number] : bounds[number + 1]]
        rows: list[str] = []
        for index, row in enumerate(mine.tolist()):
            u, v = (placed.seen_at[row].astype(np.float64) + HALF_PIXEL).tolist()
            point = int(placed.seen_point[row])
            rows.append(f"{u:.9g} {v:.9g} {point + 1}")
            tracks[point].append(f"{image} {index}")
        images.append(" ".join(rows))
    cameras: list[str] = []
    for kind, number in kinds.items():
        width, height, *rest = kind
        model = "SIMPLE_RADIAL" if rest[3] else "SIMPLE_PINHOLE"
        rest = rest if rest[3] else rest[:3]
        cameras.append(f"{number} {model} {width:.0f} {height:.0f} {' '.join(f'{value:.17g}' for value in rest)}")
    points: list[str] = []
    for point, track in enumerate(tracks):
        if track:
            x, y, z = placed.points[point].tolist()
            r, g, b = placed.colors[point].tolist()
            points.append(f"{point + 1} {x:.17g} {y:.17g} {z:.17g} {r} {g} {b} {placed.errors[point]:.9g} {' '.join(track)}")
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
