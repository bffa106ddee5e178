"""Writes rendered views in the processed format: ``<out>/<view>/{rgb.png, instance_mask.npy, unique_instances.npy}``.

A view appears whole or not at all: it is written to a hidden folder beside its place and renamed. Views that are there, at the
size asked for, are kept, so a stopped run continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import LeftOutError, RenderError, SceneError
from engine.files import write_text_atomically, writing_folder
from engine.scenes.files import image_size, read_id_list, read_id_map
from engine.scenes.processed import IDS_FIELD, MASK, NOTE, RGB, UNIQUE
from engine.strict_json import as_object, to_json_text
from engine.types import Frame
from engine.views.frames import FrameSource

PNG_LEVEL = 1
"""zlib level of the pictures: higher ones cost several times the time for a few per cent of the size."""

THREADS = 2
"""Encoding and writing release the GIL, ray casting does not: more threads gain nothing."""


def is_written(folder: Path, width: int, height: int) -> bool:
    """Whether a view's folder is complete and of the given size in pixels."""
    try:
        read_id_list(folder / UNIQUE)
        return image_size(folder / RGB) == (width, height) and read_id_map(folder / MASK).shape == (height, width)
    except SceneError:
        return False


def write_frame(frame: Frame, folder: Path) -> None:
    """Write a frame as `folder`, replacing what is there; nothing half-written is ever seen under that name.

    Raises:
        RenderError: If it cannot be written.
    """
    try:
        with writing_folder(folder, replaces=True) as unfinished:
            Image.fromarray(frame.rgb).save(unfinished / RGB, compress_level=PNG_LEVEL)
            np.save(unfinished / MASK, frame.instance_map.astype(np.int32), allow_pickle=False)
            np.save(unfinished / UNIQUE, np.array(sorted(frame.mask_areas), np.int32), allow_pickle=False)
    except OSError as error:
        raise RenderError(
            f"{folder}: cannot be written ({error}), expected a folder with room for the views; choose another --out."
        ) from error


def write_frames(source: FrameSource, out: Path, *, width: int, height: int) -> Iterator[tuple[str, bool]]:
    """Write all views of a scene; yields (view, whether it was written now) as each is done, in the scene's order.

    Views of which a file is broken are passed over; `source.left_out` says which and why.

    Args:
        source: Makes the frames; must have been made for exactly `width` x `height`.
        out: Folder of the processed scene; made if missing.
        width: Pixels.
        height: Pixels.

    Raises:
        RenderError: If `out` is a file, lies in the scene itself, holds another scene, or cannot be written.
        SceneError: If a file of the scene is broken.
    """
    target = out.resolve()
    if target.exists() and not target.is_dir():
        raise RenderError(f"{out}: found a file, expected a folder or nothing; choose another --out.")
    if target.is_relative_to(source.scene.folder):
        raise RenderError(f"{out}: lies in the scene's own folder, expected a folder outside it; choose another --out.")

    _claim(target, source, width, height)

    def write(view: str) -> tuple[str, bool] | None:
        if is_written(target / view, width, height):
            return view, False
        try:
            frame = source.frame(view)
        except LeftOutError:
            return None  # `source.left_out` has it
        write_frame(frame, target / view)
        return view, True

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            yield from (done for done in pool.map(write, source.scene.view_names) if done is not None)
        finally:
            pool.shutdown(cancel_futures=True)


def _claim(target: Path, source: FrameSource, width: int, height: int) -> None:
    """Note in `target` what is rendered there, so that views of another scene are never taken for finished ones."""
    note = target / NOTE
    wanted = {"scene": source.scene.name, "photos": source.photo}
    try:
        found = json.loads(note.read_text(encoding="utf-8")) if note.exists() else wanted
        told = as_object(found) or {}
        if {key: told.get(key) for key in wanted} != wanted:
            raise RenderError(f"{note}: found views of {found!r}, expected {wanted!r} as asked for now; choose another --out.")
        target.mkdir(parents=True, exist_ok=True)
        facts = {IDS_FIELD: source.scene.mask_ids_are_instances, "width": width, "height": height}
        write_text_atomically(note, to_json_text(wanted | facts) + "\n")
    except (OSError, ValueError) as error:
        raise RenderError(
            f"{note}: cannot be used ({error}), expected a folder that can be written; choose another --out."
        ) from error
