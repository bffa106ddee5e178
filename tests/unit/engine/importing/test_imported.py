"""What is done with imported scenes: they get titles, which change nothing else, and are removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import SceneError
from engine.files import UNFINISHED
from engine.importing import import_scene, remove_scene
from engine.importing.run import ASIDE
from engine.scenes import find_scene, list_scenes
from engine.scenes.scene_settings import write_title
from tests.tiny_room import write_tiny_room


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    import_scene(write_tiny_room(tmp_path / "brought"), tmp_path / "scenes", name="hall")
    return tmp_path / "scenes"


def test_a_removed_scene_is_gone_and_the_others_stay(scenes: Path) -> None:
    import_scene(scenes / "hall", scenes, name="attic")
    remove_scene(scenes, "hall")
    assert [path.name for path in scenes.iterdir()] == ["attic"]


@pytest.mark.parametrize("name", ["", ".", "..", "../brought", "/etc", ".hidden", "a/b", "a\0b", "not there"])
def test_nothing_else_can_be_removed(scenes: Path, name: str) -> None:
    with pytest.raises(SceneError):
        remove_scene(scenes, name)
    assert (scenes.parent / "brought" / "tiny").is_dir()
    assert (scenes / "hall").is_dir()


def test_a_link_is_not_followed(scenes: Path) -> None:
    (scenes / "linked").symlink_to(scenes.parent / "brought" / "tiny")
    with pytest.raises(SceneError, match="remove it yourself"):
        remove_scene(scenes, "linked")
    assert (scenes.parent / "brought" / "tiny" / "color").is_dir()


def test_what_a_removal_left_when_it_was_killed_goes_with_the_next_import(scenes: Path) -> None:
    left = scenes / f"{ASIDE}abc{UNFINISHED}"
    (left / "removed").mkdir(parents=True)
    import_scene(scenes / "hall", scenes, name="attic")
    assert not left.exists()


def test_a_title_is_kept_beside_the_other_settings(scenes: Path) -> None:
    settings = scenes / "hall" / "maskgroup.json"
    settings.write_text('{"classes": {"7": "bed"}}')
    assert write_title(scenes / "hall", "  Grandma's \t attic ") == "Grandma's attic"
    assert json.loads(settings.read_text()) == {"classes": {"7": "bed"}, "title": "Grandma's attic"}
    (info,) = list_scenes(scenes)
    assert (info.name, info.title) == ("hall", "Grandma's attic")
    write_title(scenes / "hall", "")
    assert json.loads(settings.read_text()) == {"classes": {"7": "bed"}}
    assert list_scenes(scenes)[0].title == ""


def test_a_title_that_is_the_only_setting_leaves_no_file(scenes: Path) -> None:
    write_title(scenes / "hall", "Attic")
    write_title(scenes / "hall", "")
    assert not (scenes / "hall" / "maskgroup.json").exists()


@pytest.mark.parametrize("title", ["x" * 81, "a\x00b", "a\u202eb", "a\x1bb"])
def test_odd_titles_are_refused(scenes: Path, title: str) -> None:
    with pytest.raises(SceneError, match="cannot be a scene's title"):
        write_title(scenes / "hall", title)
    assert not (scenes / "hall" / "maskgroup.json").exists()


@pytest.mark.parametrize("title", ["7", "null", '["a"]', '"a\\u202eb"'])
def test_a_scene_with_an_odd_title_says_so(scenes: Path, title: str) -> None:
    (scenes / "hall" / "maskgroup.json").write_text(f'{{"title": {title}}}')
    with pytest.raises(SceneError, match="found a title that is no line"):
        find_scene("hall", scenes)


def test_of_several_folders_of_scenes_the_first_with_that_name_counts(scenes: Path) -> None:
    brought = scenes.parent / "brought"
    import_scene(scenes / "hall", brought, name="hall")
    assert find_scene("hall", (brought, scenes)).folder == brought / "hall"
    assert find_scene("hall", (scenes, brought)).folder == scenes / "hall"
    assert find_scene("tiny", (scenes, scenes / "none", brought)).folder == brought / "tiny"
    with pytest.raises(SceneError, match=r"expected one of: hall, tiny, or a path"):
        find_scene("attic", (scenes, brought))
