"""Masks are followed to where they are seen, and not through what hides them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.grouping.geometry import follow_masks, project, sample_points, tabulate_masks, to_world
from engine.types import MaskKey
from tests.grouping_rooms import dining_room, truth_of, without_geometry


def test_projection_returns_to_the_pixel_it_came_from() -> None:
    table = tabulate_masks(dining_room()[1])
    view = table.views[3]
    assert view.depth is not None
    assert view.camera is not None
    assert view.pose is not None
    flat = np.flatnonzero(view.depth.ravel() > 0)[::7]
    local = view.camera.rays.reshape(-1, 3)[flat] * view.depth.ravel()[flat, None]
    kept, pixel, z = project(to_world(local, view.pose), view)
    assert len(kept) == len(flat)
    np.testing.assert_array_equal(pixel, flat)
    np.testing.assert_allclose(z, view.depth.ravel()[flat], atol=1e-4)


def test_masks_land_on_their_own_object() -> None:
    frames = dining_room()[1]
    table, truth = tabulate_masks(frames), truth_of(frames)
    projections = follow_masks(table)
    rows, views = np.nonzero(projections.dominant >= 0)
    assert len(rows) > 3 * len(table)
    assert np.mean(truth[projections.dominant[rows, views]] == truth[rows]) > 0.99


def test_hidden_masks_are_not_seen() -> None:
    frames = list(dining_room()[1])
    near = frames[1]
    assert near.depth is not None
    frames[1] = replace(near, depth=np.full_like(near.depth, 0.2))  # something stands right before the camera
    projections = follow_masks(tabulate_masks(frames))
    assert (projections.dominant[tabulate_masks(frames).view_of != 1, 1] == -1).all()


def test_table_numbers_masks_in_order_and_cleans_depth() -> None:
    frame = dining_room()[1][0]
    assert frame.depth is not None
    depth = frame.depth.copy()
    depth[0, :4] = np.nan, np.inf, -1, 0
    ids = frame.instance_map.copy()
    ids[5, 5] = 2**30
    table = tabulate_masks([replace(frame, depth=depth, instance_map=ids)])
    assert table.keys[-1] == MaskKey("0", 2**30)
    assert table.keys == tuple(sorted(table.keys))
    assert table.views[0].index_map[5, 5] == len(table) - 1
    assert table.areas.sum() == (ids >= 0).sum()
    assert table.views[0].depth is not None
    assert table.views[0].depth[0, :4].tolist() == [0, 0, 0, 0]


def test_every_mask_with_depth_gives_points() -> None:
    table = tabulate_masks(dining_room()[1][:1])
    points = sample_points(table.views[0], per_mask=20)
    found, counts = np.unique(points.rows, return_counts=True)
    assert found.tolist() == list(range(len(table)))
    assert counts.max() <= 20


def test_no_geometry_no_projections() -> None:
    projections = follow_masks(tabulate_masks(without_geometry(dining_room()[1])))
    assert len(projections.rows) == 0
    assert (projections.dominant == -1).all()
