"""Takes the lens's distortion out of photos and masks, so that a pinhole camera describes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from engine.photos.placed import PlacedPhotos
from engine.scenes.listed.lenses import TELLING_PX, Lens, corner_shift
from engine.types import Camera, Float32Array, Float64Array, Int32Array, UInt8Array

ROUNDS = 8


def is_bent(placed: PlacedPhotos, photo: int) -> bool:
    """Whether a photo's lens moves a corner far enough to matter."""
    camera = placed.camera(photo)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    return corner_shift(Lens(radial=(float(placed.lenses[photo, 3]),)), matrix, camera.width, camera.height) > TELLING_PX


def straighten_photo(rgb: UInt8Array, camera: Camera, k1: float) -> UInt8Array:
    """Return a photo, (H, W, 3) uint8, as a pinhole camera would have taken it; black where it shows nothing."""
    where = _source(camera, k1)
    channels = [ndimage.map_coordinates(rgb[..., c].astype(np.float32), where, order=1, cval=0.0) for c in range(3)]
    return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


def straighten_masks(ids: Int32Array, camera: Camera, k1: float) -> Int32Array:
    """Return masks, (H, W) int32, likewise: nearest pixels, 0 where there is nothing."""
    return ndimage.map_coordinates(ids, _source(camera, k1), order=0, cval=0).astype(np.int32)


def straighten_places(placed: PlacedPhotos) -> PlacedPhotos:
    """Return placed photos whose lenses have no distortion, with all places in their pictures moved accordingly."""
    matched_at = np.stack([_straight(placed, placed.matched[:, side], placed.matched_at[:, side]) for side in (0, 1)], axis=1)
    lenses = placed.lenses.copy()
    lenses[:, 3] = 0
    return replace(
        placed, lenses=lenses, seen_at=_straight(placed, placed.seen_by, placed.seen_at), matched_at=matched_at.astype(np.float32)
    )


def _source(camera: Camera, k1: float) -> Float64Array:
    """Return where each pixel of a straight picture lies in the bent one, (2, H, W) float64: row and column."""
    rays = camera.rays[..., :2].astype(np.float64)
    bent = rays * (1 + k1 * (rays**2).sum(axis=-1, keepdims=True))
    return np.stack([bent[..., 1] * camera.fy + camera.cy, bent[..., 0] * camera.fx + camera.cx])


def _straight(placed: PlacedPhotos, photos: Int32Array, at: Float32Array) -> Float32Array:
    """Return where places of bent pictures, (S, 2) pixels of photos (S,), lie in straight ones; the inverse is found by rounds."""
    focal, middle, k1 = placed.lenses[photos, 0], placed.lenses[photos, 1:3], placed.lenses[photos, 3]
    known = focal > 0
    bent = (at - middle) / np.where(known, focal, 1.0)[:, None]
    straight = bent.copy()
    for _ in range(ROUNDS):
        straight = bent / (1 + k1 * (straight**2).sum(axis=1))[:, None]
    return np.where(known[:, None], straight * focal[:, None] + middle, at).astype(np.float32)
