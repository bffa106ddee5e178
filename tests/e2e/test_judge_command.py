"""`maskgroup judge` and `doctor` on the bundled scene and model, as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.assets import SCENES_DIR
from engine.scenes import find_scene
from engine.views.frames import FrameSource
from tests.command_line import Done, run_command

SCENE = "sh3d_living"


def run(*arguments: str) -> Done:
    """Run the program as a process of its own."""
    done = subprocess.run([sys.executable, "-m", "ui", *arguments], capture_output=True, text=True, timeout=300, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def two_masks() -> tuple[str, str]:
    """The largest mask that both of the first two views show, in each of them."""
    scene = find_scene(SCENE, SCENES_DIR)
    frames = FrameSource(scene)
    first, second = (frames.frame(name) for name in scene.view_names[:2])
    shared = max(first.mask_areas.keys() & second.mask_areas.keys(), key=lambda i: first.mask_areas[i])
    return f"{first.view}:{shared}", f"{second.view}:{shared}"


def test_judge_prints_a_verdict_as_json(two_masks: tuple[str, str]) -> None:
    done = run("judge", SCENE, "--a", two_masks[0], "--b", two_masks[1], "--json")
    assert done.code == 0, done.err
    verdict = json.loads(done.out)
    assert (verdict["a"], verdict["b"]) == two_masks
    assert 0 <= verdict["p_same"] <= 1
    assert verdict["answer"] == ("same" if verdict["p_same"] >= verdict["threshold"] else "different")
    assert 0 <= verdict["ambiguity"] <= 1
    assert (verdict["model"], verdict["prompt"]) == ("base", "original@1")
    assert verdict["latency_s"] > 0
    assert 0 <= verdict["swap_disagreement"] <= 1
    assert not verdict["forced"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--a", "no-such-view:1", "--b", "1:1"), "no view 'no-such-view'"),
        (("--a", "0:999999", "--b", "1:1"), "no mask 999999"),
        (("--a", "0", "--b", "1:1"), "expected VIEW:MASK"),
        (("--a", "0:x", "--b", "1:1"), "expected VIEW:MASK"),
    ],
)
def test_bad_masks_are_one_sentence_and_exit_code_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run_command("judge", SCENE, *arguments)
    assert done.code == 2
    assert sentence in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""


def test_unknown_model_is_one_sentence(two_masks: tuple[str, str]) -> None:
    done = run_command("judge", SCENE, "--a", two_masks[0], "--b", two_masks[1], "--model", "nothing-like-that")
    assert done.code == 2
    assert "There is no model 'nothing-like-that'" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_unknown_scene_is_one_sentence() -> None:
    done = run("judge", "attic", "--a", "0:1", "--b", "1:1")
    assert done.code == 2
    assert "attic" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_doctor_reports_and_passes_here() -> None:
    done = run_command("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.out)}
    assert findings["renderer embree"]["works"]
    assert findings["bundled model"]["works"]
    assert SCENE in findings["scenes"]["detail"]
    assert done.code == 0


def test_every_command_has_help() -> None:
    for command in ("app", "scenes", "render", "judge", "doctor"):
        done = run_command(command, "--help")
        assert done.code == 0
        assert "Usage" in done.out
