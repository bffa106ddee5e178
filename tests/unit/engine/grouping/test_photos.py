"""Photos alone are grouped by shared points, rough depth and looks; without pycolmap a sentence says what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MaskgroupError
from engine.grouping import photo_stage
from engine.grouping.explanations import explain_group
from engine.grouping.findings import tell_findings
from engine.grouping.geometry import tabulate_masks
from engine.grouping.photo_depth import estimate_depth
from engine.grouping.photo_links import link_by_photos, odds_of
from engine.grouping.photo_places import weigh_places
from engine.grouping.photo_stage import PLACED_FILE
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames, group_scene
from engine.photos.placed import PlacedPhotos, nothing_placed
from engine.scenes import open_scene
from engine.types import Frame, Int32Array
from engine.views.appearance import describe_masks
from engine.views.frames import FrameSource
from tests.grouping_rooms import CAMERA, dining_room, without_geometry
from tests.photo_rooms import placed_views, textured_views, write_photos


def alike_views() -> list[Frame]:
    """The ten views, in which the four boxes have lost their colours: looks cannot tell one from another."""
    frames: list[Frame] = []
    for frame in textured_views():
        rgb = frame.rgb.copy()
        rgb[frame.instance_map >= 10] = (120, 120, 120)
        frames.append(replace(frame, rgb=rgb, depth=None, camera=None, pose=None))
    return frames


def truth_of(frames: list[Frame]) -> Int32Array:
    return np.array([mask for frame in frames for mask in sorted(frame.mask_areas)], np.int32)


def group(frames: list[Frame], placed: PlacedPhotos | None) -> GroupingRun:
    return group_frames(frames, placed=placed, truth=truth_of(frames), options=GroupingOptions(photos=True))


def test_look_alikes_are_told_apart_by_where_they_are() -> None:
    frames = alike_views()
    run = group(frames, placed_views())
    looks = group(frames, nothing_placed(placed_views().names, placed_views().sizes))
    assert run.mask_scores is not None
    assert looks.mask_scores is not None
    assert run.mask_scores.ari > 0.98
    assert run.mask_scores.ari > looks.mask_scores.ari + 0.1
    assert run.findings is not None
    assert run.findings.views_placed == 10
    told = tell_findings(run.findings, run.registration, views=10, masks=len(run.table))
    assert "cameras of 10 of 10 photos were found" in told
    assert run.cloud is not None
    assert len(run.cloud.points) > 100
    assert sorted(run.registration.poses) == list(range(10))
    assert "points of the photos on both" in explain_group(run.graph, run.grouping, 0)[0].evidence


def test_photos_that_were_not_placed_are_grouped_by_looks_and_a_sentence_says_so() -> None:
    frames = without_geometry(textured_views())
    placed = placed_views()
    poses = placed.poses.copy()
    poses[6:] = np.nan
    kept = placed.seen_by < 6
    part = replace(
        placed, poses=poses, seen_by=placed.seen_by[kept], seen_at=placed.seen_at[kept], seen_point=placed.seen_point[kept]
    )
    run = group(frames, part)
    assert run.mask_scores is not None
    assert run.mask_scores.ari > 0.9
    assert any("6 of 10 photos were placed; not 6, 7, 8, 9" in warning for warning in run.warnings)
    assert all((run.table.views[index].pose is None) == (index >= 6) for index in range(10))


def test_rough_depth_is_good_to_some_per_cent() -> None:
    frames = textured_views()
    table = tabulate_masks(without_geometry(frames))
    embeddings = np.concatenate([describe_masks(frame) for frame in frames])
    rough = estimate_depth(table, placed_views(), embeddings)
    assert rough.has_place.mean() > 0.9
    ratios: list[np.ndarray] = []
    for frame, view in zip(frames, rough.table.views, strict=True):
        assert view.depth is not None
        assert frame.depth is not None
        known = view.depth > 0
        ratios.append(view.depth[known] / frame.depth[known])
    ratio = np.concatenate(ratios)
    assert float(np.median(np.abs(ratio / np.median(ratio) - 1))) < 0.03


def test_depth_is_found_by_trying_where_a_mask_holds_no_points() -> None:
    _, frames = dining_room()
    table = tabulate_masks(without_geometry(frames))
    truth = np.array([mask for frame in frames for mask in sorted(frame.mask_areas)], np.int32)
    rough = estimate_depth(table, place_by_walls(frames), np.concatenate([describe_masks(frame) for frame in frames]))
    chairs = (truth > 8) & rough.by_trial
    assert chairs.sum() > 10
    found, true = np.zeros(len(truth)), np.zeros(len(truth))
    for view, frame in zip(rough.table.views, frames, strict=True):
        assert view.depth is not None
        assert frame.depth is not None
        for row in np.unique(view.index_map[view.index_map >= 0]).tolist():
            here = view.index_map == row
            found[row], true[row] = np.median(view.depth[here]), np.median(frame.depth[here])
    walls = rough.by_points
    scale = np.median(true[walls] / found[walls])
    off = np.abs(found[chairs] * scale / true[chairs] - 1)
    assert float(np.median(off)) < 0.08


def place_by_walls(frames: Sequence[Frame]) -> PlacedPhotos:
    """The true cameras, and points on walls, floor and ceiling only."""
    rng = np.random.default_rng(0)
    points: list[np.ndarray] = []
    sightings: list[tuple[int, int, float, float]] = []
    for frame in frames:
        assert frame.depth is not None
        assert frame.pose is not None
        v, u = np.nonzero((frame.instance_map >= 1) & (frame.instance_map <= 5))
        for k in rng.choice(len(u), 60, replace=False).tolist():
            world = frame.pose[:3, :3] @ (CAMERA.rays[v[k], u[k]] * frame.depth[v[k], u[k]]) + frame.pose[:3, 3]
            for other, view in enumerate(frames):
                assert view.pose is not None
                assert view.depth is not None
                x, y, z = (world - view.pose[:3, 3]) @ view.pose[:3, :3]
                column, row = x / z * CAMERA.fx + CAMERA.cx, y / z * CAMERA.fy + CAMERA.cy
                if z > 0 and 0 <= column < 159 and 0 <= row < 89 and abs(view.depth[round(row), round(column)] - z) < 0.03:
                    sightings.append((len(points), other, column, row))
            points.append(world)
    seen = np.asarray(sightings)
    count = len(frames)
    placed = nothing_placed(tuple(frame.view for frame in frames), np.tile(np.asarray([[160, 90]], np.int32), (count, 1)))
    return replace(
        placed,
        poses=np.stack([frame.pose for frame in frames if frame.pose is not None]),
        lenses=np.tile([CAMERA.fx, CAMERA.cx, CAMERA.cy, 0.0], (count, 1)),
        points=np.stack(points),
        colors=np.zeros((len(points), 3), np.uint8),
        errors=np.zeros(len(points), np.float32),
        seen_point=seen[:, 0].astype(np.int32),
        seen_by=seen[:, 1].astype(np.int32),
        seen_at=seen[:, 2:].astype(np.float32),
    )


def test_shared_points_speak_for_one_object_and_matches_for_photos_that_were_not_placed() -> None:
    frames = textured_views()
    table = tabulate_masks(without_geometry(frames))
    truth = truth_of(list(frames))
    links = link_by_photos(table, placed_views())
    same = truth[links.pairs[:, 0]] == truth[links.pairs[:, 1]]
    strong = links.points >= 3
    assert strong.sum() > 50
    assert same[strong].mean() > 0.97
    assert (links.log_odds[strong & same] > 2).mean() > 0.95
    assert links.matches.max() == 0
    assert np.array_equal(odds_of(links, links.pairs), links.log_odds)
    unplaced = replace(placed_views(), poses=np.full((10, 4, 4), np.nan))
    assert link_by_photos(table, unplaced).matches.max() > 3


def test_places_speak_against_look_alikes_elsewhere() -> None:
    frames = alike_views()
    table = tabulate_masks(frames)
    truth = truth_of(frames)
    rough = estimate_depth(table, placed_views(), np.concatenate([describe_masks(frame) for frame in frames]))
    rows = np.flatnonzero(truth >= 10)
    a, b = np.meshgrid(rows, rows)
    pairs = np.stack([a.ravel(), b.ravel()], axis=1).astype(np.int32)
    pairs = pairs[(pairs[:, 0] < pairs[:, 1]) & (table.view_of[pairs[:, 0]] != table.view_of[pairs[:, 1]])]
    odds = weigh_places(rough.table, pairs)
    same = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    assert odds[same].mean() > 0.5
    assert odds[~same].mean() < -0.5


def test_a_scene_of_photos_is_placed_once_and_then_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = open_scene(write_photos(tmp_path / "room", textured_views(), masks=True))
    source = FrameSource(scene)
    options = GroupingOptions(photos=True)
    calls: list[int] = []

    def place(photos: object, **_: object) -> PlacedPhotos:
        calls.append(1)
        return placed_views()

    monkeypatch.setattr(photo_stage, "place_photos", place)
    stages: set[str] = set()
    first = group_scene(scene, source, options=options, keep_in=tmp_path / "out", report=lambda p: stages.add(p.stage))
    again = group_scene(scene, source, options=options, keep_in=tmp_path / "out")
    assert len(calls) == 1
    assert "photos" in stages
    assert (tmp_path / "out" / PLACED_FILE).exists()
    assert np.array_equal(first.grouping.labels, again.grouping.labels)
    (tmp_path / "out" / PLACED_FILE).write_bytes(b"broken")
    group_scene(scene, source, options=options, keep_in=tmp_path / "out")
    assert len(calls) == 2


def test_without_pycolmap_it_is_as_before_and_a_sentence_says_what_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_stage, "can_place", lambda: False)
    scene = open_scene(write_photos(tmp_path / "room", textured_views()[:3], masks=True))
    with pytest.raises(MaskgroupError, match=r"needs; add them.*pip install 'maskgroup\[photos\]'"):
        group_scene(scene, FrameSource(scene), options=GroupingOptions(photos=True))


def test_one_photo_is_grouped_without_looking_for_its_camera(tmp_path: Path) -> None:
    scene = open_scene(write_photos(tmp_path / "room", textured_views()[:1], masks=True))
    run = group_scene(scene, FrameSource(scene), options=GroupingOptions(photos=True))
    assert len(run.grouping.groups) == len(run.table)
