"""From names to judges, as the commands and the app do it: flags over settings, servers, adapters; the app on a served model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.assets import BUNDLED_MODEL, SCENES_DIR
from engine.errors import MaskgroupError, ModelError
from engine.judging.local.qwen_vl import QwenVlJudge
from engine.judging.served.endpoint import EndpointJudge
from engine.judging.sources import LoadOptions
from tests.faulty_server import Reply, serve_faults
from tests.model_process import write_adapter
from ui.app import build_workbench
from ui.services.open_judge import choose_options, find_judge, given_options, open_judge
from ui.settings import Settings


def settings(folder: Path, **fields: Any) -> Settings:
    return Settings(scenes=SCENES_DIR, db=str(folder / "labels.db"), **fields)


def test_flags_win_over_settings(tmp_path: Path) -> None:
    own = settings(tmp_path, device="cuda", dtype="float16", four_bit=True)
    assert given_options(own) == LoadOptions("cuda", "float16", True, "transformers")
    assert choose_options(own, device="cpu") == LoadOptions("cpu", "float16", True, "transformers")
    assert choose_options(own, dtype="float32", loader="unsloth") == LoadOptions("cuda", "float32", True, "unsloth")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASKGROUP_DEVICE", "cpu")
    monkeypatch.setenv("MASKGROUP_DTYPE", "bfloat16")
    judge = open_judge("base", settings(tmp_path))
    assert isinstance(judge, QwenVlJudge)
    assert judge.name == "base"
    with pytest.raises(ModelError, match="There is no dtype 'tiny'"):
        open_judge("base", settings(tmp_path, dtype="tiny"))


def test_bad_settings_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_FOUR_BIT", "maybe")
    with pytest.raises(MaskgroupError, match=r"The setting 'four_bit' \(MASKGROUP_FOUR_BIT\) cannot be 'maybe'") as caught:
        Settings()
    assert "\n" not in str(caught.value)


def test_an_adapter_folder_by_name(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "mine")
    assert open_judge(str(folder), settings(tmp_path)).name == "mine"
    assert open_judge(str(BUNDLED_MODEL), settings(tmp_path)).name == BUNDLED_MODEL.name


def test_settings_for_local_models_do_not_disturb_a_server_but_flags_are_refused(tmp_path: Path) -> None:
    own = settings(tmp_path, device="cpu")
    with serve_faults(lambda number, body: Reply()) as (base, _):
        model = f"{base}#served"
        assert find_judge(model, own).prompt == "original"
        assert isinstance(open_judge(model, own), EndpointJudge)
        with pytest.raises(ModelError, match="decides on adapter, device, dtype and loader"):
            open_judge(model, own, options=choose_options(own, dtype="bfloat16"))


def test_the_app_judges_with_a_served_model(tmp_path: Path) -> None:
    with serve_faults(lambda number, body: Reply()) as (base, seen):
        bench = build_workbench(settings(tmp_path, model=f"{base}#served", also=("base",)))
        assert bench.judges.names()[:2] == [f"{base}#served", "base"]
        pair = bench.propose("sh3d_living", seed=0)
        assert pair is not None
        verdict = bench.verdict("sh3d_living", pair)
        assert (verdict.model, verdict.answer) == ("served", "same")
        assert bench.crop("sh3d_living", pair.a).ndim == 3
    assert seen.requests[-1][2]["model"] == "served"


def test_the_app_says_in_one_sentence_that_a_server_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_ENDPOINT_TRIES", "1")
    with serve_faults(lambda number, body: Reply()) as (base, _):
        bench = build_workbench(settings(tmp_path, model=f"{base}#served"))
        pair = bench.propose("sh3d_living", seed=0)
        assert pair is not None
        bench.verdict("sh3d_living", pair)
        other = bench.propose("sh3d_living", seed=1)
        assert other is not None
        assert other != pair
    with pytest.raises(ModelError, match=r"The server at .* (cannot be reached|broke the connection)"):
        bench.verdict("sh3d_living", other)
