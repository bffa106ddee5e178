"""The workbench looks at files no oftener than it must, and names masks as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import SceneError
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints
from engine.scenes import survey_scenes
from engine.types import MaskKey, MaskPair
from tests.stub_judge import StubJudge
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, write_tiny_room
from ui.services import workbench
from ui.services.judges import Judges
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


def test_a_promotion_meanwhile_mixes_no_two_models(bench: Workbench, tmp_path: Path) -> None:
    promoted = ["one"]

    def open_judge(name: str) -> StubJudge:
        # While the first one answers, the other becomes the tuned model.
        return StubJudge(name=name, before=lambda: promoted.append("two"))

    judges = Judges(
        open_judge,
        "base",
        others=lambda: ["tuned", "one", "two"],
        behind=lambda name: promoted[-1] if name == "tuned" else name,
    )
    points = OperatingPoints(tmp_path)
    points.save("one", OperatingPoint(0.1))
    points.save("two", OperatingPoint(0.9))
    tuned = Workbench(bench.scenes_dir, bench.labels, judges, points=points)
    pair = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", BLUE_BOX))
    before, after = (tuned.verdict(NAME, pair, model="tuned") for _ in range(2))
    assert (before.model, before.threshold) == ("one", 0.1)
    assert (after.model, after.threshold) == ("two", 0.9)
    assert tuned.verdict(NAME, pair, model="one") == before
