"""Parts of one surface that no view shows together are found; ends of things, other planes, materials and gaps are not."""

from __future__ import annotations

import numpy as np
import pytest

from engine.grouping.continuation import find_continuations
from engine.grouping.geometry import sample_masks, tabulate_masks
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.rendering import make_renderer, shade
from engine.scenes.procedural import look_at
from engine.types import Frame, SceneMesh
from tests.grouping_rooms import CAMERA, boxes_mesh, shake

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def two_looks(boxes: list[Box], *, apart: float = 5.0, colors: np.ndarray | None = None, middle: bool = False) -> list[Frame]:
    """Look along +y at x = 0 and x = `apart` from 2 m off, so that each picture shows 4 m of what stands at y = 2."""
    mesh = boxes_mesh(boxes)
    if colors is not None:
        mesh = SceneMesh(mesh.vertices, mesh.faces, colors.repeat(8, axis=0).astype(np.uint8), mesh.vertex_instances)
    renderer = make_renderer(mesh, "embree")
    frames: list[Frame] = []
    for k, x in enumerate([0.0, apart, apart / 2][: 3 if middle else 2]):
        pose = look_at(np.array([x, 0.0, 1.2]), np.array([x, 2.0, 1.2]))
        image = shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose)
        frames.append(Frame(str(k), image.rgb, image.instance_map, image.depth, CAMERA, pose))
    return frames


WALL: Box = ((-4.0, 2.0, 0.0), (13.0, 0.1, 2.5))


def pairs_of(frames: list[Frame], error_m: float = 0.0) -> set[tuple[int, int]]:
    """Ids of the masks that are said to go on into each other, every mask being a part of its own."""
    table = tabulate_masks(frames)
    labels = np.arange(len(table), dtype=np.int32)
    found = find_continuations(table, sample_masks(table), labels, colors=[f.rgb for f in frames], pose_error_m=error_m)
    return {(table.keys[a].mask, table.keys[b].mask) for a, b in found.pairs.tolist()}


def test_a_wall_goes_on_between_two_pictures_and_grouping_joins_it() -> None:
    frames = two_looks([WALL])
    table = tabulate_masks(frames)
    found = find_continuations(table, sample_masks(table), np.arange(2, dtype=np.int32))
    assert found.pairs.tolist() in ([[0, 1]], [[1, 0]])
    assert found.gaps_m[0] == pytest.approx(1.0, abs=0.1)  # each picture shows 4 m, 5 m apart
    run = group_frames(frames, options=GroupingOptions(lift=False))
    assert len(run.grouping.groups) == 1
    assert not np.isnan(run.graph.evidence.gap_m).all()


def test_two_boards_that_end_inside_their_pictures_are_two() -> None:
    boards: list[Box] = [((-1.0, 2.0, 0.6), (2.0, 0.1, 1.0)), ((2.0, 2.0, 0.6), (2.0, 0.1, 1.0))]
    assert pairs_of(two_looks(boards, apart=3.5)) == set()


def test_surfaces_in_two_planes_are_two() -> None:
    steps: list[Box] = [((-4.0, 2.0, 0.0), (6.5, 0.1, 2.5)), ((2.5, 2.15, 0.0), (6.5, 0.1, 2.5))]
    assert pairs_of(two_looks(steps)) == set()


def test_surfaces_of_two_colours_are_two() -> None:
    halves: list[Box] = [((-4.0, 2.0, 0.0), (6.5, 0.1, 2.5)), ((2.5, 2.0, 0.0), (6.5, 0.1, 2.5))]
    red_blue = np.array([[200, 60, 60], [60, 60, 200]])
    assert pairs_of(two_looks(halves, colors=red_blue)) == set()
    assert len(pairs_of(two_looks(halves, colors=np.array([[150, 150, 150]] * 2)))) == 1  # nothing tells these apart


def test_a_gap_that_a_view_looks_through_parts_two_surfaces() -> None:
    """The view between them sees the far wall through a door, and of the halves only what stands beside it."""
    halves: list[Box] = [((-4.0, 2.0, 0.0), (6.3, 0.1, 2.5)), ((2.7, 2.0, 0.0), (6.3, 0.1, 2.5)), ((-4.0, 6.0, -4), (13.0, 0.1, 9))]
    grey = np.array([[150, 150, 150]] * 3)
    frames = two_looks(halves, colors=grey, middle=True)
    ids = frames[2].instance_map.copy()
    ids[ids != 3] = -1  # its own masks of the halves would tell them apart already
    frames[2] = Frame("2", frames[2].rgb, ids, frames[2].depth, CAMERA, frames[2].pose)
    assert (1, 2) not in pairs_of(frames)
    assert (2, 1) not in pairs_of(frames)
    assert pairs_of(frames[:2]) & {(1, 2), (2, 1)}


def test_poor_poses_and_missing_depth_give_nothing() -> None:
    frames = two_looks([WALL])
    assert pairs_of(shake(frames, sigma_m=0.05, sigma_deg=1.4), error_m=0.07) == set()
    blind = [Frame(f.view, f.rgb, f.instance_map, np.zeros_like(f.depth), CAMERA, f.pose) for f in frames]
    assert pairs_of(blind) == set()
