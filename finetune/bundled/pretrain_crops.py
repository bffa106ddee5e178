"""Stage 1 of the bundled judge: renders procedural rooms and stores the crops of every visible instance.

Owns the furniture cache and the crop files; knows nothing about models. Everything is resumable: a shard that exists is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from engine.files import writing_file
from engine.rendering.embree import EmbreeRenderer
from engine.scenes.procedural import Room, make_room
from engine.scenes.procedural_pieces import Piece
from engine.types import BoolArray, Int32Array, UInt8Array
from engine.views.crops import PADDING_PX
from finetune.bundled.furniture import Split, load_piece, training_entries

LOG = logging.getLogger(__name__)
STORED_SIDE_PX = 144
MIN_AREA_PX = 230
"""Masks below 0.1 % of a 640x360 image are left out."""
ROOMS_PER_SHARD = 10


@dataclass(frozen=True, eq=False)
class CropSet:
    """Crops of many rooms in one buffer; crop i is `pixels[offsets[i]:offsets[i+1]]` reshaped to (*shapes[i], 4).

    Attributes:
        pixels: (N,) uint8, RGBA; alpha 255 inside the mask.
        offsets: (C+1,) int64.
        shapes: (C, 2) int32 rows and columns.
        room, view: (C,) int32 seeds of the rooms and indices of the views.
        instance: (C,) int32 instance ids in the room.
        model: (C,) int64 hash of the model key: equal in one room = identical copies.
    """

    pixels: UInt8Array
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
    shapes: Int32Array
    room: Int32Array
    view: Int32Array
    instance: Int32Array
    model: np.ndarray[tuple[int], np.dtype[np.int64]]

    def __len__(self) -> int:
        return len(self.shapes)

    def crop(self, index: int) -> UInt8Array:
        """Return crop `index`, (h, w, 4) uint8."""
        return self.pixels[self.offsets[index] : self.offsets[index + 1]].reshape(*self.shapes[index], 4)

    @property
    def kind(self) -> Int32Array:
        """Class number of each crop, (C,) int32."""
        return self.instance // 1000


def load_pieces(furniture: Path, held_out: Path, split: Split) -> list[Piece]:
    """Read all training furniture of one split; what cannot be read is skipped and counted in the log."""
    entries = [e for e in training_entries(furniture, held_out) if e.split == split]
    pieces = [load_piece(entry, furniture) for entry in entries]
    kept = [p for p in pieces if p is not None]
    LOG.info("%s furniture: %d of %d models read", split, len(kept), len(entries))
    return kept


def crop_with_alpha(rgb: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Return a cut-out on black, (h, w, 4) uint8 with the mask as alpha, shrunk to `STORED_SIDE_PX`."""
    rgba = np.dstack([np.where(mask[..., None], rgb, 0), mask * np.uint8(255)]).astype(np.uint8)
    side = max(rgba.shape[:2])
    if side > STORED_SIDE_PX:
        size = (max(4, round(rgba.shape[1] * STORED_SIDE_PX / side)), max(4, round(rgba.shape[0] * STORED_SIDE_PX / side)))
        # Each channel alone: colour is already black outside, as in the crop that a judge resizes.
        rgba = np.dstack([np.asarray(Image.fromarray(rgba[..., k]).resize(size, Image.Resampling.BILINEAR)) for k in range(4)])
    return np.ascontiguousarray(rgba)


