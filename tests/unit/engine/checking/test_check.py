"""A check finds every way in which a good room was spoiled, says how to mend it, and finds nothing wrong with the good room."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.checking.findings import CheckReport, Finding
from engine.checking.run import check_scene
from engine.grouping.axes import TURN, find_axes
from engine.grouping.geometry import tabulate_masks
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.scenes import open_scene
from engine.scenes.procedural import look_at
from engine.types import Frame
from tests.command_line import run_command
from tests.format_rooms import LISTED, write_colmap, write_room, write_transforms
from tests.grouping_rooms import dining_room, shake
from tests.tiny_room import write_tiny_room

DEPTH_SCALE = 1000


def write_dining_room(folder: Path) -> Path:
    """The grouping tests' room as posed masks: a room with walls, twelve views."""
    for name in ("color", "depth", "poses", "masks", "gt_masks"):
        (folder / name).mkdir(parents=True)
    _, frames = dining_room()
    for frame in frames:
        assert frame.depth is not None
        assert frame.pose is not None
        Image.fromarray(frame.rgb).save(folder / "color" / f"{frame.view}.png")
        Image.fromarray(np.rint(frame.depth * DEPTH_SCALE).astype(np.uint16)).save(folder / "depth" / f"{frame.view}.png")
        ids = Image.fromarray(np.maximum(frame.instance_map, 0).astype(np.uint16))
        for name in ("masks", "gt_masks"):
            ids.save(folder / name / f"{frame.view}.png")
        np.savetxt(folder / "poses" / f"{frame.view}.txt", frame.pose)
    np.savetxt(folder / "intrinsics.txt", [[80, 0, 79.5], [0, 80, 44.5], [0, 0, 1]])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dining_room(tmp_path_factory.mktemp("dining") / "dining")


def doubts(report: CheckReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == "doubt"]


def one(report: CheckReport, topic: str) -> Finding:
    found = [finding for finding in report.findings if finding.topic == topic]
    assert len(found) == 1, found
    return found[0]


def test_nothing_is_wrong_with_a_good_room(whole: Path) -> None:
    report = check_scene(open_scene(whole))
    assert report.is_sound
    assert (report.n_views, report.n_looked_at, report.left_out) == (12, 12, ())
    assert {finding.topic: finding.level for finding in report.findings} == {
        "views": "ok", "pictures": "ok", "camera": "ok", "depth": "ok", "poses": "ok", "masks": "ok", "ground truth": "ok",
    }  # fmt: skip
    assert one(report, "camera").figures["angle_deg"] == pytest.approx(90)
    error, holes = one(report, "poses").figures["error_cm"], one(report, "depth").figures["holes_share"]
    assert isinstance(error, float)
    assert error < 1
    assert isinstance(holes, float)
    assert 0 <= holes < 0.2


