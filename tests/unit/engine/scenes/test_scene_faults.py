"""What datasets and other programs really write: accepted where it has one meaning, else refused by name, never in the way."""

from __future__ import annotations

import os
import re
import struct
import time
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import SceneError
from engine.grouping.pipeline import group_scene
from engine.scenes import folders, list_scenes, open_scene, registry, survey_scenes
from engine.scenes.files import read_depth_scale, read_intrinsics, read_pose, read_vertex_labels
from engine.scenes.names import fault_of, numeric_order
from engine.scenes.ply import read_ply
from engine.types import Scene
from engine.views.frames import FrameSource
from tests.fuzz.whole_scenes import READERS, write_whole
from tests.tiny_room import POSES, VIEWS

IDENTITY = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
MASK = np.zeros((24, 32), np.uint16)
MASK[2:10, 2:14], MASK[12:20, 4:20] = 1, 2


@pytest.fixture
def posed(tmp_path: Path) -> Path:
    return write_whole("posed masks", tmp_path)


# Names


@pytest.mark.parametrize("name", ["1²3", "10²", "٣", "a b", "-rf", "é", "😀", "x" * 200, "A", "a", "0" * 100])
def test_views_with_odd_names_open(tiny_room: Path, name: str) -> None:
    for folder, suffix in (("color", ".png"), ("poses", ".txt"), ("depth", ".png")):
        (tiny_room / folder / f"0{suffix}").rename(tiny_room / folder / f"{name}{suffix}")
    scene = open_scene(tiny_room)
    assert set(scene.view_names) == {name, "2", "10"}
    assert scene.color(name) is not None
    assert scene.depth(name) is not None


@pytest.mark.parametrize(
    ("name", "said"), [("a\nb", r"U\+000A"), ("a\x1bb", r"U\+001B"), ("a\u202eb", r"U\+202E"), ("\udcffx", "UTF-8")]
)
def test_names_that_cannot_be_shown_are_left_out(tiny_room: Path, name: str, said: str) -> None:
    (tiny_room / "color" / f"{name}.png").write_bytes((tiny_room / "color" / "0.png").read_bytes())
    scene = open_scene(tiny_room)
    assert scene.view_names == VIEWS
    assert len(scene.left_out) == 1
    assert re.search(said, scene.left_out[0].reason)
    assert "\n" not in scene.left_out[0].reason


def test_numeric_order_survives_any_digits() -> None:
    names = ["²", "9" * 9000, "10²", "0" * 9000 + "2", "9", "1"]
    assert sorted(names, key=numeric_order) == ["1", "0" * 9000 + "2", "9", "10²", "9" * 9000, "²"]
    assert sorted(["10", "9", "007", "8"], key=numeric_order) == ["007", "8", "9", "10"]
    assert fault_of("fine") is None


def test_upper_case_suffixes_and_names_are_read(posed: Path) -> None:
    for folder in ("color", "masks", "depth", "gt_masks"):
        for path in list((posed / folder).iterdir()):
            path.rename(path.with_suffix(".PNG"))
    for path in list((posed / "poses").iterdir()):
        path.rename(path.with_suffix(".TXT"))
    (posed / "intrinsics.txt").rename(posed / "Intrinsics.TXT")
    (posed / "mesh.ply").rename(posed / "mesh.PLY")
    scene = open_scene(posed)
    assert scene.view("0").camera is not None
    assert scene.mesh is not None
    frame = FrameSource(scene).frame("0")
    assert set(frame.mask_areas) == {1, 2, 3}
    assert frame.depth is not None


def test_files_of_other_systems_are_no_views(posed: Path) -> None:
    for folder in ("color", "masks", "poses", "."):
        for name in ("._0.png", "._0.txt", ".DS_Store", "Thumbs.db", "desktop.ini", "._tiny_mesh.ply"):
            (posed / folder / name).write_bytes(b"\x00\x05\x16\x07")
    (posed / "__MACOSX").mkdir()
    scene = open_scene(posed)
    assert (scene.view_names, scene.left_out) == (VIEWS, ())
    assert scene.mesh is not None


def test_names_in_two_unicode_forms_are_one_view(posed: Path) -> None:
    composed, apart = unicodedata.normalize("NFC", "caf\u00e9"), unicodedata.normalize("NFD", "caf\u00e9")
    assert composed != apart
    for folder, name in (("color", composed), ("masks", apart), ("poses", apart), ("depth", composed), ("gt_masks", apart)):
        path = next((posed / folder).glob("0.*"))
        path.rename(path.with_name(name + path.suffix))
    scene = open_scene(posed)
    assert composed in scene.view_names
    assert FrameSource(scene).frame(composed).depth is not None
    (posed / "masks" / f"{composed}.png").write_bytes((posed / "masks" / f"{apart}.png").read_bytes())
    again = open_scene(posed)
    assert composed not in again.view_names
    assert "expected one file for a view" in again.left_out[0].reason


def test_two_photos_of_one_view_are_said(tiny_room: Path) -> None:
    Image.new("RGB", (32, 24)).save(tiny_room / "color" / "0.jpg")
    scene = open_scene(tiny_room)
    assert scene.view_names == ("2", "10")
    assert "'0.jpg' and '0.png'" in scene.left_out[0].reason


# Lists of scenes


