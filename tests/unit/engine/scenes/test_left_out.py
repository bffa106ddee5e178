"""The list of left-out scenes and views on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import ModelError, SceneError
from engine.judging.base import Judge
from ui.components.left_out import left_out_list
from ui.services.workbench import Workbench


def no_judge() -> Judge:
    raise ModelError("No judge is needed here.")


@pytest.fixture
def bench(tiny_room: Path, tmp_path: Path) -> Workbench:
    return Workbench(tiny_room.parent, LabelStore(open_database(str(tmp_path / "labels.db"))), no_judge)


def test_nothing_is_said_where_nothing_is_left_out(bench: Workbench) -> None:
    assert left_out_list(bench) == ""


def test_folders_and_views_are_listed_with_their_reasons_escaped(bench: Workbench, tiny_room: Path) -> None:
    (tiny_room.parent / "<img src=x onerror=alert(1)>").mkdir()
    (tiny_room.parent / "a\nb").mkdir()
    (tiny_room / "poses" / "2.txt").write_text("<b>nan</b>")
    assert bench.scene_names() == ["tiny"]
    html = left_out_list(bench)
    assert "<img" not in html
    assert "<b>" not in html
    assert "left out: &lt;img src=x onerror=alert(1)&gt; — " in html
    assert "left out: a\\nb — " in html
    assert "left out: view 2 of tiny — " in html
    assert "3 left out" in html


def test_without_any_scene_the_reasons_are_in_the_error(bench: Workbench, tiny_room: Path) -> None:
    (tiny_room / "intrinsics.txt").write_text("x")
    with pytest.raises(SceneError, match=r"holds no scene.*tiny: .*intrinsics\.txt: line 1"):
        bench.scene_names()


def test_a_broken_photo_does_not_stop_the_page(bench: Workbench, tiny_room: Path) -> None:
    (tiny_room / "color" / "2.png").write_bytes((tiny_room / "color" / "2.png").read_bytes()[:-30])
    assert bench.room("tiny") is not None
    assert all(bench.propose("tiny", seed=seed) is not None for seed in range(5))
    assert [view.name for view in bench.open_scene("tiny").frames.left_out] == ["2"]
    assert [name for _, name in bench.thumbnails("tiny")] == ["0", "10"]
