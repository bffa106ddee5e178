"""Names that people give to groups stay with most of the group's masks, whatever happens to the groups."""

from __future__ import annotations

import numpy as np

from engine.grouping.group_names import GivenName, give_names, place_names
from engine.types import MaskKey

KEYS = tuple(MaskKey(str(view), 1) for view in range(6))
CHAIR = GivenName("chair", KEYS[:3])
LAMP = GivenName("lamp", KEYS[3:5])


def place(*labels: int, given: tuple[GivenName, ...] = (CHAIR, LAMP)) -> dict[int, str]:
    return {group: name.name for group, name in place_names(given, KEYS, np.array(labels, np.int32)).items()}


def test_a_name_goes_with_most_of_its_masks() -> None:
    assert place(0, 0, 0, 1, 1, 2) == {0: "chair", 1: "lamp"}
    assert place(7, 7, 7, 4, 4, 0) == {7: "chair", 4: "lamp"}, "numbers of groups mean nothing"
    assert place(0, 0, 3, 1, 1, 2) == {0: "chair", 1: "lamp"}, "a mask was taken out"
    assert place(0, 0, 0, 0, 0, 0) == {0: "chair"}, "merged: the larger one names both"
    assert place(-1, -1, -1, 1, 1, 0) == {1: "lamp"}, "nothing of it is left"


def test_the_latest_of_equal_names_counts() -> None:
    again = GivenName("stool", KEYS[:3])
    assert place(0, 0, 0, 1, 1, 2, given=(CHAIR, again)) == {0: "stool"}


def test_masks_that_are_not_there_any_more_do_not_count() -> None:
    assert place(0, 0, 1, 2, 2, 2, given=(GivenName("sofa", (MaskKey("gone", 3), KEYS[2])),)) == {1: "sofa"}


def test_a_new_name_takes_the_place_of_the_old_one_and_none_takes_it_away() -> None:
    groups = {0: KEYS[:3]}
    renamed = give_names((CHAIR, LAMP), groups, {0: "stool"}, replaced=[CHAIR])
    assert [one.name for one in renamed] == ["lamp", "stool"]
    assert renamed[1].masks == KEYS[:3]
    assert renamed[1].given_on
    assert give_names(renamed, groups, {0: ""}, replaced=[renamed[1]]) == (LAMP,)


def test_a_proposal_is_marked_where_it_is_shown() -> None:
    assert GivenName("chair", KEYS, proposed_by="vlm").shown == "chair?"
    assert CHAIR.shown == "chair"
