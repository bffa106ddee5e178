"""A scene that a model was trained on is known again, whatever it is called, and marked wherever the model is measured on it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from engine.assets import BUNDLED_MODEL, SCENES_DIR, TUNED_ADAPTER
from engine.errors import ModelError
from engine.evaluation.comparison.paired import compare_folders, to_report
from engine.evaluation.trained_on import FILE, SceneMark, TrainedOn, mark_scene, marks_of, read_marks, write_marks
from finetune.config import TrainConfig
from finetune.runs.export import export_adapter
from finetune.runs.stages import find_seen, marks_of_training
from tests.command_line import run_command
from tests.model_process import write_adapter
from tests.rights import without_rights
from tests.tiny_room import write_tiny_room
from tests.training_room import write_training_room


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_room(tmp_path_factory.mktemp("room"))


def copy(room: Path, to: Path) -> Path:
    return Path(shutil.copytree(room, to))


def test_a_scene_is_known_under_another_name_and_in_part(room: Path, tmp_path: Path) -> None:
    known = TrainedOn((mark_scene(room),), is_all=True)
    renamed = copy(room, tmp_path / "attic")
    (renamed / "small_mesh.ply").rename(renamed / "attic_mesh.ply")
    assert known.includes(renamed)
    for path in sorted((renamed / "color").iterdir())[::2]:
        path.unlink()
    (renamed / "attic_mesh.ply").unlink()
    assert known.includes(renamed), "half of its pictures are enough"


def test_another_scene_of_the_same_name_is_another_scene(room: Path, tmp_path: Path) -> None:
    other = write_tiny_room(tmp_path)
    namesake = other.rename(other.with_name("small"))
    known = TrainedOn((mark_scene(room),), is_all=True)
    assert known.includes(namesake) is False
    assert TrainedOn((mark_scene(room),)).includes(namesake) is None, "of a model from elsewhere nobody knows"
    assert TrainedOn((SceneMark("small"),), is_all=True).includes(namesake), "where only a name is known, it decides"
    assert not mark_scene(room).is_same_scene(mark_scene(SCENES_DIR / "sh3d_living"))


def test_depth_and_masks_tell_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for folder in ("depth", "masks", "gt_masks"):
            (tmp_path / name / folder).mkdir(parents=True)
            (tmp_path / name / folder / "0.png").write_bytes(b"the same in both")
        (tmp_path / name / "color").mkdir()
        (tmp_path / name / "color" / "0.jpg").write_bytes(name.encode())
    a, b = (mark_scene(tmp_path / name) for name in ("a", "b"))
    assert (len(a.pictures), a.is_same_scene(b)) == (1, False)


def test_files_that_cannot_be_read_are_passed_over(room: Path) -> None:
    """A training that has finished must not be lost because a picture has been locked away meanwhile."""
    with tempfile.TemporaryDirectory(prefix="maskgroup-test-") as name:  # pytest's own folders are the user's alone
        Path(name).chmod(0o755)
        mine = copy(room, Path(name) / "mine")
        whole = mark_scene(mine)
        os.mkfifo(mine / "color" / "pipe.png")
        (mine / "color" / "gone.png").symlink_to("nothing")
        with without_rights():
            assert mark_scene(mine) == whole
        first = sorted((mine / "color").glob("[0-9]*"))[0]
        first.chmod(0o000)
        (mine / "poses").chmod(0o000)
        with without_rights():
            assert mark_scene(mine).is_same_scene(whole)
        (mine / "color").chmod(0o444)  # its names may be read, its files not
        with without_rights():
            assert mark_scene(mine).name == "mine"
        mine.chmod(0o000)
        with without_rights():
            assert mark_scene(mine).pictures == ()
        for folder in (mine, mine / "color", mine / "poses"):
            folder.chmod(0o755)


def test_marks_are_kept_and_broken_ones_refused(room: Path, tmp_path: Path) -> None:
    marks = (mark_scene(room, held_back=True), SceneMark("other"))
    write_marks(tmp_path, marks)
    assert read_marks(tmp_path) == TrainedOn(marks, is_all=True)
    (tmp_path / FILE).write_text('{"scenes": [{}]}')
    with pytest.raises(ModelError, match="is broken"):
        read_marks(tmp_path)


def test_what_ships_is_known() -> None:
    assert marks_of(BUNDLED_MODEL, None) == TrainedOn((), is_all=True)
    tuned = marks_of(BUNDLED_MODEL, TUNED_ADAPTER)
    assert [scene.name for scene in tuned.scenes] == ["sh3d_bedroom"]
    assert tuned.includes(SCENES_DIR / "sh3d_living") is False
    assert marks_of("Qwen/Qwen3-VL-2B-Instruct", None) == TrainedOn((), is_all=False)


def test_an_adapter_without_the_file_is_known_by_its_cards_names(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"config": {"scenes": ["attic", "cellar"]}}')
    assert [scene.name for scene in read_marks(tmp_path).scenes] == ["attic", "cellar"]
    assert read_marks(tmp_path / "nothing") == TrainedOn((), is_all=False)


def test_frozen_pairs_that_a_model_may_have_seen(room: Path, tmp_path: Path) -> None:
    renamed = copy(room, tmp_path / "attic")
    marks = {Path(folder): mark_scene(Path(folder)) for folder in (room, renamed, "elsewhere")}
    held_back = TrainedOn(tuple(marks_of_training(TrainConfig(scenes=(str(room),)), marks)))
    whole = TrainedOn(tuple(marks_of_training(TrainConfig(scenes=(str(room),), evaluation_scenes=("elsewhere",)), marks)))
    on_itself = TrainConfig(scenes=(str(renamed),))
    on_another = TrainConfig(scenes=("elsewhere",), evaluation_scenes=(str(renamed),))
    assert find_seen(on_itself, held_back, marks) == [], "the objects that are held back are always the same"
    assert find_seen(on_itself, whole, marks) == ["attic"]
    assert find_seen(on_another, held_back, marks) == ["attic"]
    assert find_seen(on_another, TrainedOn(), marks) == []


@pytest.fixture(scope="module")
def adapter(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that says that it was trained on the room."""
    folder = write_adapter(tmp_path_factory.mktemp("adapter") / "mine")
    write_marks(folder, [mark_scene(room)])
    return folder


