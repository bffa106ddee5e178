"""Labels with pictures: COCO runs against hand-made and known examples, the files against the scene they come from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner, Result

from db.labels.settling import Settled
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.errors import LabelError
from engine.rle import encode_mask
from engine.scenes import find_scene
from engine.types import BoolArray, Decision, Frame, MaskKey, MaskPair
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, write_tiny_room
from ui.commands.labels import labels
from ui.services.label_files import SceneShelf, split_stale

VIEWS = ("0", "2", "10")


def decode_runs(runs: list[int], height: int, width: int) -> BoolArray:
    """Return the mask of some runs, (height, width) bool; the first one lies outside it."""
    assert sum(runs) == height * width
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape((height, width), order="F")


def unpack_runs(text: str) -> list[int]:
    """Return the runs of a packed text, by the description of the format: an oracle for the library that packs."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        assert 0 <= bits < 64
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value |= -1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    assert not shift
    return runs


def test_runs_go_down_the_columns_and_begin_outside() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert unpack_runs(encode_mask(mask)) == [2, 3, 1]
    assert unpack_runs(encode_mask(~mask)) == [0, 2, 3, 1]


@pytest.mark.parametrize(
    ("runs", "text"),
    # Worked out by hand from `rleToString` of the COCO API: five bits a character, from the fourth run on as a difference.
    [
        ([15], "?"),
        ([16], "`0"),
        ([31], "o0"),
        ([32], "P1"),
        ([5, 4, 3, 4], "5430"),
        ([6, 1, 40, 4, 20, 1], "61X13\\OM"),
    ],
)
def test_short_form_is_coco_s(runs: list[int], text: str) -> None:
    assert encode_mask(decode_runs(runs, sum(runs), 1)) == text
    assert unpack_runs(text) == runs


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_every_mask_survives(mask: np.ndarray) -> None:
    assert (decode_runs(unpack_runs(encode_mask(mask)), *mask.shape) == mask).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_room(tmp_path / "scenes")
    store = LabelStore(open_database(str(tmp_path / "labels.db")))
    red, blue = ([MaskKey(view, box) for view in VIEWS] for box in (RED_BOX, BLUE_BOX))
    said: list[tuple[MaskKey, MaskKey, Decision]] = [
        (red[0], red[1], "same"),
        (red[1], red[2], "same"),
        (red[0], blue[1], "different"),
        (blue[0], blue[2], "skip"),
    ]
    for a, b, decision in said:
        store.add(NewLabel("Ada", NAME, MaskPair(a, b), decision))
    return tmp_path


def run(folder: Path, *args: str) -> Result:
    result = CliRunner().invoke(labels, [*args, "--db", str(folder / "labels.db"), "--scenes", str(folder / "scenes")])
    if isinstance(result.exception, LabelError):
        raise result.exception
    return result


def test_coco_file_holds_the_masks_and_who_is_one(folder: Path) -> None:
    out = folder / "labels.json"
    assert run(folder, "export", "--format", "coco", "--out", str(out)).output == f"4 masks written to {out}.\n"
    document = json.loads(out.read_text())
    frames = FrameSource(find_scene(NAME, folder / "scenes"))
    images = {image["id"]: image for image in document["images"]}
    groups: dict[int, set[int]] = {}
    for entry in document["annotations"]:
        view = images[entry["image_id"]]["view"]
        wanted = frames.frame(view).instance_map == entry["mask"]
        decoded = decode_runs(unpack_runs(entry["segmentation"]["counts"]), *entry["segmentation"]["size"])
        assert (decoded == wanted).all()
        assert entry["area"] == wanted.sum()
        groups.setdefault(entry["group_id"], set()).add(entry["mask"])
    assert sorted(map(sorted, groups.values())) == [[RED_BOX], [BLUE_BOX]]


