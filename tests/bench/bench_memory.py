"""What the real sizes of Qwen3-VL need, from their published configurations: `python -m tests.bench.bench_memory`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from transformers import Qwen3VLConfig

from engine.judging.memory import count_configured, count_quantised, in_gb, needed_bytes
from tests.bench.tiny_sizes import add_tiny_option
from tests.published_configs import SIZES, read_published


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_memory", description=__doc__)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    print("| Qwen3-VL | values | float32 | bfloat16 | 4 bits |\n|---|---|---|---|---|")
    for size in SIZES[: 1 if arguments.tiny else None]:
        config = Qwen3VLConfig(**read_published(size))
        values, quantised = count_configured(config), count_quantised(config)
        whole = [in_gb(needed_bytes(values, dtype)) for dtype in (torch.float32, torch.bfloat16)]
        four = in_gb(needed_bytes(values, torch.bfloat16, quantised=quantised))
        print(f"| {size} | {values / 1e9:.2f} billion | {' | '.join(whole)} | {four} |")


if __name__ == "__main__":
    main()
