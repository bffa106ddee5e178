"""Crops: tight, padded, clipped at the border, with the last row and column."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import MaskError
from engine.types import Frame, MaskKey
from engine.views.crops import OUTLINE_RGB, Box, bounding_box, crop_on_black, show_mask

RGB = np.random.default_rng(0).integers(1, 255, (40, 60, 3)).astype(np.uint8)


def mask_of(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[rows, columns] = True
    return mask


def test_box_includes_its_last_row_and_column() -> None:
    assert bounding_box(mask_of(slice(5, 9), slice(7, 20))) == Box(7, 5, 19, 8)
    crop = crop_on_black(RGB, mask_of(slice(5, 9), slice(7, 20)), padding=0)
    np.testing.assert_array_equal(crop, RGB[5:9, 7:20])


def test_padding_is_black_and_ten_pixels_wide() -> None:
    crop = crop_on_black(RGB, mask_of(slice(15, 20), slice(20, 30)))
    assert crop.shape == (5 + 20, 10 + 20, 3)
    np.testing.assert_array_equal(crop[10:15, 10:20], RGB[15:20, 20:30])
    assert np.count_nonzero(crop.any(axis=-1)) == 50


@pytest.mark.parametrize(
    ("rows", "columns", "shape"),
    [(slice(39, 40), slice(59, 60), (11, 11)), (slice(0, 1), slice(0, 1), (11, 11)), (slice(0, 40), slice(0, 60), (40, 60))],
)
def test_padding_stops_at_the_border(rows: slice, columns: slice, shape: tuple[int, int]) -> None:
    crop = crop_on_black(RGB, mask_of(rows, columns))
    assert crop.shape[:2] == shape
    assert np.count_nonzero(crop.any(axis=-1)) == np.count_nonzero(mask_of(rows, columns))


def test_pixels_of_other_masks_in_the_box_are_black() -> None:
    mask = mask_of(slice(10, 20), slice(10, 20))
    mask[12:15, 12:15] = False
    assert not crop_on_black(RGB, mask, padding=0)[2:5, 2:5].any()


def test_empty_and_unknown_masks_are_refused() -> None:
    with pytest.raises(MaskError, match="0 pixels"):
        crop_on_black(RGB, np.zeros((40, 60), bool))
    frame = Frame("3", RGB, np.where(mask_of(slice(0, 5), slice(0, 5)), 7, -1).astype(np.int32), None, None, None)
    assert show_mask(frame, MaskKey("3", 7)).shape == (15, 15, 3)
    for absent in (8, -1, 0):
        with pytest.raises(MaskError, match=rf"View '3' has no mask {absent}; its masks are 7"):
            show_mask(frame, MaskKey("3", absent))


def framed(mask: np.ndarray) -> Frame:
    return Frame("3", RGB, np.where(mask, 7, -1).astype(np.int32), None, None, None)


def test_context_shows_the_surroundings_and_leaves_the_object_as_it_is() -> None:
    mask = mask_of(slice(18, 22), slice(28, 32))
    shown = show_mask(framed(mask), MaskKey("3", 7), style="outlined")
    assert shown.shape == (40, 4 + 2 * 24, 3)  # 24 px of surroundings on each side, clipped above and below
    np.testing.assert_array_equal(shown[18:22, 24:28], RGB[18:22, 28:32])
    line = (shown == OUTLINE_RGB).all(axis=-1)
    assert line[17, 23:29].all()
    assert line.sum() == 6 * 6 - 4 * 4
    np.testing.assert_array_equal(shown[~line], RGB[:, 4:56][~line])


def test_whole_view_keeps_its_size_and_outlines_only_the_mask() -> None:
    mask = mask_of(slice(0, 4), slice(0, 4))
    shown = show_mask(framed(mask), MaskKey("3", 7), style="whole_view")
    line = (shown == OUTLINE_RGB).all(axis=-1)
    assert shown.shape == RGB.shape
    assert line.sum() == 5 * 5 - 4 * 4
    np.testing.assert_array_equal(shown[~line], RGB[~line])


def test_blur_leaves_the_object_sharp() -> None:
    mask = mask_of(slice(10, 30), slice(20, 40))
    shown = show_mask(framed(mask), MaskKey("3", 7), style="blurred")
    assert shown.shape == RGB.shape  # 24 px on each side reach every border
    np.testing.assert_array_equal(shown[mask], RGB[mask])
    assert shown[~mask].std() < 0.5 * RGB[~mask].std()
