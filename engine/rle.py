"""Masks as COCO run-length encoding, as `pycocotools` writes and reads it. Written here, because that package needs a compiler.

Runs count pixels column by column, beginning with those outside the mask; the short form packs differences of runs into text,
five bits a character (`rleToString` of the COCO API).
"""

from __future__ import annotations

import numpy as np

from engine.errors import MaskError
from engine.types import BoolArray


def encode_runs(mask: BoolArray) -> list[int]:
    """Return the lengths of runs, the first one outside the mask (perhaps 0).

    Args:
        mask: (H, W) bool.
    """
    pixels = np.asarray(mask, bool).ravel(order="F")
    if len(pixels) == 0:
        return [0]
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.r_[0, changes, len(pixels)]).tolist()
    return [0, *runs] if pixels[0] else runs


def decode_runs(runs: list[int], height: int, width: int) -> BoolArray:
    """Return the mask of some runs, (height, width) bool.

    Raises:
        MaskError: If the runs do not fill the image.
    """
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise MaskError(f"The runs count {sum(runs)} pixels, expected {height} x {width}; they belong to another image.")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def pack_runs(runs: list[int]) -> str:
    """Return the short form of runs."""
    text: list[str] = []
    for place, run in enumerate(runs):
        # From the fourth run on, the difference to the run before the last one is stored: it is small where edges are straight.
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(text)


def unpack_runs(text: str) -> list[int]:
    """Return the runs of a short form.

    Raises:
        MaskError: If it ends within a number or holds a character that none has.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise MaskError(f"The run-length text holds {character!r}, which no COCO mask does; export it again.")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value |= -1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise MaskError("The run-length text ends within a number; export it again.")
    return runs
