"""Files and folders are there whole or not at all, whatever fails meanwhile, and nothing unfinished stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.files import UNFINISHED, write_atomically, write_text_atomically, writing_file, writing_folder


class Stop(Exception):
    """What fails in the middle."""


def fail_halfway(unfinished: Path) -> None:
    unfinished.write_text("half")
    raise Stop


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    write_atomically(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": null\n}\n'
    write_text_atomically(path, "é\r\n")
    assert path.read_bytes() == "é\r\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(Stop), writing_file(path) as unfinished:
        fail_halfway(unfinished)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_folder_appears_whole_under_new_folders(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with writing_folder(folder) as unfinished:
        (unfinished / "a").touch()
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_replaced_only_where_that_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(OSError), writing_folder(folder) as unfinished:  # noqa: PT011  # which one depends on the system
        (unfinished / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["old"]
    with pytest.raises(Stop), writing_folder(folder, replaces=True):
        raise Stop
    assert [path.name for path in folder.iterdir()] == ["old"]
    with writing_folder(folder, replaces=True) as unfinished:
        (unfinished / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_writer_left_is_deleted_by_the_only_one(tmp_path: Path) -> None:
    left, other = tmp_path / f".fo[l]der.123{UNFINISHED}", tmp_path / f".folder2.123{UNFINISHED}"
    left.mkdir()
    other.mkdir()
    with writing_folder(tmp_path / "fo[l]der"):
        assert left.exists()
    with writing_folder(tmp_path / "fo[l]der", replaces=True, is_sole_writer=True):
        assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize("path", [".", "/"])
def test_a_place_without_a_name_is_an_os_error(path: str) -> None:
    with pytest.raises(IsADirectoryError):
        write_text_atomically(Path(path), "")
