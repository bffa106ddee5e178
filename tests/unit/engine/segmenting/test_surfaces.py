"""The built-in segmenter: normals, joining of regions, and masks of pictures whose objects are known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.segmenting.base import Picture
from engine.segmenting.measures import MEASURES, find_adjacency, measure
from engine.segmenting.merging import RegionGraph
from engine.segmenting.normals import measure_surface
from engine.segmenting.superpixels import cut_into_pieces
from engine.segmenting.surfaces import SurfaceSegmenter
from engine.segmenting.weights import BY_COLOR, BY_SURFACE
from engine.types import Camera
from tests.bench.segment_scores import score_masks_of
from tests.bench.sensors.rooms import make_clean_room

CAMERA = Camera(width=80, height=60, fx=60.0, fy=60.0, cx=39.5, cy=29.5)


def plane(normal: tuple[float, float, float], distance: float) -> np.ndarray:
    """Depth of a plane n·p = distance."""
    return (distance / (CAMERA.rays @ np.asarray(normal))).astype(np.float32)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, -0.28, 0.96)])
def test_a_plane_has_its_normal_everywhere(normal: tuple[float, float, float]) -> None:
    surface = measure_surface(plane(normal, 2.0), CAMERA)
    assert surface.known.all()
    assert np.abs(surface.normals + np.asarray(normal)).max() < 2e-2
    assert np.allclose(surface.points @ np.asarray(normal), 2.0, atol=1e-4)


def test_where_depth_is_unknown_so_is_the_surface() -> None:
    depth = plane((0.0, 0.0, 1.0), 2.0)
    depth[20:40, 30:50] = 0
    surface = measure_surface(depth, CAMERA)
    assert not surface.known[20:40, 30:50].any()
    assert (surface.normals[25:35, 35:45] == 0).all()
    assert np.isfinite(surface.normals).all()


def two_halves() -> Picture:
    """A grey wall whose right half stands half a metre nearer, and is a little lighter."""
    depth = np.full((60, 80), 2.0, np.float32)
    depth[:, 40:] = 1.5
    rgb = np.full((60, 80, 3), 128, np.uint8) + np.random.default_rng(0).integers(0, 3, (60, 80, 3)).astype(np.uint8)
    rgb[:, 40:] += 25
    return Picture(rgb, depth, CAMERA)


def test_a_step_in_depth_parts_two_masks_of_nearly_one_colour() -> None:
    picture = two_halves()
    ids = SurfaceSegmenter().segment(picture)
    left, right = np.unique(ids[:, :36]), np.unique(ids[:, 44:])
    assert not set(left.tolist()) & set(right.tolist())
    assert ids.min() == 1
    assert ids.dtype == np.int32


def test_without_depth_colour_parts_them() -> None:
    rgb = np.full((60, 80, 3), (200, 40, 40), np.uint8)
    rgb[:, 40:] = (40, 40, 200)
    ids = SurfaceSegmenter().segment(Picture(rgb))
    assert not set(np.unique(ids[:, :36]).tolist()) & set(np.unique(ids[:, 44:]).tolist())


def test_depth_without_a_camera_is_not_used() -> None:
    picture = two_halves()
    alone = SurfaceSegmenter().segment(Picture(picture.rgb))
    assert (SurfaceSegmenter().segment(Picture(picture.rgb, picture.depth)) == alone).all()


def test_the_same_picture_has_the_same_masks() -> None:
    picture = two_halves()
    assert (SurfaceSegmenter().segment(picture) == SurfaceSegmenter().segment(picture)).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5)])
def test_the_smallest_pictures_have_masks(size: tuple[int, int]) -> None:
    rgb = np.zeros((*size, 3), np.uint8)
    assert SurfaceSegmenter().segment(Picture(rgb)).shape == size


def test_depth_of_nothing_is_as_no_depth() -> None:
    picture = two_halves()
    empty = Picture(picture.rgb, np.zeros((60, 80), np.float32), CAMERA)
    assert (SurfaceSegmenter().segment(empty) == SurfaceSegmenter().segment(Picture(picture.rgb))).all()


def test_measures_of_joined_regions_are_those_of_the_whole() -> None:
    """What is added up while regions are joined is what one region of the same pixels would give."""
    picture = two_halves()
    pieces = cut_into_pieces(picture)
    graph = RegionGraph(find_adjacency(pieces), lambda table: table[:, MEASURES.index("border: a large step in depth")])
    graph.join_below(0.5)
    labels = graph.find_roots()[pieces.labels]
    found = find_adjacency(type(pieces)(pieces.lab, pieces.surface, labels.astype(np.int32)))
    table = measure(found.regions, found.first, found.second, found.borders, found.lengths, found.area)
    assert table.shape[1] == len(MEASURES)
    assert np.isfinite(table).all()
    assert (table[:, MEASURES.index("border: a large step in depth")] >= 0.5).all()
    assert int(found.regions[:, 0].sum()) == labels.size


def test_there_is_a_number_for_every_measure() -> None:
    for weights in (BY_SURFACE, BY_COLOR):
        assert len(weights.factors) == len(MEASURES)
        assert 0 < weights.most < 1


def test_a_room_that_nothing_was_fitted_on_is_cut_into_its_objects() -> None:
    """How well: docs/segment.md. Here only that surfaces beat colours, and that most objects have a mask."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    for frame in make_clean_room(1, unseen=True, views=2).frames:
        for with_depth in (True, False):
            ids = SurfaceSegmenter().segment(Picture(frame.rgb, frame.depth if with_depth else None, frame.camera))
            scores[with_depth].append(score_masks_of(ids, frame.instance_map).objects)
    assert np.mean(scores[True]) > 0.6
    assert np.mean(scores[True]) > np.mean(scores[False])


def test_scores_are_one_for_true_masks_and_count_what_is_missing() -> None:
    objects = np.full((40, 40), -1, np.int32)
    objects[:20], objects[20:, :20] = 3, 7
    own = score_masks_of(objects, objects)
    assert (own.objects, own.masks, own.found, own.coverage, own.n_objects, own.n_masks) == (1, 1, 1, 1, 2, 2)
    half = np.where(objects == 3, 3, -1).astype(np.int32)
    half[:10, :] = 9
    worse = score_masks_of(half, objects)
    assert worse.objects == pytest.approx(0.25)
    assert worse.masks == pytest.approx(0.5)
    assert worse.coverage == pytest.approx(800 / 1200)
