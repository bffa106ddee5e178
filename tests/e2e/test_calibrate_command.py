"""`maskgroup calibrate` and `ablation` as a person runs them, on two tiny scenes and a copy of the bundled model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.assets import BUNDLED_MODEL
from engine.judging.base import prompt_names
from engine.judging.registry import load_judge
from tests.command_line import run_command
from tests.e2e.test_evaluate_command import assert_refused


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scenes in the processed format: six boxes, each in its own colour, that wander through six views."""
    folder = tmp_path_factory.mktemp("rooms")
    for room in range(2):
        rng = np.random.default_rng(room)
        colors = rng.integers(30, 255, (6, 3))
        for view in range(6):
            rgb, ids = np.zeros((90, 150, 3), np.uint8), np.full((90, 150), -1, np.int32)
            for i in range(6):
                row, column = 45 * (i // 3) + rng.integers(2, 15), 50 * (i % 3) + rng.integers(2, 18)
                ids[row : row + 28, column : column + 30] = 20001 + i
                rgb[ids == 20001 + i] = colors[i]
            target = folder / f"room{room}" / str(view)
            target.mkdir(parents=True)
            Image.fromarray(rgb).save(target / "rgb.png")
            np.save(target / "instance_mask.npy", ids)
            np.save(target / "unique_instances.npy", np.unique(ids[ids >= 0]))
    return [folder / "room0", folder / "room1"]


@pytest.fixture(scope="module")
def timid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with its logits halved: as right as before, and far less sure than it could be."""
    folder = tmp_path_factory.mktemp("models") / "timid"
    shutil.copytree(BUNDLED_MODEL, folder, ignore=shutil.ignore_patterns("calibration.json", "model.safetensors"))
    weights = load_file(BUNDLED_MODEL / "model.safetensors")
    (name,) = [name for name in weights if name.endswith("language_model.norm.weight")]
    save_file({**weights, name: 0.5 * weights[name]}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_calibration_that_helps_is_kept_beside_the_weights(rooms: list[Path], timid: Path, tmp_path: Path) -> None:
    arguments = ("calibrate", *rooms, "--out", tmp_path / "out", "--model", timid, "--pairs", 20, "--json")
    dry = run_command(*arguments, "--dry-run")
    assert dry.code == 0, dry.err
    assert not (timid / "calibration.json").exists()
    done = run_command(*arguments)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["helps"] is True
    assert report["after"]["log_loss"] < report["before"]["log_loss"]
    assert Path(report["kept_in"]) == timid / "calibration.json"
    assert report == {**json.loads(dry.out), "kept_in": report["kept_in"]}
    assert report == json.loads((tmp_path / "out" / "reliability.json").read_text())
    fitted = load_judge(str(timid)).calibration  # type: ignore[attr-defined]
    assert fitted.temperature == report["calibration"]["temperature"] < 1
    assert fitted.source == "room0, room1"
    assert "ECE" in (tmp_path / "out" / "reliability.html").read_text()
    picture = Image.open(tmp_path / "out" / "reliability.png")
    assert picture.width > picture.height > 300
    assert (tmp_path / "out" / "reliability.png").stat().st_size < 60_000


def test_a_hub_id_that_is_not_here_is_refused(rooms: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_refused(run_command("calibrate", *rooms, "--out", tmp_path / "out", "--model", "Some/Model"), "could not be loaded")


def test_one_scene_is_refused_before_anything_is_judged(rooms: list[Path], tmp_path: Path) -> None:
    for scenes in ([rooms[0]], [rooms[0], rooms[0]]):
        assert_refused(run_command("calibrate", *scenes, "--out", tmp_path / "out", "--model", "base"), "got 1, expected 2 or more")
    assert not (tmp_path / "out").exists()


def test_ablation_prints_a_line_a_prompt(rooms: list[Path], tmp_path: Path) -> None:
    done = run_command("ablation", rooms[0], "--out", tmp_path, "--pairs", 8)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if line.startswith("|")][2:]
    assert sorted(line.split("|")[1].removesuffix("(default) ").strip() for line in lines) == prompt_names()
    assert sum("(default)" in line for line in lines) == 1
    samples = {(tmp_path / name / "room0" / "predictions.jsonl").read_text().count("\n") for name in prompt_names()}
    assert samples == {8}
