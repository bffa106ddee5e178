"""Sizes and orientations of pictures are found without decoding them, and are the same as before decoding was avoided."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from engine.scenes.pictures import image_size, read_header


def write(path: Path, *, orientation: int | None = None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(path, exif=exif)


def move_exif_to_the_end(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    stop = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
    chunk, rest = data[at:stop], data[:at] + data[stop:]
    end = rest.index(b"IEND") - 4
    path.write_bytes(rest[:end] + chunk + rest[end:])


@pytest.mark.parametrize("name", ["0.png", "0.jpg"])
def test_sizes_and_headers_take_no_decoding(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / name) if name.endswith("jpg") else _write_plain_png(tmp_path / name)
    decoded: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image))
    assert image_size(tmp_path / name) == (32, 24)
    header = read_header(tmp_path / name)
    assert (header.width, header.height, header.orientation) == (32, 24, 1)
    assert decoded == []


def _write_plain_png(path: Path) -> None:
    """A PNG by hand, as Pillow's saving decodes."""
    rows = zlib.compress(bytes(24 * 97))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["0.png", "late.png", "0.jpg"])
def test_orientations_are_found_wherever_they_stand(name: str, orientation: int, tmp_path: Path) -> None:
    write(tmp_path / name, orientation=orientation)
    if name == "late.png":
        move_exif_to_the_end(tmp_path / name)
    assert read_header(tmp_path / name).orientation == orientation
