"""An import gives the same scene in its new place, or one sentence and nothing at all, whatever was brought."""

from __future__ import annotations

import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.importing import ImportCancelled, archive, import_scene, run, sources
from engine.scenes import follow_links_into, list_scenes, open_scene
from engine.types import Scene
from engine.views.export import write_frames
from engine.views.frames import FrameSource
from tests.format_rooms import LISTED, write_room
from tests.rights import folder_for_all, without_rights
from tests.tiny_room import write_tiny_room

SCRIPT = """
import sys
from pathlib import Path
from engine.importing import import_scene

def stop(step, done, total):
    if step == sys.argv[3] and done == 2:
        print("here", flush=True)
        sys.stdin.read()

import_scene(Path(sys.argv[1]), Path(sys.argv[2]), name="killed", on_progress=stop)
"""


def pack(folder: Path, path: Path, *, under: str = "", also: dict[str, bytes] | None = None) -> Path:
    """Pack a folder's files into a zip, under a path within it, with other files beside."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, f"{under}{file.relative_to(folder).as_posix()}")
        for name, data in (also or {}).items():
            packed.writestr(name, data)
    return path


def assert_same(new: Scene, old: Scene) -> None:
    assert (new.format, new.view_names, new.left_out) == (old.format, old.view_names, old.left_out)
    for one, other in zip(FrameSource(new).usable(new.view_names), FrameSource(old).usable(old.view_names), strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.instance_map, other.instance_map)
        assert (one.depth is None, one.pose is None) == (other.depth is None, other.pose is None)
        if one.depth is not None and other.depth is not None:
            np.testing.assert_array_equal(one.depth, other.depth)


def refused(source: Path, folder: Path, match: str, **options: object) -> str:
    """Import what must be refused; returns the sentence. Nothing may be left."""
    before = sorted(folder.rglob("*")) if folder.exists() else []
    with pytest.raises(SceneError, match=match) as caught:
        import_scene(source, folder, **options)  # pyright: ignore[reportArgumentType]
    assert (sorted(folder.rglob("*")) if folder.exists() else []) == before
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert ".import." not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


@pytest.mark.parametrize("writer", [*LISTED, "replica", "processed"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_scene_of_every_format_is_the_same_afterwards(writer: str, kind: str, tiny_room: Path, tmp_path: Path) -> None:
    if writer == "replica":
        source = tiny_room
    elif writer == "processed":
        source = tmp_path / "processed"
        list(write_frames(FrameSource(open_scene(tiny_room)), source, width=32, height=24))
    else:
        source = write_room(tiny_room, tmp_path / "brought", writer, "png")
    old = open_scene(source)
    path = source
    if kind == "zip":
        labels = tiny_room.parent / "ground_truth" / "tiny.txt"
        path = pack(source, tmp_path / "any.zip", under=f"{source.name}/", also={"ground_truth/tiny.txt": labels.read_bytes()})
    seen: list[tuple[str, int, int]] = []
    done = import_scene(path, tmp_path / "new", on_progress=lambda *said: seen.append(said))
    assert (done.name, done.folder) == (source.name, tmp_path / "new" / source.name)
    assert_same(open_scene(done.folder), old)
    assert os.listdir(tmp_path / "new") == [source.name]
    assert [info.name for info in list_scenes(tmp_path / "new")] == [source.name]
    assert done.report.folder == str(done.folder)
    assert (done.report.n_views, done.format) == (len(old.view_names), old.format)
    assert done.n_bytes == sum(file.stat().st_size for file in done.folder.rglob("*") if file.is_file())
    assert [step for step, _, _ in seen] == sorted((step for step, _, _ in seen), reverse=True)
    assert done.n_files == sum(file.is_file() for file in done.folder.rglob("*"))
    n_copied = done.n_files + done.n_passed_over
    assert done.n_passed_over == (1 if kind == "zip" and writer != "replica" else 0)
    assert ("copying", n_copied, n_copied) in seen
    assert ("checking", len(old.view_names), len(old.view_names)) in seen
    assert done.folder.stat().st_mode & 0o777 == (tmp_path / "new").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("under", "name", "expected"),
    [("", None, "scan of a room"), ("hall/", None, "hall"), ("export/hall/", None, "hall"), ("./hall/", "other", "other")],
)
def test_a_scene_in_a_zip_is_found_and_named(under: str, name: str | None, expected: str, tiny_room: Path, tmp_path: Path) -> None:
    source = write_room(tiny_room, tmp_path / "brought", "transforms", "npz")
    also = {"__MACOSX/._x": b"", f"{under}color/.DS_Store": b"", f"{under}Icon\r": b"", "Thumbs.db": b""}
    path = pack(source, tmp_path / "scan of a room.ZIP", under=under, also=also)
    done = import_scene(path, tmp_path / "new", name=name)
    assert (done.name, done.n_passed_over) == (expected, 4)
    assert_same(open_scene(done.folder), open_scene(source))


def test_names_written_as_on_windows_or_as_utf_8_without_saying_so_are_read(tiny_room: Path, tmp_path: Path) -> None:
    source = write_room(tiny_room, tmp_path / "brought", "transforms", "png")
    data = pack(source, tmp_path / "plain.zip", under="XXXX\\").read_bytes()
    (tmp_path / "old.zip").write_bytes(data.replace(b"XXXX", "Küc".encode()[:4]))
    done = import_scene(tmp_path / "old.zip", tmp_path / "new")
    assert done.name == "Küc"
    assert_same(open_scene(done.folder), open_scene(source))


def entry(name: str, *, mode: int = 0, kind: int = zipfile.ZIP_STORED, data: bytes = b"x") -> Callable[[zipfile.ZipFile], None]:
    def add(packed: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        packed.writestr(info, data, kind)

    return add


ODD_ENTRIES: dict[str, tuple[list[Callable[[zipfile.ZipFile], None]], str]] = {
    "absolute": ([entry("/etc/x")], "does not begin in the archive"),
    "absolute, Windows": ([entry("\\\\server\\x")], "does not begin in the archive"),
    "drive": ([entry("C:/x")], "does not begin in the archive"),
    "drive, relative": ([entry("c:x")], "does not begin in the archive"),
    "out": ([entry("../x")], "leads out of the archive"),
    "out, further in": ([entry("color/../../x")], "leads out of the archive"),
    "out, Windows": ([entry("color\\..\\..\\x")], "leads out of the archive"),
    "out, hidden": ([entry("../.bashrc")], "leads out of the archive"),
    "link": ([entry("color/x.png", mode=stat.S_IFLNK | 0o777, data=b"/etc/passwd")], "it is a link"),
    "linked folder": ([entry("x", mode=stat.S_IFLNK | 0o777, data=b"/etc"), entry("x/y")], "it is a link"),
    "device": ([entry("x", mode=stat.S_IFCHR | 0o666)], "neither a file nor a folder"),
    "pipe": ([entry("x", mode=stat.S_IFIFO | 0o666)], "neither a file nor a folder"),
    "long name": ([entry("x" * 256)], "longer than 255 bytes"),
    "long path": ([entry("/".join(["x" * 200] * 6))], "its path longer than"),
    "deep": ([entry("x/" * 17 + "x")], "more than 16 folders"),
    "control character": ([entry("a\x1b[31m.png")], r"control character U\+001B"),
    "twice": ([entry("x"), entry("x")], "would be one file"),
    "twice but for case": ([entry("color/X.png"), entry("color/x.png")], "would be one file"),
    "twice but for spelling": ([entry("caf\u00e9"), entry("cafe\u0301")], "would be one file"),
    "twice by way of a dot": ([entry("x/y"), entry("x/./y")], "would be one file"),
    "folder that is a file": ([entry("x"), entry("x/y")], "would be one file"),
    "file that is a folder": ([entry("x/y"), entry("x")], "would be one file"),
    "bzip2": ([entry("x", kind=zipfile.ZIP_BZIP2)], "packed by method 12"),
    "lzma": ([entry("x", kind=zipfile.ZIP_LZMA)], "packed by method 14"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ODD_ENTRIES)
def test_an_archive_with_an_odd_entry_is_refused(case: str, tiny_room: Path, tmp_path: Path) -> None:
    entries, match = ODD_ENTRIES[case]
    room = write_room(tiny_room, tmp_path / "brought", "transforms", "png")
    path = pack(room, tmp_path / "odd.zip")
    with zipfile.ZipFile(path, "a") as packed:
        for add in entries:
            add(packed)
    before = sorted(tmp_path.rglob("*"))
    sentence = refused(path, tmp_path / "deep" / "new", match)
    assert sentence.startswith(str(path))
    assert sorted(tmp_path.rglob("*")) == before


def patched(path: Path, name: bytes, at: int, value: bytes, *, at_header: int | None = None) -> None:
    """Change an entry's record in the table of contents, and in its own header, where it has such a field."""
    data = bytearray(path.read_bytes())
    start = data.rfind(b"PK\x01\x02", 0, data.rfind(name))
    data[start + at : start + at + len(value)] = value
    if at_header is not None:
        start = data.rfind(b"PK\x03\x04", 0, data.find(name))
        data[start + at_header : start + at_header + len(value)] = value
    path.write_bytes(data)


