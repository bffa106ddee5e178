"""`maskgroup import`: what a person sees, and that the other commands take what was imported."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

from tests.command_line import run_command
from tests.format_rooms import write_room


def pack(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in folder.rglob("*"):
            packed.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
    return path


def test_a_zip_is_imported_to_where_the_data_is_kept_and_grouped(tiny_room: Path, tmp_path: Path, own_data_folder: Path) -> None:
    room = write_room(tiny_room, tmp_path / "my room", "colmap text", "coco polygons")
    done = run_command("import", pack(room, tmp_path / "scan.zip"))
    assert done.code == 0, done.err
    scenes = own_data_folder / "maskgroup" / "scenes"
    first, *findings, listed, following = done.out.splitlines()
    assert first == f"my room  colmap  3 views  6 masks  {scenes / 'my room'}"
    assert any(line.startswith("ok    views: All 3 views") for line in findings)
    assert listed == "The app has it in its list of scenes, without a restart too; every command knows it by its name."
    assert following == "Next: maskgroup app"
    assert "copying" in done.err
    listed = run_command("scenes", "--scenes", scenes)
    assert listed.out == f"my room  colmap  3 views  {scenes / 'my room'}\n"
    assert f"my room  colmap  3 views  {scenes / 'my room'}  (imported)\n" in run_command("scenes").out
    rows = json.loads(run_command("scenes", "--json").out)
    assert {("sh3d_living", "bundled"), ("my room", "imported")} <= {(row["name"], row["origin"]) for row in rows}
    assert run_command("group", "my room", "--out", tmp_path / "groups").code == 0
    again = run_command("import", tmp_path / "scan.zip")
    assert (again.code, again.out) == (2, "")
    assert "found something of that name already" in again.sentence
    assert run_command("import", tmp_path / "scan.zip", "--name", "other").code == 0


def test_what_was_exported_is_imported_from_the_folder_of_groups(tiny_room: Path, tmp_path: Path) -> None:
    assert run_command("group", tiny_room, "--out", tmp_path / "groups").code == 0
    assert run_command("export", tmp_path / "groups", "--out", tmp_path / "out").code == 0
    done = run_command("import", pack(tmp_path / "out", tmp_path / "out.zip"), "--out", tmp_path / "back", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["scene"], report["format"], report["folder"]) == ("back", "posed masks", str(tmp_path / "back"))
    assert (report["n_views"], report["n_masks"], report["left_out"]) == (3, 6, [])
    assert report["n_files"] == sum(path.is_file() for path in (tmp_path / "back").rglob("*"))
    assert report["n_passed_over"] > 0
    assert [finding["topic"] for finding in report["findings"]][:2] == ["views", "pictures"]
    assert shlex.split(report["next"]) == ["maskgroup", "app", "--scenes", str(tmp_path)]


def test_bad_input_is_one_sentence_and_leaves_nothing(tiny_room: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.zip"
    with zipfile.ZipFile(odd, "w") as packed:
        packed.writestr("../../escaped.txt", "x")
    photos = tmp_path / "photos"
    (photos / "color").mkdir(parents=True)
    out = tmp_path / "new" / "room"
    for arguments, words in (
        ((odd, "--out", out), "its path leads out of the archive"),
        ((photos, "--out", out), "found color/, which is empty, expected"),
        ((tmp_path / "none.zip", "--out", out), "found nothing"),
        ((tiny_room, "--out", out, "--name", "x"), "names the scene already"),
        ((tiny_room, "--name", "a/b"), "cannot be a scene's name"),
        ((tiny_room, "--out", tiny_room), "found something of that name already"),
        ((tiny_room, "--out", "/"), "cannot be a scene's name"),
    ):
        done = run_command("import", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert words in done.sentence
        assert done.sentence.startswith("maskgroup: ")
    assert not out.parent.exists()
    assert not (tmp_path / "escaped.txt").exists()
