"""`maskgroup render` and `maskgroup scenes` as a person runs them: the real program on real folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.scenes import open_scene
from engine.views.frames import FrameSource
from tests.command_line import Done, run_command


def run(*arguments: str | Path) -> Done:
    """Run the program as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ui", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_render_writes_the_processed_format(tiny_room: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("render", tiny_room, "--out", out, "--size", "64x48", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["views"], report["written"], report["kept"]) == (3, 3, 0)
    assert "3/3" in done.err  # the progress bar
    source = FrameSource(open_scene(tiny_room), width=64, height=48, photo=False)
    for view in ("0", "2", "10"):
        assert sorted(path.name for path in (out / view).iterdir()) == ["instance_mask.npy", "rgb.png", "unique_instances.npy"]
        frame, mask = source.frame(view), np.load(out / view / "instance_mask.npy")
        assert mask.dtype == np.int32
        np.testing.assert_array_equal(mask, frame.instance_map)
        np.testing.assert_array_equal(np.load(out / view / "unique_instances.npy"), sorted(frame.mask_areas))
        np.testing.assert_array_equal(np.asarray(Image.open(out / view / "rgb.png")), frame.rgb)
    assert open_scene(out).view_names == ("0", "2", "10")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_render_resumes(tiny_room: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_command("render", tiny_room, "--out", out, "--size", "32x24").code == 0
    kept = (out / "0" / "rgb.png").stat().st_mtime_ns
    (out / "2" / "unique_instances.npy").unlink()
    (out / "10" / "rgb.png").write_bytes(b"\x89PNG cut short")
    again = json.loads(run_command("render", tiny_room, "--out", out, "--size", "32x24", "--json").out)
    assert (again["written"], again["kept"]) == (2, 1)
    assert (out / "0" / "rgb.png").stat().st_mtime_ns == kept
    assert np.asarray(Image.open(out / "10" / "rgb.png")).shape == (24, 32, 3)
    larger = json.loads(run_command("render", tiny_room, "--out", out, "--size", "40x30", "--json").out)
    assert larger["written"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "640"), "--size '640' is no size, expected WIDTHxHEIGHT"),
        (("--size", "0x10"), "--size '0x10' is no size"),
        (("--size", "99999x10"), "1 to 8192 pixels a side"),
        (("--backend", "opengl"), "Invalid value for '--backend': 'opengl' is not one of 'auto', 'embree', 'pytorch3d'."),
    ],
)
def test_bad_options_are_one_sentence(tiny_room: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run_command("render", tiny_room, "--out", tmp_path / "out", *arguments)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_targets_are_refused(tiny_room: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "render.json").write_text('{"scene": "office", "photos": false}')
    for out, said in (
        (tmp_path / "file", "found a file, expected a folder"),
        (tiny_room / "out", "lies in the scene's own folder"),
        (tmp_path / "taken", "office"),
    ):
        done = run_command("render", tiny_room, "--out", out)
        assert done.code == 2
        assert said in done.err
        assert "Traceback" not in done.err


def test_view_without_a_pose_is_left_out_and_said(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "poses" / "2.txt").unlink()
    done = run_command("render", tiny_room, "--out", tmp_path / "out", "--size", "16x12", "--json")
    assert done.code == 0, done.err
    assert "1 of 3 views of tiny are left out" in done.err
    report = json.loads(done.out)
    assert (report["views"], report["written"], [view["view"] for view in report["left_out"]]) == (2, 2, ["2"])
    assert "no pose for view '2'" in report["left_out"][0]["reason"]


def test_broken_scene_is_one_sentence(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "intrinsics.txt").unlink()
    done = run_command("render", tiny_room, "--out", tmp_path / "out", "--size", "16x12")
    assert done.code == 2
    assert "intrinsics.txt: found no file" in done.err
    assert "Traceback" not in done.err
    unknown = run_command("render", "atlantis", "--out", tmp_path / "out")
    assert unknown.code == 2
    assert "sh3d_living" in unknown.err


def test_scenes_are_listed(tiny_room: Path) -> None:
    assert "sh3d_living  replica  40 views" in run_command("scenes").out
    listed = json.loads(run_command("scenes", "--scenes", tiny_room.parent, "--json").out)
    assert [(row["name"], row["format"], row["n_views"]) for row in listed] == [("tiny", "replica", 3)]


def test_left_out_folders_and_views_are_listed_with_their_reason(tiny_room: Path) -> None:
    scenes = tiny_room.parent
    (scenes / "10²").mkdir()
    (scenes / "a\nb").mkdir()
    (tiny_room / "poses" / "2.txt").write_text("nan")
    done = run_command("scenes", "--scenes", scenes)
    assert done.code == 0, done.err
    assert "tiny  replica  2 of 3 views" in done.out
    assert "  left out: 2 — " in done.out
    assert "left out: 10² — " in done.out
    assert "left out: a\\nb — " in done.out
    rows = json.loads(run_command("scenes", "--scenes", scenes, "--json").out)
    assert [row["name"] for row in rows if row["reason"] is None] == ["tiny"]
    assert [row["name"] for row in rows if row["reason"] is not None] == ["10²", "a\\nb"]
    assert [view["view"] for view in rows[0]["left_out"]] == ["2"]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run_command("scenes", "--scenes", tmp_path)
    assert done.code == 2
    assert "left out: empty — " in done.out
    assert "none of them a scene" in done.err
    nothing = run_command("scenes", "--scenes", tmp_path, "--json")
    assert nothing.code == 2
    assert [row["name"] for row in json.loads(nothing.out)] == ["empty"]


def test_links_are_followed_where_allowed(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "color").rename(tmp_path / "elsewhere")
    (tiny_room / "color").symlink_to(tmp_path / "elsewhere")
    refused = run_command("scenes", "--scenes", tiny_room.parent)
    assert refused.code == 2
    assert "--follow-links" in refused.out
    allowed = run_command("scenes", "--scenes", tiny_room.parent, "--follow-links", tmp_path)
    assert "tiny  replica  3 views" in allowed.out
    assert "check --follow-links" in run_command("scenes", "--follow-links", tmp_path / "nowhere").err
