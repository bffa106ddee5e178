"""`maskgroup agree` as a person runs it: the bundled model against itself on a server, in other numbers, with an adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes_room import write_boxes
from tests.command_line import Done, run_command
from tests.model_process import free_port, model_server, write_adapter

BOTH_PARTS = r".*language_model.*(q|v)_proj|.*visual\..*\.(attn\.qkv|linear_fc1)"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six boxes that wander through four views."""
    folder = tmp_path_factory.mktemp("scenes") / "boxes"
    write_boxes(folder, views=4, grid=(2, 3), cell=(50, 50), box=(24, 24))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    adapter = write_adapter(tmp_path_factory.mktemp("adapters") / "mine", targets=BOTH_PARTS)
    with model_server("--adapter", f"mine={adapter}", port=port):
        yield f"http://127.0.0.1:{port}/v1"


def agree(room: Path, first: str, second: str, *more: object) -> Done:
    return run_command("agree", "--model", first, "--model", second, "--scene", room, "--pairs", 12, *more)


def test_the_same_weights_here_and_on_a_server_agree(room: Path, server: str) -> None:
    done = agree(room, "base", f"{server}#base", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["scene"], found["pairs"], found["prompt"], found["both_orders"]) == ("boxes", 12, "original@1", True)
    assert (found["answers_differ"], found["changed"], found["meaning"]) == (0, [], "alike")
    assert found["largest_change"] < 1e-3
    assert found["mean_change"] <= found["p95_change"] <= found["largest_change"]
    assert found["correlation"] > 0.999
    assert [way["model"] for way in found["ways"]] == ["base", f"{server}#base"]
    assert all(way["pairs_a_second"] > 0 and way["gives_probabilities"] for way in found["ways"])
    assert "A, base: judging" in done.err
    assert "B, base: judging" in done.err


def test_other_weights_under_another_name_are_told_apart(room: Path, server: str) -> None:
    done = agree(room, f"{server}#base", f"{server}#mine", "--one-order")
    assert done.code == 0, done.err
    assert "The two do not answer like the same weights" in done.out.splitlines()[-1]
    assert "12 pairs of boxes" in done.out
    assert "pairs/s" in done.out
    assert "change of P(same)" in done.out


def test_other_numbers_round_otherwise(room: Path) -> None:
    """Options given twice are the first and the second model's; the same seed asks the same pairs."""
    done = agree(room, "base", "base", "--dtype", "float32", "--dtype", "bfloat16", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [way["loading"]["dtype"] for way in found["ways"]] == ["float32", "bfloat16"]
    assert found["meaning"] in ("alike", "rounding")
    assert 0 < found["largest_change"] < 0.1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "base"], "--model was given once, expected twice"),
        (["--model", "base"] * 3, "--model was given 3 times"),
        (["--model", "base", "--model", "none-such"], "There is no model 'none-such'"),
        (["--model", "base", "--model", "base", "--dtype", "float8"], "--dtype 'float8' is unknown; expected auto or float32"),
        (["--model", "base", "--model", "base", *["--device", "cpu"] * 3], "--device was given 3 times"),
        (["--model", "base", "--model", "base", "--threshold", "1"], "A threshold is a probability between 0 and 1"),
        (["--model", "base", "--model", "base", "--pairs", "0"], "pairs is 0; expected 1 or more"),
        (["--model", "base", "--model", "base", "--scene", "no-such-room"], "no-such-room"),
        (["--model", "base", "--model", "http://127.0.0.1:9/v1#m", "--four-bit", "second"], "decides on adapter, device, dtype"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], sentence: str) -> None:
    done = run_command("agree", *options)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.sentence


def test_a_server_that_is_not_there_is_told_before_anything_is_loaded(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_ENDPOINT_TRIES", "1")
    done = agree(room, "base", f"http://127.0.0.1:{free_port()}/v1#m")
    assert done.code == 2
    assert "cannot be reached" in done.sentence
    assert "judging" not in done.err
