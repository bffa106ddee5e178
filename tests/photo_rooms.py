"""Photos of a room whose walls and boxes have fine textures, with the objects that their pixels show: drawn here by rays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from engine.photos.place import Photo, place_photos
from engine.photos.placed import PlacedPhotos
from engine.scenes.procedural import look_at
from engine.types import Camera, Float64Array, Frame

CAMERA = Camera(width=320, height=216, fx=255.0, fy=255.0, cx=159.5, cy=107.5)
ROOM = (np.array([-2.0, -1.6, 0.0]), np.array([2.0, 1.6, 2.4]))
BOXES = (
    (np.array([-1.2, 0.7, 0.0]), np.array([-0.4, 1.4, 0.7])),
    (np.array([0.2, 0.9, 0.0]), np.array([0.8, 1.5, 1.1])),
    (np.array([1.1, 0.3, 0.0]), np.array([1.7, 0.9, 0.5])),
    (np.array([-0.3, 0.2, 0.0]), np.array([0.2, 0.6, 0.35])),
)
"""Two corners of each, metres; box k is object k + 10, the room's sides are objects 1 to 6."""


@lru_cache(maxsize=4)
def textured_views(count: int = 10, *, plain: bool = False) -> tuple[Frame, ...]:
    """Views along an arc, with depth and poses; `plain` leaves out all textures."""
    frames: list[Frame] = []
    for k in range(count):
        angle = -0.9 + 1.8 * k / max(1, count - 1)
        eye = np.array([1.2 * np.sin(angle), -1.2 + 0.25 * np.cos(2 * angle), 1.3 + 0.15 * np.sin(3 * angle)])
        frames.append(_draw(str(k), look_at(eye, np.array([0.35 * np.sin(angle), 0.9, 0.55])), plain=plain))
    return tuple(frames)


def photos_of(frames: Sequence[Frame]) -> list[Photo]:
    """The pictures alone."""
    return [Photo(frame.view, lambda rgb=frame.rgb: rgb) for frame in frames]


@lru_cache(maxsize=1)
def placed_views() -> PlacedPhotos:
    """Where the ten textured views were taken, as pycolmap finds it."""
    return place_photos(photos_of(textured_views()))


def write_photos(folder: Path, frames: Sequence[Frame], *, masks: bool = False, quality: int = 95) -> Path:
    """Write pictures, and their masks in a folder beside them, as a person would bring them."""
    color = folder / "color" if masks else folder
    color.mkdir(parents=True)
    for frame in frames:
        Image.fromarray(frame.rgb).save(color / f"{frame.view}.jpg", quality=quality)
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
            numbers = np.unique(frame.instance_map, return_inverse=True)[1].reshape(frame.instance_map.shape) + 1
            Image.fromarray(numbers.astype(np.uint16)).save(folder / "masks" / f"{frame.view}.png")
    return folder


def _draw(name: str, pose: Float64Array, *, plain: bool) -> Frame:
    rays = CAMERA.rays.reshape(-1, 3).astype(np.float64)
    directions, eye = rays @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest, ids = _hit_inside(eye, directions)
        for k, box in enumerate(BOXES):
            z = _hit_box(eye, directions, *box)
            closer = z < nearest
            nearest[closer], ids[closer] = z[closer], 10 + k
    where = eye + directions * nearest[:, None]
    base = np.random.default_rng(5).integers(60, 200, (20, 3))[ids].astype(np.float64)
    grain = np.zeros(len(ids)) if plain else _texture(where, ids)
    rgb = np.clip(base + 90 * grain[:, None] * np.array([1.0, 0.8, 0.6]), 0, 255).astype(np.uint8)
    shape = (CAMERA.height, CAMERA.width)
    depth = nearest.reshape(shape).astype(np.float32)
    return Frame(name, rgb.reshape(*shape, 3), ids.reshape(shape).astype(np.int32), depth, CAMERA, pose)


def _hit_inside(eye: Float64Array, directions: Float64Array) -> tuple[Float64Array, np.ndarray]:
    far = np.where(directions > 0, (ROOM[1] - eye) / directions, (ROOM[0] - eye) / directions)
    side = np.nanargmin(far, axis=1)
    forward = directions[np.arange(len(directions)), side] > 0
    return far[np.arange(len(far)), side], 1 + 2 * side + forward


def _hit_box(eye: Float64Array, directions: Float64Array, low: Float64Array, high: Float64Array) -> Float64Array:
    a, b = (low - eye) / directions, (high - eye) / directions
    near, far = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
    return np.where((near > 0.05) & (near < far), near, np.inf)


def _texture(where: Float64Array, ids: np.ndarray) -> Float64Array:
    """Smooth noise of several sizes in space, [-1, 1], another one for each object."""
    total = np.zeros(len(where))
    for octave, size in enumerate((0.03, 0.07, 0.2)):
        cell = where / size + 100.0 + 31.7 * ids[:, None]
        whole, part = np.floor(cell).astype(np.int64), cell - np.floor(cell)
        part = part * part * (3 - 2 * part)
        for corner in np.ndindex(2, 2, 2):
            at = whole + corner
            mixed = (at[:, 0] * 73856093) ^ (at[:, 1] * 19349663) ^ (at[:, 2] * 83492791) ^ (octave * 2654435761)
            value = ((mixed * 2246822519) % 4294967296 >> 8) % 1024 / 511.5 - 1
            total += value * np.prod(np.where(np.asarray(corner) == 1, part, 1 - part), axis=1)
    return np.clip(total / 1.5, -1, 1)
