"""Options that are one of a few words: any other word is one sentence that names them, and exit code 2, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import run_command

CHOICES = [
    ("group SCENE --out OUT", "--evidence", "'geometry', 'vlm', 'both'"),
    ("group SCENE --out OUT", "--dtype", "'auto', 'float32', 'bfloat16', 'float16'"),
    ("judge SCENE --a 0:1 --b 1:1", "--loader", "'transformers', 'unsloth'"),
    ("app", "--dtype", "'auto', 'float32', 'bfloat16', 'float16'"),
    ("app", "--loader", "'transformers', 'unsloth'"),
    ("evaluate SCENE --out OUT", "--negatives", "'random', 'hard'"),
    ("ablation SCENE --out OUT", "--negatives", "'random', 'hard'"),
    ("train", "--negatives", "'hard', 'random'"),
    ("train", "--backend", "'auto', 'peft', 'unsloth'"),
    ("train", "--promotion", "'mcnemar', 'interval', 'always', 'never'"),
    ("render SCENE --out OUT", "--backend", "'auto', 'embree', 'pytorch3d'"),
    ("labels export --out OUT", "--format", "'jsonl', 'csv', 'coco', 'hf'"),
]


@pytest.mark.parametrize(("command", "option", "choices"), CHOICES)
@pytest.mark.parametrize("word", ["nonsense", "", "AUTO"])
def test_another_word_is_a_sentence(tmp_path: Path, command: str, option: str, choices: str, word: str) -> None:
    arguments = [str(tmp_path / part) if part.isupper() else part for part in command.split()]
    done = run_command(*arguments, option, word)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"maskgroup: Invalid value for '{option}': {word!r} is not one of {choices}.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fly",), "No such command 'fly'."),
        (("group", "room"), "Missing option '--out'"),
        # Before or behind a colon, by typer's version.
        (("scenes", "--nothing"), "No such option"),
        (("app", "--port", "http"), "Invalid value for '--port'"),
        (("app", "--port", "70000"), "Invalid value for '--port'"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run_command(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"maskgroup: {sentence}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("labels",)])
def test_no_command_shows_the_help(arguments: tuple[str, ...]) -> None:
    done = run_command(*arguments)
    assert (done.code, done.err) == (2, "")
    assert "Usage" in done.out
