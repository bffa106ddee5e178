"""The tiny room in the formats of other tools has the same views, cameras, depth and masks as the original, and the same groups."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.grouping.pipeline import GroupingOptions, group_scene
from engine.scenes import open_scene, survey_scenes
from engine.types import Scene
from engine.views.frames import FrameSource
from tests.format_rooms import LISTED, MASKS, name_in, put_coco, write_colmap, write_room, write_trajectory, write_transforms
from tests.tiny_room import CAMERA, POSES, write_tiny_room


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


def partition(scene: Scene) -> set[frozenset[tuple[int, bytes]]]:
    """The groups of a scene, each mask told by the place of its view and its pixels."""
    frames = FrameSource(scene, width=32, height=24)  # as the photos are: masks of the mesh are rendered at that size too
    run = group_scene(scene, frames, options=GroupingOptions(lift=False))
    groups: dict[int, set[tuple[int, bytes]]] = {}
    for key, label in zip(run.table.keys, run.grouping.labels.tolist(), strict=True):
        pixels = np.packbits(frames.frame(key.view).instance_map == key.mask).tobytes()
        groups.setdefault(label, set()).add((scene.view_names.index(key.view), pixels))
    return {frozenset(group) for group in groups.values()}


@pytest.fixture(scope="module")
def original(room: Path) -> set[frozenset[tuple[int, bytes]]]:
    found = partition(open_scene(room))
    assert sorted(len(group) for group in found) == [3, 3]
    return found


@pytest.mark.parametrize("writer", LISTED)
@pytest.mark.parametrize("masks", MASKS)
def test_a_room_has_the_groups_of_the_original(
    writer: str, masks: str, room: Path, original: set[frozenset[tuple[int, bytes]]], tmp_path: Path
) -> None:
    scene = open_scene(write_room(room, tmp_path / "there", writer, masks))
    assert scene.format == writer.partition(" ")[0] or scene.format == writer
    assert scene.view_names == tuple(name_in(writer, view) for view in POSES)
    assert scene.left_out == ()
    assert partition(scene) == original


@pytest.mark.parametrize("writer", LISTED)
def test_cameras_poses_and_depth_are_those_of_the_original(writer: str, room: Path, tmp_path: Path) -> None:
    first, scene = open_scene(room), open_scene(write_room(room, tmp_path / "there", writer, "png"))
    for view, pose in POSES.items():
        found = scene.view(name_in(writer, view))
        assert found.camera is not None
        assert found.pose is not None
        assert np.allclose([found.camera.fx, found.camera.fy, found.camera.cx, found.camera.cy], [24, 24, CAMERA.cx, CAMERA.cy])
        assert (found.camera.width, found.camera.height) == (32, 24)
        assert np.allclose(found.pose, pose, atol=1e-9)
        depth, own = first.depth(view), scene.depth(name_in(writer, view))
        assert depth is not None
        assert own is not None
        assert np.allclose(depth, own)
        photo, other = first.color(view), scene.color(name_in(writer, view))
        assert photo is not None
        assert other is not None
        assert (photo == other).all()


@pytest.mark.parametrize("writer", [name for name in LISTED if name != "posed masks"])
def test_ids_of_these_formats_are_local_to_a_view(writer: str, room: Path, tmp_path: Path) -> None:
    scene = open_scene(write_room(room, tmp_path / "there", writer, "png"))
    assert not scene.mask_ids_are_instances


@pytest.mark.parametrize("writer", LISTED)
def test_they_are_listed_beside_each_other(writer: str, room: Path, tmp_path: Path) -> None:
    write_room(room, tmp_path / "there", writer, "coco packed")
    listed = survey_scenes(tmp_path)
    assert [(info.name, info.n_views) for info in listed.scenes] == [("there", 3)]
    quick = survey_scenes(tmp_path, budget_s=-1.0)
    assert [info.n_views for info in quick.scenes] == [3]


def test_a_list_is_counted_without_opening_the_scene(room: Path, tmp_path: Path) -> None:
    for writer in LISTED:
        write_room(room, tmp_path / writer.replace(" ", "_"), writer, "png")
    quick = survey_scenes(tmp_path, budget_s=-1.0)
    assert {info.name: (info.n_views, info.is_checked) for info in quick.scenes} == {
        writer.replace(" ", "_"): (3, False) for writer in LISTED
    }


# transforms.json


Edit = Callable[[dict], object]


def frame(content: dict, **fields: object) -> None:
    content["frames"][1].update(fields)


def drop_frame_field(name: str) -> Edit:
    return lambda content: content["frames"][1].pop(name)


def set_matrix(row: int, column: int, value: float) -> Edit:
    return lambda content: content["frames"][1]["transform_matrix"][row].__setitem__(column, value)


LEFT_OUT: dict[str, tuple[Edit, str]] = {
    "no file_path": (drop_frame_field("file_path"), "expected a path from the folder of transforms.json"),
    "absolute path": (lambda c: frame(c, file_path="/etc/passwd"), "expected a path from the folder"),
    "path on another system": (lambda c: frame(c, file_path="C:\\room\\0.png"), "expected a path from the folder"),
    "path out of the scene": (lambda c: frame(c, file_path="../../secret.png"), "expected a path inside"),
    "path with zero": (lambda c: frame(c, file_path="a\0.png"), "expected a path from the folder"),
    "photo missing": (lambda c: frame(c, file_path="images/none.png"), "found no file"),
    "path of very many letters": (lambda c: frame(c, file_path="images/" + "a" * 5000 + ".png"), "found no file"),
    "path of very many letters without ending": (lambda c: frame(c, file_path="a" * 5000), "found no file"),
    "path that is no text": (lambda c: frame(c, file_path="images/\ud800.png"), "expected"),
    "path of a folder": (lambda c: frame(c, file_path="images/../images"), "found a folder"),
    "focal length of thousands of digits": (lambda c: frame(c, fl_x=10**400, fl_y=10**400), "found no positive focal length"),
    "tiny focal length": (lambda c: frame(c, fl_x=1e-290, fl_y=1e-290), "found a focal length"),
    "same photo twice": (lambda c: frame(c, file_path="images/frame_0.png"), "expected one frame for a photo"),
    "no pose": (drop_frame_field("transform_matrix"), "found no transform_matrix of 4x4 finite numbers"),
    "infinite pose": (set_matrix(0, 3, float("inf")), "found no transform_matrix of 4x4 finite numbers"),
    "pose of words": (lambda c: frame(c, transform_matrix=[["1"] * 4] * 4), "found no transform_matrix of 4x4 finite numbers"),
    "pose too small": (lambda c: frame(c, transform_matrix=[[1, 0], [0, 1]]), "found no transform_matrix of 4x4 finite numbers"),
    "pose of truths": (lambda c: frame(c, transform_matrix=[[True] * 4] * 4), "found no transform_matrix of 4x4 finite numbers"),
    "no rotation": (set_matrix(0, 0, 5.0), "is no rotation"),
    "fisheye": (lambda c: frame(c, camera_model="OPENCV_FISHEYE"), "expected a pinhole"),
    "no focal length": (lambda c: frame(c, fl_x=None, fl_y=None), "found no positive focal length"),
    "negative focal length": (lambda c: frame(c, fl_x=-20, fl_y=-20), "found no positive focal length"),
    "size zero": (lambda c: frame(c, w=0), "expected w and h of real pictures"),
    "size of another picture": (lambda c: frame(c, w=24, h=32, cx=12, cy=16), "expected 24x32 or the same aspect"),
    "principal point outside": (lambda c: frame(c, cx=500), "expected one inside pictures"),
    "distortion of words": (lambda c: frame(c, k1="bent"), "expected a number"),
    "no object": (lambda c: c["frames"].__setitem__(1, [1, 2]), "expected a path from the folder"),
    "far away": (set_matrix(0, 3, 5000.0), "from the other views"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_broken_frame_of_transforms_is_left_out_and_the_others_stay(case: str, room: Path, tmp_path: Path) -> None:
    edit, said = LEFT_OUT[case]
    (tmp_path.parent / "secret.png").write_bytes((room / "color/0.png").read_bytes())
    scene = open_scene(write_transforms(room, tmp_path / "there", edit=edit))
    assert len(scene.left_out) == 1
    assert said in scene.left_out[0].reason
    assert "expected" in scene.left_out[0].reason
    assert len(scene.view_names) == (1 if case == "same photo twice" else 2)


def test_a_photo_without_ending_is_found_and_angles_give_the_focal_length(room: Path, tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        for one in content["frames"]:
            one["file_path"] = "./" + one["file_path"].removesuffix(".png")
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del content[key]
        content["camera_angle_x"] = float(2 * np.arctan(32 / 2 / 24))

    scene = open_scene(write_transforms(room, tmp_path / "there", edit=edit))
    camera = scene.view("frame_0").camera
    assert camera is not None
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((24, 24, 15.5, 11.5))


def test_smaller_photos_get_a_smaller_camera(room: Path, tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content.update({key: 2 * content[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")})

    camera = open_scene(write_transforms(room, tmp_path / "there", edit=edit)).view("frame_0").camera
    assert camera is not None
    assert (camera.width, camera.fx, camera.cx, camera.cy) == pytest.approx((32, 24, 15.5, 11.5))


def test_photos_of_one_name_in_two_folders_are_two_views(room: Path, tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        for side, one in zip(("left", "right"), content["frames"], strict=False):
            (tmp_path / "there/images" / side).mkdir()
            (tmp_path / "there" / one["file_path"]).rename(tmp_path / "there/images" / side / "0.png")
            one["file_path"] = f"images/{side}/0.png"

    scene = open_scene(write_transforms(room, tmp_path / "there", edit=edit))
    assert scene.view_names == ("frame_10", "left_0", "right_0")
    content = {
        "images": [{"id": side, "file_name": f"{side}/0.png", "width": 32, "height": 24} for side in ("left", "right")],
        "annotations": [{"id": 5, "image_id": "right", "segmentation": [[2, 2, 8, 2, 8, 9, 2, 9]]}],
    }
    (tmp_path / "there/masks.json").write_text(json.dumps(content))
    scene = open_scene(tmp_path / "there")
    right = scene.stored_instance_map("right_0")
    assert right is not None
    assert (right == 5).sum() == 42
    assert [view.name for view in scene.left_out] == ["frame_10"]
    assert "found no masks for view" in scene.left_out[0].reason


@pytest.mark.parametrize(("key", "value"), [("depth_unit_scale_factor", 0.001), ("integer_depth_scale", 0.001)])
def test_the_list_may_say_the_unit_of_depth(key: str, value: float, room: Path, tmp_path: Path) -> None:
    plain = open_scene(write_transforms(room, tmp_path / "plain"))
    other = open_scene(write_transforms(room, tmp_path / "other", edit=lambda content: content.update({key: 2 * value})))
    first, second = plain.depth("frame_0"), other.depth("frame_0")
    assert first is not None
    assert second is not None
    assert np.allclose(2 * first, second)


def test_poses_that_were_scaled_are_scaled_back(room: Path, tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["applied_scale"] = 0.25
        for one in content["frames"]:
            for row in one["transform_matrix"][:3]:
                row[3] *= 0.25

    scene = open_scene(write_transforms(room, tmp_path / "there", edit=edit))
    pose = scene.view("frame_2").pose
    assert pose is not None
    assert np.allclose(pose, POSES["2"])
    assert any("applied_scale" in note for note in scene.notes)


@pytest.mark.parametrize("scale", [0, -1, 1e-300, 1e200])
def test_a_scale_that_is_none_is_one_sentence(scale: float, room: Path, tmp_path: Path) -> None:
    folder = write_transforms(room, tmp_path / "there", edit=lambda content: content.update(applied_scale=scale))
    with pytest.raises(SceneError, match="applied_scale"):
        open_scene(folder)


def test_a_distortion_that_matters_is_said_with_its_pixels(room: Path, tmp_path: Path) -> None:
    bent = open_scene(write_transforms(room, tmp_path / "bent", edit=lambda content: content.update(k1=0.2)))
    # The corner lies at (16 / 24, 12 / 24), r² = 0.694, and moves by k1 r² of its 20 pixels.
    assert any("3 pixels" in note and "not corrected" in note for note in bent.notes)
    slight = open_scene(write_transforms(room, tmp_path / "slight", edit=lambda content: content.update(k1=0.001)))
    assert slight.notes == ()


def test_masks_that_say_which_pixels_count_are_no_masks_of_objects(room: Path, tmp_path: Path) -> None:
    from PIL import Image

    def edit(content: dict, *, region: bool) -> None:
        (tmp_path / "there/own").mkdir(exist_ok=True)
        for one in content["frames"]:
            name = one["file_path"].rpartition("/")[2]
            ids = np.full((24, 32), 255, np.uint8)
            ids[:4] = 0
            if not region:
                ids[10:], ids[4:10] = 2, 1
            Image.fromarray(ids).save(tmp_path / "there/own" / name)
            one["mask_path"] = f"own/{name}"

    scene = open_scene(write_transforms(room, tmp_path / "there", edit=lambda content: edit(content, region=True)))
    assert scene.stored_instance_map("frame_0") is None
    assert any("mask_path" in note for note in scene.notes)
    (tmp_path / "there/images").rename(tmp_path / "images-before")
    scene = open_scene(write_transforms(room, tmp_path / "there", edit=lambda content: edit(content, region=False)))
    found = scene.stored_instance_map("frame_0")
    assert found is not None
    assert np.unique(found).tolist() == [-1, 1, 2]


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"frames": []}', '{"frames": {}}', '{"frames": [1]}', "nothing", '{"frames": [{}, {}]}', "NaN"]
)
def test_a_list_that_is_none_is_one_sentence(text: str, room: Path, tmp_path: Path) -> None:
    (write_transforms(room, tmp_path / "there") / "transforms.json").write_text(text)
    with pytest.raises(SceneError, match=r"transforms\.json.*expected"):
        open_scene(tmp_path / "there")


# COLMAP


def test_text_and_binary_models_are_the_same(room: Path, tmp_path: Path) -> None:
    from engine.scenes.listed.colmap import read_sparse_points

    text, binary = (open_scene(write_colmap(room, tmp_path / str(b), binary=b)) for b in (False, True))
    for view in POSES:
        a, b = text.view(view).pose, binary.view(view).pose
        assert a is not None
        assert b is not None
        assert np.allclose(a, b)
    points, others = read_sparse_points(text), read_sparse_points(binary)
    assert points is not None
    assert others is not None
    assert points.shape == (24, 3)
    assert np.allclose(points, others)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0", "dense/sparse", "."])
def test_a_model_is_found_where_colmap_programs_put_it(place: str, room: Path, tmp_path: Path) -> None:
    scene = open_scene(write_colmap(room, tmp_path / "there", binary=True, place=place))
    assert (scene.format, scene.view_names) == ("colmap", ("0", "2", "10"))


def colmap_text(room: Path, folder: Path, *, cameras: str | None = None, images: Callable[[str], str] = lambda text: text) -> Scene:
    write_colmap(room, folder, binary=False)
    place = folder / "sparse/0"
    if cameras is not None:
        (place / "cameras.txt").write_text(cameras)
    (place / "images.txt").write_text(images((place / "images.txt").read_text()))
    return open_scene(folder)


@pytest.mark.parametrize("points", ["", "1.5 2.5 -1"])
def test_images_may_have_no_or_empty_lines_of_points(points: str, room: Path, tmp_path: Path) -> None:
    scene = colmap_text(room, tmp_path / "there", images=lambda text: re.sub(r"1.5 2.5 -1 3.5 4.5 \d", points, text))
    assert scene.view_names == ("0", "2", "10")
    scene = colmap_text(room, tmp_path / "left", images=lambda text: re.sub(r"1.5 2.5 -1 3.5 4.5 \d\n", "", text))
    assert scene.view_names == ("0", "2", "10")


@pytest.mark.parametrize(
    ("line", "shift"),
    [
        ("7 SIMPLE_PINHOLE 32 24 24 16 12", None),
        ("7 SIMPLE_RADIAL 32 24 24 16 12 0.2", "3 pixels"),
        ("7 RADIAL 32 24 24 16 12 0 0", None),
        ("7 OPENCV 32 24 24 24 16 12 0.2 0 0 0", "3 pixels"),
        ("7 FULL_OPENCV 32 24 24 24 16 12 0.2 0 0 0 0 0.2 0 0", None),
    ],
)
def test_pinholes_of_every_model_are_read_and_their_distortion_is_said(
    line: str, shift: str | None, room: Path, tmp_path: Path
) -> None:
    scene = colmap_text(room, tmp_path / "there", cameras=line + "\n")
    camera = scene.view("0").camera
    assert camera is not None
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (24, 24, 15.5, 11.5)
    assert (scene.notes == ()) if shift is None else any(shift in note for note in scene.notes)


@pytest.mark.parametrize(
    "line",
    [
        "7 OPENCV_FISHEYE 32 24 24 24 16 12 0 0 0 0", "7 NEW_MODEL 32 24 24 24 16 12", "7 PINHOLE 32 24 24 24", "7",
        "x PINHOLE 1 1 1 1 1 1",
        "7 PINHOLE -1 24 24 24 16 12", "7 PINHOLE 1e300 24 24 24 16 12", "7 PINHOLE 32 24 nan 24 16 12",
        "7 PINHOLE 32 24 0 24 16 12",        "8 PINHOLE 32 24 24 24 16 12", "7 PINHOLE 32 24 24 24 1e4 12", "",
    ],
)  # fmt: skip
def test_cameras_that_cannot_be_used_are_one_sentence(line: str, room: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="expected"):
        colmap_text(room, tmp_path / "there", cameras=line + "\n")


@pytest.mark.parametrize("length", [0, 4, 8, 20, 60, 90, 120, 200])
@pytest.mark.parametrize("name", ["images.bin", "cameras.bin"])
def test_binary_models_that_are_cut_short_are_one_sentence(name: str, length: int, room: Path, tmp_path: Path) -> None:
    path = write_colmap(room, tmp_path / "there", binary=True) / "sparse/0" / name
    whole = path.read_bytes()
    if length >= len(whole):
        return
    path.write_bytes(whole[:length])
    with pytest.raises(SceneError, match="expected"):
        open_scene(tmp_path / "there")


@pytest.mark.parametrize("count", [2**32, 2**63, 2**64 - 1])
def test_counts_that_are_lies_take_no_memory(count: int, room: Path, tmp_path: Path) -> None:
    path = write_colmap(room, tmp_path / "there", binary=True) / "sparse/0/images.bin"
    whole = path.read_bytes()
    for at in (0, whole.index(b"0.png\0") + 6):
        path.write_bytes(whole[:at] + count.to_bytes(8, "little") + whole[at + 8 :])
        with pytest.raises(SceneError, match="cut short"):
            open_scene(tmp_path / "there")


def test_an_image_of_a_model_with_a_broken_pose_or_path_is_left_out(room: Path, tmp_path: Path) -> None:
    def spoil(text: str) -> str:
        lines = text.splitlines()
        words = lines[1].split()
        lines[1] = " ".join([words[0], "0", "0", "0", "0", *words[5:]])
        words = lines[3].split()
        lines[3] = " ".join([*words[:-1], "../../other.png"])
        return "\n".join(lines) + "\n"

    scene = colmap_text(room, tmp_path / "there", images=spoil)
    assert scene.view_names == ("10",)
    reasons = " ".join(view.reason for view in scene.left_out)
    assert "expected a quaternion" in reasons
    assert "expected a path inside" in reasons


# A trajectory


def test_a_photo_takes_the_line_of_its_number(room: Path, tmp_path: Path) -> None:
    scene = open_scene(write_trajectory(room, tmp_path / "there"))
    assert any("each photo takes the line of its number" in note for note in scene.notes)
    lines = (tmp_path / "there/traj.txt").read_text().splitlines()
    (tmp_path / "there/traj.txt").write_text("\n".join(lines[:10]) + "\n")
    scene = open_scene(tmp_path / "there")
    assert scene.view_names == ("frame000000", "frame000002")
    assert "found only 10 lines" in scene.left_out[0].reason


@pytest.mark.parametrize("line", ["1 2 3", "a " * 16, "nan " * 16, "1e999 " * 16, "2 " * 16, "1_0 " * 16])
def test_a_broken_line_leaves_out_its_view(line: str, room: Path, tmp_path: Path) -> None:
    write_trajectory(room, tmp_path / "there")
    path = tmp_path / "there/traj.txt"
    lines = path.read_text().splitlines()
    lines[2] = line
    path.write_text("\n".join(lines))
    scene = open_scene(tmp_path / "there")
    assert [view.name for view in scene.left_out] == ["frame000002"]
    assert "expected" in scene.left_out[0].reason


def test_without_a_camera_only_nice_slams_replica_has_one(room: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = write_trajectory(room, tmp_path / "there")
    (folder / "cam_params.json").unlink()
    with pytest.raises(SceneError, match=r"cam_params\.json: found no file"):
        open_scene(folder)
    for path in (folder / "results").iterdir():
        if path.name.startswith("frame"):
            Image.new("RGB", (1200, 680)).save(path)
    scene = open_scene(folder)
    camera = scene.view("frame000000").camera
    assert camera is not None
    assert (camera.fx, camera.cx, camera.cy) == (600, 599.5, 339.5)
    assert any("NICE-SLAM" in note for note in scene.notes)


# Which format


def test_poses_in_files_of_their_own_count_more_than_a_list(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "png")
    (folder / "transforms.json").write_text("{}")
    (folder / "sparse").mkdir()
    for name in ("images.bin", "cameras.bin"):
        (folder / "sparse" / name).write_bytes(b"")
    assert open_scene(folder).format == "posed masks"


def test_a_folder_called_poses_alone_does_not_hide_a_list(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "transforms", "png")
    (folder / "poses").mkdir()
    assert open_scene(folder).format == "transforms"


def test_a_coco_file_beside_a_labelled_mesh_changes_nothing(room: Path, tmp_path: Path) -> None:
    folder = write_tiny_room(tmp_path)
    put_coco(folder, {view: view for view in POSES}, kind="packed")
    assert open_scene(folder).format == "replica"
