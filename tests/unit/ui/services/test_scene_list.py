"""Which scenes the app has, and which of several with one name counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.errors import SceneError
from engine.importing import import_scene
from engine.scenes.scene_settings import write_title
from tests.stub_judge import StubJudge
from tests.tiny_room import write_tiny_room
from ui.services.scene_list import SceneFolders
from ui.services.workbench import Workbench


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return write_tiny_room(tmp_path / "given").parent


@pytest.fixture
def bench(tmp_path: Path, given: Path) -> Workbench:
    folders = SceneFolders(given, imported=tmp_path / "imported", bundled=SCENES_DIR)
    return Workbench(given, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge, folders=folders)


def test_an_imported_scene_is_there_at_once(bench: Workbench, given: Path, tmp_path: Path) -> None:
    assert bench.scene_names() == ["tiny", "sh3d_living"]
    import_scene(given / "tiny", tmp_path / "imported", name="hall")
    assert [(one.info.name, one.origin) for one in bench.list_scenes().scenes] == [
        ("tiny", "given"),
        ("hall", "imported"),
        ("sh3d_living", "bundled"),
    ]
    assert bench.views("hall") == bench.views("tiny")
    assert [bench.is_bundled(name) for name in bench.scene_names()] == [False, False, True]
    assert bench.usual_scenes() == ["tiny"]
    assert [bench.scene_argument(name) for name in bench.scene_names()] == ["tiny", str(tmp_path / "imported/hall"), "sh3d_living"]


def test_of_one_name_the_first_counts_and_the_other_is_named(bench: Workbench, given: Path, tmp_path: Path) -> None:
    import_scene(given / "tiny", tmp_path / "imported", name="tiny")
    import_scene(given / "tiny", tmp_path / "imported", name="sh3d_living")
    listed = bench.list_scenes()
    assert [(one.info.name, one.origin) for one in listed.scenes] == [("tiny", "given"), ("sh3d_living", "imported")]
    assert [(one.name, one.reason) for one in listed.left_out] == [
        (
            "tiny",
            "a scene of this name is among the scenes of --scenes, which counts; "
            f"rename the folder {tmp_path / 'imported' / 'tiny'}.",
        ),
        (
            "sh3d_living",
            f"a scene of this name is among the imported scenes, which counts; rename the folder {SCENES_DIR / 'sh3d_living'}.",
        ),
    ]
    assert bench.open_scene("sh3d_living").scene.folder == tmp_path / "imported" / "sh3d_living"


def test_titles_name_scenes_in_choosers_and_never_twice(bench: Workbench, given: Path, tmp_path: Path) -> None:
    for name in ("hall", "attic"):
        import_scene(given / "tiny", tmp_path / "imported", name=name)
    write_title(tmp_path / "imported" / "hall", "Upstairs")
    assert bench.scene_choices() == [("tiny", "tiny"), ("attic", "attic"), ("Upstairs", "hall"), ("sh3d_living", "sh3d_living")]
    write_title(tmp_path / "imported" / "attic", "Upstairs")
    assert bench.scene_choices()[1:3] == [("Upstairs (attic)", "attic"), ("Upstairs (hall)", "hall")]
    write_title(tmp_path / "imported" / "attic", "tiny")
    assert bench.scene_choices()[:2] == [("tiny", "tiny"), ("tiny (attic)", "attic")]


def test_a_folder_named_twice_is_listed_once(given: Path) -> None:
    folders = SceneFolders(given, imported=given / ".." / "given", bundled=None)
    assert [(one.info.name, one.origin) for one in folders.survey().scenes] == [("tiny", "imported")]
    assert [origin for origin, _ in SceneFolders(SCENES_DIR, imported=None, bundled=SCENES_DIR).places] == ["bundled"]


def test_without_a_scene_in_the_first_folder_the_sentence_is_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    labels = LabelStore(open_database(str(tmp_path / "labels.db")))
    for place, words in (("empty", "holds no scene"), ("none", "found no folder")):
        folders = SceneFolders(tmp_path / place, imported=None, bundled=SCENES_DIR)
        with pytest.raises(SceneError, match=words):
            Workbench(tmp_path / place, labels, StubJudge, folders=folders).scene_names()


def test_what_was_read_of_a_scene_is_forgotten(bench: Workbench) -> None:
    before, told = bench.open_scene("tiny"), list[str]()
    bench.when_forgotten(told.append)
    assert bench.open_scene("tiny") is before
    bench.forget("tiny")
    assert bench.open_scene("tiny") is not before
    assert told == ["tiny"]
