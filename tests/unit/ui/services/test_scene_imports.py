"""Imports in the background: progress, an end however it comes, nothing half-imported, and no path but those allowed."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import MaskgroupError, SceneError
from engine.importing import ImportedScene
from engine.importing.sources import MAX_FILES
from tests.photo_rooms import textured_views, write_photos
from tests.stub_judge import StubJudge
from tests.tiny_room import write_tiny_room
from ui.services import scene_imports
from ui.services.grouping_runs import GroupingRuns
from ui.services.scene_copies import SceneCopies
from ui.services.scene_imports import MAX_KEPT, MAX_RUNNING, SceneImports
from ui.services.scene_list import SceneFolders
from ui.services.scene_uploads import TakenUpload
from ui.services.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    given = write_tiny_room(tmp_path / "given").parent
    folders = SceneFolders(given, imported=tmp_path / "scenes")
    return Workbench(given, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge, folders=folders)


@pytest.fixture
def imports(bench: Workbench, tmp_path: Path) -> SceneImports:
    return SceneImports(bench, tmp_path / "scenes", roots=[tmp_path / "given"])


def upload(tmp_path: Path, write: Callable[[Path], str | None]) -> TakenUpload:
    """What a browser sent: `write` puts it into a folder, and says which file it is if it is one."""
    folder = tmp_path / "uploads" / "upload-x"
    content = folder / "my_scene"
    content.mkdir(parents=True)
    name = write(content)
    return TakenUpload(content if name is None else content / name, name or "my photos", folder)


def zipped(tmp_path: Path, name: str = "hall.zip") -> TakenUpload:
    def write(folder: Path) -> str:
        room = tmp_path / "given" / "tiny"
        with zipfile.ZipFile(folder / name, "w") as packed:
            for path in room.rglob("*"):
                packed.write(path, path.relative_to(room).as_posix())
        return name

    return upload(tmp_path, write)


def test_plain_photos_become_a_scene_with_cameras(imports: SceneImports, bench: Workbench, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")

    def write(folder: Path) -> None:
        write_photos(folder / "holiday", textured_views())

    sent = upload(tmp_path, write)
    imports.start_upload(TakenUpload(sent.source / "holiday", "holiday", sent.folder)).join()
    (state,) = imports.states()
    assert (state.status, state.scene) == ("done", "holiday"), state.message
    assert "has no masks yet" in state.message
    assert not sent.folder.exists()
    assert bench.find_listed("holiday").info.n_views >= 8
    # With masks made by the program they can be judged and grouped, by where the photos were taken.
    SceneCopies(bench, imports).make_masks("holiday", "built-in").join()
    state = imports.states()[0]
    assert (state.status, state.scene) == ("done", "holiday"), state.message
    views = bench.views("holiday")
    assert len(views) >= 8
    assert all(bench.masks("holiday", view) for view in views)
    runs = GroupingRuns(bench)
    worker = runs.start("holiday")
    assert worker is not None
    worker.join()
    grouped = runs.state("holiday")
    assert grouped is not None
    assert grouped.status == "done", grouped.message


def test_photos_without_cameras_and_masks_are_no_scene(imports: SceneImports, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")

    def write(folder: Path) -> None:
        write_photos(folder / "grey", textured_views(3, plain=True))

    sent = upload(tmp_path, write)
    imports.start_upload(TakenUpload(sent.source / "grey", "grey", sent.folder)).join()
    (state,) = imports.states()
    assert state.status == "failed"
    assert state.message
    assert str(tmp_path) not in state.message
    assert list((tmp_path / "scenes").iterdir()) == []


def test_an_upload_becomes_a_scene_and_nothing_of_it_stays(imports: SceneImports, bench: Workbench, tmp_path: Path) -> None:
    imports.start_upload(zipped(tmp_path)).join()
    (state,) = imports.states()
    assert (state.status, state.scene, state.shown, state.message, state.share) == ("done", "hall", "hall.zip", "", 1.0)
    assert bench.scene_names() == ["tiny", "hall"]
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_name_that_is_taken_gets_a_number(imports: SceneImports, bench: Workbench, tmp_path: Path) -> None:
    for _ in range(2):
        imports.start_upload(zipped(tmp_path, "Tiny.zip")).join()
    assert [state.scene for state in imports.states()] == ["Tiny_3", "Tiny_2"]
    assert bench.scene_names() == ["tiny", "Tiny_2", "Tiny_3"]


def test_what_is_no_scene_is_one_sentence_that_names_no_place_of_the_server(imports: SceneImports, tmp_path: Path) -> None:
    def no_scene(folder: Path) -> str:
        with zipfile.ZipFile(folder / "<b>x.zip", "w") as packed:
            packed.writestr("notes.txt", "x")
        return "<b>x.zip"

    def loose(folder: Path) -> None:
        (folder / "notes.txt").write_text("x")

    for write, words in ((no_scene, "<b>x.zip: found notes.txt, expected"), (loose, "my photos: found notes.txt, expected")):
        imports.start_upload(upload(tmp_path, write)).join()
        state = imports.states()[0]
        assert state.status == "failed"
        assert state.message.startswith(words)
        assert str(tmp_path) not in state.message
    assert list((tmp_path / "scenes").iterdir()) == []
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_scene_is_called_as_the_person_wants(imports: SceneImports, bench: Workbench, tmp_path: Path) -> None:
    # The second name is taken, no folder can have the third, and the last is no title at all.
    for called in ("Aunt's hall", "tiny", "a/b: c", "a\u202eb", ""):
        imports.start_upload(zipped(tmp_path), called).join()
    assert [state.scene for state in reversed(imports.states())] == ["Aunt's hall", "tiny_2", "hall", "hall_2", "hall_3"]
    labels = {scene.info.name: scene.label for scene in bench.list_scenes().scenes}
    assert labels["Aunt's hall"] == "Aunt's hall"
    assert labels["tiny_2"] == "tiny (tiny_2)"
    assert labels["hall"] == "a/b: c"
    assert labels["hall_2"] == "hall_2"


def bomb(folder: Path) -> str:
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed, packed.open("color/0.png", "w") as file:
        for _ in range(1100):
            file.write(bytes(2**20))
    return "bomb.zip"


def many(folder: Path) -> str:
    with zipfile.ZipFile(folder / "many.zip", "w") as packed:
        for number in range(MAX_FILES + 1):
            packed.writestr(f"color/{number}.png", b"")
    return "many.zip"


def ten_thousand(folder: Path) -> str:
    with zipfile.ZipFile(folder / "many.zip", "w") as packed:
        for number in range(10_000):
            packed.writestr(f"notes/{number}.txt", b"")
    return "many.zip"


def outside(folder: Path) -> str:
    with zipfile.ZipFile(folder / "out.zip", "w") as packed:
        packed.writestr("../../../escaped.txt", "x")
    return "out.zip"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (bomb, "would unpack from"),
        (many, "found more than 20,000 files"),
        (ten_thousand, "many.zip: found "),
        (outside, "leads out of the archive"),
    ],
)
def test_odd_archives_leave_nothing(imports: SceneImports, tmp_path: Path, write: Callable[[Path], str], words: str) -> None:
    imports.start_upload(upload(tmp_path, write)).join()
    (state,) = imports.states()
    assert state.status == "failed"
    assert words in state.message
    assert "\n" not in state.message
    assert list((tmp_path / "scenes").glob("*")) == []
    assert list((tmp_path / "uploads").iterdir()) == []
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize("text", ["tiny", " tiny ", "./tiny", "{root}/tiny"])
def test_a_path_below_a_root_is_imported(imports: SceneImports, tmp_path: Path, text: str) -> None:
    imports.start_path(text.format(root=tmp_path / "given")).join()
    assert imports.states()[0].scene == "tiny_2"
    assert (tmp_path / "given" / "tiny").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../secret",
        "/etc/passwd",
        "{root}",
        "{root}/../secret",
        "link",
        "link/scene",
        "none",
        "a\0b",
        "x" * 5000,
        "~",
    ],
)
def test_no_other_path_is_and_the_sentence_does_not_say_what_is_there(imports: SceneImports, tmp_path: Path, text: str) -> None:
    write_tiny_room(tmp_path / "secret").rename(tmp_path / "secret" / "scene")
    (tmp_path / "given" / "link").symlink_to(tmp_path / "secret")
    named = text.format(root=tmp_path / "given")
    with pytest.raises(SceneError, match="names nothing below") as told:
        imports.start_path(named)
    assert "secret" not in str(told.value).replace(repr(named), "")
    assert imports.states() == []


def test_without_a_root_no_path_is(bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="start the app with --import-root"):
        SceneImports(bench, tmp_path / "scenes").start_path(str(tmp_path / "given" / "tiny"))
    with pytest.raises(SceneError, match="check --import-root"):
        SceneImports(bench, tmp_path / "scenes", roots=[tmp_path / "none"])


def test_an_import_is_stopped_and_leaves_nothing(imports: SceneImports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, goes_on = threading.Event(), threading.Event()
    run = scene_imports.import_scene

    def held(*args: Any, on_progress: Callable[..., None], **more: Any) -> ImportedScene:
        def report(step: str, done: int, total: int) -> None:
            on_progress(step, done, total)
            reached.set()
            assert goes_on.wait(60)

        return run(*args, on_progress=report, **more)

    monkeypatch.setattr(scene_imports, "import_scene", held)
    worker = imports.start_upload(zipped(tmp_path))
    assert reached.wait(60)
    (state,) = imports.states()
    assert state.is_running
    assert state.words.startswith("Copying: 0 of ")
    imports.dismiss(state.number)
    assert imports.states() == [state], "what is under way stays listed"
    others = [imports.start_path("tiny") for _ in range(MAX_RUNNING - 1)]
    with pytest.raises(MaskgroupError, match="as many as may be"):
        imports.start_path("tiny")
    for one in imports.states():
        imports.cancel(one.number)
    goes_on.set()
    for thread in (worker, *others):
        thread.join()
    assert {one.status for one in imports.states()} == {"cancelled"}
    assert imports.states()[0].message == "The import was stopped; nothing was kept."
    assert list((tmp_path / "scenes").iterdir()) == []
    assert list((tmp_path / "uploads").iterdir()) == []
    for one in imports.states():
        imports.dismiss(one.number)
    assert imports.states() == []


def test_a_fault_of_the_program_ends_the_import_too(imports: SceneImports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> ImportedScene:
        raise ZeroDivisionError

    monkeypatch.setattr(scene_imports, "import_scene", fail)
    imports.start_upload(zipped(tmp_path)).join()
    assert imports.states()[0].status == "failed"
    assert "by a mistake of the program" in imports.states()[0].message
    assert list((tmp_path / "uploads").iterdir()) == []


def test_only_the_latest_imports_are_told_of(imports: SceneImports, tmp_path: Path) -> None:
    for _ in range(MAX_KEPT + 2):
        imports.start_upload(upload(tmp_path, lambda folder: None)).join()
    assert [state.number for state in imports.states()] == list(range(MAX_KEPT + 2, 1, -1))
