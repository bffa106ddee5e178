"""A model whose numbers are none judges nothing: one sentence and exit code 2 in every command, and no verdict anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.broken_models import BROKEN, is_finite, overflow_in_float16
from tests.command_line import run_command
from tests.faulty_server import Reply, serve_faults
from tests.tiny_room import BLUE_BOX, RED_BOX

SENTENCE = "expected a probability"


@pytest.fixture(scope="module", params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return BROKEN[request.param](tmp_path_factory.mktemp("broken") / "model")


def test_float16_overflows_although_every_weight_is_a_number(tmp_path: Path) -> None:
    assert is_finite(overflow_in_float16(tmp_path / "model")[0])


def commands(scene: Path, out: Path) -> dict[str, tuple[object, ...]]:
    small = ("--out", out, "--pairs", 4)
    return {
        "judge": ("judge", scene, "--a", f"0:{RED_BOX}", "--b", f"2:{BLUE_BOX}"),
        "judge, JSON": ("judge", scene, "--a", f"0:{RED_BOX}", "--b", f"2:{BLUE_BOX}", "--json", "--one-order"),
        "evaluate": ("evaluate", scene, *small, "--min-area", 1, "--json"),
        "group": ("group", scene, "--out", out, "--evidence", "vlm", "--json"),
    }


@pytest.mark.parametrize("command", commands(Path(), Path()))
def test_no_verdict_comes_of_it(command: str, broken: tuple[Path, str], tiny_room: Path, tmp_path: Path) -> None:
    model, dtype = broken
    out = tmp_path / "out"
    done = run_command(*commands(tiny_room, out)[command], "--model", model, "--dtype", dtype, "--device", "cpu")
    assert done.code == 2, done
    assert done.sentence.startswith("maskgroup: ")
    assert SENTENCE in done.sentence
    assert done.out == ""
    assert not [path for path in out.rglob("*") if path.is_file() and path.name != "settings.json" and path.stat().st_size]


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_server_whose_numbers_are_none(value: str, tiny_room: Path) -> None:
    listed = f'[{{"token": "yes", "logprob": {value}}}, {{"token": "no", "logprob": -1.0}}]'
    body = f'{{"choices": [{{"logprobs": {{"content": [{{"token": "yes", "logprob": {value}, "top_logprobs": {listed}}}]}}}}]}}'
    with serve_faults(lambda number, _: Reply(body=body.encode())) as (base, _):
        arguments = commands(tiny_room, tiny_room)["judge, JSON"]
        done = run_command(*arguments, "--model", f"{base}#m")
    assert (done.code, done.out) == (2, "")
    assert SENTENCE in done.sentence


def test_a_training_on_a_broken_base_fails_in_a_sentence_and_keeps_no_adapter(tmp_path: Path) -> None:
    from dataclasses import replace

    from engine.strict_json import to_json_text
    from finetune.config import CONFIG_FILE
    from finetune.data.corrections import write_corrections
    from finetune.runs.worker import work
    from tests.training_room import write_training_room
    from tests.unit.finetune.test_training import CONFIG

    model, _ = BROKEN["nan_in_language"](tmp_path / "model")
    scene = write_training_room(tmp_path / "scenes")
    run_dir = tmp_path / "runs" / "run-1"
    run_dir.mkdir(parents=True)
    config = replace(CONFIG, scenes=(str(scene),), model=str(model), parent="base")
    (run_dir / CONFIG_FILE).write_text(to_json_text(config.to_json()))
    write_corrections(run_dir / "corrections.json", [])
    assert work(run_dir) == "failed"
    end = json.loads((run_dir / "events.jsonl").read_text().splitlines()[-1])
    assert SENTENCE in end["text"] or "became nan" in end["text"]
    assert not (run_dir / "adapter").exists()
