"""`maskgroup evaluate` and `compare` as a person runs them, and evaluations that are killed while they write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.assets import BUNDLED_MODEL
from engine.evaluation.predictions import read_predictions
from tests.boxes_room import write_boxes
from tests.command_line import Done, run_command

needs_model = pytest.mark.skipif(not (BUNDLED_MODEL / "config.json").is_file(), reason="the bundled model is not in this checkout")


def assert_refused(done: Done, sentence: str) -> None:
    assert done.code == 2, done.err
    assert done.sentence.startswith("maskgroup: ")
    assert sentence in done.sentence
    assert done.out == ""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scene in the processed format: eight coloured boxes, two of a class, that wander through ten views."""
    folder = tmp_path_factory.mktemp("scenes") / "boxes"
    write_boxes(folder, views=10, grid=(2, 4), cell=(60, 50), box=(28, 30), of_a_class=2)
    return folder


def evaluation(room: Path, out: Path, pairs: int) -> list[str]:
    return [sys.executable, "-m", "tests.e2e.histogram_evaluation", str(room), str(out), str(pairs)]


def kill_after(command: Sequence[str], file: Path, size: int) -> bool:
    """Start a command and kill it without warning once `file` has more than `size` bytes; whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (file.exists() and file.stat().st_size > size):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait(timeout=600) == -signal.SIGKILL


def test_a_killed_evaluation_goes_on_without_losing_or_repeating_a_pair(room: Path, tmp_path: Path) -> None:
    pairs = 160
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(evaluation(room, whole, pairs), check=True, capture_output=True, timeout=600)
    expected = read_predictions(whole / "predictions.jsonl")
    assert len(expected) == pairs

    file = broken / "predictions.jsonl"
    kept: list[int] = []
    for kill in range(4):
        assert kill_after(evaluation(room, broken, pairs), file, file.stat().st_size if file.exists() else 0)
        kept.append(len(read_predictions(file)))
        assert not (broken / "metrics.json").exists()
        if kill == 2:  # the worst moment: half a line is written
            content = file.read_bytes()
            file.write_bytes(content[: content[:-1].rfind(b"\n") + 40])
            kept[-1] -= 1
    assert kept[0] < kept[1] < pairs
    subprocess.run(evaluation(room, broken, pairs), check=True, capture_output=True, timeout=600)
    assert read_predictions(file) == expected
    assert (broken / "metrics.json").read_text() == (whole / "metrics.json").read_text()

    before = file.read_bytes()
    subprocess.run(evaluation(room, broken, pairs), check=True, capture_output=True, timeout=600)
    assert file.read_bytes() == before  # a finished one has nothing left to do


def test_hard_negatives_are_found_in_a_scene_without_a_mesh(room: Path, tmp_path: Path) -> None:
    subprocess.run(evaluation(room, tmp_path / "out", 40), check=True, capture_output=True, timeout=600)
    negatives = [p for p in read_predictions(tmp_path / "out" / "predictions.jsonl") if not p.is_same]
    assert len(negatives) == 20
    for negative in negatives:
        assert negative.pair.a.mask // 1000 == negative.pair.b.mask // 1000
        assert (negative.negative_kind, negative.twin is not None) == ("same_class", True)


@needs_model
def test_evaluate_then_compare(room: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "a", tmp_path / "b"
    done = run_command("evaluate", room, "--out", out, "--pairs", 24, "--json")
    assert done.code == 0, done.err
    assert "judging" in done.err
    (report,) = json.loads(done.out)
    stored = json.loads((out / "boxes" / "metrics.json").read_text())
    assert {"scene": "boxes", "folder": str(out / "boxes"), "left_out": [], **stored} == report
    records = [json.loads(line) for line in (out / "boxes" / "predictions.jsonl").read_text().splitlines()]
    assert len(records) == report["num_samples"] == 24
    assert sum(record["gt"] for record in records) == 12
    right = [record["prediction"] == record["gt"] for record in records]
    assert report["accuracy"] == pytest.approx(sum(right) / 24)
    assert all(record["is_negative"] == (record["inst_i"] != record["inst_j"]) for record in records)
    assert any(record["p_same_ab"] != record["p_same_ba"] for record in records)  # each order's own answer, not their mean
    assert all({"batch", "item", "raw_output", "view_i", "view_j"} <= record.keys() for record in records)

    other = run_command("evaluate", room, "--out", again, "--pairs", 24, "--one-order")
    assert other.code == 0, other.err
    assert "accuracy" in other.out
    compared = run_command("compare", out, again, "--json")
    assert compared.code == 0, compared.err
    (found,) = json.loads(compared.out)
    assert (found["pairs"], found["only_a"], found["only_b"]) == (24, 0, 0)
    assert found["metrics"]["accuracy"]["a"] == pytest.approx(report["accuracy"])
    assert "McNemar" in run_command("compare", out, again).out


@needs_model
def test_other_settings_are_refused_and_change_nothing(room: Path, tmp_path: Path) -> None:
    assert run_command("evaluate", room, "--out", tmp_path, "--pairs", 8).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "boxes").iterdir()}
    assert_refused(run_command("evaluate", room, "--out", tmp_path, "--pairs", 8, "--seed", 1), "seed 0 there, 1 now")
    assert_refused(run_command("evaluate", room, "--out", tmp_path, "--pairs", 9, "--negatives", "hard"), "other settings")
    assert {path: path.read_bytes() for path in (tmp_path / "boxes").iterdir()} == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--negatives", "easy"), "is not one of 'random', 'hard'"),
        (("--pairs", "0"), "pairs is 0"),
        (("--min-area", "900000"), "at least 900000 pixels"),
        (("--model", "/no/such/model"), "no model"),
    ],
)
def test_bad_options_are_refused_and_write_nothing(room: Path, tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    done = run_command("evaluate", room, "--out", tmp_path / "out", *options)
    assert_refused(done, sentence)
    assert not (tmp_path / "out").exists()


def test_results_of_others_are_never_overwritten(room: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "predictions.jsonl").write_text("{}\n")
    assert_refused(run_command("evaluate", room, "--out", tmp_path), "holds results without settings.json")
    assert [path.name for path in (tmp_path / "boxes").iterdir()] == ["predictions.jsonl"]


def test_compare_without_results_is_refused(tmp_path: Path) -> None:
    assert_refused(run_command("compare", tmp_path, tmp_path), "has no predictions.jsonl")
