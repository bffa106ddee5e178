"""What every segmenter gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.types import Camera, Float32Array, Int32Array, UInt8Array


@dataclass(frozen=True, eq=False)
class Picture:
    """One view to be segmented, all of one size.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along z, 0 = unknown; None without depth.
        camera: Intrinsics at this size; None if unknown, and depth is then of no use.
    """

    rgb: UInt8Array
    depth: Float32Array | None = None
    camera: Camera | None = None


class Segmenter(Protocol):
    """Makes the masks of one view at a time."""

    @property
    def name(self) -> str:
        """What it is called, for people."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """The (width, height) within which it wants pictures, None = the photos' own."""
        ...

    def segment(self, picture: Picture) -> Int32Array:
        """Return the mask of every pixel, (H, W) int32, masks numbered from 1, -1 = none.

        Raises:
            MaskgroupError: If it cannot.
        """
        ...
