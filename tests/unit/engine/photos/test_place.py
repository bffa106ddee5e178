"""Photos are placed by what they share; what cannot be placed gets a sentence, and a process can be stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskgroupError
from engine.photos import place
from engine.photos.pairs import ALL_PAIRS_UP_TO, choose_pairs, describe_photo
from engine.photos.place import PlacingStopped, place_photos
from engine.photos.placed import say_placed
from tests.photo_rooms import CAMERA, photos_of, placed_views, textured_views


def test_ten_views_are_placed_as_they_were_taken() -> None:
    placed = placed_views()
    assert placed.is_placed.all()
    assert say_placed(placed) == ()
    assert len(placed.points) > 500
    assert abs(placed.lenses[0, 0] / CAMERA.fx - 1) < 0.02
    true = np.stack([frame.pose[:3, 3] for frame in textured_views() if frame.pose is not None])
    found = placed.poses[:, :3, 3]
    true, found = true - true.mean(axis=0), found - found.mean(axis=0)
    u, s, v = np.linalg.svd(true.T @ found)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    off = found @ turn.T * (np.trace(np.diag(s)) / (found**2).sum()) - true
    assert float(np.abs(off).max()) < 0.02, "metres, in a room of four"


def test_points_lie_where_the_views_see_them() -> None:
    placed = placed_views()
    poses = placed.poses[placed.seen_by]
    local = np.einsum("sji,sj->si", poses[:, :3, :3], placed.points[placed.seen_point] - poses[:, :3, 3])
    camera = placed.camera(0)
    u, v = local[:, 0] / local[:, 2] * camera.fx + camera.cx, local[:, 1] / local[:, 2] * camera.fy + camera.cy
    assert float(np.median(np.hypot(u - placed.seen_at[:, 0], v - placed.seen_at[:, 1]))) < 0.5


def test_photos_without_texture_give_a_sentence() -> None:
    placed = place_photos(photos_of(textured_views(3, plain=True)))
    assert not placed.is_placed.any()
    assert "No camera of the 3 photos could be placed" in say_placed(placed)[0]


def test_one_photo_is_not_placed() -> None:
    placed = place_photos(photos_of(textured_views()[:1]))
    assert not placed.is_placed.any()
    assert len(say_placed(placed)) == 1


def test_photos_of_other_sizes_and_another_place_are_told_apart() -> None:
    frames = list(textured_views()[::2])
    for k in (1, 3):
        small = Image.fromarray(frames[k].rgb).resize((256, 173), Image.Resampling.LANCZOS)
        frames[k] = replace(frames[k], rgb=np.asarray(small))
    frames.append(
        replace(frames[0], view="elsewhere", rgb=np.random.default_rng(0).integers(0, 255, (216, 320, 3)).astype(np.uint8))
    )
    placed = place_photos(photos_of(frames))
    assert placed.is_placed[:5].all()
    assert not placed.is_placed[5]
    assert placed.sizes[1].tolist() == [256, 173]
    assert "5 of 6 photos were placed; not elsewhere" in say_placed(placed)[0]


def test_it_can_be_stopped() -> None:
    asked = iter([False] * 4)
    with pytest.raises(PlacingStopped):
        place_photos(photos_of(textured_views()[:3]), is_cancelled=lambda: next(asked, True))


def test_progress_is_told() -> None:
    steps: list[tuple[str, int, int]] = []
    place_photos(photos_of(textured_views()[:3]), on_progress=lambda *step: steps.append(step))
    assert steps
    assert all(0 <= done <= total for _, done, total in steps)


def test_without_pycolmap_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "can_place", lambda: False)
    with pytest.raises(MaskgroupError, match=r"pip install 'maskgroup\[photos\]'"):
        place_photos(photos_of(textured_views()[:2]))


def test_all_pairs_of_few_photos_and_a_bounded_number_of_many() -> None:
    rng = np.random.default_rng(0)
    looks = [describe_photo(rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)) for _ in range(400)]
    few, many, twice = choose_pairs(looks[:ALL_PAIRS_UP_TO]), choose_pairs(looks[:200]), choose_pairs(looks)
    assert len(few) == ALL_PAIRS_UP_TO * (ALL_PAIRS_UP_TO - 1) // 2
    assert len(twice) < 2.2 * len(many)
    assert (many[:, 0] < many[:, 1]).all()
    assert {(k, k + 1) for k in range(199)} <= set(map(tuple, many.tolist()))
