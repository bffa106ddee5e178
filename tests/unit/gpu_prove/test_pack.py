"""What travels to the machine with the GPU: read back as it was, and never larger than promised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.gpu import pack
from tests.gpu.crops import FILE as CROPS
from tests.gpu.crops import all_pairs, cycled_pairs, view_pair
from tests.gpu.pack import CONTENTS, PackError, write_pack
from tests.gpu.rendered import FILE as ROOM
from tests.gpu.rendered import draw_room, room_for
from tests.gpu.step import Setting


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prove")
    wheels = folder / "fetched"
    wheels.mkdir()
    (wheels / "some-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (wheels / "notes.txt").write_text("stays here")
    write_pack(folder / "pack", wheels=wheels, tiny=True)
    return folder / "pack"


def test_it_says_what_is_in_it(packed: Path) -> None:
    contents = json.loads((packed / CONTENTS).read_text())
    assert set(contents["bytes"]) == {CROPS, ROOM, "wheels/some-1.0-py3-none-any.whl"}
    assert contents["bytes"] == {name: (packed / name).stat().st_size for name in contents["bytes"]}
    assert contents["total_bytes"] == sum(contents["bytes"].values()) < pack.MOST_BYTES


def test_steps_read_the_same_from_it_as_they_make(packed: Path, tmp_path: Path) -> None:
    here, there = Setting(tiny=True, folder=tmp_path), Setting(tiny=False, folder=tmp_path, pack=packed)
    for made, read in zip(view_pair(here), view_pair(there), strict=True):
        assert len(made) == len(read)
        for a, b in zip(made, read, strict=True):
            assert b.dtype == np.uint8
            assert np.array_equal(a, b)
    assert len(cycled_pairs(there, 7)) == 7 > len(all_pairs(there)) == 4
    made, read = draw_room(tiny=True), room_for(there)
    assert np.array_equal(made.mesh.face_instances, read.mesh.face_instances)
    assert np.array_equal(made.mesh.vertices, read.mesh.vertices)
    for a, b in zip(made.references, read.references, strict=True):
        assert a.camera == b.camera
        for one, other in ((a.pose, b.pose), (a.instances, b.instances), (a.depth, b.depth)):
            assert np.array_equal(one, other)
            assert one.dtype == other.dtype


def test_a_larger_one_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"expected at most 1 MB; leave something out \(the largest file is rendered.npz"):
        write_pack(tmp_path / "pack", tiny=True, most_bytes=1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_no_other_folder_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(SystemExit) as stopped:
        pack.main(["--out", str(tmp_path / "mine"), "--tiny"])
    assert stopped.value.code == 2
    assert "is no pack" in capsys.readouterr().err
    with pytest.raises(PackError, match=r"holds no \*.whl"):
        write_pack(tmp_path / "pack", wheels=tmp_path / "mine", tiny=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
