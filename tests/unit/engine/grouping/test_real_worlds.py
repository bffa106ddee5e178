"""The bench of sensors and segmenters: it spoils what it says, always alike, and prints its table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.grouping.geometry import tabulate_masks
from engine.grouping.graph import Group, Grouping
from engine.grouping.instances import fuse_cloud
from engine.grouping.point_scores import score_mask_points
from engine.types import MaskKey
from tests.bench import bench_real
from tests.bench.sensors.depth import RANGE_M, SENSORS, find_edges, structured_light, time_of_flight
from tests.bench.sensors.worlds import WORLDS, spoil
from tests.grouping_rooms import dining_room, truth_of


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    """A slanted floor from 1 to 7 m with a box at half its distance."""
    depth = np.broadcast_to(np.linspace(1, 7, 240, dtype=np.float32), (180, 240)).copy()
    depth[60:120, 100:140] *= 0.5
    return depth


@pytest.mark.parametrize("name", sorted(SENSORS))
def test_a_sensor_is_near_the_truth_and_always_alike(ramp: np.ndarray, name: str) -> None:
    first, again = (SENSORS[name](ramp, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    known = (first > 0) & ~find_edges(ramp)
    assert known.mean() > 0.3
    assert np.median(np.abs(first[known] / ramp[known] - 1)) < 0.12
    if name != "network depth":
        assert (first[ramp > RANGE_M + 0.3] == 0).all()


def test_structured_light_errs_as_its_formula_says(ramp: np.ndarray) -> None:
    seen = structured_light(ramp, np.random.default_rng(0))
    for metres in (1.5, 3.0, 4.5):
        near = (np.abs(ramp - metres) < 0.1) & (seen > 0)
        expected = 0.0012 + 0.0019 * (metres - 0.4) ** 2
        assert np.std(seen[near] - ramp[near]) == pytest.approx(np.hypot(expected, 0.0018 * metres**2 / np.sqrt(12)), rel=0.3)
    assert (seen[find_edges(ramp)] == 0).all()


def test_time_of_flight_mixes_pixels_at_edges(ramp: np.ndarray) -> None:
    seen = time_of_flight(ramp, np.random.default_rng(0))
    edge = np.zeros(ramp.shape, bool)
    edge[62:118, 99:101] = True
    between = (seen > 0.6 * ramp[62, 99]) & (seen < 0.9 * ramp[62, 99])
    assert (between & edge).sum() > 10


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_world_has_an_object_for_each_mask_and_is_always_alike(world: bench_real.World) -> None:
    frames = list(dining_room()[1])[:4]
    first, again = spoil(frames, world, seed=1), spoil(frames, world, seed=1)
    assert len(first.truth) == sum(len(frame.mask_areas) for frame in first.frames)
    np.testing.assert_array_equal(first.truth, again.truth)
    for a, b in zip(first.frames, again.frames, strict=True):
        np.testing.assert_array_equal(a.instance_map, b.instance_map)
        np.testing.assert_array_equal(a.depth, b.depth)
        np.testing.assert_array_equal(a.pose, b.pose)
    assert np.isin(first.truth, [-1, *truth_of(frames).tolist()]).all()


def test_the_bench_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_real.main(["--tiny"])
    printed = capsys.readouterr().out
    assert "AP / AP50 / AP25" in printed
    assert all(f"| {row} |" in printed for row in bench_real.TINY_ROWS)
    with pytest.raises(SystemExit, match="No row is called"):
        bench_real.main(["--tiny", "--rows"] and ["--rooms", "1", "--rows", "nowhere"])


def test_points_of_masks_are_scored_by_hand() -> None:
    """Two views of one wall, two masks each: the left half is one group, the right half two."""
    base = dining_room()[1][0]
    assert base.camera is not None
    depth = np.full(base.instance_map.shape, 2.0, np.float32)
    ids = np.zeros(base.instance_map.shape, np.int32)
    ids[:, 80:] = 1
    frames = [replace(base, view=name, instance_map=ids, depth=depth, pose=np.eye(4)) for name in ("a", "b")]
    table = tabulate_masks(frames)

    def grouped(labels: list[int]) -> Grouping:
        keys = table.keys
        groups = tuple(
            Group(g, tuple(k for k, own in zip(keys, labels, strict=True) if own == g), 1.0 - 0.1 * g, (MaskKey("a", 0),))
            for g in sorted(set(labels))
        )
        return Grouping(np.array(labels, np.int32), np.ones(4), groups, (), 0.0)

    truth = np.array([5, 6, 5, 6], np.int32)
    right = score_mask_points(table, truth, grouped([0, 1, 0, 1]))
    assert right is not None
    assert (right.ap, right.ap50, right.ap25, right.instances) == (1, 1, 1, 2)
    glued = score_mask_points(table, truth, grouped([0, 0, 0, 0]))
    assert glued is not None
    # One prediction over both: IoU is one half with either, which is above 0.25 and not above 0.5.
    assert (glued.ap50, glued.ap25) == (0, pytest.approx(0.5))
    maps = [np.full(ids.shape, -1, np.int32), None]
    nothing = score_mask_points(table, maps, grouped([0, 1, 0, 1]))
    assert nothing is not None
    assert nothing.instances == 0
    assert fuse_cloud(table, np.array([0, 1, 0, 1], np.int32)) is not None
