"""`maskgroup export` on what `maskgroup group` wrote, on runs that the app kept, and on what it cannot use."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema.session import open_database
from engine.grouping.constraints import Constraint
from tests.command_line import run_command
from tests.stub_judge import StubJudge
from tests.tiny_room import NAME
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.stores.groupings import GroupingStore

WAIT_S = 480


@pytest.fixture
def database(tiny_room: Path, tmp_path: Path) -> Path:
    """Holds one run of the tiny room, in which a person merged both boxes."""
    path = tmp_path / "labels.db"
    engine = open_database(str(path))
    bench = Workbench(tiny_room.parent, LabelStore(engine), StubJudge)
    runs = GroupingRuns(bench, GroupingStore(RunStore(engine)))
    worker = runs.start(NAME)
    assert worker is not None
    worker.join(WAIT_S)
    first, second = runs.result(NAME).grouping.groups
    runs.correct(NAME, [Constraint(first.masks[0], key, True) for key in (*first.masks[1:], *second.masks)], words="merged")
    engine.dispose()
    return path


def test_a_grouping_is_exported_in_every_format_and_exported_again(tiny_room: Path, tmp_path: Path) -> None:
    assert run_command("group", tiny_room, "--out", tmp_path / "groups").code == 0
    done = run_command("export", tmp_path / "groups", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["groups"], report["masks"], report["left_out"]) == (2, 6, {})
    assert report["formats"] == ["ply", "glb", "masks", "coco", "json", "scannet", "scene", "colmap"]
    for again in (tmp_path / "out", tmp_path / "out" / "scene"):
        other = tmp_path / f"again-{again.name}"
        assert run_command("export", again, "--out", other, "--format", "masks,coco").code == 0
        assert {path.name for path in other.iterdir()} == {"masks", "coco.json", "manifest.json", "README.md"}
        for path in (tmp_path / "out" / "masks").iterdir():
            np.testing.assert_array_equal(np.asarray(Image.open(other / "masks" / path.name)), np.asarray(Image.open(path)))
    # The manifest's own command does the same.
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())["commands"]
    assert shlex.split(told["group"])[:3] == ["maskgroup", "group", str(tiny_room)]
    words = shlex.split(told["export"])
    assert words[:2] == ["maskgroup", "export"]
    words[words.index("--out") + 1] = str(tmp_path / "repeated")
    assert run_command(*words[1:]).code == 0
    for name in ("instances.ply", "coco.json", "scannet/tiny.txt"):
        assert (tmp_path / "repeated" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_kept_run_is_exported_with_its_corrections(tiny_room: Path, tmp_path: Path, database: Path) -> None:
    for number, wanted in enumerate(("1", NAME)):
        out = tmp_path / f"out{number}"
        flags = ("--db", database, "--scenes", tiny_room.parent, "--format", "json", "--format", "masks")
        done = run_command("export", wanted, "--out", out, *flags)
        assert done.code == 0, done.err
        assert "6 masks in 1 groups with 5 corrections" in done.out
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["source"] == "run 1 of the app's 3D grouping page"
        assert len(manifest["corrections"]) == 5
        assert manifest["settings"]["evidence"] == "geometry"
        assert {int(n) for path in (out / "masks").iterdir() for n in np.unique(np.asarray(Image.open(path)))} == {0, 1}


def test_smaller_pictures(tiny_room: Path, tmp_path: Path) -> None:
    run_command("group", tiny_room, "--out", tmp_path / "groups")
    assert run_command("export", tmp_path / "groups", "--out", tmp_path / "out", "--format", "scene", "--size", "16x12").code == 0
    for folder in ("masks", "color", "depth"):
        assert {Image.open(path).size for path in (tmp_path / "out" / "scene" / folder).iterdir()} == {(16, 12)}
    assert run_command("scenes", "--scenes", tmp_path / "out").code == 0


def test_what_cannot_be_exported_is_one_sentence(tiny_room: Path, tmp_path: Path, database: Path) -> None:
    # Scenes beside a database are found by their names: here is one without any.
    alone = tmp_path / "alone"
    alone.mkdir()
    database = Path(shutil.copyfile(database, alone / database.name))
    run_command("group", tiny_room, "--out", tmp_path / "groups")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "groups.json").write_text('{"masks": [')
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "groups.json").write_text('{"masks": []}')
    out = ("--out", tmp_path / "out")
    for arguments, sentence in (
        (("empty-handed", "--db", database), "the newest kept runs are 1 (tiny, geometry"),
        (("99", "--db", database), "neither a folder with groups.json nor a kept run"),
        (("x\0y", "--db", database), "neither a folder"),
        (("1", "--db", database, "--scene", "tiny"), "a kept run knows its scene"),
        (("1", "--db", database), "'tiny' is neither a folder nor a scene"),
        ((tmp_path / "empty",), "holds no groups.json"),
        ((tmp_path / "broken",), "cannot be read as JSON"),
        ((tmp_path / "nameless",), "name it with --scene"),
        ((tmp_path / "groups", "--format", "obj"), "'obj' is no format of an export, expected all or one of ply, glb"),
        ((tmp_path / "groups", "--size", "big"), "expected WIDTHxHEIGHT"),
        ((tmp_path / "groups", "--scene", tmp_path / "empty"), "expected a folder with"),
    ):
        done = run_command("export", *arguments, *out)
        assert (done.code, done.out) == (2, ""), arguments
        assert sentence in done.sentence, (arguments, done.sentence)
    full = run_command("export", tmp_path / "groups", "--out", tmp_path / "broken")
    assert (full.code, "holds something already" in full.sentence) == (2, True)
    assert not (tmp_path / "out").exists()


def test_names_are_given_kept_and_exported(tiny_room: Path, tmp_path: Path, database: Path) -> None:
    where = ("--db", database, "--scenes", tiny_room.parent)
    assert run_command("names", NAME, *where).out == "1  bed  6 masks\n"
    done = run_command("names", "1", *where, "--call", "1=two boxes", "--json")
    assert json.loads(done.out) == [{"group": 1, "name": "two boxes", "proposed_by": None, "masks": 6}]
    assert run_command("export", "1", *where, "--out", tmp_path / "out").code == 0
    told = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert [(group["name"], group["class"]) for group in told["groups"]] == [("two boxes, group 1", "two boxes")]
    assert len(told["corrections"]) == 5
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["two boxes"]
    assert b"two boxes, group 1" in (tmp_path / "out" / "instances.glb").read_bytes()
    # What was exported is called so again.
    assert run_command("export", tmp_path / "out", "--out", tmp_path / "again", "--format", "json").code == 0
    assert json.loads((tmp_path / "again" / "groups.json").read_text())["groups"][0]["class"] == "two boxes"
    # A person who takes it away sees the scene's own again.
    assert run_command("names", "1", *where, "--call", "1=").out == "1  bed  6 masks\n"
    for given in ("2=x", "0=x", "x", "1", "1=" + 61 * "x"):
        done = run_command("names", "1", *where, "--call", given)
        assert (done.code, done.out) == (2, ""), given
    # The bundled model has no words; there is nothing to name here, so it is not even asked.
    assert run_command("names", "1", *where, "--propose").out == "1  bed  6 masks\n"
