"""What people will feed it: each gives one clear sentence or a sane answer, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskgroupError, SceneError
from engine.grouping.depth_units import find_depth_factor
from engine.grouping.geometry import tabulate_masks
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames, group_scene
from engine.scenes import open_scene
from engine.types import NOTHING, Frame
from engine.views.frames import FrameSource
from tests.grouping_rooms import SimulatedJudge, dining_room, truth_of, without_geometry

OPTIONS = GroupingOptions(lift=False, repair=False)


def group(frames: Sequence[Frame]) -> GroupingRun:
    return group_frames(list(frames), options=OPTIONS)


@pytest.fixture(scope="module")
def frames() -> tuple[Frame, ...]:
    return dining_room()[1]


def write_masks(folder: Path, masks: np.ndarray, *, size: tuple[int, int] = (32, 24)) -> Path:
    for name in ("color", "masks"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(folder / "color" / "0.png")
    Image.fromarray(masks).save(folder / "masks" / "0.png")
    return folder


def test_masks_of_another_size_than_their_image(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "mine", np.ones((12, 16), np.uint16))
    with pytest.raises(SceneError, match=r"masks.0\.png: found 16x12 pixels, expected 32x24 as its photo has"):
        open_scene(folder)


def test_ids_over_65535(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "mine", np.ones((24, 32), np.uint16))
    # A PNG cannot hold them: such files are 32-bit pictures of another kind under the name of one.
    Image.fromarray(np.full((24, 32), 70_000, np.int32)).save(folder / "masks" / "0.png", format="TIFF")
    scene = open_scene(folder)
    with pytest.raises(SceneError, match="found the id 70000, expected ids of 0 to 65535"):
        group_scene(scene, FrameSource(scene))


def test_no_overlap_at_all(frames: tuple[Frame, ...]) -> None:
    apart: list[Frame] = []
    for k, frame in enumerate(frames[:4]):
        assert frame.pose is not None
        pose = frame.pose.copy()
        pose[0, 3] += 100.0 * k
        apart.append(replace(frame, pose=pose))
    run = group(apart)
    assert len(run.grouping.groups) == len(run.table), "every mask is a group of its own"
    assert any("No mask is seen by a second view" in warning for warning in run.warnings)


def test_one_view(frames: tuple[Frame, ...]) -> None:
    run = group(frames[:1])
    assert len(run.grouping.groups) == len(run.table) == len(frames[0].mask_areas)
    assert any("one view" in warning for warning in run.warnings)


def test_no_masks(frames: tuple[Frame, ...]) -> None:
    empty = [replace(frame, instance_map=np.full_like(frame.instance_map, NOTHING)) for frame in frames[:3]]
    run = group(empty)
    assert (len(run.table), run.grouping.groups) == (0, ())
    assert any("no masks" in warning for warning in run.warnings)
    judged = group_frames(
        without_geometry(empty), options=replace(OPTIONS, evidence="vlm"), judge=SimulatedJudge(empty, np.zeros(0, np.int32))
    )
    assert judged.calls == 0


def test_some_views_without_masks(frames: tuple[Frame, ...]) -> None:
    some = [replace(frames[0], instance_map=np.full_like(frames[0].instance_map, NOTHING)), *frames[1:]]
    assert len(group(some).grouping.groups) <= 15


def test_depth_that_is_not_a_number(frames: tuple[Frame, ...]) -> None:
    broken: list[Frame] = []
    for k, frame in enumerate(frames):
        assert frame.depth is not None
        depth = frame.depth.copy()
        depth[::3] = (np.nan, np.inf, -1.0)[k % 3]
        broken.append(replace(frame, depth=depth))
    run = group_frames(broken, truth=truth_of(frames), options=OPTIONS)
    assert run.mask_scores is not None
    assert run.mask_scores.ari > 0.95
    nowhere = [replace(frame, depth=np.full_like(frame.depth, np.nan)) for frame in frames]
    assert len(group(nowhere).grouping.groups) == len(run.table)


@pytest.mark.parametrize("factor", [0.1, 0.2, 0.25, 0.5, 2.0, 4.0, 5.0, 10.0])
def test_wrong_depth_scale_is_found_and_said(frames: tuple[Frame, ...], factor: float) -> None:
    wrong = [replace(frame, depth=None if frame.depth is None else frame.depth * np.float32(factor)) for frame in frames]
    assert find_depth_factor(tabulate_masks(wrong)) == factor
    said = " ".join(group(wrong).warnings)
    assert f"multiply the number in depth_scale.txt by {factor:.3g}" in said


def test_right_depth_scale_raises_no_doubt(frames: tuple[Frame, ...]) -> None:
    assert find_depth_factor(tabulate_masks(frames)) is None
    assert find_depth_factor(tabulate_masks(frames[:1])) is None
    assert group(frames).warnings == ()


def test_nothing_to_go_by_is_a_sentence(frames: tuple[Frame, ...]) -> None:
    with pytest.raises(MaskgroupError, match="no depth, poses or intrinsics in at least two views"):
        group(without_geometry(frames))
    with pytest.raises(MaskgroupError, match="needs a judge"):
        group_frames(list(frames), options=replace(OPTIONS, evidence="both"))


def test_poses_that_are_not_numbers(frames: tuple[Frame, ...]) -> None:
    broken = [replace(frames[0], pose=np.full((4, 4), np.nan)), *frames[1:]]
    run = group(broken)
    assert len(run.grouping.labels) == len(run.table)


def fuse(frames: Sequence[Frame], *, every: int) -> tuple[list[Frame], np.ndarray]:
    """Give the table's masks the id of what lies on it, in every n-th view; returns the frames and the objects of their masks."""
    table, vase = 6, 7
    fused: list[Frame] = []
    truth: list[int] = []
    for k, frame in enumerate(frames):
        is_hit = k % every == 0 and {table, vase} <= set(frame.mask_areas)
        changed = replace(frame, instance_map=np.where(frame.instance_map == vase, table, frame.instance_map)) if is_hit else frame
        fused.append(changed)
        truth.extend(sorted(changed.mask_areas))
    return fused, np.array(truth, np.int32)


def test_masks_over_several_objects_do_not_glue_them_together() -> None:
    frames = dining_room(24)[1]
    fused, truth = fuse(frames, every=4)
    run = group_frames(fused, truth=truth, options=OPTIONS)
    assert run.mask_scores is not None
    assert run.mask_scores.ari > 0.99
    sound = group(frames)
    assert len(sound.undersegmented) <= 0.01 * len(sound.table)


def test_masks_over_several_objects_are_said_and_stand_with_the_larger() -> None:
    mesh_frames = list(dining_room(24)[1])
    walls = (2, 5)
    hit = [k for k, frame in enumerate(mesh_frames) if set(walls) <= set(frame.mask_areas)][::4]
    assert hit
    for k in hit:
        ids = mesh_frames[k].instance_map
        mesh_frames[k] = replace(mesh_frames[k], instance_map=np.where(ids == walls[1], walls[0], ids))
    run = group(mesh_frames)
    assert {key.view for key in run.undersegmented} & {mesh_frames[k].view for k in hit}
    assert any("seem to cover several objects" in warning for warning in run.warnings)
    untouched = [row for row, key in enumerate(run.table.keys) if key.view not in {mesh_frames[k].view for k in hit}]
    truth = np.array([run.table.keys[row].mask for row in untouched], np.int32)
    assert score_masks(truth, run.grouping.labels[untouched]).ari == 1.0
