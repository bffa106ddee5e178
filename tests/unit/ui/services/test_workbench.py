"""The workbench looks at files no oftener than it must, and names masks as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import SceneError
from engine.scenes import survey_scenes
from tests.stub_judge import StubJudge
from tests.tiny_room import write_tiny_room
from ui.services import workbench
from ui.services.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    write_tiny_room(tmp_path / "scenes")
    return Workbench(tmp_path / "scenes", LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge)


def test_a_name_that_is_no_scene_costs_one_look_at_the_folder(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []

    def survey(folder: Path, *, budget_s: float | None = None) -> object:
        looks.append(folder)
        return survey_scenes(folder, budget_s=budget_s)

    monkeypatch.setattr(workbench, "survey_scenes", survey)
    with pytest.raises(SceneError, match="the scenes are tiny"):
        bench.open_scene("gone")
    assert len(looks) == 1
