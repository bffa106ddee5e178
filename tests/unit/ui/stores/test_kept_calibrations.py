"""Calibrations of judges without a folder of their own: kept in the data folder by name, prompt and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.judging.base import CropPair
from engine.judging.calibration.book import CalibrationBook
from engine.judging.calibration.fit import Calibration
from tests.command_line import run_command
from tests.e2e.test_evaluate_command import assert_refused
from tests.faulty_server import Reply, serve_faults
from tests.model_process import write_adapter
from tests.tiny_room import NAME, write_tiny_room
from ui.services.open_judge import find_judge, open_judge
from ui.settings import Settings
from ui.stores.calibrations import find_home, find_kept, save_at_home

FITTED = Calibration("original@1", 2.0, -0.5, 40, "some rooms")
PAIR = CropPair(np.full((40, 40, 3), 90, np.uint8), np.full((50, 40, 3), 200, np.uint8))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(db=str(tmp_path / "data" / "labels.db"))


def test_each_judge_has_its_own_and_each_prompt(tmp_path: Path) -> None:
    book = CalibrationBook(tmp_path / "data")
    assert book.get("Some/Model", "original@1") is None
    other = Calibration("views@1", 1.5, 0.25, 9, "others")
    book.save("Some/Model", FITTED)
    book.save("Some/Model", other)
    book.save("http://x/v1#m", other)
    again = CalibrationBook(tmp_path / "data")
    assert again.get("Some/Model", "original@1") == FITTED
    assert again.get("Some/Model", "views@1") == other
    assert again.get("http://x/v1#m", "original@1") is None


def test_other_weights_under_the_same_name_have_none(tmp_path: Path) -> None:
    book = CalibrationBook(tmp_path)
    book.save("base", FITTED, weights="old")
    assert book.get("base", "original@1", weights="new") is None
    book.save("base", Calibration("views@1", 1.5, 0.25), weights="new")
    assert book.get("base", "original@1", weights="old") is None, "one name, one set of weights"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"judges": 3}', '{"judges": {"m": {"weights": null, "prompts": {"original@1": {"heat": 1}}}}}']
)
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "calibrations.json").write_text(content)
    with pytest.raises(ModelError, match=r"calibrations\.json"):
        CalibrationBook(tmp_path).get("m", "original@1")


def test_what_came_with_the_program_is_not_written_to(settings: Settings, tmp_path: Path) -> None:
    home = find_home(find_judge("base", settings))
    assert (home.judge, home.folder, home.is_own) == ("base", BUNDLED_MODEL, False)
    before = sorted(path.name for path in BUNDLED_MODEL.iterdir())
    assert save_at_home(home, FITTED, settings) == settings.data_folder / "calibrations.json"
    assert sorted(path.name for path in BUNDLED_MODEL.iterdir()) == before
    assert find_kept(find_judge("base", settings), "original", settings) == FITTED
    assert find_kept(find_judge("base", settings), "views", settings) is None
    adapter = write_adapter(tmp_path / "mine")
    own = find_home(find_judge(str(adapter), settings))
    assert own.is_own
    assert save_at_home(own, FITTED, settings) == adapter / "calibration.json"
    assert find_home(find_judge("Qwen/Qwen3-VL-2B-Instruct", settings)).judge == "Qwen/Qwen3-VL-2B-Instruct"


def test_what_an_older_file_has_under_a_path_as_it_was_typed_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BUNDLED_MODEL.parent)
    found = find_judge(BUNDLED_MODEL.name, settings)
    weights = find_home(found).weights
    assert weights is not None
    CalibrationBook(settings.data_folder).save(BUNDLED_MODEL.name, FITTED, weights=weights)
    assert find_home(found).judge == str(BUNDLED_MODEL)
    assert find_kept(found, "original", settings) == FITTED


def test_the_bundled_judge_opens_with_what_was_kept(settings: Settings) -> None:
    raw = open_judge("base", settings).judge([PAIR])[0]
    save_at_home(find_home(find_judge("base", settings)), FITTED, settings)
    calibrated = open_judge("base", settings).judge([PAIR])[0]
    p = raw.p_same if raw.uncalibrated is None else raw.uncalibrated
    assert calibrated.uncalibrated == pytest.approx(p, abs=1e-6)
    assert calibrated.p_same == pytest.approx(1 / (1 + np.exp(-FITTED.apply(np.log(p / (1 - p))))), abs=1e-5)


def test_a_served_judge_opens_with_what_was_kept(settings: Settings) -> None:
    with serve_faults(lambda number, body: Reply()) as (base, _):
        model = f"{base}#served"
        raw = open_judge(model, settings).judge([PAIR])[0]
        save_at_home(find_home(find_judge(model, settings)), FITTED, settings)
        calibrated = open_judge(model, settings).judge([PAIR])[0]
        elsewhere = open_judge(f"{base}#another", settings).judge([PAIR])[0]
    assert raw.uncalibrated is None
    assert elsewhere.p_same == raw.p_same
    assert calibrated.uncalibrated == pytest.approx(raw.p_same)
    assert calibrated.p_same == pytest.approx(1 / (1 + np.exp(-FITTED.apply(np.log(raw.p_same / (1 - raw.p_same))))))


def test_an_evaluation_goes_on_only_with_the_calibration_that_it_was_begun_with(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKGROUP_DB", settings.db)
    write_tiny_room(tmp_path / "scenes")
    command = ("evaluate", NAME, "--scenes", tmp_path / "scenes", "--out", tmp_path / "out", "--pairs", 8, "--min-area", 4)
    file = tmp_path / "out" / NAME / "predictions.jsonl"

    def cut_short() -> bytes:
        begun = b"".join(file.read_bytes().splitlines(keepends=True)[:3])
        file.write_bytes(begun)
        return begun

    assert run_command(*command).code == 0
    begun = cut_short()
    kept = save_at_home(find_home(find_judge("base", settings)), FITTED, settings)
    assert_refused(run_command(*command), "another calibration of base")
    assert file.read_bytes() == begun
    kept.unlink()
    assert run_command(*command).code == 0

    save_at_home(find_home(find_judge("base", settings)), FITTED, settings)
    file.unlink()
    assert run_command(*command).code == 0
    cut_short()
    assert run_command(*command).code == 0, "the same calibration goes on"
    save_at_home(find_home(find_judge("base", settings)), Calibration("original@1", 1.2, 0.3), settings)
    cut_short()
    assert_refused(run_command(*command), "another calibration of base")
