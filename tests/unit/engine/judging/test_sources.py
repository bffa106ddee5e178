"""What the name of a model means, for every kind of name: kind, name, weights and the key that its settings are kept under."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.assets import BUNDLED_MODEL, TUNED_ADAPTER
from engine.errors import ModelError
from engine.judging.sources import RunLookup, resolve_model
from finetune.config import TrainConfig
from finetune.runs.models import RunModels
from finetune.runs.promotion import promote

HUB = "Qwen/Qwen3-VL-2B-Instruct"
SERVER = "http://127.0.0.1:9/v1#chairs-1"


@pytest.fixture
def runs(tmp_path: Path) -> RunLookup:
    for name, base in (("run-1", "base"), ("run-2", HUB)):
        adapter = tmp_path / "runs" / name / "adapter"
        adapter.mkdir(parents=True)
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        (adapter.parent / "config.json").write_text(json.dumps(TrainConfig(scenes=("x",), model=base).to_json()))
    (tmp_path / "runs" / "begun").mkdir()
    (tmp_path / "runs" / "begun" / "config.json").write_text(json.dumps(TrainConfig(scenes=("x",)).to_json()))
    return RunModels(tmp_path / "runs")


def test_names_of_no_folder(runs: RunLookup) -> None:
    found = [resolve_model(name, runs=runs) for name in ("base", "tuned", HUB, SERVER, "histogram:4")]
    assert [(one.kind, one.name, one.key) for one in found] == [
        ("bundled", "base", "base"),
        ("tuned", "tuned", "tuned"),
        ("hub", HUB, HUB),
        ("server", "chairs-1", SERVER),
        ("other", "histogram:4", "histogram:4"),
    ]
    assert [one.folder for one in found] == [BUNDLED_MODEL, TUNED_ADAPTER, None, None, None]
    assert [one.is_shipped for one in found] == [True, True, False, False, False]


def test_folders_go_by_their_last_part_and_are_kept_under_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = Path(shutil.copytree(TUNED_ADAPTER, tmp_path / "mine"))
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "whole"))
    monkeypatch.chdir(tmp_path)
    for typed in ("mine", "./mine", "../" + tmp_path.name + "/mine", str(adapter)):
        found = resolve_model(typed)
        assert (found.kind, found.name, found.key) == ("adapter", "mine", str(adapter))
        assert Path(found.base) == BUNDLED_MODEL
    for typed in ("whole", str(model)):
        found = resolve_model(typed)
        assert (found.kind, found.name, found.key, found.adapter) == ("folder", "whole", str(model), None)
        assert not found.is_shipped
    assert resolve_model(str(BUNDLED_MODEL)).is_shipped


def test_runs_go_by_their_own_names_also_where_tuned_is_one(runs: RunModels) -> None:
    found = resolve_model("run-2", runs=runs)
    assert (found.kind, found.name, found.key, found.base) == ("run", "run-2", "run-2", HUB)
    assert found.adapter == runs.folder / "run-2" / "adapter"
    promote(runs.folder, "run-1")
    tuned = resolve_model("tuned", runs=runs)
    assert (tuned.kind, tuned.name, tuned.key, tuned.base) == ("run", "run-1", "run-1", BUNDLED_MODEL)
    assert resolve_model("tuned").kind == "tuned", "whoever knows no runs means the one that comes with the program"
    with pytest.raises(ModelError, match="'begun' has no adapter: its training was not finished"):
        resolve_model("begun", runs=runs)


@pytest.mark.parametrize("name", ["run-1", "../runs/run-1", ".hidden", "a/b/c", "", "C:", ":x", "tuned "])
def test_what_is_nothing_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"There is no model|is no model"):
        resolve_model(name, runs=RunModels(tmp_path / "runs"))


def test_an_adapter_is_put_on_whole_weights_only(runs: RunLookup, tmp_path: Path) -> None:
    found = resolve_model("base", adapter=TUNED_ADAPTER)
    assert (found.kind, found.base, found.adapter) == ("adapter", BUNDLED_MODEL, TUNED_ADAPTER)
    for name in ("tuned", "run-1"):
        with pytest.raises(ModelError, match="is an adapter itself"):
            resolve_model(name, runs=runs, adapter=TUNED_ADAPTER)
    with pytest.raises(ModelError, match="decides on adapter"):
        resolve_model(SERVER, adapter=TUNED_ADAPTER)
    with pytest.raises(ModelError, match="is no adapter"):
        resolve_model("base", adapter=tmp_path)
