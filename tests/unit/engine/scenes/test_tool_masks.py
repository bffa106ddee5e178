"""Masks of CVAT, Label Studio and YOLO: what is read, what they are called, and what is wrong in a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.grouping.group_names import name_own_masks
from engine.grouping.pipeline import GroupingOptions, group_scene
from engine.scenes import open_scene
from engine.scenes.masks_in.cvat import CvatMasks
from engine.scenes.masks_in.label_studio import LabelStudioMasks
from engine.views.frames import FrameSource
from tests.format_rooms import instance_maps, write_posed_masks, write_room
from tests.tiny_room import POSES, write_tiny_room
from tests.tool_masks import cvat_of, cvat_shape, label_studio_of, outline, pack_brush, yolo_of

NAMES = {view: view for view in POSES}
KINDS = ("cvat polygons", "cvat masks", "label studio polygons", "label studio brushes", "yolo")
BLOB = np.zeros((24, 32), bool)
BLOB[4:9, 6:20] = True
BLOB[6:8, 20:25] = True


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_called_as_the_tool_calls_their_class(kind: str, room: Path, tmp_path: Path) -> None:
    scene = open_scene(write_room(room, tmp_path / "there", "posed masks", kind))
    frames = FrameSource(scene, width=32, height=24)
    truth = instance_maps()
    for view in scene.view_names:
        ids = frames.frame(view).instance_map
        for mask in np.unique(ids[ids >= 0]):
            (shown,) = np.unique(truth[view][ids == mask])
            assert scene.mask_name_of(int(mask)) == {7001: "red box", 7002: "blue box"}[int(shown)]
    run = group_scene(scene, frames, options=GroupingOptions(lift=False))
    assert set(name_own_masks(scene, run.truth, run.table.keys)) == {"red box", "blue box"}


def cvat(tmp_path: Path, text: str) -> CvatMasks:
    (tmp_path / "annotations.xml").write_text(text)
    return CvatMasks(tmp_path / "annotations.xml")


def image(shapes: str, name: str = "0.jpg", size: str = 'width="32" height="24"') -> str:
    return f'<annotations><version>1.1</version><image id="0" name="{name}" {size}>{shapes}</image></annotations>'


def test_boxes_lines_and_points_of_cvat_are_counted_and_not_used(tmp_path: Path) -> None:
    shapes = '<box label="a" xtl="1" ytl="1" xbr="5" ybr="5"/><polyline label="a" points="1,1;2,2"/>'
    found = cvat(tmp_path, image(shapes + cvat_shape("a", BLOB, "mask")))
    assert ((found.read("0") >= 0) == BLOB).all()
    assert "2 shapes" in found.notes()[0]
    assert found.classes == {1: "a"}


def test_a_track_has_one_id_in_all_frames(tmp_path: Path) -> None:
    def track(label: str, frames: dict[int, str]) -> str:
        shapes = "".join(cvat_shape(label, BLOB, "polygon", f'frame="{frame}" {more}') for frame, more in frames.items())
        return f'<track id="0" label="{label}" source="manual">{shapes}</track>'

    size = "<meta><task><original_size><width>32</width><height>24</height></original_size></task></meta>"
    tracks = track("cup", {0: 'outside="0"'}) + track("cup", {0: 'outside="1"', 2: 'outside="0"'}) + track("pen", {2: ""})
    found = cvat(tmp_path, f"<annotations>{size}{tracks}</annotations>")
    assert found.views == {"frame_000000", "frame_000002"}
    assert set(np.unique(found.read("frame_000000"))) == {-1, 1001}
    assert set(np.unique(found.read("frame_000002"))) == {-1, 1002}  # the pen lies under the cup, and is as large
    assert found.classes == {1: "cup", 2: "pen"}


IN_FRAME = cvat_shape("a", BLOB, "mask", 'frame="{}"')
ENTITIES = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>'
BROKEN_XML = {
    "nothing": "",
    "text": "no XML",
    "html": "<html><body/></html>",
    "cut short": image(cvat_shape("a", BLOB, "mask"))[:-30],
    "a document type": '<?xml version="1.0"?><!DOCTYPE annotations SYSTEM "file:///etc/passwd">' + image(""),
    "entities": '<?xml version="1.0"?>' + ENTITIES + image("").replace("1.1", "&y;"),
    "deep": "<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>",
    "a track without a size": "<annotations><track label='a'>"
    + cvat_shape("a", BLOB, "mask", 'frame="0"')
    + "</track></annotations>",
    "a track in no frame": "<annotations><track label='a'>" + cvat_shape("a", BLOB, "mask", 'frame="x"') + "</track></annotations>",
}


@pytest.mark.parametrize("text", BROKEN_XML.values(), ids=BROKEN_XML)
def test_a_file_that_is_no_cvat_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="expected"):
        cvat(tmp_path, text)


def test_a_document_type_is_refused_before_anything_in_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="found a document type"):
        cvat(tmp_path, BROKEN_XML["entities"])


BROKEN_SHAPES = {
    "two corners": '<polygon label="a" points="1,1;2,2"/>',
    "no points": '<polygon label="a"/>',
    "words": '<polygon label="a" points="1,1;2,x;3,3"/>',
    "not a number": '<polygon label="a" points="1,1;2,nan;3,3"/>',
    "far away": '<polygon label="a" points="1,1;2,99999;3,3"/>',
    "a box outside": '<mask label="a" rle="0, 4" left="31" top="0" width="2" height="2"/>',
    "no box": '<mask label="a" rle="0, 4"/>',
    "short runs": '<mask label="a" rle="0, 3" left="0" top="0" width="2" height="2"/>',
    "negative runs": '<mask label="a" rle="-4, 8" left="0" top="0" width="2" height="2"/>',
    "no runs": '<mask label="a" left="0" top="0" width="2" height="2"/>',
}


@pytest.mark.parametrize("shape", BROKEN_SHAPES.values(), ids=BROKEN_SHAPES)
def test_a_broken_shape_of_cvat_is_one_sentence(shape: str, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="expected"):
        cvat(tmp_path, image(shape)).read("0")


def test_images_of_cvat_without_a_size_are_said_and_those_listed_twice_are_left_out(tmp_path: Path) -> None:
    assert "1 images" in cvat(tmp_path, image("", size="")).notes()[0]
    twice = image("").replace("</annotations>", '<image id="1" name="a/0.png" width="32" height="24"/></annotations>')
    assert list(cvat(tmp_path, twice).faults) == ["0"]


def studio(tmp_path: Path, content: object, photos: tuple[str, ...] = ()) -> LabelStudioMasks:
    (tmp_path / "label_studio.json").write_text(json.dumps(content))
    return LabelStudioMasks(tmp_path / "label_studio.json", photos)


def test_the_digits_before_an_uploaded_file_are_left_out_unless_the_photo_has_them(tmp_path: Path) -> None:
    tasks = label_studio_of(instance_maps(), NAMES, kind="polygon")
    assert studio(tmp_path, tasks).views == set(POSES)
    assert "0a1b2c3d-0" in studio(tmp_path, tasks, ("0a1b2c3d-0",)).views
    tasks[0]["data"] = {"text": "x", "image": "/data/local-files/?d=photos%2Fa/7.JPG"}
    tasks[1]["data"] = {"image": "https://example.com/b/8.png?signature=1.2"}
    assert studio(tmp_path, tasks).views == {"7", "8", "10"}


def test_annotations_that_were_cancelled_do_not_count(tmp_path: Path) -> None:
    tasks = label_studio_of(instance_maps(), NAMES, kind="brush")
    tasks[0]["annotations"][0]["was_cancelled"] = True
    found = studio(tmp_path, tasks)
    assert found.views == {"2", "10"}
    assert "1 tasks" in found.notes()[0]


@pytest.mark.parametrize("content", [{}, 1, [1, None], "x"])
def test_what_is_no_export_of_label_studio_has_no_masks(content: object, tmp_path: Path) -> None:
    if isinstance(content, list):
        assert not studio(tmp_path, content).views
        return
    with pytest.raises(SceneError, match="expected"):
        studio(tmp_path, content)


GOOD = pack_brush(BLOB)
BROKEN_VALUES: dict[str, dict] = {
    "an empty brush": {"rle": []},
    "a brush of text": {"rle": "abc"},
    "a brush cut short": {"rle": GOOD[: len(GOOD) // 2]},
    "a brush of another size": {"rle": pack_brush(BLOB[:-1])},
    "a brush that is too long": {"rle": [*GOOD[:6], *([255] * 40)]},
    "numbers above 255": {"rle": [999] * 100},
    "two corners": {"points": [[1, 1], [2, 2]]},
    "no points": {},
    "a corner of three": {"points": [[1, 1], [2, 2], [3, 3, 3]]},
    "infinite": {"points": [[1, 1], [2, float("inf")], [3, 3]]},
}


@pytest.mark.parametrize("value", BROKEN_VALUES.values(), ids=BROKEN_VALUES)
def test_a_broken_mask_of_label_studio_is_one_sentence(value: dict, tmp_path: Path) -> None:
    tasks = label_studio_of(instance_maps(), NAMES, kind="polygon")
    tasks[0]["annotations"][0]["result"][0]["value"] = value
    with pytest.raises(SceneError, match="expected"):
        studio(tmp_path, tasks).read("0")


def test_a_brush_is_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    speckled = rng.random((24, 32)) < 0.3
    tasks = label_studio_of(instance_maps(), NAMES, kind="brush")
    tasks[0]["annotations"][0]["result"] = tasks[0]["annotations"][0]["result"][:1]
    tasks[0]["annotations"][0]["result"][0]["value"]["rle"] = pack_brush(speckled)
    assert ((studio(tmp_path, tasks).read("0") >= 0) == speckled).all()


YAMLS: dict[str, str] = {
    "numbers": "names:\n  0: red box\n  1: blue box\n",
    "dashes": "nc: 2\nnames:\n- red box\n- 'blue box'\ntrain: x\n",
    "a list": "names: ['red box', \"blue box\"]  # both\n",
    "a list of lines": "names: [\n  red box,\n  blue box\n]\n",
    "an object": "names: {0: red box, 1: 'blue box'}\n",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
def test_names_of_yolo_are_read_as_tools_write_them(text: str, room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "yolo")
    (folder / "data.yaml").write_text(text)
    scene = open_scene(folder)
    assert (scene.mask_name_of(1001), scene.mask_name_of(2001)) == ("red box", "blue box")


BROKEN_LINES: dict[str, str] = {
    "two corners": "0 0.1 0.1 0.2 0.2 0.3",
    "words": "chair 0.1 0.1 0.2 0.2 0.3 0.3",
    "not a number": "0 0.1 nan 0.2 0.2 0.3 0.3",
    "a negative class": "-1 0.1 0.1 0.2 0.2 0.3 0.3",
    "pixels": "0 100 100 200 200 300 300",
}


@pytest.mark.parametrize("line", BROKEN_LINES.values(), ids=BROKEN_LINES)
def test_a_broken_line_of_yolo_is_one_sentence(line: str, room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "yolo")
    (folder / "labels" / "train" / "0.txt").write_text(line + "\n")
    with pytest.raises(SceneError, match="expected"):
        open_scene(folder).stored_instance_map("0")


def test_boxes_of_yolo_are_said_and_photos_without_labels_are_not_used(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "yolo")
    (folder / "labels" / "train" / "0.txt").write_text("1 0.5 0.5 0.1 0.1\n\n" + yolo_of(instance_maps()["0"]))
    (folder / "labels" / "train" / "2.txt").unlink()
    scene = open_scene(folder)
    assert scene.view_names == ("0", "10")
    assert scene.stored_instance_map("0") is not None
    assert any("1 lines" in note for note in scene.notes)


def test_photos_may_lie_in_images_as_these_tools_export_them(room: Path, tmp_path: Path) -> None:
    for kind in ("yolo", "cvat masks"):
        folder = write_room(room, tmp_path / kind.replace(" ", "_"), "posed masks", kind)
        place = folder / "images" / ("train" if kind == "yolo" else "")
        place.parent.mkdir(exist_ok=True)
        (folder / "color").rename(place)
        scene = open_scene(folder)
        assert scene.format == "posed masks"
        assert scene.view_names == tuple(POSES)
        assert scene.color("0") is not None


def test_an_export_of_label_studio_is_found_by_the_name_it_has(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "label studio brushes")
    (folder / "label_studio.json").rename(folder / "project-3-at-2026-01-05-10-30-1a2b3c4d.json")
    assert open_scene(folder).view_names == tuple(POSES)


def test_a_file_of_another_tool_that_leads_out_of_the_scene_is_refused(room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    (tmp_path / "elsewhere.xml").write_text(cvat_of(instance_maps(), NAMES, kind="mask"))
    (folder / "annotations.xml").symlink_to(tmp_path / "elsewhere.xml")
    with pytest.raises(SceneError, match="leads to"):
        open_scene(folder)


def test_an_outline_is_what_it_goes_around(tmp_path: Path) -> None:
    points = ";".join(f"{x},{y}" for x, y in outline(BLOB))
    found = cvat(tmp_path, image(f'<polygon label="a" points="{points}"/>')).read("0")
    assert ((found >= 0) == BLOB).all()
