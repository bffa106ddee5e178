"""What the real sizes of Qwen3-VL need, from their published configurations: `python -m tests.bench.bench_memory`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import Qwen3VLConfig

from engine.judging.memory import LONG_PASS, count_configured, count_quantised, in_gb, needed_bytes
from engine.judging.shapes import ModelShape
from finetune.config import TrainConfig
from finetune.training.memory_needs import Footprint, needed_for_training
from tests.bench.tiny_sizes import add_tiny_option
from tests.published_configs import SIZES, read_published


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_memory", description=__doc__)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    print("| Qwen3-VL | values | float32 | bfloat16 | 4 bits | bfloat16, full speed | training, bfloat16 | training, 4 bits |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES[: 1 if arguments.tiny else None]:
        config = Qwen3VLConfig(**read_published(size))
        values, quantised = count_configured(config), count_quantised(config)
        shape = ModelShape.of(config)
        whole = [needed_bytes(values, dtype, shape=shape) for dtype in (torch.float32, torch.bfloat16)]
        four = needed_bytes(values, torch.bfloat16, quantised=quantised, shape=shape)
        fast = needed_bytes(values, torch.bfloat16, shape=shape, pass_tokens=LONG_PASS)
        usual = TrainConfig(scenes=("any",), model=size)
        trained = [
            needed_for_training(Footprint(shape, values, quantised), replace(usual, four_bit=four_bit), 2)
            for four_bit in (False, True)
        ]
        print(f"| {size} | {values / 1e9:.2f} billion | {' | '.join(in_gb(n) for n in (*whole, four, fast, *trained))} |")


if __name__ == "__main__":
    main()
