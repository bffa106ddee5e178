"""Outlines lie around the mask, thumbnails and crops keep their aspect."""

from __future__ import annotations

import numpy as np

from engine.types import Frame
from ui.view3d.pictures import COLOR_A, draw_view, frame_crop, mask_borders, thumbnail


def small_frame() -> Frame:
    instance_map = np.full((20, 30), -1, np.int32)
    instance_map[5:12, 8:20] = 3
    return Frame("0", np.full((20, 30, 3), 200, np.uint8), instance_map, None, None, None)


def test_outline_is_outside_the_mask_and_the_rest_is_dimmed() -> None:
    frame = small_frame()
    picture = draw_view(frame, 3, COLOR_A)
    selected = frame.instance_map == 3
    assert not (picture[selected] == COLOR_A).all(axis=1).any()
    assert (picture[4, 8:20] == COLOR_A).all()
    assert picture[0, 0].max() < 100 < picture[8, 14].min()


def test_without_a_picked_mask_nothing_is_dimmed() -> None:
    assert draw_view(small_frame(), None, COLOR_A).min() == 200


def test_borders_of_one_colour_map_are_empty() -> None:
    assert not mask_borders(np.zeros((4, 4), np.int32)).any()


def test_thumbnail_keeps_aspect() -> None:
    assert thumbnail(np.zeros((360, 640, 3), np.uint8), width=160).shape == (90, 160, 3)


def test_tall_crop_is_centred_on_black() -> None:
    square = frame_crop(np.full((40, 10, 3), 255, np.uint8), size=80)
    assert square.shape == (80, 80, 3)
    assert square[:, 40].min() > 200
    assert square[:, :25].max() == 0
    assert square[:, -25:].max() == 0
