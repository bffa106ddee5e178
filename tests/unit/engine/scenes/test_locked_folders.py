"""Folders that may not be entered or listed: each gives one sentence, and hides nothing else. Tried as a user without rights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ModelError, SceneError
from engine.judging.sources import resolve_model
from engine.scenes import find_scene, follow_links_into, list_scenes, open_scene, survey_scenes
from engine.scenes.regular_files import require_file
from engine.types import SceneReader
from tests.fuzz.whole_scenes import write_whole
from tests.rights import folder_for_all, without_rights
from tests.tiny_room import write_tiny_room


@pytest.fixture
def place() -> Iterator[Path]:
    with folder_for_all() as made:
        yield made


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_scenes_in_a_folder_that_may_not_be_entered(place: Path, mode: int) -> None:
    write_tiny_room(place / "scenes")
    (place / "scenes").chmod(mode)
    with without_rights():
        for name in ("tiny", "other", str(place / "scenes" / "tiny")):
            with pytest.raises(SceneError, match=r"(looked at|listed) \(Permission denied\)"):
                find_scene(name, place / "scenes")
        with pytest.raises(SceneError, match=r"looked at \(Permission denied\)"):
            open_scene(place / "scenes" / "tiny")
        with pytest.raises(SceneError, match=r"looked at \(Permission denied\)"):
            follow_links_into([place / "scenes" / "tiny"])


def test_a_folder_of_scenes_inside_a_locked_one(place: Path) -> None:
    write_tiny_room(place / "private" / "scenes")
    (place / "private").chmod(0o000)
    with without_rights(), pytest.raises(SceneError, match=r"looked at \(Permission denied\)"):
        list_scenes(place / "private" / "scenes")


def test_a_locked_scene_is_left_out_and_hides_no_other(place: Path) -> None:
    room = write_tiny_room(place)
    locked = place / "locked"
    shutil.copytree(room, locked)
    (place / "private").mkdir()
    shutil.copytree(room, place / "private" / "deep")
    (place / "link").symlink_to(place / "private" / "deep")
    for folder in (locked, place / "private"):
        folder.chmod(0o000)
    with without_rights():
        found = survey_scenes(place)
        assert [scene.name for scene in found.scenes] == ["tiny"]
        reasons = {entry.name: entry.reason for entry in found.left_out}
        assert sorted(reasons) == ["link", "locked", "private"]
        assert all("Permission denied" in reason for reason in reasons.values())
        with pytest.raises(SceneError, match="expected one of: tiny, or a path"):
            find_scene("gone", place)


def test_a_list_of_scenes_that_may_be_listed_only(place: Path) -> None:
    write_tiny_room(place / "scenes")
    (place / "scenes").chmod(0o444)
    with without_rights():
        found = survey_scenes(place / "scenes")
    assert found.scenes == ()
    assert "Permission denied" in {entry.name: entry.reason for entry in found.left_out}["tiny"]


def test_one_locked_view_is_left_out(place: Path) -> None:
    folder = write_whole("processed", place)
    (folder / "2").chmod(0o000)
    with without_rights():
        scene = open_scene(folder)
        assert scene.view_names == ("0", "10")
        assert [view.name for view in scene.left_out] == ["2"]
        assert "Permission denied" in scene.left_out[0].reason
        assert survey_scenes(place, budget_s=0).scenes


def test_ground_truth_that_may_not_be_read(place: Path) -> None:
    scene = open_scene(write_tiny_room(place))
    (place / "ground_truth").chmod(0o000)
    reader: SceneReader = scene.reader
    with without_rights(), pytest.raises(SceneError, match=r"looked at \(Permission denied\)"):
        reader.read_mesh()


def test_other_names_that_cannot_be_looked_at(place: Path) -> None:
    (place / "private").mkdir()
    (place / "private").chmod(0o000)
    with without_rights():
        with pytest.raises(SceneError, match=r"looked at \(Permission denied\), expected a picture"):
            require_file(place / "private" / "0.png", "a picture")
        with pytest.raises(ModelError, match="cannot be looked at"):
            resolve_model(str(place / "private" / "model"))
    for name in ("x" * 5000, f"{place}/{'x' * 5000}"):
        with pytest.raises(SceneError, match="is neither a folder nor a scene"):
            find_scene(name, place)
        with pytest.raises(ModelError, match="cannot be looked at"):
            resolve_model(name)


def test_a_locked_table_of_names_is_noted_and_the_scene_opens(place: Path) -> None:
    room = write_tiny_room(place)
    (room / "habitat").mkdir()
    (room / "habitat" / "info_semantic.json").write_text('{"classes": []}')
    (room / "habitat").chmod(0o000)
    with without_rights():
        scene = open_scene(room)
        assert any("Names of objects are not shown" in note for note in scene.notes)
