"""Uploads of scenes: bounded, in nobody's reach but their browser's, and gone in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ui.services.scene_uploads import IDLE_S, MAX_BATCHES, MAX_FILES, STALE_S, SceneUploads, UploadError

ONE, OTHER = "1" * 32, "2" * 32
BATCH = "ab" * 16


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> SceneUploads:
    (tmp_path / "uploads").mkdir()
    return SceneUploads(tmp_path / "uploads", max_bytes=1000, clock=clock)


def send(uploads: SceneUploads, path: str, content: bytes = b"x", *, browser: str = ONE, batch: str = BATCH) -> None:
    file = uploads.open_file(browser, batch, path, len(content))
    assert file is not None
    file.write(content)
    file.close()


def left(uploads: SceneUploads) -> list[Path]:
    return list(uploads._folder.rglob("*"))


def test_a_zip_is_taken_as_itself_and_files_as_their_folder(uploads: SceneUploads) -> None:
    send(uploads, "hall.ZIP", b"zip")
    taken = uploads.take(ONE, BATCH)
    assert (taken.source.read_bytes(), taken.shown) == (b"zip", "hall.ZIP")
    taken.delete()
    assert left(uploads) == []
    send(uploads, "hall/color/0.png")
    send(uploads, "hall/masks/0.png")
    taken = uploads.take(ONE, BATCH)
    assert taken.shown == "hall"
    assert sorted(path.relative_to(taken.source).as_posix() for path in taken.source.rglob("*.png")) == [
        "color/0.png",
        "masks/0.png",
    ]
    send(uploads, "walk.MP4", b"video")
    assert uploads.take(ONE, BATCH).source.name == "walk.MP4"
    send(uploads, "a.png")
    send(uploads, "b.png")
    taken = uploads.take(ONE, BATCH)
    assert (taken.shown, taken.source.name) == ("2 files", "my_scene")


def test_only_the_browser_that_sent_it_can_take_or_drop_it(uploads: SceneUploads) -> None:
    send(uploads, "hall.zip")
    for browser, batch in ((OTHER, BATCH), (ONE, "cd" * 16), ("", BATCH)):
        uploads.drop(browser, batch)
        with pytest.raises(UploadError, match="no such upload"):
            uploads.take(browser, batch)
    assert uploads.take(ONE, BATCH).shown == "hall.zip"
    with pytest.raises(UploadError, match="no such upload"):
        uploads.take(ONE, BATCH)


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "a\\..\\..\\x", "a\0b", "x" * 300, "/".join("a" * 20), "a\nb"]
)
def test_no_path_leads_out(uploads: SceneUploads, path: str) -> None:
    with pytest.raises(UploadError, match="cannot be taken"):
        uploads.open_file(ONE, BATCH, path, 1)
    assert left(uploads) == []


@pytest.mark.parametrize("path", [".hidden", "a/.git/config", "__MACOSX/x", "Thumbs.db"])
def test_hidden_files_are_passed_over(uploads: SceneUploads, path: str) -> None:
    assert uploads.open_file(ONE, BATCH, path, 1) is None
    assert left(uploads) == []


@pytest.mark.parametrize("batch", ["", "../" * 10 + "ab", "A" * 32, "ab" * 17])
def test_an_upload_has_a_proper_name(uploads: SceneUploads, batch: str) -> None:
    with pytest.raises(UploadError, match="proper name"):
        uploads.open_file(ONE, batch, "a.png", 1)


def test_it_may_not_be_larger_than_allowed_whatever_it_says(uploads: SceneUploads) -> None:
    with pytest.raises(UploadError, match=r"may have 0 MB.*--max-upload-mb"):
        uploads.open_file(ONE, BATCH, "a.png", 1001)
    with pytest.raises(UploadError):
        uploads.open_file(ONE, BATCH, "a.png", -1)
    send(uploads, "a.png", bytes(600))
    with pytest.raises(UploadError):
        uploads.open_file(ONE, BATCH, "b.png", 401)
    file = uploads.open_file(ONE, BATCH, "b.png", 10)
    assert file is not None
    file.write(bytes(400))
    with pytest.raises(UploadError):
        file.write(b"x")
    file.abandon()
    send(uploads, "b.png", bytes(400))


def test_it_may_not_have_more_files_than_allowed(uploads: SceneUploads) -> None:
    for number in range(MAX_FILES):
        send(uploads, f"{number}.png", b"")
    with pytest.raises(UploadError, match="pack the scene into a zip"):
        uploads.open_file(ONE, BATCH, "one more.png", 0)


def test_a_name_comes_once_and_is_no_folder_too(uploads: SceneUploads) -> None:
    send(uploads, "a/b.png")
    with pytest.raises(UploadError, match="came twice"):
        uploads.open_file(ONE, BATCH, "a//b.png", 1)
    with pytest.raises(UploadError, match="cannot be kept"):
        uploads.open_file(ONE, BATCH, "a", 1)
    with pytest.raises(UploadError, match="cannot be kept"):
        uploads.open_file(ONE, BATCH, "a/b.png/c.png", 1)
    assert uploads.take(ONE, BATCH).shown == "a"


def test_what_is_on_its_way_is_not_taken_and_what_was_cut_off_is_gone(uploads: SceneUploads) -> None:
    file = uploads.open_file(ONE, BATCH, "hall.zip", 5)
    assert file is not None
    with pytest.raises(UploadError, match="on its way"):
        uploads.take(ONE, BATCH)
    file.write(b"xx")
    file.abandon()
    with pytest.raises(UploadError, match="no such upload"):
        uploads.take(ONE, BATCH)
    assert not [path for path in left(uploads) if path.is_file()]


def test_a_dropped_upload_is_gone_also_while_a_file_is_written(uploads: SceneUploads) -> None:
    send(uploads, "a.png")
    file = uploads.open_file(ONE, BATCH, "b.png", 5)
    assert file is not None
    uploads.drop(ONE, BATCH)
    with pytest.raises(UploadError, match="stopped"):
        file.write(b"x")
    file.abandon()
    assert left(uploads) == []


def test_old_uploads_make_place(uploads: SceneUploads, clock: Clock) -> None:
    for number in range(MAX_BATCHES):
        clock.now = number
        send(uploads, "a.png", batch=f"{number:032x}")
    with pytest.raises(UploadError, match="as many as may be"):
        send(uploads, "a.png", batch="f" * 32)
    clock.now = STALE_S + 0.5
    send(uploads, "a.png", batch="f" * 32)
    with pytest.raises(UploadError, match="no such upload"):
        uploads.take(ONE, f"{0:032x}")
    clock.now = 2 * IDLE_S
    send(uploads, "a.png", batch="e" * 32)
    assert len([path for path in left(uploads) if path.is_file()]) == 1
