"""Masks are read as they are written; equal cameras share their rays."""

from __future__ import annotations

import pytest

from engine.errors import MaskError
from engine.types import Camera, MaskKey


@pytest.mark.parametrize("key", [MaskKey("0", 12), MaskKey("a:b", 0), MaskKey("", -1), MaskKey("line\nbreak é", 20001)])
def test_a_mask_comes_back_as_written(key: MaskKey) -> None:
    assert MaskKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "12", "0:", "0:x", "0:1.5", "0:+1", "0: 1", "0:²", "0:1\n", "0:" + "9" * 5000])
def test_what_is_no_mask_is_a_sentence(text: str) -> None:
    with pytest.raises(MaskError, match="expected VIEW:MASK"):
        MaskKey.parse(text)


def test_equal_cameras_share_their_rays() -> None:
    camera = Camera(width=8, height=6, fx=4.0, fy=5.0, cx=3.5, cy=2.5)
    rays = camera.rays
    assert Camera(width=8, height=6, fx=4.0, fy=5.0, cx=3.5, cy=2.5).rays is rays
    assert camera.resized(16, 12).resized(8, 6).rays is rays
    assert rays[5, 7].tolist() == [0.875, 0.5, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        rays[0, 0, 0] = 1