def test_broken_folders_are_listed_with_their_reason_and_hide_nothing(tiny_room: Path) -> None:
    scenes = tiny_room.parent
    (scenes / "10²").mkdir()
    (scenes / "empty").mkdir()
    (scenes / "a\nb").mkdir()
    (scenes / "dangling").symlink_to("nowhere")
    (scenes / "lost" / "poses").mkdir(parents=True)
    (scenes / "lost" / "color").mkdir()
    (scenes / "__MACOSX").mkdir()
    (scenes / ".hidden").mkdir()
    (scenes / "caf\u00e9").mkdir()
    (scenes / "cafe\u0301").mkdir()
    os.mkfifo(scenes / "pipe")
    (scenes / "notes.txt").write_text("x")
    found = survey_scenes(scenes)
    assert [info.name for info in found.scenes] == ["tiny"]
    reasons = {entry.name: entry.reason for entry in found.left_out}
    assert set(reasons) == {"10²", "empty", "a\nb", "dangling", "lost", "caf\u00e9", "cafe\u0301"}
    assert "found nothing" in reasons["empty"]
    assert "found no view" in reasons["lost"]
    assert "leads to nothing" in reasons["dangling"]
    assert "looks the same" in reasons["caf\u00e9"]
    assert "\n" not in reasons["a\nb"]


def test_list_follows_changes_of_a_folder(tiny_room: Path) -> None:
    assert [info.n_views for info in list_scenes(tiny_room.parent)] == [3]
    (tiny_room / "poses" / "2.txt").unlink()
    info = list_scenes(tiny_room.parent)[0]
    assert (info.n_views, [view.name for view in info.left_out]) == (2, ["2"])


def test_without_time_scenes_are_counted_only(tiny_room: Path) -> None:
    (tiny_room / "poses" / "2.txt").write_text("")
    info = survey_scenes(tiny_room.parent, budget_s=0).scenes[0]
    assert (info.n_views, info.is_checked) == (3, False)


