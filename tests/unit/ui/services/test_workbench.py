"""The workbench looks at files no oftener than it must, and names masks as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.errors import SceneError
from engine.judging.calibration.operating_point import OperatingPoint, OperatingPoints
from engine.scenes import survey_scenes
from engine.types import Frame, MaskKey, MaskPair
from engine.views.frames import FrameSource
from tests.stub_judge import StubJudge
from tests.tiny_room import BLUE_BOX, NAME, RED_BOX, VIEWS, write_tiny_room
from ui.services import scene_list
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

    monkeypatch.setattr(scene_list, "survey_scenes", survey)
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


def test_names_of_masks_read_no_picture_twice(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    make = FrameSource.frame

    def frame(source: FrameSource, view: str) -> Frame:
        read.append(view)
        return make(source, view)

    monkeypatch.setattr(FrameSource, "frame", frame)
    pairs = [MaskPair(MaskKey(a, RED_BOX), MaskKey(b, BLUE_BOX)) for a in VIEWS for b in VIEWS]
    for _ in range(2):
        assert bench.stale_pairs(NAME, pairs) == set()
        for pair in pairs:
            number = bench.mask_number(NAME, pair.a)
            assert bench.mask_by_number(NAME, pair.a.view, number) == RED_BOX
            assert f"mask {number} of view {pair.a.view} and " in bench.pair_words(NAME, pair)
    assert sorted(read) == sorted(VIEWS)
    # What is drawn is read anew by the source, and says which masks count.
    areas = bench.frame(NAME, "0").mask_areas
    assert list(bench.masks(NAME, "0").items()) == sorted(areas.items(), key=lambda mask: (-mask[1], mask[0]))
    assert [mask for _, mask in bench.mask_choices(NAME, "0")] == list(bench.masks(NAME, "0"))


def test_masks_are_those_of_the_frame_that_was_read_last(bench: Workbench) -> None:
    opened = bench.open_scene(NAME)
    first = opened.masks("0")
    assert set(first) == {RED_BOX, BLUE_BOX}
    kept = opened.frames.frame("0")
    kept.instance_map[kept.instance_map == RED_BOX] = 7
    del kept.__dict__["mask_areas"]
    bench.frame(NAME, "0")
    assert set(bench.masks(NAME, "0")) == {7, BLUE_BOX}


def test_labels_of_a_scene_that_is_gone_cost_one_look(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    there = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", RED_BOX))
    gone = [MaskPair(MaskKey("0", i), MaskKey("2", i)) for i in range(20)]
    labels = [bench.labels.add(NewLabel("Ada", "gone", pair, "same")) for pair in gone]
    labels += [bench.labels.add(NewLabel("Ada", NAME, pair, "same")) for pair in (there, MaskPair(there.a, MaskKey("99", 1)))]
    looks: list[Path] = []

    def survey(folder: Path, *, budget_s: float | None = None) -> object:
        looks.append(folder)
        return survey_scenes(folder, budget_s=budget_s)

    monkeypatch.setattr(scene_list, "survey_scenes", survey)
    assert bench.stale_labels(labels) == [*labels[:20], labels[21]]
    assert len(looks) == 2
