"""Proposals show two different views, never a labelled pair while others remain, and follow surfaces between views."""

from __future__ import annotations

import numpy as np

from engine.review.proposals import project_mask, propose_pair
from engine.types import Camera, Frame, MaskKey, MaskPair

CAMERA = Camera(width=64, height=48, fx=60, fy=60, cx=31.5, cy=23.5)


def wall_frame(name: str, *, shift_px: int = 0, move_x_m: float = 0.0) -> Frame:
    """A flat wall 2 m away with two square masks (5 and 9); moving the camera right shifts what it sees left."""
    instance_map = np.full((48, 64), -1, np.int32)
    instance_map[10:30, 20 - shift_px : 34 - shift_px] = 5
    instance_map[10:30, 40 - shift_px : 54 - shift_px] = 9
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[instance_map == 5] = (200, 30, 30)
    rgb[instance_map == 9] = (30, 30, 200)
    pose = np.eye(4)
    pose[0, 3] = move_x_m
    return Frame(name, rgb, instance_map, np.full((48, 64), 2.0, np.float32), CAMERA, pose)


FRAMES = {"0": wall_frame("0"), "1": wall_frame("1", shift_px=6, move_x_m=0.2)}


def test_mask_lands_on_itself_in_the_other_view() -> None:
    projection = project_mask(FRAMES["0"], 5, FRAMES["1"])
    assert set(projection) == {5}
    assert projection[5] > 0.95


def test_hidden_surface_does_not_land() -> None:
    blocked = FRAMES["1"]
    near = Frame("1", blocked.rgb, blocked.instance_map, np.full((48, 64), 0.5, np.float32), CAMERA, blocked.pose)
    assert project_mask(FRAMES["0"], 5, near) == {}


def test_without_depth_nothing_lands() -> None:
    frame = FRAMES["0"]
    flat = Frame("0", frame.rgb, frame.instance_map, None, None, None)
    assert project_mask(flat, 5, FRAMES["1"]) == {}


def test_proposals_are_deterministic_and_of_two_views() -> None:
    pairs = [propose_pair(FRAMES, FRAMES.__getitem__, rng=np.random.default_rng(seed)) for seed in range(20)]
    again = [propose_pair(FRAMES, FRAMES.__getitem__, rng=np.random.default_rng(seed)) for seed in range(20)]
    assert pairs == again
    assert all(pair is not None and pair.a.view != pair.b.view for pair in pairs)


def test_both_kinds_are_proposed() -> None:
    pairs = [propose_pair(FRAMES, FRAMES.__getitem__, rng=np.random.default_rng(seed)) for seed in range(40)]
    same = sum(pair is not None and pair.a.mask == pair.b.mask for pair in pairs)
    assert 8 <= same <= 32


def test_labelled_pairs_are_avoided_while_others_remain() -> None:
    labelled = {MaskPair(MaskKey("0", 5), MaskKey("1", 5)), MaskPair(MaskKey("0", 5), MaskKey("1", 9))}
    pairs = [propose_pair(FRAMES, FRAMES.__getitem__, rng=np.random.default_rng(seed), avoid=labelled) for seed in range(20)]
    assert all(pair is not None and pair.canonical() not in labelled for pair in pairs)


def test_one_view_gives_no_proposal() -> None:
    assert propose_pair(["0"], FRAMES.__getitem__, rng=np.random.default_rng(0)) is None
