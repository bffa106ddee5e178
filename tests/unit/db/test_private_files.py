"""What holds labels is its owner's alone, from the moment it is made."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from db.labels.store import LabelStore, NewLabel
from db.schema.private_files import make_private_file
from db.schema.session import open_database
from engine.types import MaskKey, MaskPair
from ui.web.page_session import PageSessions
from ui.web.served_folder import make_served_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_a_new_database_and_its_neighbours_are_private(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("made" if form == "{}" else ".") / "deep" / "labels.db"
    if form != "{}":
        path.parent.mkdir(parents=True)
    engine = open_database(form.format(path))
    LabelStore(engine).add(NewLabel("ann", "room", MaskPair(MaskKey("1", 1), MaskKey("2", 1)), "same"))
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "labels.db": 0o600,
        "labels.db-wal": 0o600,
        "labels.db-shm": 0o600,
    }
    if form == "{}":
        assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)


def test_a_database_that_was_open_to_others_is_tightened_and_its_folder_is_left(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "labels.db"
    open_database(str(path)).dispose()
    path.chmod(0o666)
    path.parent.chmod(0o755)
    open_database(str(path)).dispose()
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o755


def test_the_file_is_never_open_to_others_even_for_a_moment(tmp_path: Path) -> None:
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for place in tmp_path.glob("labels.db*"):
                try:
                    seen.add(mode(place))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(20):
            open_database(str(tmp_path / f"labels.db{number}")).dispose()
    finally:
        done.set()
        watcher.join()
    assert seen == {0o600}


def test_of_many_who_make_the_file_none_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    make_private_file(path)
    path.write_text("kept")
    make_private_file(path)
    assert path.read_text() == "kept"
    assert [file.name for file in tmp_path.iterdir()] == ["labels.db"]


def test_the_served_folder_is_private_and_empty_and_each_app_has_its_own(tmp_path: Path) -> None:
    first = make_served_folder(tmp_path)
    (first / "picture.webp").write_bytes(b"x")
    second = make_served_folder(tmp_path)
    assert first != second
    assert (first / "picture.webp").exists(), "its app still runs"
    assert list(second.iterdir()) == []
    assert (mode(first), mode(second), mode(first.parent)) == (0o700, 0o700, 0o700)


def test_what_a_killed_app_left_is_deleted_at_the_next_start(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from ui.web.served_folder import make_served_folder\n"
        "folder = make_served_folder(Path(sys.argv[1])); (folder / 'left').write_text('x'); print(folder, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    left = Path(subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True).stdout.strip())
    assert (left / "left").exists()
    mine = make_served_folder(tmp_path)
    assert not left.exists()
    assert sorted(path.name for path in mine.parent.iterdir()) == [".lock", mine.name, f"{mine.name}.lock"]


def test_pages_stay_known_after_a_restart_and_no_other_app_knows_them(tmp_path: Path) -> None:
    sessions = PageSessions(tmp_path)
    value = sessions.new()
    assert sessions.read({sessions.cookie: value}) == value.partition(".")[0]
    again = PageSessions(tmp_path)
    assert again.read({again.cookie: value}) is not None
    assert mode(tmp_path / "page.key") == 0o600
    (tmp_path / "other").mkdir()
    other = PageSessions(tmp_path / "other")
    assert other.cookie != sessions.cookie
    for forged in ("", ".", value[:-1], value + "x", f"{'0' * 32}.{value.partition('.')[2]}", "é.é", "a" * 5000):
        assert other.read({other.cookie: value}) is None
        assert sessions.read({sessions.cookie: forged}) is None
