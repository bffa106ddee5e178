"""What objects are called: Replica's classes, a scene's own tables, ScanNet's and 3RScan's labels, and broken files of names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.assets import SCENES_DIR
from engine.errors import SceneError
from engine.grouping.group_names import name_groups, name_masks
from engine.scenes import find_scene, open_scene
from engine.scenes.class_names import REPLICA_CLASSES, read_object_names
from tests.tiny_room import BLUE_BOX, RED_BOX


def test_replica_numbers_its_classes_as_the_bundled_scene_does() -> None:
    assert len(REPLICA_CLASSES) == 101
    living = find_scene("sh3d_living", SCENES_DIR)
    assert living.mesh is not None
    assert living.mesh.vertex_instances is not None
    names = {living.name_of(int(i)) for i in np.unique(living.mesh.vertex_instances) if i > 0}
    assert {"chair", "sofa", "table", "wall", "floor", "ceiling", "lamp", "window"} <= names
    assert None not in names
    assert living.name_of(20) is None, "an id below 1000 has no class"


def test_a_scene_with_a_table_of_its_own_uses_that(tiny_room: Path) -> None:
    assert open_scene(tiny_room).name_of(RED_BOX) == "bed"
    (tiny_room / "habitat").mkdir()
    info = {"classes": [{"id": 7, "name": " red\n box "}, {"id": "8", "name": "x"}, {"id": 9}, 3], "objects": []}
    (tiny_room / "habitat" / "info_semantic.json").write_text(json.dumps(info))
    assert open_scene(tiny_room).name_of(BLUE_BOX) == "red box"
    (tiny_room / "maskgroup.json").write_text('{"classes": {"7": "crate"}}')
    assert open_scene(tiny_room).name_of(BLUE_BOX) == "crate"


@pytest.mark.parametrize("text", ["{", "[]", '{"classes": 3}', "\ufffe", '{"classes": [], "classes": null}'])
def test_a_broken_table_is_noted_and_the_scene_opens(tiny_room: Path, text: str) -> None:
    (tiny_room / "info_semantic.json").write_text(text)
    scene = open_scene(tiny_room)
    assert scene.name_of(RED_BOX) is None
    assert any("info_semantic.json" in note for note in scene.notes)


def test_a_table_behind_a_link_out_of_the_scene_is_not_read(tiny_room: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"classes": [{"id": 7, "name": "secret"}]}')
    (tiny_room / "info_semantic.json").symlink_to(tmp_path / "elsewhere.json")
    scene = open_scene(tiny_room)
    assert scene.name_of(RED_BOX) is None
    assert any("info_semantic.json" in note for note in scene.notes)


@pytest.mark.parametrize("classes", ["[]", "3", '{"x": "chair"}', '{"7": 3}', '{"7": ""}', '{"7": "\\u0007"}', '{"-1": "chair"}'])
def test_malformed_classes_in_the_settings_are_a_sentence(tiny_room: Path, classes: str) -> None:
    (tiny_room / "maskgroup.json").write_text(f'{{"classes": {classes}}}')
    with pytest.raises(SceneError, match="expected a JSON object such as"):
        open_scene(tiny_room)


def test_labels_of_objects(tmp_path: Path) -> None:
    groups = [{"objectId": 0, "label": "office chair"}, {"objectId": 4, "label": 7}, {"label": "x"}, "y"]
    (tmp_path / "a.json").write_text(json.dumps({"segGroups": groups}))
    assert read_object_names(tmp_path / "a.json", offset=1) == {1: "office chair"}
    (tmp_path / "b.json").write_text('{"segGroups": 3}')
    assert read_object_names(tmp_path / "b.json") == {}


def test_a_group_is_called_as_most_of_it_is() -> None:
    truth = np.array([7001, 7001, 20002, -1, 5, 20003, 7002], np.int32)
    names = name_masks(truth, 7, {7001: "bed", 20002: "chair", 20003: "chair", 7002: "bed"}.get)
    assert names == ("bed", "bed", "chair", None, None, "chair", "bed")
    labels = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
    assert name_groups(labels, np.array([10, 10, 19, 9, 9, 5, 5], np.int32), names) == ("bed", None, None)
    assert name_masks(None, 2, lambda _: "x") == (None, None)
