"""Photos are read upright and in order, HEIC too; what cannot be used gets a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from engine.errors import SceneError
from engine.photos import folder as reading
from engine.photos.folder import list_photos, read_upright


def write(path: Path, *, orientation: int = 1) -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:20] = 200
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(rgb).save(path, exif=exif)


def test_photos_are_listed_two_before_ten(tmp_path: Path) -> None:
    for name in ("10.jpg", "2.JPG", "notes.txt", ".hidden.jpg", "1.png"):
        (tmp_path / name).write_bytes(b"")
    assert [photo.name for photo in list_photos(tmp_path)] == ["1", "2", "10"]


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SceneError, match=r"two photos called .a"):
        list_photos(tmp_path)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", orientation=6)
    rgb = read_upright(tmp_path / "a.jpg")
    assert rgb.shape == (60, 40, 3)
    assert rgb[:, 30:].mean() > 150
    assert rgb[:, :10].mean() < 50


def test_heic_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, 48:] = (200, 100, 50)
    pillow_heif.from_pillow(Image.fromarray(rgb)).save(tmp_path / "a.HEIC", quality=95)
    assert np.abs(read_upright(tmp_path / "a.HEIC").astype(int) - rgb).mean() < 4
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.HEIC").read_bytes()[:300])
    with pytest.raises(SceneError, match="broken or cut short"):
        read_upright(tmp_path / "b.heic")
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(SceneError, match=r"needs pillow-heif.*pip install 'maskgroup\[photos\]'"):
        read_upright(tmp_path / "a.HEIC")