def every_pose(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for path in (folder / "poses").iterdir():
            np.savetxt(path, change(np.loadtxt(path)))

    return act


def every_picture(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for path in (folder / name).iterdir():
            Image.fromarray(change(np.asarray(Image.open(path)))).save(path)

    return act


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def fit(*acts: Callable[[Path], None]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for own in acts:
            own(folder)

    return act


def with_holes(depth: np.ndarray) -> np.ndarray:
    kept = np.zeros_like(depth)
    kept[:, :40] = depth[:, :40]
    return kept


def move_apart(folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "poses").iterdir())):
        pose = np.loadtxt(path)
        pose[:3, 3] += 50 * number
        np.savetxt(path, pose)


def shuffle_poses(folder: Path) -> None:
    paths = sorted((folder / "poses").iterdir())
    poses = [path.read_text() for path in paths]
    for path, text in zip(paths, poses[5:] + poses[:5], strict=True):
        path.write_text(text)


def with_background(ids: np.ndarray) -> np.ndarray:
    return np.where(np.arange(ids.size).reshape(ids.shape) % 50 == 0, ids, 99).astype(np.uint16)


def specks(ids: np.ndarray) -> np.ndarray:
    """More than a thousand masks of one pixel."""
    found = np.zeros_like(ids)
    found[::3, ::3] = np.arange(1, found[::3, ::3].size + 1).reshape(found[::3, ::3].shape)
    return found


INVERSE = every_pose(np.linalg.inv)
SPOILED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "OpenGL axes": (every_pose(lambda pose: pose @ TURN), "poses", "multiply each pose by diag"),
    "world-to-camera": (INVERSE, "poses", "invert each pose"),
    "OpenGL world-to-camera": (every_pose(lambda pose: np.linalg.inv(pose @ TURN)), "poses", "invert each pose, and multiply"),
    "depth in other units": (write("depth_scale.txt", "200"), "depth", "5 times too large"),
    "depth in tenths": (write("depth_scale.txt", "10000"), "depth", "10 times too small"),
    "depth in kilometres": (write("depth_scale.txt", "1"), "depth", "expected a median of 0.15 to 50 m"),
    "OpenGL axes and other units": (
        fit(every_pose(lambda pose: pose @ TURN), write("depth_scale.txt", "200")),
        "poses", "5 times too large for the poses, and"),
    "depth of holes": (every_picture("depth", with_holes), "depth", "masks in the holes cannot be followed"),
    "depth of nothing": (every_picture("depth", np.zeros_like), "depth", "Depth is 0 everywhere"),
    "depth of one value": (every_picture("depth", lambda d: np.full_like(d, 2000)), "depth", "2 m everywhere"),
    "views far apart": (move_apart, "poses", "check poses, depth and intrinsics"),
    "poses of other views": (shuffle_poses, "poses", "check poses, depth and intrinsics"),
    "principal point of other pictures": (
        write("intrinsics.txt", "80 0 40\n0 80 22\n0 0 1\n"), "camera", "principal point lies"),
    "focal length of other pictures": (
        write("intrinsics.txt", "800 0 79.5\n0 800 44.5\n0 0 1\n"), "camera", "angle of view"),
    "stretched": (write("intrinsics.txt", "80 0 79.5\n0 70 44.5\n0 0 1\n"), "camera", "focal lengths differ"),
    "background as a mask": (every_picture("masks", with_background), "masks", "ignore_ids"),
    "specks": (every_picture("masks", specks), "masks", "less than 50 pixels"),
    "empty masks": (every_picture("masks", np.zeros_like), "masks", "nothing to group"),
}  # fmt: skip


@pytest.mark.parametrize("way", SPOILED)
def test_a_spoiled_room_is_doubted_with_what_to_do(way: str, whole: Path, tmp_path: Path) -> None:
    spoil, topic, said = SPOILED[way]
    shutil.copytree(whole, tmp_path / "room")
    spoil(tmp_path / "room")
    report = check_scene(open_scene(tmp_path / "room"))
    assert not report.is_sound
    assert any(finding.topic == topic and said in finding.text for finding in doubts(report)), doubts(report)


@pytest.mark.parametrize(("sigma_m", "sigma_deg"), [(0.0, 0.0), (0.02, 0.5), (0.05, 2.0), (0.1, 4.0)])
@pytest.mark.parametrize("seed", range(3))
def test_shaken_poses_are_never_taken_for_another_convention(sigma_m: float, sigma_deg: float, seed: int) -> None:
    frames = shake(dining_room()[1], sigma_m=sigma_m, sigma_deg=sigma_deg, seed=seed)
    found = find_axes(tabulate_masks(frames))
    assert found is not None
    assert found.best == "as given"


