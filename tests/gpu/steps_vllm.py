"""vLLM serving 2B's random weights against the local judge with the same weights: answers, and pairs/s through HTTP.

Twice: as answers in a chat, and as classes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import torch

from engine.judging.base import CropPair
from engine.judging.calibration.fit import margin_of
from engine.judging.local.loading import load_model
from engine.judging.local.passes import release_memory
from engine.judging.served.endpoint import load_endpoint
from engine.judging.served.http_client import EndpointSettings
from engine.judging.sources import LoadOptions
from engine.strict_json import to_json_text
from engine.types import Float64Array
from tests.gpu.crops import some_pairs
from tests.gpu.measuring import seconds
from tests.gpu.random_models import save_random
from tests.gpu.step import Figures, Missing, Setting
from tests.gpu.steps_judging import PROMPT, make_judge

PAIRS = 300
NAME = "random"
POLL_S = 0.5


def compare_served(setting: Setting) -> Figures:
    """Return the share of equal answers, the largest difference of margins, and pairs/s of both, in one order."""
    return _compare(setting)


def compare_classes(setting: Setting) -> Figures:
    """Return the same of a server that gives yes and no as classes."""
    overrides = {
        "text_config": {"method": "no_post_processing", "classifier_from_token": EndpointSettings().endpoint_classes.split(",")}
    }
    flags = ("--runner", "pooling", "--convert", "classify", "--hf-overrides", to_json_text(overrides))
    return _compare(setting, *flags)


def _compare(setting: Setting, *flags: str) -> Figures:
    if setting.tiny:
        raise Missing("vLLM needs a GPU")
    if find_spec("vllm") is None:
        raise Missing("vLLM is not installed")
    base = save_random("2B", setting.folder / "base", device=setting.device, dtype=torch.bfloat16)
    pairs = some_pairs(setting, PAIRS)
    here, local_s = _judge_here(base, setting, pairs)
    with serving(base, *flags) as address:
        served = load_endpoint(address, prompt=PROMPT, both_orders=False)
        there = np.array([margin_of(verdict.p_same) for verdict in served.judge(pairs)])
        served_s = seconds(partial(served.judge, pairs))
    return {
        "pairs": len(pairs),
        "equal_answers": float(np.mean((here >= 0) == (there >= 0))),
        "largest_difference": float(np.abs(here - there).max()),
        "gives_probabilities": served.gives_probabilities,
        "local_pairs_a_second": len(pairs) / local_s,
        "served_pairs_a_second": len(pairs) / served_s,
    }


def _judge_here(base: Path, setting: Setting, pairs: Sequence[CropPair]) -> tuple[Float64Array, float]:
    """Return the local judge's margins, (N,) float64, and the seconds that it takes for them; nothing of it stays on the card."""
    loaded = load_model(base, name=NAME, options=LoadOptions(device=setting.device))
    local = make_judge(loaded.model, loaded.processor, both_orders=False)
    margins = np.array([margin_of(verdict.p_same) for verdict in local.judge(pairs)])
    assert local.vision is not None
    local.vision.clear()
    taken_s = seconds(partial(local.judge, pairs))
    del local, loaded
    release_memory()
    return margins, taken_s


@contextmanager
def serving(base: Path, *flags: str) -> Generator[str]:
    """Serve a model by vLLM; yields what `load_endpoint` takes."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base), "--served-model-name", NAME]
    command += ["--port", str(port), "--limit-mm-per-prompt", '{"image": 2}', "--max-model-len", "4096"]
    # It takes a share of the whole card, of which the judge's context keeps a little.
    command += ["--gpu-memory-utilization", "0.7", *flags]
    # In this step's process group, so that the server ends with the step.
    server = subprocess.Popen(command)
    try:
        wait_for(server, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1#{NAME}"
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until a server says that it is ready; the step's own limit ends a wait for one that never is.

    Raises:
        RuntimeError: If it ended instead.
    """
    while server.poll() is None:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    raise RuntimeError(
        f"vLLM ended with exit code {server.returncode} before it was ready, expected it to serve; read its output above."
    )
