"""Masks as a segmenter draws them: ragged borders, holes, missing, split and merged masks, at three granularities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from engine.types import NOTHING, Frame, Int32Array, UInt8Array
from tests.bench.sensors.depth import smooth_field

MIN_AREA_PX = 100
PART_M = 0.9
"""Edge of the cells, fixed to the room, along which parts are cut: every view cuts an object at the same places."""


@dataclass(frozen=True)
class Segmenter:
    """How a segmenter errs.

    Attributes:
        missing: Share of masks that it does not find.
        split: Share that it cuts in two across a random line.
        merged: Share that it fuses with a neighbour.
        parts: Share that it cuts into parts, at the same places in every view.
        ragged_px: How far borders wander, pixels.
        holes: Share of pixels inside masks that it leaves out, in blobs.
    """

    missing: float = 0.10
    split: float = 0.15
    merged: float = 0.05
    parts: float = 0.0
    ragged_px: float = 0.8
    holes: float = 0.01


Granularity = Literal["objects", "parts", "wholes"]
SEGMENTERS: dict[Granularity, Segmenter] = {
    "objects": Segmenter(),
    "parts": Segmenter(split=0.05, merged=0.02, parts=0.4),
    "wholes": Segmenter(split=0.05, merged=0.15),
}


def segment(frame: Frame, rng: np.random.Generator, how: Segmenter) -> tuple[Frame, Int32Array]:
    """Draw a frame's masks anew.

    Args:
        frame: A clean frame: its masks' ids are objects, its depth and pose are true.
        rng: Makes the errors.
        how: How many there are.

    Returns:
        The frame with masks numbered from 1 in this view only, and the object of each, in order of their ids: what most of its
        pixels show (-1 = mostly nothing).
    """
    truth = frame.instance_map
    drawn = _shift_borders(truth, rng, how.ragged_px)
    masks: list[np.ndarray] = [drawn == i for i in np.unique(drawn[drawn != NOTHING]).tolist()]
    masks = _merge(masks, rng, how.merged)
    masks = [piece for mask in masks for piece in _cut(mask, frame, rng, how)]
    masks = [mask for mask in masks if rng.random() >= how.missing]
    # Masks of a segmenter overlap at their rims; the one that it is surer of wins.
    ids: Int32Array = np.full(truth.shape, NOTHING, np.int32)
    for number in rng.permutation(len(masks)).tolist():
        grown = np.asarray(ndimage.binary_dilation(masks[number], iterations=1), bool) if rng.random() < 0.15 else masks[number]
        ids[grown] = number
    if how.holes > 0:
        field = smooth_field(rng, truth.shape, 6).astype(np.float64)
        ids[field > float(np.quantile(field, 1 - how.holes))] = NOTHING
    return _number(frame, ids)


def _number(frame: Frame, ids: Int32Array) -> tuple[Frame, Int32Array]:
    kept = np.full(ids.shape, NOTHING, np.int32)
    objects: list[int] = []
    for number in np.unique(ids[ids != NOTHING]).tolist():
        here = ids == number
        if here.sum() < MIN_AREA_PX:
            continue
        under, counts = np.unique(frame.instance_map[here], return_counts=True)
        objects.append(int(under[counts.argmax()]))
        kept[here] = len(objects)
    return replace(frame, instance_map=kept), np.asarray(objects, np.int32)


def _shift_borders(ids: Int32Array, rng: np.random.Generator, ragged_px: float) -> Int32Array:
    if ragged_px <= 0:
        return ids
    height, width = ids.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    for cell, share in ((18, 1.0), (5, 0.6)):
        rows += share * ragged_px * smooth_field(rng, ids.shape, cell)
        columns += share * ragged_px * smooth_field(rng, ids.shape, cell)
    return ids[np.clip(np.rint(rows), 0, height - 1).astype(int), np.clip(np.rint(columns), 0, width - 1).astype(int)]


def _merge(masks: list[np.ndarray], rng: np.random.Generator, rate: float) -> list[np.ndarray]:
    """Fuse masks with a neighbour that they touch."""
    masks = list(masks)
    owner = list(range(len(masks)))
    label = np.full(masks[0].shape if masks else (1, 1), NOTHING, np.int32)
    for number, mask in enumerate(masks):
        label[mask] = number
    for number in range(len(masks)):
        if rng.random() >= rate or owner[number] != number:
            continue
        around = np.unique(label[ndimage.binary_dilation(masks[number], iterations=2) & ~masks[number]])
        free = [n for n in around.tolist() if n >= 0 and owner[n] == n and n != number]
        if free:
            other = int(rng.choice(free))
            masks[number] = masks[number] | masks[other]
            owner[other] = owner[number] = -1
            masks[other] = np.zeros_like(masks[other])
    return [mask for mask in masks if mask.any()]


def _cut(mask: np.ndarray, frame: Frame, rng: np.random.Generator, how: Segmenter) -> list[np.ndarray]:
    draw = rng.random()
    if mask.sum() < 4 * MIN_AREA_PX:
        return [mask]
    if draw < how.split:
        rows, columns = np.nonzero(mask)
        angle = rng.uniform(0, np.pi)
        along = np.cos(angle) * columns + np.sin(angle) * rows
        piece = np.zeros_like(mask)
        beyond = along > np.quantile(along, rng.uniform(0.25, 0.75))
        piece[rows[beyond], columns[beyond]] = True
        return [mask & ~piece, piece]
    if draw < how.split + how.parts and frame.depth is not None and frame.camera is not None and frame.pose is not None:
        points = frame.camera.rays[mask] * frame.depth[mask][:, None]
        world = points @ frame.pose[:3, :3].T.astype(np.float32) + frame.pose[:3, 3].astype(np.float32)
        cells = np.floor(world / (PART_M)).astype(np.int64)
        codes = cells @ np.asarray([1, 1000, 1000_000])
        pieces: list[np.ndarray] = []
        for code in np.unique(codes).tolist():
            piece = np.zeros_like(mask)
            piece[mask] = codes == code
            pieces.append(piece)
        return pieces
    return [mask]


def blur_picture(rgb: UInt8Array, rng: np.random.Generator, length_px: int) -> UInt8Array:
    """Smear a picture, (H, W, 3) uint8, along a random direction, as a moving camera does."""
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-length_px / 2, length_px / 2, length_px)
    moved = [
        ndimage.shift(rgb.astype(np.float32), (s * np.sin(angle), s * np.cos(angle), 0), order=1, mode="nearest") for s in steps
    ]
    return np.clip(np.mean(moved, axis=0), 0, 255).astype(np.uint8)
