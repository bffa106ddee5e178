"""`maskgroup render` and `maskgroup scenes` as a person runs them: the real program on real folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.frames import FrameSource
from engine.scenes import open_scene
from tests.command_line import run_here


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ui", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def test_render_writes_the_processed_format(tiny_room: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("render", tiny_room, "--out", out, "--size", "64x48", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["views"], report["written"], report["kept"]) == (3, 3, 0)
    assert "3/3" in done.stderr  # the progress bar
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
    assert run_here("render", tiny_room, "--out", out, "--size", "32x24").returncode == 0
    kept = (out / "0" / "rgb.png").stat().st_mtime_ns
    (out / "2" / "unique_instances.npy").unlink()
    (out / "10" / "rgb.png").write_bytes(b"\x89PNG cut short")
    again = json.loads(run_here("render", tiny_room, "--out", out, "--size", "32x24", "--json").stdout)
    assert (again["written"], again["kept"]) == (2, 1)
    assert (out / "0" / "rgb.png").stat().st_mtime_ns == kept
    assert np.asarray(Image.open(out / "10" / "rgb.png")).shape == (24, 32, 3)
    larger = json.loads(run_here("render", tiny_room, "--out", out, "--size", "40x30", "--json").stdout)
    assert larger["written"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "640"), "--size '640' is no size, expected WIDTHxHEIGHT"),
        (("--size", "0x10"), "--size '0x10' is no size"),
        (("--size", "99999x10"), "1 to 8192 pixels a side"),
        (("--backend", "opengl"), "--backend 'opengl' is unknown, expected auto or one of embree, pytorch3d"),
    ],
)
def test_bad_options_are_one_sentence(tiny_room: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run_here("render", tiny_room, "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
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
        done = run_here("render", tiny_room, "--out", out)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_broken_scene_is_one_sentence(tiny_room: Path, tmp_path: Path) -> None:
    (tiny_room / "poses" / "2.txt").unlink()
    done = run_here("render", tiny_room, "--out", tmp_path / "out", "--size", "16x12")
    assert done.returncode == 2
    assert "no pose for view '2'" in done.stderr
    assert "Traceback" not in done.stderr
    unknown = run_here("render", "atlantis", "--out", tmp_path / "out")
    assert unknown.returncode == 2
    assert "sh3d_living" in unknown.stderr


def test_scenes_are_listed(tiny_room: Path) -> None:
    assert "sh3d_living  replica  40 views" in run_here("scenes").stdout
    listed = json.loads(run_here("scenes", "--scenes", tiny_room.parent, "--json").stdout)
    assert [(row["name"], row["format"], row["n_views"]) for row in listed] == [("tiny", "replica", 3)]
