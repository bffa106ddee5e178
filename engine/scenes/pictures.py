"""Reads pictures: photos as RGB, depth and masks as whole numbers. Sizes are checked in the header, before anything is decoded.

If the caller asks for it, photos are turned upright by their EXIF orientation; depth and masks never are.
Knows no scene format.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, WebPImagePlugin

from engine.errors import SceneError
from engine.scenes.regular_files import require_file
from engine.types import Int32Array, UInt8Array

MAX_PIXELS = 50_000_000
"""Larger pictures are refused from their header: decoded, they would take a gigabyte."""
MAX_BYTES = 256 * 2**20

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "WEBP")
"""What is opened at all, whatever the file is called; other decoders of Pillow are never reached."""

# A lower limit than Pillow's own is checked below, with a clearer message.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*")  # about EXIF that is broken, which says nothing
Image.preinit()  # the other formats; importing a decoder registers it
_DECODERS = (TiffImagePlugin, WebPImagePlugin)

PHOTOS = (".jpg", ".jpeg", ".png")
MAPS = (".png",)

_COLOURS = "a colour picture"
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_PLAIN_IDS = (*_GREY_16, "L", "P", "1")
MAX_CHUNKS = 100_000
_SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations that lay a picture on its side."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    EOFError,
    MemoryError,
    NotImplementedError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on broken pictures, as fuzzing showed."""


@dataclass(frozen=True)
class Header:
    """What a picture's header says: size in pixels as stored, Pillow's mode, and EXIF orientation, 1 = upright."""

    width: int
    height: int
    mode: str
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after turning the picture upright."""
        return (self.height, self.width) if self.orientation in _SWAPS_SIDES else (self.width, self.height)


@contextmanager
def _opened(path: Path, what: str, complaint: str) -> Generator[Image.Image]:
    require_file(path, what, limit=MAX_BYTES)
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise SceneError(
                    f"{path}: found {width}x{height} pixels, expected at most {MAX_PIXELS // 1_000_000} million; make it smaller."
                )
            if width < 1 or height < 1:
                raise SceneError(f"{path}: found {width}x{height} pixels, expected a picture; copy it again.")
            yield image
    except _BROKEN as error:
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, (OSError, ValueError, SyntaxError)) else str(error)
        raise SceneError(f"{path}: {complaint} ({reason}), expected a complete PNG or JPEG; copy it again.") from error


def read_header(path: Path) -> Header:
    """Return what a picture's header says, without decoding it.

    Raises:
        SceneError: If it is missing, no picture, or too large.
    """
    with _opened(path, "an image", "found no readable image") as image:
        is_plain = image.format == "PNG" and not _may_hold_exif(path)
        return Header(image.width, image.height, image.mode, 1 if is_plain else _orientation(image))


def _may_hold_exif(path: Path) -> bool:
    """Whether a PNG has a chunk that may hold EXIF. Pillow decodes the whole picture to find out, as it may come last."""
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(MAX_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            if head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(int.from_bytes(head[:4]) + 4, 1)
    return True


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1  # a picture with broken EXIF can still be good
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def image_size(path: Path) -> tuple[int, int]:
    """Return an image's (width, height) in pixels as stored, from its header.

    Raises:
        SceneError: If it is missing, no image, or too large.
    """
    with _opened(path, "an image", "found no readable image") as image:
        return image.size


def read_photo(path: Path, *, upright: bool = True) -> UInt8Array:
    """Read a photo as (H, W, 3) uint8 RGB, turned as its EXIF orientation says where `upright`.

    Grey, palette, CMYK and transparent pictures become RGB; 16-bit grey is scaled to 8 bits.

    Raises:
        SceneError: If it is missing or broken.
    """
    with _opened(path, "an image", "the image is broken or cut short") as image:
        if image.mode in _GREY_16 or image.mode == "F":
            grey = np.asarray(image)
            most = float(grey.max(initial=0))
            if not (np.isfinite(most) and float(grey.min(initial=0)) >= 0 and most <= 65535) or grey.dtype.kind == "f":
                raise SceneError(f"{path}: found grey values up to {most:g}, expected a photo of 8 or 16 bits; export it again.")
            rgb = Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")
            if upright and _orientation(image) != 1:
                rgb.getexif()[ExifTags.Base.Orientation] = _orientation(image)
                rgb = ImageOps.exif_transpose(rgb)
        else:
            turned = ImageOps.exif_transpose(image) if upright and _orientation(image) != 1 else image
            rgb = turned.convert("RGB")
        return np.array(rgb, np.uint8)


def read_depth_units(path: Path) -> Int32Array:
    """Read a 16-bit grey PNG of depth as (H, W) int32 units, 0 = unknown; negative values and 65535, the sensor's end, are unknown.

    Raises:
        SceneError: If it is missing, broken, or no 16-bit grey image.
    """
    with _opened(path, "an image", "the image is broken or cut short") as image:
        mode = image.mode
        values = np.asarray(image) if mode in _GREY_16 else None
        if values is not None and image.format == "PPM":
            # Pillow scales a PGM's values to 16 bits; depth needs the values in the file.
            values = np.rint(values * (_largest_pgm_value(path) / 65535))
    if values is None:
        raise SceneError(
            f"{path}: found an image of mode {mode}, expected a 16-bit grey PNG of depth; export it as 16-bit grey again."
        )
    units = values.astype(np.int32)
    if int(units.max(initial=0)) > 65535:
        raise SceneError(f"{path}: found the depth {int(units.max())}, expected 16-bit values of at most 65535; export it again.")
    units[(units < 0) | (units == 65535)] = 0
    return units


def _largest_pgm_value(path: Path) -> int:
    with path.open("rb") as file:
        start = re.sub(rb"#[^\n]*\n", b" ", file.read(2**16))
    found = re.match(rb"P[25]\s+[0-9]+\s+[0-9]+\s+([0-9]{1,5})\s", start)
    return int(found[1]) if found else 65535


def read_ids(path: Path) -> Int32Array:
    """Read mask ids as (H, W) int32: 16-bit or 8-bit grey as they are, a palette picture by its indices.

    Raises:
        SceneError: If it is missing, broken, or a colour picture, whose colours are not ids.
    """
    with _opened(path, "an image of mask ids", "the image is broken or cut short") as image:
        mode = image.mode
        values = np.asarray(image) if mode in _PLAIN_IDS else None
    if values is None:
        raise SceneError(
            f"{path}: found {_COLOURS} (mode {mode}), expected a grey or palette PNG whose pixel values are the mask ids; "
            "export the ids, not their colours."
        )
    return values.astype(np.int32)