@pytest.fixture
def zipped(tiny_room: Path, tmp_path: Path) -> Path:
    """A good archive, with one large file of zeros, as a photo might be."""
    room = write_room(tiny_room, tmp_path / "brought", "transforms", "png")
    (room / "zeros.bin").write_bytes(bytes(300_000))
    return pack(room, tmp_path / "room.zip")


def test_an_encrypted_archive_is_refused(zipped: Path, tmp_path: Path) -> None:
    patched(zipped, b"zeros.bin", 8, b"\x01\x00", at_header=6)
    refused(zipped, tmp_path / "new", "zeros.bin.*it is encrypted")


@pytest.mark.parametrize(
    ("size", "match"), [(299_999, "cannot be unpacked"), (300_001, "cannot be unpacked|other than the 300,001")]
)
def test_a_file_that_is_longer_or_shorter_than_it_says_is_refused(size: int, match: str, zipped: Path, tmp_path: Path) -> None:
    patched(zipped, b"zeros.bin", 24, struct.pack("<L", size), at_header=22)
    refused(zipped, tmp_path / "new", match)


def test_broken_bytes_are_refused(zipped: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped) as packed:
        info = packed.getinfo("transforms.json")
    data = bytearray(zipped.read_bytes())
    data[info.header_offset + 30 + len("transforms.json") + 20] ^= 255
    zipped.write_bytes(data)
    refused(zipped, tmp_path / "new", r"transforms\.json.* cannot be unpacked")