def test_evaluate_and_compare_say_so(room: Path, adapter: Path, tmp_path: Path) -> None:
    renamed = copy(room, tmp_path / "attic")
    (renamed / "small_mesh.ply").rename(renamed / "attic_mesh.ply")
    (tmp_path / "ground_truth").mkdir()
    shutil.copyfile(room.parent / "ground_truth" / "small.txt", tmp_path / "ground_truth" / "attic.txt")
    small = ("--pairs", 4, "--min-area", 1)
    base = run_command("evaluate", renamed, "--out", tmp_path / "a", "--json", *small)
    mine = run_command("evaluate", renamed, "--out", tmp_path / "b", "--model", adapter, *small)
    assert (base.code, mine.code) == (0, 0), (base, mine)
    assert json.loads(base.out)[0]["trained_on_scene"] is False
    assert "was trained on" not in base.err
    assert "was trained on attic: these figures flatter it" in mine.err
    assert json.loads((tmp_path / "b" / "attic" / "metrics.json").read_text())["trained_on_scene"] is True
    (found,) = compare_folders(tmp_path / "a", tmp_path / "b")
    assert to_report(found)["trained_on_scene"] == {"a": False, "b": True}
    told = run_command("compare", tmp_path / "a", tmp_path / "b")
    assert "B was trained on this scene: its figures flatter it" in told.out
    assert "A was trained" not in told.out
    one = run_command("compare", tmp_path / "a" / "attic", tmp_path / "b" / "attic")
    assert "B was trained on this scene" in one.out


def test_an_exported_adapter_takes_its_marks_along(adapter: Path, tmp_path: Path) -> None:
    run = tmp_path / "run-1"
    shutil.copytree(adapter, run / "adapter")
    assert read_marks(export_adapter(run, tmp_path / "out")) == read_marks(adapter)
