"""`maskgroup labels` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair
from tests.command_line import run_command
from ui.commands.labels import labels


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "labels.db")
    store = LabelStore(open_database(path))
    decided: list[tuple[str, int, int, Decision]] = [("room", 1, 1, "same"), ("room", 2, 1, "same"), ("hall", 1, 2, "unsure")]
    for scene, a, b, decision in decided:
        store.add(NewLabel("Ada", scene, MaskPair(MaskKey("1", a), MaskKey("2", b)), decision))
    return path


def run(*args: str, db: str) -> Result:
    result = CliRunner().invoke(labels, [*args, "--db", db])
    if isinstance(result.exception, LabelError):
        raise result.exception
    return result


def test_export_and_import(database: str, tmp_path: Path) -> None:
    file, new = tmp_path / "labels.csv", str(tmp_path / "new.db")
    exported = run("export", "--format", "csv", "--out", str(file), db=database)
    assert (exported.exit_code, exported.output) == (0, f"3 rows written to {file}.\n")
    imported = run("import", str(file), "--strict", db=new)
    assert (imported.exit_code, imported.output) == (0, "3 rows imported, 0 known before.\n")
    assert LabelStore(open_database(new)).history() == LabelStore(open_database(database)).history()


def test_export_of_one_scene_prints(database: str) -> None:
    (line,) = run("export", "--out", "-", "--scene", "hall", db=database).output.splitlines()
    assert json.loads(line)["decision"] == "unsure"


def test_database_of_the_environment(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_DB", database)
    assert len(CliRunner().invoke(labels, ["export", "--out", "-"]).output.splitlines()) == 3


def test_bad_rows_are_named_by_line(database: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    run("export", "--out", str(file), db=database)
    file.write_text("no row\n" + file.read_text())
    new = str(tmp_path / "new.db")
    strict = run("import", str(file), "--strict", db=new)
    assert strict.exit_code == 1
    assert f"{file}:1: The line is no JSON" in strict.output
    assert LabelStore(open_database(new)).history() == []
    lenient = run("import", str(file), "--json", db=new)
    assert lenient.exit_code == 1
    assert json.loads(lenient.output)["added"] == 3


def test_audit_prints_the_cycle_and_fails(database: str) -> None:
    assert run("audit", "--scene", "hall", db=database).exit_code == 0
    store = LabelStore(open_database(database))
    store.add(NewLabel("Bob", "room", MaskPair(MaskKey("1", 1), MaskKey("1", 2)), "different"))
    found = run("audit", db=database)
    assert found.exit_code == 1
    assert "room: contradiction: 1:1 = 2:1 = 1:2, but 1:1 ≠ 1:2 (labels 1, 2, 4)" in found.output
    assert json.loads(run("audit", "--json", db=database).output)["contradictions"][0]["label_ids"] == [1, 2, 4]


def test_backup(database: str, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    assert run("backup", str(target), db=database).exit_code == 0
    assert LabelStore(open_database(str(target))).history() == LabelStore(open_database(database)).history()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("import", "missing.jsonl"), "cannot be read"),
        (("export", "--out", "/nowhere/x.jsonl"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(database: str, args: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence):
        run(*args, db=database)


def test_a_format_that_is_none_is_a_sentence_with_those_that_are(database: str) -> None:
    done = run_command("labels", "export", "--out", "-", "--format", "xml", "--db", database)
    assert (done.code, done.out) == (2, "")
    assert done.err == "maskgroup: Invalid value for '--format': 'xml' is not one of 'jsonl', 'csv', 'coco', 'hf'.\n"
