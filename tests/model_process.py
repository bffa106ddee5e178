"""Starts `tests/model_server.py` as a process of its own, and makes adapters to serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from engine.assets import BUNDLED_MODEL


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def model_server(*options: str, port: int, model: Path = BUNDLED_MODEL) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a model at http://127.0.0.1:PORT/v1 until the block ends; yields the process once it answers."""
    command = [sys.executable, "-m", "tests.model_server", str(model), "--port", str(port), *options]
    # One thread: enough for the small model, and it leaves the other core to the test.
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
    try:
        wait_until_up(f"http://127.0.0.1:{port}/v1/models", process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], *, patience_s: float = 240) -> None:
    """Wait until a server answers anything."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not come up")


def write_adapter(
    folder: Path, *, base: Path = BUNDLED_MODEL, targets: str = r".*language_model.*(q|v)_proj", seed: int = 0
) -> Path:
    """Save an adapter with random weights, strong enough to change answers, and return its folder."""
    # Imported here: tests that only start servers need none of it, and it takes seconds.
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    wrapped.save_pretrained(folder)
    return folder