def test_dataset_folder_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    out = folder / "dataset"
    assert run(folder, "export", "--format", "hf", "--out", str(out)).output == f"3 pairs written to {out}.\n"
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(folder / "cache"))
    assert loaded["decision"][:] == ["same", "same", "different"]
    frames = FrameSource(find_scene(NAME, folder / "scenes"))
    first = loaded[0]
    expected = show_mask(frames.frame(first["view_a"]), MaskKey(first["view_a"], first["mask_a"]))
    assert (np.asarray(first["image_a"]) == expected).all()
    assert (first["votes_same"], first["basis"]) == (1, "majority")
    with pytest.raises(LabelError, match="not overwritten"):
        run(folder, "export", "--format", "hf", "--out", str(out))


def test_audit_lists_labels_on_masks_that_are_gone(folder: Path) -> None:
    assert run(folder, "audit").exit_code == 0
    store = LabelStore(open_database(str(folder / "labels.db")))
    store.add(NewLabel("Ada", NAME, MaskPair(MaskKey("0", RED_BOX), MaskKey("2", 4)), "same"))
    store.add(NewLabel("Ada", "../scenes/tiny", MaskPair(MaskKey("0", RED_BOX), MaskKey("2", RED_BOX)), "same"))
    found = run(folder, "audit")
    assert found.exit_code == 1
    assert "label 5 is on mask 2:4, which does not exist" in found.output
    assert "../scenes/tiny: the scene is not in the folder of scenes, so the masks of 1 labels were not checked" in found.output
    report = json.loads(run(folder, "audit", "--json").output)
    assert ([entry["label_id"] for entry in report["missing"]], report["unchecked"]) == ([5], {"../scenes/tiny": 1})
    # Stale labels stop nothing; where all are, another folder of scenes is meant.
    for file_format in ("coco", "hf"):
        told = run(folder, "export", "--format", file_format, "--out", str(folder / f"x.{file_format}"))
        assert told.exit_code == 0
        assert "2 stale pairs were left out" in told.output
    masks = {(entry["image_id"], entry["mask"]) for entry in json.loads((folder / "x.coco").read_text())["annotations"]}
    assert masks
    assert 4 not in {mask for _, mask in masks}
    with pytest.raises(LabelError, match="is not there"):
        run(folder, "export", "--format", "coco", "--out", str(folder / "y.json"), "--scene", "../scenes/tiny")
    assert not (folder / "y.json").exists()


@pytest.mark.parametrize("part", ["color/2.png", "poses/2.txt"])
def test_a_broken_view_does_not_stop_an_audit(folder: Path, part: str) -> None:
    """A photo breaks its view when it is read, a pose when the scene is opened; neither says that a mask is gone."""
    path = folder / "scenes" / NAME / part
    path.write_bytes(path.read_bytes()[:-30] if path.suffix == ".png" else b"1 0 0")
    found = run(folder, "audit")
    assert found.exit_code == 0, found.output
    assert "tiny: some of its views are broken, so the masks of 3 labels were not checked" in found.output
    assert "0 on masks that do not exist" in found.output
    told = run(folder, "export", "--format", "coco", "--out", str(folder / "x.json"))
    assert told.exit_code == 0
    assert "3 stale pairs were left out" in told.output


def test_export_that_cannot_be_is_a_sentence(folder: Path) -> None:
    with pytest.raises(LabelError, match="cannot be printed"):
        run(folder, "export", "--format", "hf", "--out", "-")
    with pytest.raises(LabelError, match="cannot be written"):
        run(folder, "export", "--format", "coco", "--out", str(folder / "no folder" / "x.json"))


def test_finding_stale_pairs_reads_each_view_once_and_compares_no_two_pairs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled = LabelStore(open_database(str(folder / "labels.db"))).settled()
    gone = [replace(settled[0], pair=MaskPair(MaskKey("0", RED_BOX), MaskKey("2", number))) for number in range(50)]
    read: list[str] = []
    make = FrameSource.frame

    def frame(source: FrameSource, view: str) -> Frame:
        read.append(view)
        return make(source, view)

    monkeypatch.setattr(FrameSource, "frame", frame)
    compared: list[object] = []
    monkeypatch.setattr(Settled, "__eq__", lambda one, other: (compared.append(other), one is other)[1])
    assert split_stale([*gone, *settled], SceneShelf(folder / "scenes")) == (settled, gone)
    assert sorted(read) == sorted(VIEWS)
    # All of them by the comparison of the lists above.
    assert len(compared) <= len(gone) + len(settled)
