"""Every way in which a scene may be broken gives one sentence that names the file, what was found and what was expected."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.scenes import open_scene
from engine.types import Scene
from engine.views.frames import FrameSource
from tests.tiny_room import ply_text, tiny_mesh

Break = Callable[[Path], object]
Use = Callable[[Scene], object]


def write(path: str, text: str) -> Break:
    return lambda folder: (folder / path).write_text(text)


def cut(path: str, *, keep: float = 0.5) -> Break:
    def act(folder: Path) -> None:
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[: int(len(whole) * keep)])

    return act


def remove(path: str) -> Break:
    return lambda folder: (folder / path).unlink()


def link_out(path: str, target: str = "/etc/passwd") -> Break:
    def act(folder: Path) -> None:
        (folder / path).unlink()
        (folder / path).symlink_to(target)

    return act


def pose(change: Callable[[np.ndarray], object]) -> Break:
    def act(folder: Path) -> None:
        matrix = np.loadtxt(folder / "poses/2.txt")
        change(matrix)
        np.savetxt(folder / "poses/2.txt", matrix)

    return act


def rewrite_ply(change: Callable[[str], str]) -> Break:
    return lambda folder: (folder / "tiny_mesh.ply").write_text(change(ply_text(tiny_mesh())))


def set_nan(matrix: np.ndarray) -> None:
    matrix[1, 2] = np.nan


def double(matrix: np.ndarray) -> None:
    matrix[:3, :3] *= 2


def flatten(matrix: np.ndarray) -> None:
    matrix[:3, 2] = 0


def mirror(matrix: np.ndarray) -> None:
    matrix[:3, 0] *= -1


def transpose(matrix: np.ndarray) -> None:
    matrix[:] = matrix.T.copy()


def read_view(scene: Scene) -> object:
    return scene.view("2")


def read_color(scene: Scene) -> object:
    return scene.color("2")


def read_depth(scene: Scene) -> object:
    return scene.depth("2")


def read_mesh(scene: Scene) -> object:
    return scene.mesh


LABELS = "../ground_truth/tiny.txt"
MESH = "tiny_mesh.ply"

REPLICA: dict[str, tuple[Break, Use, str, str]] = {
    # what is broken: how, what then fails, the file that is named, what is said about it
    "no pose": (remove("poses/2.txt"), read_view, "poses/2.txt", "no pose for view '2'"),
    "pose of 3 columns": (write("poses/2.txt", "1 0 0\n" * 4), read_view, "poses/2.txt", "4 rows of 3 columns, expected .*4x4"),
    "ragged pose": (write("poses/2.txt", "1 0 0 0\n1 0 0\n"), read_view, "poses/2.txt", "2 rows of 3 or 4 columns"),
    "empty pose": (write("poses/2.txt", ""), read_view, "poses/2.txt", "0 rows"),
    "pose of words": (write("poses/2.txt", "a b c d\n" * 4), read_view, "poses/2.txt", "text that is no number"),
    "NaN pose": (pose(set_nan), read_view, "poses/2.txt", "NaN or infinity"),
    "scaled pose": (pose(double), read_view, "poses/2.txt", "no rotation .determinant 8"),
    "singular pose": (pose(flatten), read_view, "poses/2.txt", "no rotation .determinant 0"),
    "mirrored pose": (pose(mirror), read_view, "poses/2.txt", "no rotation .determinant -1"),
    "transposed pose": (pose(transpose), read_view, "poses/2.txt", "expected 0 0 0 1; is the matrix transposed"),
    "binary pose": (lambda f: (f / "poses/2.txt").write_bytes(b"\xff\xfe\x00"), read_view, "poses/2.txt", "cannot be read as text"),
    "pose outside": (link_out("poses/2.txt"), read_view, "poses/2.txt", "leads to /etc/passwd, expected a path inside"),
    "no intrinsics": (remove("intrinsics.txt"), read_view, "intrinsics.txt", "no file, expected an intrinsics matrix"),
    "intrinsics 2x2": (write("intrinsics.txt", "1 0\n0 1\n"), read_view, "intrinsics.txt", "2 rows of 2 columns, .*3x3 or 4x4"),
    "zero focal": (write("intrinsics.txt", "0 0 1\n0 1 1\n0 0 1\n"), read_view, "intrinsics.txt", "focal lengths 0 and 1"),
    "photo cut short": (cut("color/2.png"), read_color, "color/2.png", "broken or cut short"),
    "photo is text": (write("color/2.png", "hello"), read_color, "color/2.png", "no readable image"),
    "photo outside": (link_out("color/2.png", "../../ground_truth/tiny.txt"), read_color, "color/2.png", "expected a path inside"),
    "photo dangles": (link_out("color/2.png", "gone.png"), read_color, "gone.png", "no file, expected an image"),
    "depth cut short": (cut("depth/2.png"), read_depth, "depth/2.png", "broken or cut short"),
    "depth in colour": (
        lambda f: shutil.copy(f / "color/2.png", f / "depth/2.png"),
        read_depth,
        "depth/2.png",
        "mode RGB, expected a 16-bit",
    ),
    "depth scale zero": (write("depth_scale.txt", "0"), read_depth, "depth_scale.txt", "found 0, expected a positive"),
    "depth scale word": (write("depth_scale.txt", "mm"), read_depth, "depth_scale.txt", "no number"),
    "mesh cut short": (cut(MESH), read_mesh, MESH, "cut short"),
    "mesh of one line less": (rewrite_ply(lambda t: t.rsplit("\n", 2)[0] + "\n"), read_mesh, MESH, "cut short"),
    "mesh without header's end": (cut(MESH, keep=0.05), read_mesh, MESH, "no 'end_header'"),
    "mesh is text": (write(MESH, "hello\n"), read_mesh, MESH, "not 'ply'"),
    "mesh is empty": (write(MESH, ""), read_mesh, MESH, "not 'ply'"),
    "mesh without faces": (
        rewrite_ply(lambda t: t.replace("element face 36", "element face 0")),
        read_mesh,
        MESH,
        "24 vertices and 0 faces",
    ),
    "mesh with a wild index": (
        rewrite_ply(lambda t: t.rstrip().rsplit("\n", 1)[0] + "\n3 0 1 99\n"),
        read_mesh,
        MESH,
        "vertex 99, expected 0 to 23",
    ),
    "mesh with NaN": (rewrite_ply(lambda t: t.replace("-2 -2 -0.1", "nan -2 -0.1", 1)), read_mesh, MESH, "NaN"),
    "mesh outside": (link_out(MESH), read_mesh, MESH, "expected a path inside"),
    "one label less": (write(LABELS, "1\n" * 23), read_mesh, "ground_truth/tiny.txt", "found 23 labels, expected 24"),
    "label is a word": (write(LABELS, "1\n" * 23 + "x\n"), read_mesh, "ground_truth/tiny.txt", "no integer"),
    "label too large": (write(LABELS, "1\n" * 23 + "99999999999\n"), read_mesh, "ground_truth/tiny.txt", "below 2.31"),
    "labels outside": (link_out(LABELS), read_mesh, "ground_truth/tiny.txt", "expected a path inside"),
}


@pytest.mark.parametrize("case", REPLICA)
def test_broken_replica_scene(tiny_room: Path, case: str) -> None:
    act, use, named, said = REPLICA[case]
    act(tiny_room)
    with pytest.raises(SceneError, match=said) as caught:
        use(open_scene(tiny_room))
    check_sentence(str(caught.value), named)


def check_sentence(message: str, named: str) -> None:
    assert named in message
    assert "expected" in message
    assert message.endswith((".", "?"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "found nothing, expected a folder with poses"),
        (lambda path: path.write_text("x"), "found a file, expected a scene folder"),
        (lambda path: None, "found nothing, expected a scene folder"),
        (lambda path: (path / "poses").mkdir(parents=True) or (path / "color").mkdir(), "found no view"),
    ],
)
def test_no_scene_there(tmp_path: Path, make: Break, said: str) -> None:
    make(tmp_path / "it")
    with pytest.raises(SceneError, match=said) as caught:
        open_scene(tmp_path / "it")
    check_sentence(str(caught.value), "it")


def test_folder_of_photos_outside_is_refused(tiny_room: Path, tmp_path: Path) -> None:
    shutil.move(tiny_room / "color", tmp_path / "elsewhere")
    (tiny_room / "color").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SceneError, match="expected a path inside"):
        open_scene(tiny_room)


def test_photo_of_another_aspect_is_left_out(tiny_room: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tiny_room / "color" / "2.png")
    scene = open_scene(tiny_room)
    assert scene.view_names == ("0", "10")
    assert [view.name for view in scene.left_out] == ["2"]
    with pytest.raises(SceneError, match=r"color/2.png: found 8x8 pixels, expected 32x24"):
        scene.color("2")


PROCESSED: dict[str, tuple[Break, str, str]] = {
    "pickled mask": (
        lambda f: np.save(f / "1/instance_mask.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True),
        "instance_mask.npy",
        "allow_pickle",
    ),
    "mask cut short": (cut("1/instance_mask.npy", keep=0.9), "instance_mask.npy", "cannot be read as .npy"),
    "mask is text": (write("1/instance_mask.npy", "hello"), "instance_mask.npy", "cannot be read as .npy"),
    "mask is empty": (write("1/instance_mask.npy", ""), "instance_mask.npy", "cannot be read as .npy"),
    "mask of floats": (lambda f: np.save(f / "1/instance_mask.npy", np.ones((3, 4))), "instance_mask.npy", "found float64"),
    "mask of one axis": (lambda f: np.save(f / "1/instance_mask.npy", np.ones(12, int)), "instance_mask.npy", "shape .12,."),
    "mask of another size": (
        lambda f: np.save(f / "1/instance_mask.npy", np.ones((4, 3), int)),
        "instance_mask.npy",
        "found 3x4 pixels, expected 4x3",
    ),
    "mask of huge ids": (
        lambda f: np.save(f / "1/instance_mask.npy", np.full((3, 4), 2**40)),
        "instance_mask.npy",
        "found the id 1099511627776",
    ),
    "no mask": (remove("1/instance_mask.npy"), "instance_mask.npy", "no file"),
    "no picture": (remove("1/rgb.png"), "rgb.png", "no file"),
    "picture cut short": (cut("1/rgb.png", keep=0.3), "rgb.png", "broken or cut short|no readable image"),
    "ids are text": (write("1/unique_instances.npy", "hello"), "unique_instances.npy", "cannot be read as .npy"),
    "mask outside": (link_out("1/instance_mask.npy"), "instance_mask.npy", "expected a path inside"),
}


@pytest.mark.parametrize("case", PROCESSED)
def test_broken_processed_scene(tmp_path: Path, case: str) -> None:
    from PIL import Image

    act, named, said = PROCESSED[case]
    folder = tmp_path / "flat"
    (folder / "1").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (3, 4, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "1/rgb.png")
    np.save(folder / "1/instance_mask.npy", np.ones((3, 4), np.int32))
    np.save(folder / "1/unique_instances.npy", np.array([1]))
    FrameSource(open_scene(folder)).frame("1")  # whole before it is broken
    act(folder)
    with pytest.raises(SceneError, match=said) as caught:
        FrameSource(open_scene(folder)).frame("1")
    check_sentence(str(caught.value), named)