@pytest.mark.parametrize("convention", ["OpenGL axes", "world-to-camera", "world-to-camera with OpenGL axes"])
@pytest.mark.parametrize("sigma_m", [0.0, 0.05])
def test_a_convention_is_found_even_where_poses_are_shaken(convention: str, sigma_m: float) -> None:
    change: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "OpenGL axes": lambda pose: pose @ TURN,
        "world-to-camera": np.linalg.inv,
        "world-to-camera with OpenGL axes": lambda pose: np.linalg.inv(pose @ TURN),
    }
    frames = shake(dining_room()[1], sigma_m=sigma_m, sigma_deg=20 * sigma_m)
    found = find_axes(tabulate_masks([with_pose(frame, change[convention]) for frame in frames]))
    assert found is not None
    assert found.best == convention


def with_pose(frame: Frame, change: Callable[[np.ndarray], np.ndarray]) -> Frame:
    assert frame.pose is not None
    return Frame(frame.view, frame.rgb, frame.instance_map, frame.depth, frame.camera, change(frame.pose))


def test_grouping_warns_of_another_convention() -> None:
    frames = dining_room()[1]
    turned = [with_pose(frame, lambda pose: pose @ TURN) for frame in frames]
    for given, is_doubted in ((frames, False), (turned, True)):
        run = group_frames(given, options=GroupingOptions(repair=False, lift=False))
        assert any("diag(1, -1, -1, 1)" in warning for warning in run.warnings) is is_doubted


def test_views_that_look_the_same_way_do_not_confuse_the_axes() -> None:
    """One wall, seen by cameras side by side: the hardest case, as turning all cameras round changes little."""
    from engine.rendering import make_renderer, shade
    from tests.grouping_rooms import CAMERA, boxes_mesh

    mesh = boxes_mesh([((-4, 2, -2), (8, 0.1, 4)), ((-1, 1.5, -1), (0.7, 0.5, 0.7)), ((1, 1.4, 0), (0.5, 0.6, 0.5))])
    renderer = make_renderer(mesh, "embree")
    frames: list[Frame] = []
    for number in range(8):
        eye = np.array([-0.8 + 0.2 * number, -1.0, 0.1])
        pose = look_at(eye, eye + np.array([0, 1.0, 0]))
        image = shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose)
        frames.append(Frame(str(number), image.rgb, image.instance_map, image.depth, CAMERA, pose))
    found = find_axes(tabulate_masks(frames))
    assert found is not None
    assert found.best == "as given"


@pytest.mark.parametrize("count", [3, 4, 5, 6, 8])
@pytest.mark.parametrize("wide", [0.0, 0.3, 0.8])
def test_views_that_look_out_all_around_are_not_taken_for_others_that_look_in(count: int, wide: float) -> None:
    """Where they hardly overlap, cameras turned round see across each other, and may agree by accident."""
    from engine.rendering import make_renderer, shade
    from tests.grouping_rooms import CAMERA

    mesh, _ = dining_room()
    renderer = make_renderer(mesh, "embree")
    frames: list[Frame] = []
    for number in range(count):
        out = np.array([np.cos(2 * np.pi * number / count), np.sin(2 * np.pi * number / count), 0.0])
        eye = wide * out + (0, 0, 1.4)
        pose = look_at(eye, eye + out - (0, 0, 0.2))
        image = shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose)
        frames.append(Frame(str(number), image.rgb, image.instance_map, image.depth, CAMERA, pose))
    found = find_axes(tabulate_masks(frames))
    assert found is None or found.best == "as given"


@pytest.mark.parametrize("writer", LISTED)
def test_rooms_of_other_tools_are_sound(writer: str, tmp_path: Path) -> None:
    room = write_tiny_room(tmp_path / "original")
    report = check_scene(open_scene(write_room(room, tmp_path / "there", writer, "npz")))
    assert doubts(report) == []
    assert one(report, "poses").figures["convention"] == "as given"


def test_a_list_with_our_axes_is_doubted(tmp_path: Path) -> None:
    """transforms.json with OpenCV's axes, as some scripts write it."""

    def edit(content: dict) -> None:
        for own in content["frames"]:
            own["transform_matrix"] = (np.array(own["transform_matrix"]) @ TURN).tolist()

    folder = write_transforms(write_tiny_room(tmp_path / "original"), tmp_path / "there", edit=edit)
    report = check_scene(open_scene(folder))
    assert any("y and z axes are turned round" in finding.text for finding in doubts(report))


