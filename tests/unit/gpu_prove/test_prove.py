"""The proof on a GPU, rehearsed on the CPU: each step at its smallest, and a driver that tells how every step ended."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.rendering import make_renderer
from tests.gpu import prove, run_step
from tests.gpu.rendered import draw_room
from tests.gpu.step import Setting
from tests.gpu.steps import STEPS
from tests.gpu.steps_rendering import NEAR_M, agreement, milliseconds
from tests.unit.gpu_prove.rehearsed import FAILS, HANGS, MISSES, SUCCEEDS

ROOT = Path(__file__).parents[3]
ELSEWHERE = {
    "bundled": "loads the bundled model in 4 bits on the CPU, which takes long; test_loading does",
    "four-bit-2B": "the same",
    "rendering": "PyTorch3D takes long on a CPU; its comparison is tested below, with Embree",
    "train-command": "test_train_command trains",
    "unsloth": "needs a GPU",
    "vllm": "needs a GPU",
    "vllm-classes": "needs a GPU",
    "judging-8B": "as 2B when tiny",
    "training-8B": "as 2B when tiny",
}


def read_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def prove_here(capsys: pytest.CaptureFixture[str], *given: str, **kept: Any) -> tuple[int, list[dict[str, Any]], str, str]:
    """Run the driver; returns its exit code, its lines of JSON, its table, and its error stream."""
    with pytest.raises(SystemExit) as stopped:
        prove.main(given, **kept)
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), read_lines(printed.out), printed.out.partition("\n\n")[2], printed.err


def test_it_runs_as_a_program_and_keeps_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.gpu.prove", "--tiny", "--only", "card", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = read_lines(done.stdout)
    assert (line["step"], line["status"], line["reason"]) == ("card", "ok", None)
    assert line["figures"]["card"] == "CPU"
    assert line["figures"]["memory_gb"] is None
    assert min(line["figures"][name] for name in ("bf16_tflops", "float32_tflops", "copy_gb_a_second")) > 0
    assert "| card | ok |" in done.stdout
    assert read_lines((tmp_path / "out" / prove.RESULTS).read_text()) == [line]
    assert (tmp_path / "out" / "card.log").is_file()


def test_a_step_that_fails_and_one_over_its_limit_are_told_and_stop_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prove, "GRACE_S", 0.1)
    out = tmp_path / "out"
    out.mkdir()
    (out / prove.RESULTS).write_text("{}\n")
    steps = (FAILS, HANGS, MISSES, SUCCEEDS)
    code, lines, table, errors = prove_here(capsys, "--tiny", "--out", str(out), steps=steps)
    assert code == 1
    assert [line["step"] for line in lines] == [step.name for step in steps]
    assert [line["status"] for line in lines] == ["failed", "failed", "skipped", "ok"]
    assert lines[0]["reason"] == "ended with exit code 1: ValueError: it broke on cpu"
    assert "fails: Traceback" in errors
    assert "not done within its limit" in lines[1]["reason"]
    assert lines[1]["seconds"] >= HANGS.limit_s
    assert lines[2]["reason"] == "its package is not installed"
    assert lines[3]["figures"] == {"device": "cpu", "files": 0, "speed": 1234.5, "none": None, "a|b": "c"}
    assert len(table.splitlines()) == 2 + len(steps)
    assert "it broke on cpu" in table
    assert "device cpu; files 0; speed 1,234; none -; a\\|b c |" in table
    assert read_lines((out / prove.RESULTS).read_text()) == lines


def test_what_no_time_is_left_for_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, table, _ = prove_here(capsys, "--tiny", "--limit-s", "4", "--only", "succeeds", steps=(FAILS, SUCCEEDS))
    assert code == 0
    assert [(line["step"], line["status"]) for line in lines] == [("succeeds", "skipped")]
    assert "no time left" in lines[0]["reason"]
    assert "| succeeds | skipped |" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no GPU")
def test_without_a_gpu_a_step_is_skipped(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    run_step.main([SUCCEEDS.target, "--folder", str(tmp_path), "--result", str(result)])
    assert json.loads(result.read_text()) == {"status": "skipped", "reason": "no GPU", "figures": {}}


def test_a_pack_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, lines, _, errors = prove_here(capsys, "--pack", str(tmp_path / "none"))
    assert (code, lines) == (2, [])
    assert "make it with python -m tests.gpu.pack" in errors


def test_steps_are_told_apart_and_have_a_limit() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert set(ELSEWHERE) <= {step.name for step in STEPS}
    for step in STEPS:
        assert 0 < step.limit_s < prove.LIMIT_S
        assert step.shows


@pytest.mark.parametrize("name", [step.name for step in STEPS if step.name not in ELSEWHERE])
def test_a_step_at_its_smallest(name: str, tmp_path: Path) -> None:
    (target,) = (step.target for step in STEPS if step.name == name)
    figures = dict(run_step.find_function(target)(Setting(tiny=True, folder=tmp_path)))
    numbers = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    assert all(math.isfinite(value) for value in numbers.values()), figures
    assert all(value > 0 for key, value in numbers.items() if "second" in key or key.endswith("_gb")), figures
    CHECKS[name](figures)


def check_card(figures: dict[str, Any]) -> None:
    assert figures["torch"]


def check_agreement(figures: dict[str, Any]) -> None:
    # The pairs must be told apart, or any two ways would agree.
    assert figures["spread_of_margins"] > 0.05
    assert figures["float32_largest_difference"] < 1e-3
    assert 0 < figures["bf16_fast_from_float32"] < 0.5


def check_judging(figures: dict[str, Any]) -> None:
    assert figures["pairs"] == 4
    assert figures["both_orders_tokens"] > figures["one_order_tokens"] > 0
    assert figures["equal_to_plain_answers"] == 1
    assert figures["memory_gb"] is None


def check_training(figures: dict[str, Any]) -> None:
    assert figures["tokens_a_step"] > 0
    assert figures["share_of_peak"] > 0
    assert figures["memory_gb"] is None


def check_saved(figures: dict[str, Any]) -> None:
    assert figures["moved_by_training"] > 0.05
    assert figures["largest_difference_by_transformers"] < 1e-3
    assert figures["equal_answers_by_transformers"] == 1


CHECKS = {
    "card": check_card,
    "agreement-2B": check_agreement,
    "judging-2B": check_judging,
    "training-2B": check_training,
    "peft-saved": check_saved,
}


def test_embree_agrees_with_itself_and_not_with_another_view() -> None:
    room = draw_room(tiny=True)
    (reference,) = room.references
    embree = make_renderer(room.mesh, "embree")
    assert agreement(embree, room.mesh, reference) == (1, 1)
    assert milliseconds(embree, [reference], 2) > 0
    moved = replace(reference, depth=reference.depth + np.float32(2 * NEAR_M))
    assert agreement(embree, room.mesh, moved) == (1, 0)
    turned = replace(reference, instances=reference.instances[:, ::-1])
    assert agreement(embree, room.mesh, turned)[0] < 1
