"""The endpoint judge against `transformers serve` with the bundled model: a server that overlooks logprobs and answers in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.judging.base import CropPair
from engine.judging.registry import load_judge
from engine.judging.served.endpoint import AnswerForm, EndpointJudge
from engine.judging.served.parsing import TEXT_FLOOR
from tests.boxes_room import write_boxes
from tests.command_line import run_command
from tests.model_process import free_port, wait_until_up

MISSING = [package for package in ("openai", "requests", "uvicorn") if find_spec(package) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}: pip install 'transformers[serving]'"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(BUNDLED_MODEL)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def test_words_say_what_the_local_model_says(server: str) -> None:
    judge = load_judge(f"{server}#{BUNDLED_MODEL}", prompt="original", both_orders=False)
    assert isinstance(judge, EndpointJudge)
    assert judge.form == AnswerForm(0)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, size=(*rng.integers(30, 90, size=2), 3)).astype(np.uint8) for _ in range(12)]
    pairs = [CropPair(a, b) for a, b in zip(crops[::2], crops[1::2], strict=True)]
    here = load_judge("base", prompt="original", both_orders=False).judge(pairs)
    raw = [v.p_same if v.uncalibrated is None else v.uncalibrated for v in here]
    # One spelling may lead where all spellings together just do not; the server computes in the weights' own dtype.
    clear = [(p, verdict) for p, verdict in zip(raw, judge.judge(pairs), strict=True) if abs(p - 0.5) > 0.03]
    assert clear
    for p, verdict in clear:
        assert verdict.p_same == pytest.approx(1 - TEXT_FLOOR if p >= 0.5 else TEXT_FLOOR)
        assert verdict.ambiguity == 0


def test_agree_compares_answers_only_where_there_are_only_words(server: str, tmp_path: Path) -> None:
    write_boxes(tmp_path / "boxes", views=3, grid=(2, 2), cell=(50, 50), box=(24, 24))
    done = run_command(
        "agree", "--model", "base", "--model", f"{server}#{BUNDLED_MODEL}", "--scene", tmp_path / "boxes", "--pairs", 6, "--json"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [way["gives_probabilities"] for way in found["ways"]] == [True, False]
    assert (found["meaning"], found["mean_change"], found["correlation"]) == ("words", None, None)
    # One spelling may lead where all spellings together just do not.
    assert all(abs(changed["p_same"][0] - 0.5) < 0.03 for changed in found["changed"])


def test_another_model_is_refused_in_one_sentence(server: str) -> None:
    with pytest.raises(ModelError, match=r"refused the request \(HTTP 400: Server is pinned to") as caught:
        load_judge(f"{server}#no/such")
    assert "\n" not in str(caught.value)