def test_a_view_that_is_mended_in_place_comes_back(tiny_room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing into a file changes no folder, so the scene looks as it did when the view was left out."""
    path = tiny_room / "poses" / "2.txt"
    good = path.read_text()
    path.write_text("x")
    assert [view.name for view in survey_scenes(tiny_room.parent).scenes[0].left_out] == ["2"]
    path.write_text(good)
    assert survey_scenes(tiny_room.parent).scenes[0].left_out, "not looked at again within ten seconds"
    monkeypatch.setattr(registry, "RETRY_S", 0.0)
    assert survey_scenes(tiny_room.parent, budget_s=0).scenes[0].left_out, "what is known is kept while there is no time"
    assert survey_scenes(tiny_room.parent).scenes[0].left_out == ()


# Text

POSE_FORMS: dict[str, Callable[[str], bytes]] = {
    "byte order mark": lambda t: t.encode("utf-8-sig"),
    "utf-16": lambda t: t.encode("utf-16"),
    "windows lines": lambda t: t.replace("\n", "\r\n").encode(),
    "old mac lines": lambda t: t.replace("\n", "\r").encode(),
    "tabs": lambda t: t.replace(" ", "\t").encode(),
    "commas": lambda t: t.replace(" ", ",").encode(),
    "commas at the end": lambda t: t.replace(" ", ", ").replace("\n", ",\n").encode(),
    "semicolons": lambda t: t.replace(" ", ";").encode(),
    "decimal commas": lambda t: t.replace(".", ",").replace(" ", ";").encode(),
    "decimal commas and spaces": lambda t: t.replace(".", ",").encode(),
    "decimal commas and tabs": lambda t: t.replace(".", ",").replace(" ", "\t").encode("utf-16"),
    "comments": lambda t: ("# caf\xe9\n" + t.replace("\n", " # row\n")).encode("latin-1"),
    "brackets": lambda t: ("[[" + t.strip().replace("\n", "]\n [") + "]]").encode(),
    "no-break spaces": lambda t: t.replace(" ", "\u00a0").encode(),
    "fortran": lambda t: t.replace("0.5000", "5.0D-01").encode(),
}


@pytest.mark.parametrize("form", POSE_FORMS)
def test_every_form_of_a_pose_is_the_same_pose(tmp_path: Path, form: str) -> None:
    pose = np.eye(4)
    pose[:3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    pose[:3, 3] = 0.5, 1.25, -2.75
    text = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in pose) + "\n"
    (tmp_path / "pose.txt").write_bytes(POSE_FORMS[form](text))
    np.testing.assert_array_equal(read_pose(tmp_path / "pose.txt"), pose)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1_000", r"line 1: .*the character '_' in '1_000'"),
        ("0x10", "the character 'x' in '0x10'"),
        ("٣", "ARABIC-INDIC DIGIT THREE"),
        ("−1", "MINUS SIGN"),
        ("1.2.3", "'1.2.3'"),
        ("nan", "NaN or infinity"),
        ("-Infinity", "NaN or infinity"),
        ("1.#IND", "NaN or infinity"),
        ("1e999", "NaN or infinity"),
        ("1e30", r"1e\+30 m from the origin"),
    ],
)
def test_words_that_are_no_numbers_are_named(tmp_path: Path, word: str, said: str) -> None:
    (tmp_path / "pose.txt").write_text(IDENTITY.replace("1 0 0 0", f"1 0 0 {word}", 1))
    with pytest.raises(SceneError, match=said):
        read_pose(tmp_path / "pose.txt")


@pytest.mark.parametrize(("text", "value"), [("1000", 1000), ("6553,5", 6553.5), ("1e3\n", 1000), ("\ufeff5000 # units", 5000)])
def test_depth_scales(tmp_path: Path, text: str, value: float) -> None:
    (tmp_path / "scale.txt").write_text(text)
    assert read_depth_scale(tmp_path / "scale.txt") == value


@pytest.mark.parametrize("text", ["1,000", "1_000", "1 000", "inf", "-5", "1e300", "1.000,5", "0"])
def test_doubtful_depth_scales_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "scale.txt").write_text(text)
    with pytest.raises(SceneError, match=r"scale\.txt: "):
        read_depth_scale(tmp_path / "scale.txt")


@pytest.mark.parametrize(
    "text", ["1001\n0\n-1\n7\n", "1.001e+03\n0.0\n-1.0\n7.000000e+00", "\ufeff1001;\r\n0;\r\n-1;\r\n7;\r\n", "1001 0\t-1 7"]
)
def test_labels_in_every_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    assert read_vertex_labels(tmp_path / "labels.txt", 4).tolist() == [1001, -1, -1, 7]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1_000", "'_'"),
        ("100.7", "100.7"),
        ("0x10", "'x'"),
        ("inf", "'n'|inf"),
        ("nan", "nan|'n'"),
        ("²", "SUPERSCRIPT TWO"),
        ("1,001", "','"),
        ("1e99", "1e99"),
    ],
)
def test_labels_that_are_no_integers_are_named_with_their_line(tmp_path: Path, word: str, said: str) -> None:
    (tmp_path / "labels.txt").write_text(f"1\n2\n{word}\n4\n")
    with pytest.raises(SceneError, match=rf"labels\.txt: line 3: found a label that is no integer .*({said})"):
        read_vertex_labels(tmp_path / "labels.txt", 4)


# Pictures


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_masks_of_every_plain_form_have_the_same_ids(posed: Path, mode: str) -> None:
    image = Image.fromarray(MASK if mode == "I;16" else MASK.astype(np.uint8))
    if mode == "P":
        image.putpalette([value for k in range(256) for value in (k * 7 % 256, 0, 0)])
        assert image.mode == "P"
    image.save(posed / "masks" / "0.png")
    stored = open_scene(posed).stored_instance_map("0")
    np.testing.assert_array_equal(stored, np.where(MASK > 0, MASK.astype(np.int32), -1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_masks_in_colour_are_refused_with_what_to_do(posed: Path, mode: str) -> None:
    Image.new(mode, (32, 24)).save(posed / "masks" / "0.png")
    scene = open_scene(posed)
    with pytest.raises(
        SceneError, match=rf"masks/0\.png: found a colour picture \(mode {mode}\).*export the ids, not their colours"
    ):
        scene.stored_instance_map("0")
    run = group_scene(scene, FrameSource(scene))
    assert [view.name for view in run.left_out] == ["0"]
    assert "1 of 3 views were left out: 0" in run.warnings[0]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("masks_are", ["upright", "stored"])
def test_photos_are_turned_to_their_masks(tmp_path: Path, orientation: int, masks_are: str) -> None:
    rng = np.random.default_rng(0)
    stored = Image.fromarray(np.kron(rng.integers(0, 255, (3, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    for name in ("color", "masks"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    stored.save(tmp_path / "mine" / "color" / "0.png", exif=exif)
    swaps = orientation >= 5
    size = (24, 32) if swaps and masks_are == "upright" else (32, 24)
    Image.new("L", size, 1).save(tmp_path / "mine" / "masks" / "0.png")
    frame = FrameSource(open_scene(tmp_path / "mine"), width=None, height=None).frame("0")
    assert frame.rgb.shape[:2] == frame.instance_map.shape == size[::-1]
    steps = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's Transpose: flips and quarter turns, by orientation
    is_turned = orientation != 1 and not (swaps and masks_are == "stored")
    expected = stored.transpose(Image.Transpose(steps[orientation])) if is_turned else stored
    np.testing.assert_array_equal(frame.rgb, np.asarray(expected))


def test_quarter_turn_follows_the_camera_where_there_are_no_masks(tiny_room: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    for view in VIEWS:
        path = tiny_room / "color" / f"{view}.png"
        Image.open(path).save(path, exif=exif)
    scene = open_scene(tiny_room)  # the intrinsics belong to 32x24, as the photos are stored
    photo = scene.color("0")
    assert photo is not None
    assert photo.shape == (24, 32, 3)
    (tiny_room / "intrinsics.txt").write_text("24 0 11.5\n0 24 15.5\n0 0 1\n")
    turned = open_scene(tiny_room).color("0")
    assert turned is not None
    np.testing.assert_array_equal(turned, np.rot90(photo, -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_photos_of_every_mode_are_rgb_of_eight_bits(tiny_room: Path, mode: str) -> None:
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
    path = tiny_room / "color" / "0.png"
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif mode == "P":
        Image.fromarray(grey).quantize(64).save(path)
    else:
        Image.fromarray(grey).convert("RGB").convert(mode).save(path, format="TIFF" if mode == "CMYK" else "PNG")
    photo = open_scene(tiny_room).color("0")
    assert photo is not None
    assert (photo.dtype, photo.shape) == (np.uint8, (24, 32, 3))
    error = np.abs(photo[..., 0].astype(int) - grey)
    assert error.max() <= (255 if mode == "1" else 3)
    assert photo[0, 0, 0] < 10 < 200 < photo[0, -1, 0]


def test_photo_of_the_same_aspect_has_a_camera_of_its_own_size(tiny_room: Path) -> None:
    Image.new("RGB", (64, 48)).save(tiny_room / "color" / "0.png")  # the first view, so not the first one decides
    scene = open_scene(tiny_room)
    assert scene.left_out == ()
    small, large = scene.view("2").camera, scene.view("0").camera
    assert small is not None
    assert large == small.resized(64, 48)
    assert large.fx == 2 * small.fx


@pytest.mark.parametrize("odd", VIEWS)
def test_portrait_among_landscape_is_left_out(tiny_room: Path, odd: str) -> None:
    Image.new("RGB", (24, 32)).save(tiny_room / "color" / f"{odd}.png")
    scene = open_scene(tiny_room)
    assert scene.view_names == tuple(view for view in VIEWS if view != odd)
    assert "found 24x32 pixels, expected 32x24 or the same aspect" in scene.left_out[0].reason


def test_depth_of_another_aspect_is_refused(posed: Path) -> None:
    Image.fromarray(np.full((32, 32), 1000, np.uint16)).save(posed / "depth" / "0.png")
    scene = open_scene(posed)
    with pytest.raises(SceneError, match=r"depth/0\.png: found 32x32 pixels, expected the aspect of the photo, 32x24"):
        scene.depth("0")
    Image.fromarray(np.full((12, 16), 1000, np.uint16)).save(posed / "depth" / "0.png")
    depth = open_scene(posed).depth("0")
    assert depth is not None
    assert depth.shape == (12, 16)


# Values


def test_the_sensors_last_value_is_unknown_depth(posed: Path) -> None:
    depth = np.full((24, 32), 1500, np.uint16)
    depth[:5] = 65535
    Image.fromarray(depth).save(posed / "depth" / "0.png")
    read = open_scene(posed).depth("0")
    assert read is not None
    assert (read[:5] == 0).all()
    assert (read[5:] == 1.5).all()


@pytest.mark.parametrize("void", [255, 65535])
def test_void_ids_are_guessed_said_and_overruled(posed: Path, void: int) -> None:
    (posed / "maskgroup.json").unlink()
    for view in VIEWS:
        ids = MASK.copy()
        ids[:2], ids[:, -2:] = void, void
        Image.fromarray(ids).save(posed / "masks" / f"{view}.png")
    scene = open_scene(posed)
    assert set(FrameSource(scene).frame("0").mask_areas) == {1, 2}
    assert any(f"The id {void} is in nearly all views" in note for note in scene.notes)
    assert any(f"The id {void}" in warning for warning in group_scene(scene, FrameSource(scene)).warnings)
    (posed / "maskgroup.json").write_text('{"ignore_ids": []}')
    kept = open_scene(posed)
    assert set(FrameSource(kept).frame("0").mask_areas) == {1, 2, void}
    (posed / "maskgroup.json").write_text('{"ignore_ids": [2, 255, 65535]}')
    assert set(FrameSource(open_scene(posed)).frame("0").mask_areas) == {1}


def test_one_mask_of_255_is_no_void(posed: Path) -> None:
    (posed / "maskgroup.json").unlink()
    for view in VIEWS:
        Image.fromarray((MASK > 0).astype(np.uint8) * 255).save(posed / "masks" / f"{view}.png")
    assert set(FrameSource(open_scene(posed)).frame("0").mask_areas) == {255}


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"ignore_ids": 3}', '{"ignore_ids": [-1]}', '{"ignore_ids": [true]}', '{"ignore": [1]}', "\ufffe"]
)
def test_broken_settings_are_a_sentence(posed: Path, text: str) -> None:
    (posed / "maskgroup.json").write_text(text)
    with pytest.raises(SceneError, match=r"maskgroup\.json: .*expected"):
        open_scene(posed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1e300 0 15.5\n0 1e300 11.5\n0 0 1", "focal length of 1e[+]300"),
        ("1e-9 0 15.5\n0 1e-9 11.5\n0 0 1", "focal length of 1e-09"),
        ("0.75 0 0.5\n0 1 0.5\n0 0 1", "is it normalised"),
        ("24 0 500\n0 24 11.5\n0 0 1", r"principal point \(500, 11.5\), expected one inside"),
        ("24 0 15.5\n0 24 -40\n0 0 1", "principal point"),
        ("24 0 0\n0 24 0\n15.5 11.5 1", "is the matrix transposed"),
        ("24 0 15.5\n0 24 11.5\n0 0 2", "last row"),
        ("24 9 15.5\n0 24 11.5\n0 0 1", "skew"),
        ("24 0 15.5\n0 2400 11.5\n0 0 1", "nearly the same"),
        ("nan 0 15.5\n0 24 11.5\n0 0 1", "NaN"),
    ],
)
def test_impossible_cameras_are_refused(tiny_room: Path, text: str, said: str) -> None:
    (tiny_room / "intrinsics.txt").write_text(text)
    with pytest.raises(SceneError, match=said) as caught:
        open_scene(tiny_room)
    assert "intrinsics.txt" in str(caught.value)


def test_camera_without_photos_must_have_a_size(tiny_room: Path) -> None:
    for photo in (tiny_room / "color").iterdir():
        photo.unlink()
    (tiny_room / "intrinsics.txt").write_text("24 0 1e300\n0 24 11.5\n0 0 1")
    with pytest.raises(SceneError, match="expected the middle of a picture"):
        open_scene(tiny_room)


# Lost views

LOST: dict[str, tuple[Callable[[Path], object], str]] = {
    "NaN": (lambda p: p.write_text(IDENTITY.replace("1 0 0 0", "1 0 0 nan", 1)), "NaN or infinity"),
    "infinite": (lambda p: p.write_text("-inf " * 4 + "\n" + IDENTITY[8:]), "NaN or infinity"),
    "missing": (lambda p: p.unlink(), "no pose for view '2'"),
    "empty": (lambda p: p.write_text(""), "found 0 rows"),
    "words": (lambda p: p.write_text("lost"), "text that is no number"),
    "transposed": (lambda p: np.savetxt(p, np.loadtxt(p).T), "transposed"),
    "scaled": (lambda p: np.savetxt(p, np.loadtxt(p) * np.array([[2], [2], [2], [1]])), "no rotation"),
    "far": (lambda p: p.write_text(IDENTITY.replace("1 0 0 0", "1 0 0 1e30", 1)), "m from the origin"),
    "far from the others": (lambda p: p.write_text(IDENTITY.replace("1 0 0 0", "1 0 0 5000", 1)), "from the other views"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "found a folder"),
    "a pipe": (lambda p: (p.unlink(), os.mkfifo(p)), "found a pipe"),
    "huge": (lambda p: os.truncate(p, 3 * 2**30), "3,221,225,472 bytes"),
    "a link outside": (lambda p: (p.unlink(), p.symlink_to("/etc/passwd")), "expected a path inside"),
    "a link to itself": (lambda p: (p.unlink(), p.symlink_to(p.name)), "cannot be followed|found no file|loop"),
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("reader", ["replica", "posed masks", "scannet", "frame files"])
def test_view_without_a_usable_pose_is_left_out_and_named(tmp_path: Path, reader: str, case: str) -> None:
    folder = write_whole(reader, tmp_path)
    place = {"frame files": "frame-000001.pose.txt", "scannet": "pose/2.txt"}.get(reader, "poses/2.txt")
    lost = "frame-000001" if reader == "frame files" else "2"
    act, said = LOST[case]
    act(folder / place)
    scene = open_scene(folder)
    if reader == "scannet" and case == "missing":  # its views are its poses
        assert lost not in scene.view_names
        return
    assert [view.name for view in scene.left_out] == [lost]
    assert len(scene.view_names) == 2
    reason = scene.left_out[0].reason
    assert place in reason or "cannot be followed" in reason
    assert re.search(said.replace("'2'", f"'{lost}'"), reason), reason


@pytest.mark.parametrize("reader", ["replica", "posed masks", "scannet", "frame files"])
def test_scene_of_which_no_pose_is_usable_is_refused(tmp_path: Path, reader: str) -> None:
    folder = write_whole(reader, tmp_path)
    for path in folder.rglob("*.txt"):
        if "pose" in str(path.relative_to(folder)):
            path.write_text("nan")
    with pytest.raises(SceneError, match="found 3 views without a usable pose"):
        open_scene(folder)


def test_masks_without_any_pose_are_still_a_scene(posed: Path) -> None:
    for path in (posed / "poses").iterdir():
        path.unlink()
    scene = open_scene(posed)
    assert (scene.view_names, scene.left_out) == (VIEWS, ())
    assert scene.view("0").pose is None


def test_left_out_views_are_in_the_groups(posed: Path) -> None:
    from engine.grouping.files import summarise_groups, summarise_metrics

    (posed / "poses" / "2.txt").write_text("nan")
    (posed / "masks" / "10.png").write_bytes((posed / "masks" / "10.png").read_bytes()[:60])
    scene = open_scene(posed)
    run = group_scene(scene, FrameSource(scene))
    assert [row["view"] for row in summarise_groups(run)["left_out"]] == ["2", "10"]
    assert summarise_metrics(run)["left_out_views"] == 2
    assert {row["view"] for row in summarise_groups(run)["masks"]} == {"0"}
    assert "2 of 3 views were left out" in run.warnings[0]


# Size

HEADER = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\nelement face {}\n"
LIST = "property list uchar int vertex_indices\n"


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data does not have."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def sparse(path: Path, start: bytes, size: int) -> None:
    path.write_bytes(start)
    os.truncate(path, size)


def read_mesh(scene: Scene) -> object:
    return scene.mesh


def read_color(scene: Scene) -> object:
    return scene.color("2")


BINARY = "binary_little_endian"
LARGE: dict[str, tuple[Callable[[Path], object], Callable[[Scene], object], str]] = {
    "labels of 3 GB": (lambda f: sparse(f.parent / "ground_truth" / "tiny.txt", b"1\n", 3 * 2**30), read_mesh, "bytes, expected"),
    "photo of 170 megapixels": (lambda f: (f / "color/2.png").write_bytes(png_of(13000, 13000)), read_color, "at most 50 million"),
    "photo of 4 GB": (lambda f: sparse(f / "color/2.png", b"\x89PNG", 2**32), read_color, "bytes, expected an image"),
    "photo of 2^31 pixels a side": (
        lambda f: (f / "color/2.png").write_bytes(png_of(2**31 - 1, 2**31 - 1)),
        read_color,
        "image|pixels",
    ),
    "empty faces": (
        lambda f: sparse(f / "tiny_mesh.ply", (HEADER.format(BINARY, 3, 39_000_000) + LIST + "end_header\n").encode(), 39_000_300),
        read_mesh,
        "most faces are empty",
    ),
    "50 million faces": (
        lambda f: (f / "tiny_mesh.ply").write_text(HEADER.format(BINARY, 3, 50_000_000) + LIST + "end_header\n"),
        read_mesh,
        "expected at most 40,000,000",
    ),
    "vertices beyond counting": (
        lambda f: (f / "tiny_mesh.ply").write_text(HEADER.format("ascii", 10**30, 3) + LIST + "end_header\n"),
        read_mesh,
        "expected at most 20,000,000",
    ),
    "header without an end": (lambda f: (f / "tiny_mesh.ply").write_text("ply\n" + "comment x\n" * 10**6), read_mesh, "end_header"),
    "mesh of 5 GB": (lambda f: sparse(f / "tiny_mesh.ply", b"ply\n", 5 * 2**30), read_mesh, "bytes, expected the scene's mesh"),
}


@pytest.mark.parametrize("case", LARGE)
def test_what_is_too_large_is_refused_at_once(tiny_room: Path, case: str) -> None:
    act, use, said = LARGE[case]
    act(tiny_room)
    started = time.process_time()
    with pytest.raises(SceneError, match=said):
        use(open_scene(tiny_room))
    assert time.process_time() - started < 5


def test_segments_near_two_billion_take_no_memory(tmp_path: Path) -> None:
    import json
    import tracemalloc

    folder = write_whole("scannet", tmp_path)
    path = next(folder.glob("*.segs.json"))
    count = len(json.loads(path.read_text())["segIndices"])
    path.write_text(json.dumps({"segIndices": [2**31 - 3 - i // 4 for i in range(count)]}))
    objects = next(folder.glob("*.aggregation.json"))
    objects.write_text(json.dumps({"segGroups": [{"objectId": 4, "segments": [2**31 - 3, 2**31 - 4]}]}))
    tracemalloc.start()
    mesh = open_scene(folder).mesh
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert mesh is not None
    assert mesh.vertex_instances is not None
    assert mesh.vertex_instances.tolist() == [5] * 8 + [-1] * (count - 8)


@pytest.mark.parametrize("shape", ["(1000000000, 1000000000)", "(1099511627776,)", "(24, 99999)"])
def test_arrays_that_lie_about_their_size_are_refused(tmp_path: Path, shape: str) -> None:
    folder = write_whole("processed", tmp_path)
    head = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    (folder / "0" / "instance_mask.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(100))
    with pytest.raises(SceneError, match=r"instance_mask\.npy: .*expected a two-dimensional array"):
        open_scene(folder).stored_instance_map("0")


@pytest.mark.parametrize("header", [b"((((", b"{'descr': '<i4', ", b"{'descr'i '<", b"\0", b"1", b"{'a': " * 900, b"'"])
def test_broken_headers_of_arrays_are_a_sentence(tmp_path: Path, header: bytes) -> None:
    folder = write_whole("processed", tmp_path)
    (folder / "0" / "instance_mask.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(4000))
    with pytest.raises(SceneError, match=r"instance_mask\.npy: cannot be read as \.npy"):
        open_scene(folder).stored_instance_map("0")


def test_too_many_views_are_refused(tiny_room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.scenes.posed_views.MAX_VIEWS", 2)
    with pytest.raises(SceneError, match="found 3 views, expected at most 2"):
        open_scene(tiny_room)
    monkeypatch.setattr(folders, "MAX_ENTRIES", 2)
    with pytest.raises(SceneError, match="more than 2 files"):
        open_scene(tiny_room)


def read_all(folder: Path) -> None:
    scene = open_scene(folder)
    for name in scene.view_names:
        FrameSource(scene).frame(name)


@pytest.mark.parametrize("reader", READERS)
def test_pipes_and_folders_in_the_place_of_files_never_hang(tmp_path: Path, reader: str) -> None:
    folder = write_whole(reader, tmp_path)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.unlink()
            os.mkfifo(path)
    with pytest.raises(SceneError, match="expected"):
        read_all(folder)


# Meshes

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float64)
FACES = [[0, 1, 2, 3], [0, 1, 4], [1, 2, 4]]
TRIANGLES = {frozenset(t) for t in ((0, 1, 2), (0, 2, 3), (0, 1, 4), (1, 2, 4))}


def mesh_file(
    *,
    letter: str = "<",
    count: tuple[str, str] = ("uchar", "B"),
    index: tuple[str, str] = ("int", "i"),
    faces: list[list[int]] | None = None,
    extra: bool = False,
    faces_first: bool = False,
    comment: bytes = b"",
    ending: bytes = b"\n",
    name: str = "vertex_indices",
) -> bytes:
    faces = FACES if faces is None else faces
    vertex = b"element vertex 5\nproperty double x\nproperty double y\nproperty double z\n"
    face = f"element face {len(faces)}\n".encode()
    face += (b"property uchar flag\n" if extra else b"") + f"property list {count[0]} {index[0]} {name}\n".encode()
    face += b"property float quality\n" if extra else b""
    rows = VERTICES.astype(letter + "f8").tobytes()
    body = b"".join(
        (b"\x07" if extra else b"")
        + struct.pack(letter + count[1], len(f))
        + struct.pack(letter + index[1] * len(f), *f)
        + (struct.pack(letter + "f", 0.5) if extra else b"")
        for f in faces
    )
    order = {"<": b"little", ">": b"big"}[letter]
    parts = [(vertex, rows), (face, body)]
    if faces_first:
        parts.reverse()
    head = b"ply\nformat binary_" + order + b"_endian 1.0\n" + comment + parts[0][0] + parts[1][0] + b"end_header\n"
    return head.replace(b"\n", ending) + parts[0][1] + parts[1][1]


MESHES: dict[str, bytes] = {
    "mixed": mesh_file(),
    "mixed and further properties": mesh_file(extra=True),
    "big endian": mesh_file(letter=">"),
    "big endian, mixed, further properties": mesh_file(letter=">", extra=True),
    "faces first": mesh_file(faces_first=True),
    "faces first and further properties": mesh_file(faces_first=True, extra=True),
    "two corners": mesh_file(faces=[[0, 1], *FACES, [3, 4], []]),
    "Latin-1 comment": mesh_file(comment=b"comment caf\xe9\nobj_info \xff\n"),
    "windows lines": mesh_file(ending=b"\r\n"),
    "old mac lines": mesh_file(ending=b"\r"),
    "whole numbers as floats": mesh_file(index=("double", "d")),
    "unsigned": mesh_file(count=("uint", "I"), index=("ushort", "H")),
    "vertex_index": mesh_file(name="vertex_index"),
    "doubles": mesh_file(count=("double", "d"), index=("double", "d"), faces=[[0, 1, 2], [0, 2, 3], [0, 1, 4], [1, 2, 4]]),
    "floats": mesh_file(count=("float", "f"), index=("float", "f"), faces=[[0, 1, 2], [0, 2, 3], [0, 1, 4], [1, 2, 4]]),
}
ASCII_VERTICES = "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in VERTICES)
ASCII_HEAD = HEADER.format("ascii", 5, 3)
ASCII_FACES = "4 0 1 2 3\n3 0 1 4\n3 1 2 4\n"
MESHES |= {
    "ascii": (ASCII_HEAD + LIST + "end_header\n" + ASCII_VERTICES + ASCII_FACES).encode(),
    "ascii, doubles": (
        ASCII_HEAD + LIST.replace("uchar int", "double double") + "end_header\n" + ASCII_VERTICES + ASCII_FACES
    ).encode(),
    "ascii, windows lines": (ASCII_HEAD + LIST + "end_header\n" + ASCII_VERTICES + ASCII_FACES).replace("\n", "\r\n").encode(),
    "ascii, old mac lines": (ASCII_HEAD + LIST + "end_header\n" + ASCII_VERTICES + ASCII_FACES).replace("\n", "\r").encode(),
    "ascii, comment": (ASCII_HEAD + LIST + "comment \xe9\nend_header\n" + ASCII_VERTICES + ASCII_FACES).encode("latin-1"),
    "ascii strips": (
        HEADER.format("ascii", 5, 0).replace("element face 0\n", "")
        + "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
        + ASCII_VERTICES
        + "14 0 1 2 -1 0 2 3 -1 4 0 1 1 2 4\n"
    ).encode(),
}


@pytest.mark.parametrize("case", MESHES)
def test_every_kind_of_ply_is_the_same_mesh(tmp_path: Path, case: str) -> None:
    (tmp_path / "mesh.ply").write_bytes(MESHES[case])
    mesh = read_ply(tmp_path / "mesh.ply")
    np.testing.assert_array_equal(mesh.vertices, VERTICES.astype(np.float32))
    found = {frozenset(face) for face in mesh.faces.tolist()}
    assert len(mesh.faces) == 4
    assert found == TRIANGLES


def test_skipped_faces_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mesh.ply").write_bytes(MESHES["two corners"])
    read_ply(tmp_path / "mesh.ply")
    assert "3 faces have fewer than three corners and were skipped" in caplog.text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (mesh_file(count=("double", "d"), index=("double", "d")), "floating point|different sizes"),
        (mesh_file(faces=[[0, 1], [1, 2]]), "no face of three corners|cut short"),
        (mesh_file(index=("double", "d"), faces=[[0, 1, 5]]), "vertex 5, expected 0 to 4"),
        (mesh_file()[:-2], "cut short"),
        (mesh_file(extra=True)[:-2], "cut short"),
        (mesh_file(name="corners"), "faces without a list"),
        (MESHES["ascii"].replace(b"uchar", b"quux"), "found the type 'quux'"),
        (MESHES["ascii"].replace(b"3 0 1 4", b"3 0 x 4"), "malformed"),
        (MESHES["ascii"].replace(b"3 0 1 4", b"3 0 1"), "cut short"),
        (MESHES["ascii"].replace(b"property float z\n", b""), "no x, y, z|cut short"),
        (MESHES["ascii"].replace(b"property float z", b"property float y"), "two properties of one name"),
        (MESHES["ascii"].replace(b"ascii", b"text"), "header line"),
    ],
)
def test_broken_meshes_are_a_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "mesh.ply").write_bytes(data)
    with pytest.raises(SceneError, match=said):
        read_ply(tmp_path / "mesh.ply")


# Layouts one step off


def test_scannet_frames_25k(tmp_path: Path) -> None:
    folder = write_whole("scannet", tmp_path)
    for path in folder.glob("scannet*"):
        path.unlink()
    for kind in ("color", "depth"):
        (folder / "intrinsic" / f"intrinsic_{kind}.txt").rename(folder / f"intrinsics_{kind}.txt")
    (folder / "intrinsic").rmdir()
    (folder / "instance").mkdir()
    for number, view in enumerate(POSES):
        for kind, suffix in (("color", ".png"), ("depth", ".png"), ("pose", ".txt")):
            (folder / kind / f"{view}{suffix}").rename(folder / kind / f"{number * 100:06d}{suffix}")
        Image.fromarray(MASK.astype(np.uint8)).save(folder / "instance" / f"{number * 100:06d}.png")
    scene = open_scene(folder)
    assert (scene.format, scene.view_names) == ("scannet", ("000000", "000100", "000200"))
    frame = FrameSource(scene).frame("000100")
    assert set(frame.mask_areas) == {1, 2}
    assert frame.depth is not None
    assert frame.camera is not None


def test_only_the_depth_cameras_matrix(tmp_path: Path) -> None:
    folder = write_whole("scannet", tmp_path)
    whole = open_scene(folder).view("0").camera
    (folder / "intrinsic" / "intrinsic_color.txt").unlink()
    scene = open_scene(folder)
    assert scene.view("0").camera == whole
    assert any("was taken for the photos too" in note for note in scene.notes)


@pytest.mark.parametrize("reader", ["scannet", "replica", "posed masks"])
def test_roles_in_the_names_of_files_are_no_part_of_the_view(tmp_path: Path, reader: str) -> None:
    folder = write_whole(reader, tmp_path)
    for kind, role in (("color", "color"), ("depth", "depth"), ("pose", "pose"), ("poses", "pose")):
        for path in list((folder / kind).iterdir()) if (folder / kind).is_dir() else ():
            path.rename(path.with_name(f"{path.stem}.{role}{path.suffix}"))
    scene = open_scene(folder)
    assert scene.view_names == VIEWS
    assert scene.color("0") is not None
    assert scene.depth("0") is not None


def test_photos_that_belong_to_no_pose_are_said(tmp_path: Path) -> None:
    folder = write_whole("scannet", tmp_path)
    for path in list((folder / "color").iterdir()):
        path.rename(path.with_name(f"image{path.name}"))
    with pytest.raises(SceneError, match=r"found no pose for any photo.*color/image0\.png and pose/0\.txt"):
        open_scene(folder)


@pytest.mark.parametrize("place", ["", "sequence"])
def test_three_r_scan(tmp_path: Path, place: str) -> None:
    folder = write_whole("frame files", tmp_path)
    (folder / "intrinsics.txt").unlink()
    (folder / "mesh.ply").unlink()
    (folder / place).mkdir(exist_ok=True)
    for path in list(folder.glob("frame-*")):
        if path.name.endswith(".depth.png"):
            depth = np.asarray(Image.open(path))
            pgm = path.with_suffix(".pgm")
            pgm.write_bytes(f"P5\n# Kinect\n{depth.shape[1]} {depth.shape[0]}\n10000\n".encode() + depth.astype(">u2").tobytes())
            path.unlink()
    for path in list(folder.glob("frame-*")):
        path.rename(folder / place / path.name)
    (folder / place / "_info.txt").write_text(
        "m_versionNumber = 4\nm_colorWidth = 32\nm_colorHeight = 24\n"
        "m_calibrationColorIntrinsic = 24 0 15.5 0 0 24 11.5 0 0 0 1 0 0 0 0 1\n"
        "m_calibrationDepthIntrinsic = 24 0 15.5 0 0 24 11.5 0 0 0 1 0 0 0 0 1\n"
    )
    head = HEADER.format("ascii", 5, 3).replace("property float z\n", "property float z\nproperty ushort objectId\n")
    rows = "".join(f"{x:g} {y:g} {z:g} {k}\n" for k, (x, y, z) in enumerate(VERTICES))
    (folder / "labels.instances.annotated.v2.ply").write_text(head + LIST + "end_header\n" + rows + ASCII_FACES)
    scene = open_scene(folder)
    assert (scene.format, scene.view_names) == ("frame files", ("frame-000000", "frame-000001", "frame-000002"))
    mesh, depth = scene.mesh, scene.depth("frame-000000")
    assert mesh is not None
    assert mesh.vertex_instances is not None
    assert mesh.vertex_instances.tolist() == [-1, 1, 2, 3, 4]
    assert depth is not None
    expected = open_scene(write_whole("replica", tmp_path / "again")).depth("0")
    assert expected is not None
    np.testing.assert_allclose(depth, expected, atol=0.0011)
    assert scene.color("frame-000000") is not None


def test_links_are_followed_into_the_folders_given(tiny_room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_allowed", None)
    # Set first, so that it is remembered as not there, whatever the program writes into it meanwhile.
    monkeypatch.setenv(folders.LINKS_VARIABLE, "")
    monkeypatch.delenv(folders.LINKS_VARIABLE)
    store, other = tmp_path / "store", tmp_path / "other"
    store.mkdir()
    other.mkdir()
    (tiny_room / "color").rename(store / "color")
    (tiny_room / "color").symlink_to(store / "color")
    with pytest.raises(SceneError, match="--follow-links"):
        open_scene(tiny_room)
    folders.follow_links_into([store])
    monkeypatch.setenv(folders.LINKS_VARIABLE, os.environ[folders.LINKS_VARIABLE])
    assert open_scene(tiny_room).color("0") is not None
    (tiny_room / "depth" / "0.png").rename(other / "0.png")
    (tiny_room / "depth" / "0.png").symlink_to(other / "0.png")
    with pytest.raises(SceneError, match="expected a path inside"):
        open_scene(tiny_room).depth("0")
    (store / "out").symlink_to("/etc")
    (tiny_room / "poses" / "0.txt").unlink()
    (tiny_room / "poses" / "0.txt").symlink_to(store / "out" / "passwd")
    assert "expected a path inside" in open_scene(tiny_room).left_out[0].reason
    with pytest.raises(SceneError, match="check --follow-links"):
        folders.follow_links_into([tmp_path / "nowhere"])
    monkeypatch.setattr(folders, "_allowed", None)  # as in a process that this one started
    assert open_scene(tiny_room).color("2") is not None


def test_intrinsics_in_utf_16_with_semicolons(tmp_path: Path) -> None:
    (tmp_path / "intrinsics.txt").write_bytes("24,5;0;15,5\r\n0;24,5;11,5\r\n0;0;1\r\n".encode("utf-16"))
    assert read_intrinsics(tmp_path / "intrinsics.txt")[0, 0] == 24.5
