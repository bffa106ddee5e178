"""Calibration: a known distortion is found again; a file counts only for its weights and its prompt; broken files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.errors import ModelError
from engine.judging.base import load_prompt
from engine.judging.calibration.fit import Calibration, fit_calibration, load_calibration, margin_of, save_calibration

FITTED = Calibration("original@1", 2.5, -0.75, 40, "some rooms")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"w": np.arange(4.0)}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_known_temperature_and_bias_are_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    is_same = rng.random(20_000) < 1 / (1 + np.exp(-logits))
    margins = (logits + 0.75) * 2.5
    found = fit_calibration(margins, is_same, prompt="original@1")
    assert (found.temperature, found.bias) == (pytest.approx(2.5, rel=0.06), pytest.approx(-0.75, abs=0.06))
    np.testing.assert_allclose(found.apply(margins), logits, atol=0.4)


def test_pairs_that_are_all_told_apart_do_not_make_it_certain() -> None:
    is_same = np.arange(40) % 2 == 0
    found = fit_calibration(np.where(is_same, 1.0, -1.0) + np.linspace(-0.1, 0.1, 40), is_same, prompt="original@1")
    assert found.apply(1.0) == pytest.approx(np.log(21), abs=0.4), "20 of 20 right is taken for 21 of 22"


def test_doubt_holds_the_fit_to_no_change() -> None:
    """Five held-out objects that are told apart better than others: their pairs look like proof of a temperature of 0.25."""
    rng = np.random.default_rng(1)
    margins = rng.normal(0, 1, 2_000)
    is_same = rng.random(2_000) < 1 / (1 + np.exp(-4 * margins - 1))
    found = [fit_calibration(margins, is_same, prompt="original@1", doubt=doubt) for doubt in (0.0, 0.02, 0.1, 0.5, 100.0)]
    temperatures, biases = ([getattr(one, name) for one in found] for name in ("temperature", "bias"))
    assert temperatures[0] == pytest.approx(0.25, abs=0.03)
    assert temperatures == sorted(temperatures)
    assert biases == sorted(biases, reverse=True)
    assert temperatures[-1] == pytest.approx(1.0, abs=0.02)
    assert 0.4 < temperatures[2] < 0.8


def test_margins_that_tell_nothing_or_one_answer_alone_are_refused() -> None:
    is_same = np.arange(100) % 2 == 0
    with pytest.raises(ModelError, match="do not rise with the truth"):
        fit_calibration(np.where(is_same, -1.0, 1.0) * 3 + np.linspace(-4, 4, 100), is_same, prompt="original@1")
    with pytest.raises(ModelError, match="got 100 of 100 same"):
        fit_calibration(np.zeros(100), np.ones(100, bool), prompt="original@1")


def test_margin_of_certainty_is_finite() -> None:
    assert [margin_of(p) for p in (0.0, 0.5, 1.0)] == [-20.0, 0.0, 20.0]
    assert margin_of(0.9) == pytest.approx(np.log(9))


def test_saved_calibrations_come_back_each_for_its_prompt(folder: Path) -> None:
    other = Calibration("views@1", 1.5, 0.25, 9, "others")
    save_calibration(folder, FITTED)
    save_calibration(folder, other)
    assert load_calibration(folder, load_prompt("original")) == FITTED
    assert load_calibration(folder, load_prompt("views")) == other
    assert load_calibration(folder, load_prompt("context")) is None
    assert load_calibration("Some/Hub-Model", load_prompt()) is None


def test_other_weights_leave_a_calibration_behind(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_calibration(folder, FITTED)
    save_file({"w": np.arange(4.0) + 1}, folder / "model.safetensors")
    assert load_calibration(folder, load_prompt()) is None
    assert "fitted on other weights" in caplog.text
    save_calibration(folder, Calibration("views@1", 1.5, 0.25))
    assert load_calibration(folder, load_prompt("original")) is None  # the old fit does not come back with the new file


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"prompts": 3}'])
def test_a_file_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "calibration.json").write_text(content)
    with pytest.raises(ModelError, match="is no calibration"):
        load_calibration(folder, load_prompt())


@pytest.mark.parametrize(
    "values", [{"temperature": 0, "bias": 0}, {"temperature": "hot", "bias": 0}, {"temperature": 1}, {"heat": 1}]
)
def test_impossible_values_are_refused(folder: Path, values: dict[str, object]) -> None:
    path = save_calibration(folder, FITTED)
    content = json.loads(path.read_text())
    content["prompts"]["original@1"] = values
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="is broken for original@1"):
        load_calibration(folder, load_prompt())


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no safetensors weights"):
        save_calibration(tmp_path, FITTED)
