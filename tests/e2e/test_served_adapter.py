"""A served adapter is believed once it answers as the one of that name here: whole, half, another one, and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import ModelError
from engine.strict_json import to_json_text
from finetune.config import TrainConfig
from tests.command_line import run_command
from tests.model_process import free_port, model_server, write_adapter
from ui.services.open_judge import open_judge
from ui.settings import Settings

WEIGHTS = "adapter_model.safetensors"
BOTH_PARTS = r".*language_model.*(q|v)_proj|.*visual\..*\.(attn\.qkv|linear_fc1)"


def without_tower(adapter: Path) -> Path:
    """Serve what a server serves that leaves the tower's part out."""
    weights = load_file(adapter / WEIGHTS)
    changed = {name: torch.zeros_like(t) if ".visual." in name else t for name, t in weights.items()}
    assert any(not torch.equal(changed[name], weights[name]) for name in weights)
    save_file(changed, adapter / WEIGHTS, metadata={"format": "pt"})
    return adapter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three runs: each has the same adapter."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("whole", "halved", "older"):
        run = folder / "runs" / name
        write_adapter(run / "adapter", targets=BOTH_PARTS)
        (run / "config.json").write_text(to_json_text(TrainConfig(scenes=("x",)).to_json()))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    half = without_tower(write_adapter(folder / "halved", targets=BOTH_PARTS))
    older = write_adapter(folder / "older", targets=BOTH_PARTS, seed=1)
    served = {"whole": folder / "runs" / "whole" / "adapter", "halved": half, "older": older, "elsewhere": older}
    port = free_port()
    flags = [flag for name, path in served.items() for flag in ("--adapter", f"{name}={path}")]
    with model_server(*flags, port=port):
        yield f"http://127.0.0.1:{port}/v1"


def test_the_whole_adapter_is_believed_and_one_that_is_not_here_cannot_be_checked(server: str, folder: Path) -> None:
    settings = Settings(db=str(folder / "labels.db"))
    for name in ("whole", "elsewhere"):
        assert open_judge(f"{server}#{name}", settings).name == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("halved", "without its part in the vision tower .*--enable-tower-connector-lora"),
        ("older", "answers otherwise .*under a name that it never had before"),
    ],
)
def test_another_one_is_refused(name: str, sentence: str, server: str, folder: Path) -> None:
    settings = Settings(db=str(folder / "labels.db"))
    with pytest.raises(ModelError, match=sentence):
        open_judge(f"{server}#{name}", settings, both_orders=False)
    unchecked = Settings(db=str(folder / "labels.db"), check_served=False)
    assert open_judge(f"{server}#{name}", unchecked).name == name


def test_the_command_refuses_half_an_adapter(server: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_DB", str(folder / "labels.db"))
    out = tmp_path / "out"
    done = run_command("evaluate", "sh3d_living", "--out", out, "--pairs", 4, "--model", f"{server}#halved")
    assert (done.code, done.out) == (2, "")
    assert "--enable-tower-connector-lora" in done.sentence
    assert not out.exists()
