"""What the ramp of requests is worth against 8 at once, on a loopback server that batches: `python -m tests.bench.bench_served`.

The server answers all that wait for it together, as vLLM does, `--batch` requests at most, and takes `--step-ms` for each such step
however many there are. It has no model: what is measured is how well the client keeps it busy.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI

from engine.judging.base import CropPair, load_prompt
from engine.judging.served.endpoint import load_endpoint
from engine.judging.served.http_client import EndpointSettings
from tests.bench.tiny_sizes import add_tiny_option
from tests.faulty_server import YES
from tests.model_process import free_port

PAIRS, BATCH, STEP_MS, ROUNDS = 1000, 64, 100.0, 3
CROP_SIZE = 96


class Batches:
    """Lets requests go in batches, one batch a step."""

    def __init__(self, most: int, step_s: float) -> None:
        self._most, self._step_s = most, step_s
        self._waiting: list[asyncio.Future[None]] = []
        self._is_running = False

    async def turn(self) -> None:
        """Wait until a batch with this request is done."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if not self._is_running:
            self._is_running = True
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await asyncio.sleep(self._step_s)
                for done in batch:
                    done.set_result(None)
                # Their answers go out, and whoever waits for a place asks, before the next batch is closed.
                await asyncio.sleep(0)
            self._is_running = False
        await mine


@contextmanager
def batching_server(most: int, step_s: float) -> Iterator[str]:
    """Serve until the block ends; yields the address."""
    app, batches, port = FastAPI(), Batches(most, step_s), free_port()

    @app.post("/v1/chat/completions")
    async def chat() -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        await batches.turn()
        return YES

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_served", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--batch", type=int, default=BATCH, help="most requests that the server answers together")
    parser.add_argument("--step-ms", type=float, default=STEP_MS, help="what a batch takes, however large")
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    pairs, step_ms, rounds = (60, 5.0, 1) if arguments.tiny else (arguments.pairs, arguments.step_ms, ROUNDS)
    crops = [np.full((CROP_SIZE, CROP_SIZE, 3), i % 256, np.uint8) for i in range(40)]
    asked = [CropPair(crops[i % 40], crops[(i * 7 + 1) % 40]) for i in range(pairs)]
    rates: dict[str, list[float]] = {}
    settled = 0
    with batching_server(arguments.batch, step_ms / 1000) as base:
        for _ in range(rounds):
            for way, at_once in (("8 at once", 8), ("found by the ramp", None)):
                settings = EndpointSettings(endpoint_at_once=at_once)
                judge = load_endpoint(f"{base}#m", prompt=load_prompt("original"), settings=settings)
                started, done = time.perf_counter(), 0
                while done < len(asked):
                    # As an evaluation does: what the judge says that it can take.
                    done += len(judge.judge(asked[done : done + max(judge.pairs_a_call, 16)], both_orders=True))
                rates.setdefault(way, []).append(len(asked) / (time.perf_counter() - started))
                settled = judge.pairs_a_call // 2
    eight, ramp = (np.array(found) for found in rates.values())
    print(f"{pairs} pairs in both orders, {arguments.batch} requests a batch, {step_ms:g} ms a batch, {rounds} rounds\n")
    print("| requests | pairs/s | against 8 at once |\n|---|---|---|")
    print(f"| 8 at once | {eight.max():.1f} | 1.0 |")
    print(f"| found by the ramp | {ramp.max():.1f} | {np.median(ramp / eight):.1f} |")
    print(f"\nat once in the end: {settled}")


if __name__ == "__main__":
    main()