def test_points_of_a_model_must_lie_in_its_views(tmp_path: Path) -> None:
    room = write_tiny_room(tmp_path / "original")
    folder = write_colmap(room, tmp_path / "there", binary=False)
    assert one(check_scene(open_scene(folder)), "points").level == "ok"
    path = folder / "sparse/0/points3D.txt"
    path.write_text("\n".join(f"{number} {100 + number} 0 0 1 2 3 0.5 1 0" for number in range(50)))
    assert one(check_scene(open_scene(folder)), "points").level == "doubt"
    path.write_text("1 a b c\n")
    assert "expected a number" in one(check_scene(open_scene(folder)), "points").text


def test_a_mesh_in_another_frame_is_doubted(tmp_path: Path) -> None:
    folder = write_tiny_room(tmp_path)
    (folder / "depth_scale.txt").write_text("1000\n")
    assert one(check_scene(open_scene(folder)), "mesh").level == "ok"
    mesh = folder / "tiny_mesh.ply"
    lines = mesh.read_text().splitlines()
    start = lines.index("end_header") + 1
    for at in range(start, start + 24):
        x, y, z, *rest = lines[at].split()
        lines[at] = " ".join([x, y, str(float(z) + 0.7), *rest])
    mesh.write_text("\n".join(lines) + "\n")
    assert one(check_scene(open_scene(folder)), "mesh").level == "doubt"


def test_a_broken_file_is_told_and_the_rest_is_checked(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "room"
    shutil.copytree(whole, folder)
    (folder / "depth/3.png").write_bytes(b"\x89PNG")
    (folder / "poses/4.txt").write_text("1 2 3")
    report = check_scene(open_scene(folder))
    assert sorted(view.name for view in report.left_out) == ["3", "4"]
    assert one(report, "views").level == "note"
    assert report.is_sound
    (folder / "gt_masks/5.png").write_bytes(b"\x89PNG")
    report = check_scene(open_scene(folder))
    assert one(report, "ground truth").level == "doubt"


def test_photos_with_masks_alone_are_sound_and_it_says_what_is_missing(whole: Path, tmp_path: Path) -> None:
    for name in ("color", "masks"):
        shutil.copytree(whole / name, tmp_path / "room" / name)
    report = check_scene(open_scene(tmp_path / "room"))
    assert report.is_sound
    assert {f.topic for f in report.findings if f.level == "note"} >= {"camera", "depth", "poses"}


def test_the_command_exits_with_0_1_or_2(whole: Path, tmp_path: Path) -> None:
    done = run_command("check", whole)
    assert done.code == 0
    assert done.out.splitlines()[0].split()[:2] == ["dining", "posed"]
    assert "DOUBT" not in done.out
    folder = tmp_path / "room"
    shutil.copytree(whole, folder)
    every_pose(lambda pose: pose @ TURN)(folder)
    done = run_command("check", folder)
    assert done.code == 1
    assert "DOUBT poses: " in done.out
    done = run_command("check", tmp_path / "nothing")
    assert done.code == 2
    assert "expected" in done.sentence


def test_json_has_every_finding_and_every_left_out_view(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "room"
    shutil.copytree(whole, folder)
    (folder / "poses/4.txt").unlink()
    done = run_command("check", folder, "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert report["ok"] is True
    assert (report["n_views"], report["n_looked_at"]) == (11, 11)
    assert [view["view"] for view in report["left_out"]] == ["4"]
    assert {finding["topic"] for finding in report["findings"]} >= {"views", "camera", "depth", "poses", "masks"}
    poses = next(finding for finding in report["findings"] if finding["topic"] == "poses")
    assert poses["figures"]["agreeing_share"] > 0.5
    assert (whole / "poses/4.txt").exists()