def test_what_is_no_archive_or_cut_short_is_refused(zipped: Path, tmp_path: Path) -> None:
    whole = zipped.read_bytes()
    for data in (b"", b"no archive", whole[:-30], whole[: len(whole) // 2]):
        zipped.write_bytes(data)
        refused(zipped, tmp_path / "new", "no zip archive, or is cut short")
    zipped.write_bytes(whole[1000:])
    refused(zipped, tmp_path / "new", "room.zip: ")
    refused(tmp_path / "nothing.zip", tmp_path / "new", "found nothing")


def test_whatever_is_changed_in_an_archive_it_is_read_or_refused_and_leads_nowhere(zipped: Path) -> None:
    whole, rng = zipped.read_bytes(), random.Random(0)
    ends = {"read": 0, "refused": 0}
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            # Mostly in the table of contents, which is at the end.
            at = rng.randrange(len(data)) if rng.random() < 0.3 else len(data) - 1 - rng.randrange(len(data) // 4)
            data[at] = rng.choice((0, 1, 0x2E, 0x2F, 0x5C, 0xFF, rng.randrange(256)))
        zipped.write_bytes(data if rng.random() < 0.9 else data[: rng.randrange(len(data))])
        try:
            with archive.open_archive(zipped) as found:
                for file in found.files:
                    assert not {"..", ".", ""} & set(file.parts)
                    assert not any("/" in part or "\0" in part for part in file.parts)
                    assert sum(len(chunk) for chunk in found.read(file)) <= file.size
            ends["read"] += 1
        except SceneError:
            ends["refused"] += 1
    assert min(ends.values()) > 20, ends


def test_an_archive_in_the_large_form_is_read(tiny_room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = write_room(tiny_room, tmp_path / "brought", "transforms", "png")
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = pack(room, tmp_path / "room.zip")
    assert b"PK\x06\x06" in path.read_bytes()
    assert import_scene(path, tmp_path / "new").name == "room"
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 500)
    refused(path, tmp_path / "others", "a table of contents of")


def test_entries_that_share_their_bytes_are_refused(zipped: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped) as packed:
        first = packed.infolist()[0]
    patched(zipped, b"zeros.bin", 42, struct.pack("<L", first.header_offset))
    refused(zipped, tmp_path / "new", "entries that overlap")


def test_bombs_are_refused_before_anything_is_unpacked(zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sources, "MAX_FILES", 5)
        refused(zipped, tmp_path / "new", "more than 5 files and folders")
        refused(tmp_path / "brought", tmp_path / "new", "more than 5 files and folders")
    with monkeypatch.context() as patch:
        patch.setattr(sources, "MAX_BYTES", 300_000)
        refused(zipped, tmp_path / "new", "more than 300,000 bytes")
        refused(tmp_path / "brought", tmp_path / "new", "more than 300,000 bytes")
    patched(zipped, b"zeros.bin", 24, struct.pack("<L", 2**31))
    refused(zipped, tmp_path / "new", "at most 100 times its size")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_said_before_anything_is_copied(zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    refused(zipped, tmp_path / "new", "bytes are needed and 1,000 free")


def test_what_may_not_be_read_or_written_is_said() -> None:
    with folder_for_all() as folder:
        room = write_tiny_room(folder / "scenes")
        (folder / "file").write_text("")
        refused(room, folder / "file", "cannot be written")
        (folder / "locked").mkdir(mode=0o555)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        (room / "color" / "0.png").chmod(0o000)
        with without_rights():
            refused(room, folder / "open", "0.png: cannot be read", name="room")
        (room / "color" / "0.png").chmod(0o644)
        with without_rights():
            refused(room, folder / "locked", "cannot be written")
            refused(room, folder / "locked" / "new", "cannot be written")


def test_what_is_no_scene_is_said_with_what_was_found(tiny_room: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (notes / "holiday").mkdir(parents=True)
    for name in ("0.txt", "10.txt", "2.txt"):
        (notes / "holiday" / name).write_text("x")
    for path in (notes, pack(notes, tmp_path / "notes.zip")):
        sentence = refused(path, tmp_path / "new", r"found holiday/0\.txt, holiday/10\.txt, holiday/2\.txt, expected")
        assert "transforms.json (transforms)" in sentence
        assert "at least 2 photos, or a video" in sentence
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, tmp_path / "new", "found nothing")
    refused(pack(empty, tmp_path / "empty.zip"), tmp_path / "new", "found nothing")


def test_several_scenes_are_refused_with_their_names_and_formats(tiny_room: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    write_room(tiny_room, both / "one", "transforms", "png")
    write_room(tiny_room, both / "two", "colmap text", "png")
    for path in (both, pack(both, tmp_path / "both.zip")):
        refused(path, tmp_path / "new", r"found 2 scenes, 'one' \(transforms\), 'two' \(colmap\), expected one")


def test_a_scene_that_cannot_be_opened_is_refused_by_the_path_that_the_person_knows(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "intrinsics.txt").write_text("nonsense")
    sentence = refused(tiny_room, tmp_path / "new", "intrinsics.txt")
    assert sentence.startswith(f"{tiny_room}/intrinsics.txt")
    path = pack(tiny_room, tmp_path / "room.zip", under="hall/")
    assert refused(path, tmp_path / "new", "intrinsics.txt").startswith(f"{path}/hall/intrinsics.txt")
    assert not any((tmp_path / "new").iterdir())


def test_a_broken_view_is_left_out_and_told_by_its_new_place(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "poses" / "2.txt").write_text("nonsense")
    done = import_scene(tiny_room, tmp_path / "new")
    assert [view.name for view in done.report.left_out] == ["2"]
    assert done.report.left_out[0].reason.startswith(f"{done.folder}/poses/2.txt")


def test_a_scene_whose_photos_are_all_broken_is_refused(tiny_room: Path, tmp_path: Path) -> None:
    for photo in (tiny_room / "color").iterdir():
        photo.write_bytes(photo.read_bytes()[:60])
    refused(tiny_room, tmp_path / "new", "none of its views can be read|found no")


@pytest.mark.parametrize(
    "name", ["", " ", "a ", "..", ".", ".hidden", "a/b", "a\\b", "-x", "a\0b", "a\nb", "a:b", "ground_truth", "x" * 256]
)
def test_names_that_no_scene_can_have_are_refused(name: str, tiny_room: Path, tmp_path: Path) -> None:
    refused(tiny_room, tmp_path / "new", "cannot be a scene's name", name=name)


def test_what_is_there_is_never_touched(tiny_room: Path, tmp_path: Path) -> None:
    first = import_scene(tiny_room, tmp_path / "new")
    (first.folder / "note.txt").write_text("mine")
    refused(tiny_room, tmp_path / "new", "found something of that name already")
    refused(pack(tiny_room, tmp_path / "tiny.zip"), tmp_path / "new", "found something of that name already")
    (tmp_path / "new" / "link").symlink_to(tmp_path / "gone")
    refused(tiny_room, tmp_path / "new", "found something of that name already", name="link")
    assert (first.folder / "note.txt").read_text() == "mine"


def test_a_scene_that_appears_meanwhile_is_kept(tiny_room: Path, tmp_path: Path) -> None:
    def appear(step: str, done: int, total: int) -> None:
        (tmp_path / "new" / "tiny").mkdir(exist_ok=True)

    with pytest.raises(SceneError, match="found something of that name already"):
        import_scene(tiny_room, tmp_path / "new", on_progress=appear)
    assert os.listdir(tmp_path / "new") == ["tiny"]
    assert os.listdir(tmp_path / "new" / "tiny") == []


def test_links_are_followed_within_a_scene_and_where_it_is_allowed(tiny_room: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tiny_room / "depth", elsewhere)
    (tiny_room / "depth").symlink_to(elsewhere)
    (tiny_room / "color" / "2.png").rename(tiny_room / "two.png")
    (tiny_room / "color" / "2.png").symlink_to("../two.png")
    refused(tiny_room, tmp_path / "new", "leads to .*elsewhere, expected a path inside")
    follow_links_into([elsewhere])
    done = import_scene(tiny_room, tmp_path / "new")
    assert not any(path.is_symlink() for path in done.folder.rglob("*"))
    assert_same(open_scene(done.folder), open_scene(tiny_room))


def test_a_folder_with_something_that_cannot_be_copied_is_refused(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "color" / "back").symlink_to("..")
    refused(tiny_room, tmp_path / "new", "leads back to")
    (tiny_room / "color" / "back").unlink()
    (tiny_room / "color" / "gone").symlink_to("nothing")
    refused(tiny_room, tmp_path / "new", "found no file")
    (tiny_room / "color" / "gone").unlink()
    os.mkfifo(tiny_room / "color" / "pipe")
    refused(tiny_room, tmp_path / "new", "found a pipe")
    (tiny_room / "color" / "pipe").unlink()
    (tmp_path / "secret.txt").write_text("1")
    (tiny_room.parent / "ground_truth" / "tiny.txt").unlink()
    (tiny_room.parent / "ground_truth" / "tiny.txt").symlink_to(tmp_path / "secret.txt")
    refused(tiny_room, tmp_path / "new", "leads to .*secret")


def test_a_scene_may_be_imported_into_a_folder_of_its_own(tiny_room: Path) -> None:
    done = import_scene(tiny_room, tiny_room / "color" / "copies")
    assert not (done.folder / "color" / "copies").exists()
    assert_same(open_scene(done.folder), open_scene(tiny_room))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_stopping_at_any_time_leaves_nothing(kind: str, tiny_room: Path, tmp_path: Path) -> None:
    source = tiny_room if kind == "folder" else pack(tiny_room, tmp_path / "tiny.zip")
    asked = [0]

    def counting() -> bool:
        asked[0] += 1
        return False

    import_scene(source, tmp_path / "whole", is_cancelled=counting)
    total = asked[0]
    assert total > 10
    for stop_at in {1, total // 4, total // 2, 3 * total // 4, total - 1, total}:
        asked[0] = 0

        def cancelled(stop_at: int = stop_at) -> bool:
            asked[0] += 1
            return asked[0] >= stop_at

        with pytest.raises(ImportCancelled):
            import_scene(source, tmp_path / "new", is_cancelled=cancelled)
        assert not (tmp_path / "new").exists() or os.listdir(tmp_path / "new") == []


@pytest.mark.parametrize("step", ["copying", "checking"])
def test_an_import_that_is_killed_leaves_no_scene_and_the_next_one_tidies_up(step: str, tiny_room: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "new"
    words = [sys.executable, "-c", SCRIPT, str(tiny_room), str(scenes), step]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "here\n"
            (aside,) = os.listdir(scenes)
            # Another import does not disturb one that goes on.
            import_scene(tiny_room, scenes, name="other")
            assert sorted(os.listdir(scenes)) == [aside, "other"]
        finally:
            child.kill()
    assert [info.name for info in list_scenes(scenes)] == ["other"]
    import_scene(tiny_room, scenes, name="killed")
    assert sorted(os.listdir(scenes)) == ["killed", "other"]


def test_labels_in_the_scene_count_more_than_those_beside_it(tiny_room: Path, tmp_path: Path) -> None:
    labels = tiny_room.parent / "ground_truth" / "tiny.txt"
    (tiny_room / "ground_truth.txt").write_text(labels.read_text().replace("7001", "9001"))
    mesh = import_scene(tiny_room, tmp_path / "new").folder
    found = open_scene(mesh).mesh
    assert found is not None
    assert found.vertex_instances is not None
    assert set(found.vertex_instances.tolist()) == {-1, 9001, 7002}