def crop_room(room: Room, seed: int) -> list[tuple[UInt8Array, int, int, int, int]]:
    """Render all views of a room and cut out its instances: (crop, seed, view, instance, model hash).

    The same boxes as `engine.views.crops.crop_on_black`, found for all instances of a view at once.
    """
    renderer = EmbreeRenderer(room.mesh)
    rng = np.random.default_rng(seed)
    crops: list[tuple[UInt8Array, int, int, int, int]] = []
    for index, view in enumerate(room.views):
        assert view.camera is not None
        assert view.pose is not None
        hits = renderer.rasterize(view.camera, view.pose)
        hit = hits.face_ids >= 0
        faces, gain = hits.face_ids[hit], rng.uniform(0.85, 1.15)
        colors = np.einsum("nk,nkc->nc", hits.barycentrics[hit] * gain, room.mesh.colors[room.mesh.faces[faces]], dtype=np.float32)
        rgb = np.zeros((*hit.shape, 3), np.uint8)
        rgb[hit] = np.clip(colors, 0, 255).astype(np.uint8)
        # Instances of a room are numbered from 1 below the thousands: small labels for find_objects.
        instances = np.zeros(hit.shape, np.int32)
        instances[hit] = np.maximum(room.mesh.face_instances[faces], 0)
        labels = instances % 1000
        areas = np.bincount(labels.ravel())
        for label, box in enumerate(find_objects(labels), start=1):
            if box is None or areas[label] < MIN_AREA_PX:
                continue
            rows, columns = (slice(max(s.start - PADDING_PX, 0), s.stop + PADDING_PX) for s in box)
            mask = labels[rows, columns] == label
            instance = int(instances[rows, columns][mask][0])
            crops.append((crop_with_alpha(rgb[rows, columns], mask), seed, index, instance, _hash(room.models[instance])))
    return crops


def write_shard(path: Path, seeds: Sequence[int], pieces: Sequence[Piece]) -> None:
    """Render the rooms of `seeds` into one .npz; nothing is done where it exists."""
    if path.exists():
        return
    crops = [crop for seed in seeds for crop in crop_room(make_room(seed, pieces), seed)]
    arrays = {
        "pixels": np.concatenate([c[0].ravel() for c in crops]),
        "shapes": np.array([c[0].shape[:2] for c in crops], np.int32),
        "keys": np.array([c[1:] for c in crops], np.int64),
    }
    with writing_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, pixels=arrays["pixels"], shapes=arrays["shapes"], keys=arrays["keys"])


def render_crops(folder: Path, furniture: Path | None, held_out: Path | None, *, split: Split, rooms: int, workers: int) -> None:
    """Render `rooms` rooms of a split into shards under `folder`/`split`, in `workers` processes."""
    out = folder / split
    out.mkdir(parents=True, exist_ok=True)
    first = {"train": 0, "val": 1_000_000}[split]
    starts = [s for s in range(0, rooms, ROOMS_PER_SHARD) if not (out / f"{s:05d}.npz").exists()]
    if not starts:
        return
    jobs = [starts[k::workers] for k in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        tasks = [pool.submit(_render_job, out, furniture, held_out, split, first, rooms, job) for job in jobs if job]
        for task in tasks:
            task.result()


def _render_job(
    out: Path, furniture: Path | None, held_out: Path | None, split: Split, first: int, rooms: int, starts: Sequence[int]
) -> None:
    pieces = load_pieces(furniture, held_out, split) if furniture and held_out else []
    for start in starts:
        write_shard(out / f"{start:05d}.npz", range(first + start, first + min(start + ROOMS_PER_SHARD, rooms)), pieces)


def load_crops(folder: Path, *, limit: int | None = None, part: tuple[int, int] = (0, 1)) -> CropSet:
    """Read all shards of a folder, or the first `limit`, or part i of n of them."""
    paths = [p for p in sorted(folder.glob("[0-9]*.npz"))][:limit][part[0] :: part[1]]
    shards = [np.load(p, allow_pickle=False) for p in paths]
    shapes = np.concatenate([s["shapes"] for s in shards])
    keys = np.concatenate([s["keys"] for s in shards])
    sizes = shapes.prod(axis=1, dtype=np.int64) * 4
    return CropSet(
        pixels=np.concatenate([s["pixels"] for s in shards]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        shapes=shapes,
        room=keys[:, 0].astype(np.int32),
        view=keys[:, 1].astype(np.int32),
        instance=keys[:, 2].astype(np.int32),
        model=keys[:, 3],
    )


def _hash(text: str) -> int:
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) & 0x7FFF_FFFF_FFFF_FFFF
    return value
