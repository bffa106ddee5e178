"""Models that cannot judge, on the command line: one sentence, exit code 2, and nothing written."""

from __future__ import annotations

import io
import json
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.assets import BUNDLED_MODEL
from tests.faulty_server import Reply, serve_faults
from tests.model_process import free_port, write_adapter
from tests.tiny_room import BLUE_BOX, RED_BOX
from ui.cli import main


def run(*arguments: object) -> tuple[int, str, str]:
    """Run the command line's own `main` here; returns exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["maskgroup", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    return int(stopped.value.code or 0), out.getvalue(), err.getvalue()


@contextmanager
def unknown(folder: Path) -> Iterator[str]:
    yield "no-such-model"


@contextmanager
def no_model(folder: Path) -> Iterator[str]:
    (folder / "pictures").mkdir()
    yield str(folder / "pictures")


@contextmanager
def other_base(folder: Path) -> Iterator[str]:
    adapter = write_adapter(folder / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: torch.zeros(*t.shape[:-1], t.shape[-1] + 1) for name, t in weights.items()}, adapter / "adapter_model.safetensors"
    )
    yield str(adapter)


@contextmanager
def too_large(folder: Path) -> Iterator[str]:
    model = Path(shutil.copytree(BUNDLED_MODEL, folder / "giant"))
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**14], "data_offsets": [0, 4 * 10**14]}}).encode()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    yield str(model)


@contextmanager
def nobody(folder: Path) -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}/v1#m"


def serving(reply: Reply) -> Callable[[Path], object]:
    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        with serve_faults(lambda number, body: reply) as (base, _):
            yield f"{base}#m"

    return serve


CASES = {
    "unknown": (unknown, "There is no model 'no-such-model'"),
    "no model": (no_model, "is no model: it has no config.json"),
    "another base": (other_base, "is for another base than"),
    "too large": (too_large, "are free on cpu"),
    "nobody": (nobody, "cannot be reached"),
    "nonsense": (serving(Reply(200, b"<html>hello</html>")), "expected a JSON object"),
    "wrong key": (serving(Reply(401, {})), "set MASKGROUP_API_KEY"),
    "not found": (serving(Reply(404, {})), "HTTP 404"),
    "silence": (serving(Reply(wait_s=60)), "gave no answer within 0.3 s"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("command", ["judge", "evaluate", "group"])
def test_one_sentence_exit_2_nothing_written(
    command: str, case: str, tiny_room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TIMEOUT_S": "0.3", "TRIES": "2", "BACKOFF_S": "0.01"}.items():
        monkeypatch.setenv(f"MASKGROUP_ENDPOINT_{name}", value)
    monkeypatch.setenv("MASKGROUP_DEVICE", "cpu")
    serve, sentence = CASES[case]
    out = tmp_path / "out"
    rest = {
        "judge": ("--a", f"0:{RED_BOX}", "--b", f"2:{BLUE_BOX}"),
        "evaluate": ("--out", out, "--pairs", 4, "--min-area", 1),
        "group": ("--out", out, "--evidence", "vlm"),
    }
    with serve(tmp_path) as model:
        code, said, complained = run(command, tiny_room, "--model", model, *rest[command])
    assert code == 2, complained
    last = complained.splitlines()[-1]
    assert last.startswith("maskgroup: ")
    assert sentence in last
    assert said == ""
    assert not out.exists()
