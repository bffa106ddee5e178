"""Edits of a view's masks, as functions: what changes, what stays, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from engine.segmenting import edits
from engine.segmenting.edits import EditError, EditHistory
from engine.types import Int32Array


def view() -> Int32Array:
    """Two masks side by side in a view of 20x12: 3 on the left, 7 on the right, nothing between and around them."""
    ids = np.full((12, 20), -1, np.int32)
    ids[2:10, 2:9] = 3
    ids[2:10, 11:18] = 7
    return ids


def areas(ids: Int32Array) -> dict[int, int]:
    found, pixels = np.unique(ids, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def test_a_stroke_is_as_wide_as_its_brush_and_has_round_ends() -> None:
    where = edits.draw_stroke((21, 41), [(10, 10), (30, 10)], 4)
    assert where[6:15, 20].all()
    assert not where[:6, 20].any()
    assert where[10, 6]
    assert not where[6, 6], "round"
    assert edits.draw_stroke((21, 41), [(10, 10)], 0.4).sum() == 1
    assert edits.draw_stroke((5, 5), [(-50, 2), (50, 2)], 1)[2].all(), "points may lie outside"


def test_a_polygon_is_filled() -> None:
    where = edits.draw_polygon((10, 10), [(2, 2), (7, 2), (7, 7), (2, 7)])
    assert where.sum() == 36
    with pytest.raises(EditError, match="three corners"):
        edits.draw_polygon((10, 10), [(2, 2), (7, 2)])


def test_a_new_mask_takes_pixels_from_others_or_leaves_them() -> None:
    where = np.zeros((12, 20), bool)
    where[2:10, 7:12] = True
    over = edits.add_mask(view(), where)
    assert areas(over) == {-1: 112, 3: 40, 7: 48, 8: 40}
    beside = edits.add_mask(view(), where, leaves_others=True)
    assert areas(beside) == {-1: 112, 3: 56, 7: 56, 8: 16}
    with pytest.raises(EditError, match="Nothing is left"):
        edits.add_mask(view(), view() == 3, leaves_others=True)


def test_a_mask_grows_and_is_erased() -> None:
    where = np.zeros((12, 20), bool)
    where[2:10, 8:13] = True
    grown = edits.grow_mask(view(), where, 3)
    assert areas(grown) == {-1: 112, 3: 88, 7: 40}
    assert areas(edits.erase(grown, where)) == {-1: 152, 3: 48, 7: 40}
    assert areas(edits.erase(view(), where, 7)) == {-1: 144, 3: 56, 7: 40}
    with pytest.raises(EditError, match="no mask to erase"):
        edits.erase(view(), view() == -1)
    for gone in (4, -1):
        with pytest.raises(EditError, match="not there"):
            edits.grow_mask(view(), where, gone)


def test_masks_are_joined_and_taken_away() -> None:
    assert areas(edits.join_masks(view(), [3, 7])) == {-1: 128, 8: 112}
    assert areas(edits.remove_masks(view(), [3])) == {-1: 184, 7: 56}
    for masks in ([3], [3, 3], []):
        with pytest.raises(EditError, match="at least two"):
            edits.join_masks(view(), masks)
    with pytest.raises(EditError, match="No mask is picked"):
        edits.remove_masks(view(), [])


@pytest.mark.parametrize("line", [[(5, 0), (5, 11)], [(0, 1), (10, 11)], [(1, 6), (5, 6), (9, 5)]])
def test_a_line_splits_a_mask_and_every_pixel_goes_to_a_part(line: list[edits.Point]) -> None:
    split = edits.split_by_line(view(), 3, line)
    found = areas(split)
    assert set(found) == {-1, 7, 8, 9}
    assert found[8] + found[9] == 56
    assert min(found[8], found[9]) > 10
    assert (split[view() == 7] == 7).all()


def test_a_line_that_does_not_part_the_mask_changes_nothing() -> None:
    for line in ([(5, 0), (5, 5)], [(10, 0), (10, 11)], [(5, 5)], [], [(2, 2), (2, 9)]):
        with pytest.raises(EditError, match="does not cut"):
            edits.split_by_line(view(), 3, line)


def test_pieces_that_the_line_does_not_part_stay_whole() -> None:
    ids = edits.grow_mask(view(), view() == 7, 3)
    split = edits.split_by_line(ids, 3, [(5, 0), (5, 11)])
    assert len(areas(split)) == 3, "the piece on the right goes to the nearer half"
    assert len(np.unique(split[ids == 3][:])) == 2
    assert len(np.unique(split[2:10, 11:18])) == 1
    pieces = edits.split_pieces(ids, 3)
    assert areas(pieces) == {-1: 128, 4: 56, 5: 56}
    with pytest.raises(EditError, match="one piece"):
        edits.split_pieces(view(), 3)


def test_masks_are_the_same_while_little_of_them_changes() -> None:
    touched = view()
    touched[2:10, 9] = 3
    assert edits.match_masks(touched, view()) == {3: 3, 7: 7}
    renamed = np.where(view() == 3, 50, view()).astype(np.int32)
    assert edits.match_masks(renamed, view()) == {50: 3, 7: 7}
    half = view()
    half[2:6, 2:9] = -1
    assert edits.match_masks(half, view()) == {7: 7}
    assert edits.match_masks(np.full((12, 20), -1, np.int32), view()) == {}


def test_a_free_id_is_found_even_where_the_highest_is_taken() -> None:
    ids = view()
    ids[0, 0] = edits.MAX_ID
    assert edits.find_free_id(ids) == 1
    everything = np.arange(1, edits.MAX_ID + 1, dtype=np.int32).reshape(1, -1)
    with pytest.raises(EditError, match="as many as it can"):
        edits.find_free_id(everything)


def test_steps_are_taken_back_and_done_again() -> None:
    history = EditHistory(view())
    with pytest.raises(EditError, match="nothing to undo"):
        history.undo()
    one, two = edits.remove_masks(view(), [3]), edits.remove_masks(view(), [7])
    history.add(one)
    history.undo()
    assert np.array_equal(history.ids, view())
    history.redo()
    assert np.array_equal(history.ids, one)
    history.undo()
    history.add(two)
    assert not history.can_redo
    with pytest.raises(EditError, match="nothing to redo"):
        history.redo()
    for _ in range(edits.MAX_STEPS + 5):
        history.add(one)
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert steps == edits.MAX_STEPS
