"""`maskgroup reproduce` as a person runs it: small rooms in Replica's layout under the published names and under others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.evaluation.predictions import read_predictions
from engine.evaluation.published import MODEL, PUBLISHED, ROOMS
from tests.boxes_room import write_boxes
from tests.command_line import run_command
from tests.training_room import write_training_room


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a room of no published results, and one that is called as one of Replica's."""
    folder = tmp_path_factory.mktemp("replica")
    small = write_training_room(folder)
    office = shutil.copytree(small, folder / "office4")
    (office / "small_mesh.ply").rename(office / "office4_mesh.ply")
    shutil.copy(folder / "ground_truth" / "small.txt", folder / "ground_truth" / "office4.txt")
    return folder


def test_ours_stand_beside_the_published(replica: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("reproduce", replica, "--model", "base", "--tuned", "tuned", "--room", "small", "--room", "office4", "--pairs", 8)
    done = run_command(*command, "--out", out)
    assert done.code == 0, done.err
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.out.splitlines()[2:6]]
    rows = {(cells[0], cells[1]): cells[2:] for cells in table}
    assert list(rows) == [("small", "base"), ("small", "tuned"), ("office4", "base"), ("office4", "tuned")]
    assert [row[0] for row in rows.values()] == ["8"] * 4
    assert rows["small", "base"][2::2] == ["-"] * 3
    known = PUBLISHED["office4", "tuned"]
    assert rows["office4", "tuned"][2::2] == [f"{value:.2f}" for value in (known.accuracy, known.precision, known.recall)]
    assert "Published: the original project, Qwen/Qwen3-VL-8B-Instruct and its LoRA adapter, 300 pairs a room." in done.out
    assert f"maskgroup compare {out / 'base'} {out / 'tuned'}" in done.out
    # The original's way: one order, its prompt, random negatives, the same pairs for both models.
    base, tuned = (read_predictions(out / role / "small" / "predictions.jsonl") for role in ("base", "tuned"))
    assert [one.pair for one in base] == [one.pair for one in tuned]
    assert {one.prompt for one in base} == {"original@1"}
    assert all(one.p_same_ba is None and one.threshold == 0.5 for one in base)
    assert {one.negative_kind for one in base} <= {None, "random", "copy"}

    again = run_command(*command, "--out", out, "--json")
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert [(row["room"], row["role"], row["pairs"]) for row in found["rooms"]][:2] == [("small", "base", 8), ("small", "tuned", 8)]
    assert found["rooms"][0]["published"] is None
    assert found["rooms"][2]["published"] == {"accuracy": 0.74, "precision": 0.67, "recall": 0.88}
    assert MODEL in found["source"]


def test_the_pairs_of_stored_predictions_are_asked_again(replica: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    command = ("reproduce", replica, "--model", "base", "--room", "small", "--pairs", 8)
    assert run_command(*command, "--seed", 5, "--out", first).code == 0
    # As the original writes them: without our fields, and one pair twice.
    lines = [json.loads(line) for line in (first / "base" / "small" / "predictions.jsonl").read_text().splitlines()]
    theirs = [{name: line[name] for name in ("prediction", "gt", "view_i", "view_j", "inst_i", "inst_j")} for line in lines]
    old = tmp_path / "old" / "small" / "predictions.jsonl"
    old.parent.mkdir(parents=True)
    old.write_text("".join(json.dumps(line) + "\n" for line in [*theirs, theirs[0]]))
    done = run_command(*command, "--pairs-of", tmp_path / "old", "--out", again, "--json")
    assert done.code == 0, done.err
    asked, before = (read_predictions(folder / "base" / "small" / "predictions.jsonl") for folder in (again, first))
    assert [one.pair for one in asked] == [one.pair for one in [*before, before[0]]]
    assert [one.p_same for one in asked] == pytest.approx([one.p_same for one in [*before, before[0]]], abs=1e-3)
    assert json.loads(done.out)["rooms"][0]["pairs"] == 9

    # Another list of pairs is another run; a mask that is not there, or another truth, is not believed.
    assert "other settings" in run_command(*command, "--out", again).err
    other = {**theirs[0], "gt": 1 - theirs[0]["gt"]}
    for wrong, sentence in (
        ([{**theirs[0], "inst_i": 77}], "lacks 1 of the masks that were asked about before (77 in view"),
        ([other], "by this scene's ground truth"),
        ([], "holds no pairs"),
    ):
        old.write_text("".join(json.dumps(line) + "\n" for line in wrong))
        refused = run_command(*command, "--pairs-of", tmp_path / "old", "--out", tmp_path / "refused")
        assert refused.code == 2
        assert sentence in refused.err
    assert not (tmp_path / "refused").exists()


def broken(replica: Path, tmp_path: Path, fault: str) -> tuple[Path, tuple[str, ...]]:
    """A folder with one thing wrong with it, and the rooms to ask for."""
    folder = tmp_path / "replica"
    if fault == "no folder":
        return folder, ()
    shutil.copytree(replica, folder)
    if fault == "no labels":
        (folder / "ground_truth" / "small.txt").unlink()
    if fault == "no mesh":
        (folder / "small" / "small_mesh.ply").unlink()
    if fault == "other layout":
        shutil.rmtree(folder / "small")
        write_boxes(folder / "small", views=3, grid=(2, 2), cell=(50, 50), box=(24, 24))
    return folder, {"no room": (), "leads out": ("../small",)}.get(fault, ("small",))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no folder", "is no folder; expected Replica in OpenYOLO3D's layout"),
        ("no room", "lacks room2 (there: ground_truth, office4, small); expected Replica"),
        ("leads out", "lacks ../small"),
        ("no labels", "has no ground truth; put its labels at"),
        ("no mesh", "has no mesh; expected Replica"),
        ("other layout", "has the layout 'processed'; expected Replica"),
    ],
)
def test_another_layout_is_one_sentence(replica: Path, tmp_path: Path, fault: str, sentence: str) -> None:
    folder, rooms = broken(replica, tmp_path, fault)
    flags = [word for room in rooms for word in ("--room", room)]
    done = run_command("reproduce", folder, "--model", "base", "--out", tmp_path / "out", *flags)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.sentence
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_none_is_told_first(tmp_path: Path) -> None:
    done = run_command("reproduce", tmp_path, "--model", "none-such")
    assert done.code == 2
    assert "There is no model 'none-such'" in done.sentence
    assert ROOMS == ("office4", "room2")
